"""Path integrals at constant pressure, through real i-PI processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.units import GPa, kB
from numpy.testing import assert_allclose, assert_array_equal

from calculators import MLPotentialCalculator
from md_runs.analysis.sampling.uncertainty import block_average
from md_runs.classical.run import ClassicalRun, run_classical
from md_runs.cli import main
from md_runs.force_provider import CalculatorForces, ModelForces
from md_runs.pimd import PimdRun, run_pimd, run_ring_polymer_segments
from md_runs.pimd.ipi_input import RingPolymer, to_ipi_frame
from md_runs.pimd.ipi_run import run_with_driver
from md_runs.pimd.ring_polymer.bead_forces import bead_forces
from md_runs.pimd.ring_polymer.run import Forces, run_in_process
from md_runs.reading import read_run
from md_runs.run_folders import TRAJECTORY_NAME
from md_runs.trajectories.frames_file import read_records
from mlpotential.errors import ConfigError, RunError, StructureError

METAL = CalculatorForces("ase.calculators.emt:EMT")
NPT = PimdRun(
    n_steps=40,
    n_beads=2,
    timestep_fs=2.0,
    stride=4,
    properties_stride=4,
    checkpoint_stride=8,
    pressure_GPa=5.0,
    barostat_time_fs=100.0,
    thermostat_time_fs=50.0,
)


def crystal(n=1):
    return bulk("Al", a=3.95, cubic=True) * (n, n, n)


def test_cells_of_every_frame_and_a_restart(tmp_path):
    whole = run_pimd(crystal(), METAL, NPT, tmp_path / "whole", progress=False)
    properties, trajectory = whole.properties, whole.trajectory
    volumes = np.linalg.det(trajectory.cells)
    assert_allclose(volumes, properties.volume, rtol=1e-7)  # of i-PI's constants
    assert_allclose(volumes[0], 3.95**3, rtol=1e-7)
    assert abs(volumes[-1] - volumes[0]) > 0.1
    assert_allclose(trajectory.cells / trajectory.cells[:, :1, :1], np.tile(np.eye(3), (11, 1, 1)))
    assert np.ptp(properties.conserved) < 0.02
    atoms = crystal()
    atoms.calc = EMT()
    virial = 0.0
    for bead in np.asarray(trajectory.positions[-1]):
        atoms.set_cell(trajectory.cells[-1])
        atoms.positions = bead
        virial -= np.trace(atoms.get_stress(voigt=False)) / 3 / 2 * 160.21766
    assert abs(properties.pressure_GPa[-1] - virial) < 3.0  # the rest is kinetic
    assert "GPa, volume" in str(whole)
    run_pimd(crystal(), METAL, replace(NPT, n_steps=20), tmp_path / "parts", progress=False)
    parts = run_pimd(crystal(), METAL, NPT, tmp_path / "parts", progress=False)
    assert_array_equal(parts.properties.steps, properties.steps)
    assert_allclose(parts.properties.volume, properties.volume, rtol=1e-9)
    assert_allclose(parts.properties.conserved, properties.conserved, rtol=1e-9)
    assert_allclose(parts.trajectory.positions, trajectory.positions, rtol=0, atol=1e-6)
    found = read_run(tmp_path / "whole")
    assert_array_equal(found.cells, trajectory.cells)
    with pytest.raises(RunError, match=r"pressure_GPa was 5\.0 and is now 4\.0"):
        run_pimd(crystal(), METAL, replace(NPT, pressure_GPa=4.0), tmp_path / "whole")
    segments = PimdRun(n_steps=20, n_beads=2, dynamics="rpmd", segment_ps=0.01, stride=4)
    with pytest.raises(RunError, match="its cell moves, and theirs does not"):
        run_ring_polymer_segments(
            crystal(), METAL, segments, tmp_path / "segments", tmp_path / "whole"
        )


def test_a_cell_that_becomes_too_small_ends_the_run(tmp_path):
    driver = METAL.ipi_driver(crystal())
    settings = replace(NPT, pressure_GPa=60.0)
    with pytest.raises(RunError, match="is narrower than the cutoff of the model"):
        run_with_driver(crystal(), driver, settings, tmp_path, False, 60.0, smallest_volume=3.93**3)


def test_the_native_engine_begins_as_ipi_does(tmp_path):
    """Energies, pressures and what is conserved, by one start, and the first moves of the cell."""
    slow = {"thermostat_time_fs": 1e9, "barostat_time_fs": 400.0, "n_beads": 1}
    settings = replace(NPT, n_steps=24, timestep_fs=1.0, **slow)
    start = RingPolymer(crystal().positions[None].copy(), np.zeros((1, 4, 3)))
    start.positions[0, 0] += [0.1, 0.05, -0.1]
    driver = METAL.ipi_driver(crystal())
    forces = Forces(*bead_forces(METAL, crystal()))
    runs = [
        run_with_driver(crystal(), driver, settings, tmp_path / "ipi", False, 60.0, start),
        run_in_process(crystal(), forces, settings, tmp_path / "native", False, 60.0, start),
    ]
    ipi, native = (run.properties for run in runs)
    assert native.pressure_GPa[0] == pytest.approx(ipi.pressure_GPa[0], rel=1e-4)  # of units
    assert native.potential[0] == pytest.approx(ipi.potential[0], rel=1e-6)
    zero = native.conserved[0] - native.potential[0]
    work = 5.0 * GPa * 3.95**3
    assert zero == pytest.approx(work - kB * 300 * np.log(3.95**3), abs=1e-6)
    assert np.ptp(native.conserved) < 1e-3
    assert np.ptp(ipi.conserved) < 1e-3
    assert_allclose(native.volume, ipi.volume, rtol=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pressure_GPa": float("inf")}, "pressure_GPa must be a finite number"),
        ({"pressure_GPa": None}, "barostat_time_fs must be left out without pressure_GPa"),
        ({"barostat_time_fs": 0.0}, "barostat_time_fs must be a positive"),
        ({"dynamics": "rpmd", "segment_ps": 0.08}, "rpmd keeps the cell"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(NPT, **change)


def test_molecules_are_refused(tmp_path, ethanol, model_path, monkeypatch, capsys):
    with pytest.raises(StructureError, match="periodic in all three directions"):
        run_pimd(ethanol, model_path, NPT, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    ase.io.write("ethanol.xyz", ethanol)
    command = ["pimd", "ethanol.xyz", "--model", str(model_path), "--folder", "run"]
    assert main([*command, "--n-steps", "4", "--pressure-GPa", "1"]) == 2
    assert "constant pressure needs a structure that is periodic" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ipi", "native"])
def test_one_bead_has_the_mean_volume_of_a_classical_run(engine, tmp_path):
    atoms = crystal(2)
    atoms.set_cell(atoms.cell * 0.975, scale_atoms=True)
    settings = replace(NPT, n_steps=2500, n_beads=1, stride=50, properties_stride=4, engine=engine)
    found = run_pimd(atoms, METAL, settings, tmp_path / engine, progress=False).properties
    atoms.calc = EMT()
    classical = ClassicalRun(
        "npt-isotropic",
        timestep_fs=2.0,
        n_steps=2500,
        stride=4,
        pressure_GPa=5.0,
        barostat_time_fs=100.0,
        time_constant_fs=50.0,
    )
    result = run_classical(atoms, classical, tmp_path / "classical", progress=False)
    volumes = [found.volume, np.linalg.det(read_records(result.trajectory_file)["cells"])]
    ours, theirs = (block_average(np.asarray(one)[125:]) for one in volumes)
    error = np.hypot(ours.standard_error, theirs.standard_error)
    assert abs(ours.value - theirs.value) < 4 * error
    assert error < 0.005 * theirs.value  # 1 GPa is 1.5 %
    pressure = block_average(found.pressure_GPa[125:])
    assert abs(pressure.value - 5.0) < 4 * pressure.standard_error
    assert np.ptp(found.conserved) < 0.1


def test_a_model_at_constant_pressure(tmp_path, model_path, monkeypatch, capsys):
    """Its stress moves the cell, and a run in parts is the whole to the last bit."""
    monkeypatch.chdir(tmp_path)
    atoms = bulk("C", "diamond", a=3.6, cubic=True) * (2, 2, 2)
    ase.io.write("diamond.xyz", atoms)
    common = ["diamond.xyz", "--model", str(model_path), "--pressure-GPa", "2", "--stride", "2"]
    common += ["--barostat-time-fs", "100", "--timestep-fs", "1"]
    for ensemble in ("npt-isotropic", "npt"):
        for folder, lengths in (("whole", ["12"]), ("parts", ["7", "12"])):
            for n_steps in lengths:
                command = ["classical", *common, "--folder", f"{ensemble}_{folder}"]
                assert main([*command, "--ensemble", ensemble, "--n-steps", n_steps]) == 0
        text = capsys.readouterr().out
        assert "GPa, volume" in text
        assert "g/cm^3: " in text
        whole, parts = (Path(f"{ensemble}_{name}", TRAJECTORY_NAME) for name in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()
        assert np.ptp(np.linalg.det(read_run(whole.parent).cells)) > 0.1
    for engine in ("ipi", "native"):
        command = ["pimd", *common, "--n-beads", "2", "--n-steps", "8", "--engine", engine]
        assert main([*command, "--folder", engine]) == 0
        assert "GPa, volume" in capsys.readouterr().out
        assert len(np.unique(np.linalg.det(read_run(tmp_path / engine).cells))) == 5
    structure = to_ipi_frame(atoms)
    beads, _ = bead_forces(ModelForces(model_path), structure)
    found = beads.evaluate(structure.positions[None], (), 1.02).virials
    structure.calc = MLPotentialCalculator(model_path)
    structure.set_cell(1.02 * structure.cell)
    stress = structure.get_stress(voigt=False)
    assert_allclose(found, [-structure.get_volume() * np.trace(stress)], rtol=1e-9)
