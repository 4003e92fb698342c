"""RPMD and TRPMD with a real i-PI process, on harmonic traps, where both are known exactly.

The centroid of a ring polymer in a harmonic potential moves as a classical particle, whatever the
thermostat does to the internal modes, and velocity Verlet turns that motion into

    v(t + h) + v(t - h) = 2 cos(W h) v(t),   sin(W dt / 2) = w dt / 2.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from numpy.testing import assert_allclose, assert_array_equal

from calculators.ipi_units import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from md_runs.analysis.spectra.density_of_states import vibrational_density_of_states
from md_runs.cli import main
from md_runs.force_provider import IpiDriver
from md_runs.pimd import read_pimd_trajectory, run_pimd
from md_runs.pimd.segments import run_segments_with_driver
from md_runs.pimd.settings import PimdRun
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.evaluator import Evaluator

TRAP = str(Path(__file__).with_name("trap_pes.py"))
WAVENUMBER, FS, DALTON = 4.5563353e-06, 41.341373, 1822.8885  # hartree, hbar / hartree, m_e
OMEGA = 1000.0  # 1/cm
SETTINGS = PimdRun(
    n_steps=40, n_beads=3, dynamics="rpmd", segment_ps=0.02, start_spacing_ps=0.005, stride=4,
    properties_stride=4, checkpoint_stride=8, fix_center_of_mass=False, record_forces=True, seed=5,
)  # fmt: skip


def carbons(n_atoms):
    return Atoms(f"C{n_atoms}", positions=3.0 * np.arange(3 * n_atoms).reshape(-1, 3))


def spring(atoms):
    """Of OMEGA (hartree / bohr^2)."""
    return atoms.get_masses()[0] * DALTON * (OMEGA * WAVENUMBER) ** 2


def trap(folder, atoms, **parameters):
    """Atoms bound to where they are, with a dipole."""
    centers = folder / "centers.npy"
    np.save(centers, atoms.positions * BOHR_PER_ANGSTROM)
    parameters |= {"centers": str(centers), "spring": str(spring(atoms)), "charge": "0.5"}
    return IpiDriver(TRAP, parameters, extras=("dipole",))


def run(folder, atoms, settings, source=None, **parameters):
    folder.mkdir(exist_ok=True)
    driver = trap(folder.parent, atoms, **parameters)
    return run_segments_with_driver(atoms, driver, settings, folder, source, True, 60.0)


def recurrence(values):
    """2 cos(W h) of series along the first axis, and what the recurrence leaves of them."""
    middle, sums = values[1:-1].ravel(), (values[2:] + values[:-2]).ravel()
    factor = (middle @ sums) / (middle @ middle)
    return factor, np.abs(sums - factor * middle).max() / np.abs(middle).max()


def verlet_factor(timestep_fs, interval_fs):
    w = OMEGA * WAVENUMBER * FS
    return 2.0 * np.cos(2.0 / timestep_fs * np.arcsin(0.5 * w * timestep_fs) * interval_fs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An RPMD segment and the PIMD run it made for itself."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return folder, run(folder, carbons(4), SETTINGS)


@pytest.mark.parametrize("dynamics", ["rpmd", pytest.param("trpmd", marks=pytest.mark.slow)])
def test_motion_of_ring_polymers(tmp_path, finished, dynamics):
    atoms, (folder, result) = carbons(4), finished
    if dynamics == "trpmd":
        settings = replace(SETTINGS, dynamics=dynamics)
        rpmd, result = result, run(tmp_path / "run", atoms, settings, source=folder / "pimd")
        first, expected = (r.trajectories[0].positions[0] for r in (result, rpmd))
        assert_array_equal(first, expected)
    (trajectory,) = result.trajectories
    velocities = np.asarray(trajectory.velocities_angstrom_per_fs)
    factor, rest = recurrence(velocities.mean(axis=1))
    assert_allclose(factor, verlet_factor(0.5, 2.0), atol=2e-5)
    assert rest < 1e-4
    _, rest_of_internal = recurrence(velocities[:, 0] - velocities[:, 1])
    assert (rest_of_internal > 0.05) == (dynamics == "trpmd")
    assert trajectory.dynamics == dynamics.upper()
    assert (trajectory.temperature_K, trajectory.integration_timestep_fs) == (300.0, 0.5)
    assert_allclose(trajectory.times_fs, 2.0 * np.arange(11))
    away = trajectory.positions - atoms.positions
    k = spring(atoms) * BOHR_PER_ANGSTROM**2 / HARTREE_PER_EV
    assert_allclose(trajectory.forces, -k * away, atol=2e-5)
    assert_allclose(trajectory.energies, 0.5 * k * (away**2).sum(axis=(2, 3)), rtol=1e-5)
    assert_allclose(trajectory.dipoles, 0.5 * away.sum(axis=2), atol=1e-6)
    assert result.energy_spread < 1e-3


@pytest.mark.slow
def test_segments_are_killed_continued_and_extended(tmp_path, finished):
    """A killed i-PI leaves records after its last checkpoint, the last of them cut."""
    atoms, folder, log = carbons(4), tmp_path / "run", tmp_path / "calls"
    shutil.copytree(finished[0], folder)
    segment = folder / "segment_0"
    for path in (segment / "RESTART", *segment.glob("*checkpoint*")):
        step = int(path.read_text().split("<step>")[1].split("<")[0])
        if step > 24:
            path.unlink()
    for path in [*segment.glob("simulation.*_?*"), segment / "simulation.potentials"]:
        if "checkpoint" not in path.name:
            path.write_bytes(path.read_bytes()[:-20])
    result = run(folder, atoms, replace(SETTINGS, n_steps=80), log=str(log))
    assert len(result.trajectories) == 2
    n_calls = len(log.read_text().split())
    assert n_calls == (8 + 1) + (40 - 24 + 1) + (40 + 1)  # PIMD grows, a segment ends, one is new
    first, second = result.trajectories
    for name in ("positions", "velocities_angstrom_per_fs", "forces", "energies", "dipoles"):
        values, expected = (getattr(t, name) for t in (first, finished[1].trajectories[0]))
        assert_allclose(values, expected, atol=2e-6 * np.abs(expected).max(), err_msg=name)
    assert np.abs(second.positions[0] - first.positions[0]).max() > 1e-3
    assert np.abs(second.velocities_angstrom_per_fs[0] - first.velocities_angstrom_per_fs[0]).min()
    read = read_pimd_trajectory(folder / "segment_1")
    assert_array_equal(read.positions, second.positions)


def test_sources_that_do_not_fit_are_refused(tmp_path, finished):
    atoms, source = carbons(4), finished[0] / "pimd"
    heavier = atoms.copy()
    heavier.set_masses([13.0, 12.0, 12.0, 12.0])
    for change, other, message in (
        ({"n_beads": 2}, atoms, "n_beads was 3 and is now 2"),
        ({"temperature_K": 200.0}, atoms, "temperature_K was 300.0 and is now 200.0"),
        ({}, heavier, "the masses of the structure differ"),
        ({"n_steps": 120}, atoms, "has 0.004 ps, but 3 segments 0.004 ps apart need 0.012"),
    ):
        with pytest.raises(RunError, match=message):
            run(tmp_path / "run", other, replace(SETTINGS, **change), source=source)
    with pytest.raises(RunError, match="segments cannot start from .* dynamics was 'rpmd'"):
        run(tmp_path / "run", atoms, SETTINGS, source=finished[0] / "segment_0")
    with pytest.raises(RunError, match="holds another run"):
        run(source, atoms, SETTINGS)
    with pytest.raises(ConfigError, match="made of segments"):
        run_pimd(atoms, "model.safetensors", SETTINGS, tmp_path / "new")
    with pytest.warns(UserWarning, match="frames every 5 fs"), pytest.raises(RunError):
        run(tmp_path / "new", atoms, replace(SETTINGS, stride=10), source=tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", ["rpmd", pytest.param("trpmd", marks=pytest.mark.torture)])
def test_spectrum_and_temperature_of_centroids(tmp_path, dynamics):
    """One line at the frequency of the trap, and equipartition of the centroids."""
    atoms = carbons(24)
    settings = replace(
        SETTINGS, n_beads=8, dynamics=dynamics, n_steps=8000, segment_ps=1.0, start_spacing_ps=0.2,
        thermostat_time_fs=20.0, checkpoint_stride=1000, record_forces=False, properties_stride=20,
    )  # fmt: skip
    result = run(tmp_path / "run", atoms, settings)
    print(result)
    temperature = result.centroid_temperature_K
    assert temperature.standard_error < 25.0
    assert abs(temperature.value - 300.0) < 4.0 * temperature.standard_error
    spectrum = vibrational_density_of_states(
        [np.asarray(t.velocities_angstrom_per_fs).mean(axis=1) for t in result.trajectories],
        None, atoms.get_masses(), 2.0, removed="nothing",
    )  # fmt: skip
    peak = spectrum.wavenumbers_per_cm[np.argmax(spectrum.intensity)]
    print(peak, spectrum.resolution_per_cm, spectrum.integral)
    verlet = np.arccos(0.5 * verlet_factor(0.5, 2.0)) / 2.0 / (WAVENUMBER * FS)
    assert abs(peak - verlet) < 0.5 * spectrum.resolution_per_cm
    assert abs(spectrum.integral.value - 72.0) < 0.5


@pytest.mark.slow
def test_the_command_with_a_model(tmp_path, model_path, ethanol, capsys):
    """Its own PIMD run first, then segments of the other kind from the same frames."""
    write(tmp_path / "ethanol.xyz", ethanol)
    common = [
        "pimd", str(tmp_path / "ethanol.xyz"), "--model", str(model_path), "--n-beads", "2",
        "--n-steps", "20", "--stride", "2", "--segment-ps", "0.01", "--start-spacing-ps", "0.005",
    ]  # fmt: skip
    folder = tmp_path / "trpmd"
    assert main([*common, "--folder", str(folder), "--dynamics", "trpmd", "--record-forces"]) == 0
    assert "1 TRPMD segment of 0.01 ps with 2 beads" in capsys.readouterr().out
    source = ["--from", str(folder / "pimd")]
    assert main([*common, "--folder", str(tmp_path / "rpmd"), "--dynamics", "rpmd", *source]) == 0
    trpmd, rpmd = (read_pimd_trajectory(tmp_path / n / "segment_0") for n in ("trpmd", "rpmd"))
    assert_array_equal(trpmd.positions[0], rpmd.positions[0])
    assert_array_equal(trpmd.velocities_angstrom_per_fs[0], rpmd.velocities_angstrom_per_fs[0])
    evaluator = Evaluator(model_path, ethanol.numbers)
    forces = evaluator.evaluate(trpmd.positions[-1]).forces.reshape(2, -1, 3)
    assert_allclose(trpmd.forces[-1], forces, rtol=1e-4, atol=1e-4)
    assert main([*common, "--folder", str(tmp_path / "none"), *source]) == 2
    assert "--from is for segments" in capsys.readouterr().err
