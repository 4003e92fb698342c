"""The ring polymer of our own beside real i-PI processes."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.c20 import MODEL, STRUCTURE
from md_runs.cli import main
from md_runs.force_provider import CalculatorForces, IpiDriver, ModelForces
from md_runs.pimd import PimdRun, run_pimd, run_ring_polymer_segments
from md_runs.pimd.ipi_input import RingPolymer
from md_runs.pimd.ipi_run import run_with_driver
from md_runs.pimd.ring_polymer.integrator import RingPolymerIntegrator, RingPolymerSystem
from md_runs.pimd.ring_polymer.thermostats import CountedNoise
from md_runs.pimd.segments import thermal_bead_velocities
from md_runs.reading import read_energy_series, read_run
from mlpotential.errors import RunError, StructureError
from mlpotential.inference.execution import Execution

TRAP = Path(__file__).with_name("trap_pes.py")
KELVIN, FS, DALTON = 3.1668152e-06, 41.341373, 1822.8885  # i-PI's constants, atomic units
SPRING = 0.5  # hartree / bohr^2


def checkpoint(path):
    """Positions and momenta of i-PI, [n_beads, n_atoms, 3] (atomic units)."""
    beads = ET.parse(path).getroot().find(".//beads")
    shape = (int(beads.get("nbeads")), int(beads.get("natoms")), 3)

    def array(name):
        return np.array(beads.findtext(name).strip(" \n[]").split(","), float).reshape(shape)

    return array("q"), array("p")


@pytest.mark.parametrize("holds", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_newtons_equations_as_in_ipi(tmp_path, holds):
    """From one of its checkpoints to the next: the same numbers but for rounding."""
    atoms, n_beads = molecule("CH4"), 5
    settings = PimdRun(
        n_steps=80, n_beads=n_beads, stride=40, properties_stride=40, checkpoint_stride=40,
        dynamics="rpmd", segment_ps=0.04, fix_center_of_mass=holds, seed=2,
    )  # fmt: skip
    beads = atoms.positions + 0.03 * np.random.default_rng(1).standard_normal((n_beads, 5, 3))
    start = RingPolymer(beads, thermal_bead_velocities(atoms, beads, settings))
    driver = IpiDriver(str(TRAP), {"spring": str(SPRING)})
    result = run_with_driver(atoms, driver, settings, tmp_path, False, 60.0, start)
    paths = sorted(tmp_path.glob("simulation.checkpoint_*"))
    states = [checkpoint(path) for path in paths]
    (q, p), (q_end, p_end) = states[-2:]
    centers = np.load(tmp_path / "centers.npy").reshape(-1, 3)

    def forces(positions):
        away = positions - centers
        return 0.5 * SPRING * (away**2).sum(axis=(1, 2)), -SPRING * away

    masses = atoms.get_masses() * DALTON
    system = RingPolymerSystem(masses, n_beads, 0.5 * FS, 300.0 * KELVIN, 1.0, holds)
    moving = RingPolymerIntegrator(system, forces, None, CountedNoise(0))
    moving.begin(q, p / masses[:, None])
    before = moving.energies()
    for step in range(40):
        moving.step(step)
    assert_allclose(moving.bead_positions(), q_end, rtol=0.0, atol=1e-11 * np.abs(q).max())
    momenta = moving.bead_velocities() * masses[:, None]
    assert_allclose(momenta, p_end, rtol=0.0, atol=1e-11 * np.abs(p).max())
    assert np.abs(q_end - q).max() > 0.01
    for record, energies in ((-2, before), (-1, moving.energies())):
        for name in ("potential", "kinetic_cv"):
            theirs = getattr(result.properties, name)[record] * 0.036749326  # i-PI's hartree
            assert_allclose(getattr(energies, name), theirs, rtol=1e-7, err_msg=name)
        kelvin = energies.thermal / KELVIN
        assert_allclose(kelvin, result.properties.temperature_K[record], rtol=1e-7)
    change = np.ptp(result.properties.conserved[-2:]) * 0.036749326
    ours = abs(moving.energies().conserved - before.conserved)
    assert_allclose(ours, change, atol=1e-7 * abs(before.conserved))


def test_a_run_of_a_model(tmp_path, model_path, ethanol, capsys):
    """The command, the function and all readers; what is in the frames is what the model says."""
    structure, folder = tmp_path / "structure.extxyz", tmp_path / "run"
    ase.io.write(structure, ethanol)
    words = ["pimd", structure, "--model", model_path, "--folder", folder, "--n-steps", 12]
    words += ["--n-beads", 3, "--stride", 2, "--properties-stride", 1, "--engine", "native"]
    words += ["--record-forces"]
    assert main(list(map(str, words))) == 0
    printed = capsys.readouterr().out
    assert "7 frames of 3 beads" in printed
    assert "extrapolation: none of 39 structures" in printed
    atoms = ase.io.read(structure)
    settings = PimdRun(
        n_steps=12, n_beads=3, stride=2, properties_stride=1, engine="native", record_forces=True
    )
    again = run_pimd(atoms, model_path, settings, folder)
    trajectory = read_run(folder)
    assert_array_equal(again.trajectory.positions, trajectory.positions)
    atoms.calc = ModelForces(model_path).calculator()
    atoms.positions = trajectory.positions[3, 1]
    assert_allclose(trajectory.energies[3, 1], atoms.get_potential_energy(), rtol=1e-12)
    assert_allclose(trajectory.forces[3, 1], atoms.get_forces(), atol=1e-10)
    assert read_energy_series(folder).potentials[6] == pytest.approx(trajectory.energies[3].mean())
    with pytest.raises(RunError, match="engine was 'native' and is now 'ipi'"):
        run_pimd(atoms, model_path, replace(settings, engine="ipi"), folder)
    other = tmp_path / "other.safetensors"
    other.write_bytes(Path(MODEL).read_bytes())
    with pytest.raises(StructureError, match="does not know"):
        run_pimd(atoms, other, settings, folder)


@pytest.mark.parametrize("name", ["ethanol", "diamond"])
def test_a_model_goes_on_bit_for_bit(tmp_path, model_path, request, name):
    """Whatever the neighbour list went through before."""
    atoms = request.getfixturevalue(name)
    settings = PimdRun(n_steps=20, n_beads=2, stride=2, temperature_K=600.0, engine="native")
    settings = replace(settings, timestep_fs=2.0)
    guard = Execution(guard="off")
    whole = run_pimd(atoms, model_path, settings, tmp_path / "whole", execution=guard)
    run_pimd(atoms, model_path, replace(settings, n_steps=9), tmp_path / "parts", execution=guard)
    parts = run_pimd(atoms, model_path, settings, tmp_path / "parts", execution=guard)
    assert_array_equal(parts.trajectory.positions, whole.trajectory.positions)
    assert_array_equal(parts.properties.conserved, whole.properties.conserved)
    assert np.ptp(whole.trajectory.positions, axis=0).max() > 0.1


def test_atoms_that_are_fixed_are_refused(tmp_path, model_path, ethanol):
    from ase.constraints import FixAtoms

    ethanol.set_constraint(FixAtoms([0]))
    with pytest.raises(StructureError, match=r"constraints \(FixAtoms\), which a path-integral"):
        run_pimd(ethanol, model_path, PimdRun(n_steps=1, engine="native"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_segments_of_a_calculator(tmp_path):
    """Periodic, bead by bead; segments begin in frames of the run they made for themselves."""
    from ase.build import bulk

    forces = CalculatorForces("ase.calculators.emt:EMT", {"asap_cutoff": True})
    atoms = bulk("Cu") * (2, 2, 1)
    settings = PimdRun(
        n_steps=8, n_beads=2, stride=2, properties_stride=2, record_forces=True, dynamics="trpmd",
        segment_ps=0.002, start_spacing_ps=0.001, engine="native", checkpoint_stride=2,
    )  # fmt: skip
    result = run_ring_polymer_segments(atoms, forces, settings, tmp_path)
    assert [t.dynamics for t in result.trajectories] == ["TRPMD", "TRPMD"]
    source = read_run(tmp_path / "pimd")
    for k, trajectory in enumerate(result.trajectories):
        assert_allclose(trajectory.positions[0], source.positions[k + 1], atol=1e-12)
        assert trajectory.velocities_angstrom_per_fs is not None
    moved = atoms.copy()
    moved.cell, moved.calc = trajectory.cells[1], forces.calculator()
    moved.positions = trajectory.positions[1, 0]
    assert_allclose(trajectory.energies[1, 0], moved.get_potential_energy(), atol=1e-10)
    assert_allclose(trajectory.forces[1, 0], moved.get_forces(), atol=1e-10)


@pytest.mark.slow
def test_segments_from_a_run_of_ipi(tmp_path, model_path, ethanol, capsys):
    """By the command; a folder of segments is of one engine, too."""
    structure = tmp_path / "structure.extxyz"
    ase.io.write(structure, ethanol)
    common = ["pimd", structure, "--model", model_path, "--n-beads", 2, "--stride", 2]
    common += ["--guard", "off"]
    source, folder = tmp_path / "pimd", tmp_path / "rpmd"
    assert main([str(w) for w in [*common, "--folder", source, "--n-steps", 8]]) == 0
    words = [*common, "--folder", folder, "--from", source, "--dynamics", "rpmd", "--n-steps", 12]
    words += ["--segment-ps", 0.003, "--start-spacing-ps", 0.002]
    assert main([str(w) for w in [*words, "--engine", "native"]]) == 0
    begun = read_run(source).positions
    for k in (0, 1):
        segment = read_run(folder / f"segment_{k}")
        assert segment.dynamics == "RPMD"
        assert_allclose(segment.positions[0], begun[2 * (k + 1)], atol=1e-9)
    assert main([str(w) for w in words]) == 2
    assert "engine was 'native' and is now 'ipi'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_global_thermostat_of_ipi(tmp_path):
    """Traps with a centre of mass that is held: 21 of 24 degrees of freedom of two beads."""
    settings = PimdRun(
        n_steps=6000, n_beads=2, stride=1000, properties_stride=2, thermostat="pile-g",
        thermostat_time_fs=5.0, seed=3,
    )  # fmt: skip
    atoms = molecule("CH4")
    driver = IpiDriver(str(TRAP), {"spring": str(SPRING)})
    found = run_with_driver(atoms, driver, settings, tmp_path, False, 60.0).properties
    assert "pile_g" in (tmp_path / "input.xml").read_text()
    mean, error = mean_and_error(found.temperature_K[500:])
    assert abs(mean - 300.0) < 4 * error < 40.0


@pytest.mark.slow
def test_c20_as_with_ipi(tmp_path):
    """Bond lengths and energies of 8 beads at 300 K, by both engines, within their errors."""
    settings = PimdRun(n_steps=6000, n_beads=8, seed=1, thermostat_time_fs=50.0)
    runs = [
        run_pimd(
            ase.io.read(STRUCTURE), MODEL, replace(settings, engine=engine), tmp_path / engine,
            execution=Execution(guard="off"),
        )
        for engine in ("ipi", "native")
    ]  # fmt: skip
    series = [c20_series(run) for run in runs]
    for name in series[0]:
        means, errors = zip(*(mean_and_error(one[name]) for one in series), strict=True)
        assert abs(means[0] - means[1]) < 4 * np.hypot(*errors), (name, means, errors)
        assert max(errors) < 0.1 * abs(np.mean(means)), name


def c20_series(run):
    """Means over atoms and beads of each frame after the first picosecond, by name."""
    positions = np.asarray(run.trajectory.positions)[100:]
    vectors = positions[:, :, :, None] - positions[:, :, None]
    distances = np.sqrt((vectors**2).sum(axis=-1)) + 9.0 * np.eye(20)
    nearest = np.sort(distances, axis=-1)[..., :3]  # three bonds an atom
    centroids = positions - positions.mean(axis=1, keepdims=True)
    properties = run.properties
    return {
        "bond": nearest.mean(axis=(1, 2, 3)),
        "spread": nearest.std(axis=(1, 2, 3)),
        "gyration": (centroids**2).sum(axis=-1).mean(axis=(1, 2)),
        "kinetic_cv": properties.kinetic_cv[100:],
        "temperature_K": properties.temperature_K[100:],
        "potential": properties.potential[100:] - properties.potential[0],
    }


def mean_and_error(series, n_blocks=10):
    blocks = [block.mean() for block in np.array_split(series, n_blocks)]
    return series.mean(), np.std(blocks, ddof=1) / np.sqrt(n_blocks)
