"""Constant pressure: conservation, ensembles that are known exactly, files, and restarts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

import ase.io
import compressible
import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms
from ase.units import GPa, kB
from compressible import ideal_gas, spring_crystal
from spring_network import SpringNetwork, spring_cluster

from md_runs.analysis.sampling.uncertainty import block_average
from md_runs.classical.constant_pressure import MartynaTobiasKlein
from md_runs.classical.run import ClassicalRun, run_classical
from md_runs.cli import main
from md_runs.reading import read_run
from md_runs.run_folders import CHECKPOINT_NAME, TRAJECTORY_NAME
from md_runs.thermal_velocities import maxwell_boltzmann
from md_runs.trajectories.frames_file import read_records, read_trajectory
from mlpotential.errors import ConfigError, RunError, StructureError
from mlpotential.units import ASE_TIME_PER_FS

KELVIN = 300.0
NPT = ClassicalRun(
    ensemble="npt-isotropic",
    temperature_K=KELVIN,
    timestep_fs=2.0,
    n_steps=60,
    stride=5,
    time_constant_fs=50.0,
    pressure_GPa=1.0,
    barostat_time_fs=200.0,
    checkpoint_stride=25,
)


def moving(atoms, keeps_shape, pressure, timestep_fs=2.0, times_fs=(50.0, 200.0)):
    """The integrator, of atoms at 300 K."""
    momenta = maxwell_boltzmann(atoms, KELVIN, False, np.random.default_rng(3))
    atoms.set_momenta(momenta)
    times = tuple(t * ASE_TIME_PER_FS for t in times_fs)
    timestep = timestep_fs * ASE_TIME_PER_FS
    n_dof = 3 * len(atoms) - 3
    return MartynaTobiasKlein(atoms, timestep, KELVIN, pressure, times, n_dof, keeps_shape)


def volumes_and_pressures(integrator, n_steps, n_skipped):
    forces, found = integrator.atoms.get_forces(), []
    for _ in range(n_steps):
        forces = integrator.step(forces)
        found.append((integrator.atoms.get_volume(), integrator.pressure))
    return np.array(found[n_skipped:]).T


@pytest.mark.parametrize("keeps_shape", [True, False])
def test_a_step_conserves_the_energy_of_all_to_second_order(keeps_shape):
    """A missing degree of freedom anywhere would be work that nobody counts."""
    ripples = {}
    for timestep_fs in (1.0, 2.0):
        integrator = moving(spring_crystal(), keeps_shape, 2.0 * GPa, timestep_fs)
        forces, energies = integrator.atoms.get_forces(), []
        start = integrator.atoms.get_volume()
        for _ in range(int(400 / timestep_fs)):
            forces = integrator.step(forces)
            energies.append(integrator.conserved_energy())
        ripples[timestep_fs] = np.ptp(energies)
        assert abs(integrator.atoms.get_volume() - start) > 3.0
    assert ripples[2.0] < 0.01 * 93 * kB * KELVIN
    assert ripples[2.0] / ripples[1.0] == pytest.approx(4.0, rel=0.15)


def test_a_crystal_keeps_shape_and_momentum_or_momentum_alone():
    for keeps_shape in (True, False):
        integrator = moving(spring_crystal(), keeps_shape, 1.0 * GPa)
        volumes_and_pressures(integrator, 100, 0)
        cell, momenta = integrator.atoms.cell.array, integrator.atoms.get_momenta()
        uneven = np.abs(cell / cell[0, 0] - np.eye(3)).max()
        assert uneven < 1e-14 if keeps_shape else uneven > 1e-3
        assert np.abs(momenta.sum(axis=0)).max() < 1e-11 * np.abs(momenta).max()


def test_steps_are_reversible():
    integrator = moving(spring_crystal(), False, 1.0 * GPa)
    atoms = integrator.atoms
    start, cell, forces = atoms.get_positions(), atoms.cell.array.copy(), atoms.get_forces()
    for turn in (1, 2):
        for _ in range(40):
            forces = integrator.step(forces)
        if turn == 1:
            assert np.abs(atoms.positions - start).max() > 0.1
            atoms.set_momenta(-atoms.get_momenta())
            state = integrator.state
            for chain in ("chain", "chain of the cell"):
                state[chain]["momenta"] = [-p for p in state[chain]["momenta"]]
            state["cell momentum"] = (-np.array(state["cell momentum"])).tolist()
            integrator.state = state
    np.testing.assert_allclose(atoms.positions, start, rtol=0, atol=1e-9)
    np.testing.assert_allclose(atoms.cell.array, cell, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_volumes_of_an_ideal_gas():
    """The weight V^(N - 1) exp(-P V / kT): the mean is N kT / P, the variance N (kT / P)^2."""
    n_atoms, volume = 8, 3000.0
    integrator = moving(ideal_gas(n_atoms, volume), True, n_atoms * kB * KELVIN / volume, 10.0)
    volumes, pressures = volumes_and_pressures(integrator, 10_000, 500)
    mean = block_average(volumes)
    assert mean.standard_error < volume / n_atoms / 4  # one atom more or less would show
    assert abs(mean.value - volume) < 4 * mean.standard_error
    variance = block_average((volumes - volume) ** 2)
    assert abs(variance.value - volume**2 / n_atoms) < 4 * variance.standard_error
    assert variance.standard_error < 0.15 * volume**2 / n_atoms
    pressure = block_average(pressures / (n_atoms * kB * KELVIN / volume))
    assert abs(pressure.value - 1.0) < 4 * pressure.standard_error


def test_volumes_of_a_gas_that_is_elastic():
    """The weight with exp(-U(V) / kT) by quadrature: a stress of the wrong sign would burst."""
    n_atoms, volume = 6, 600.0
    atoms = ideal_gas(n_atoms, volume, stiffness=0.02)
    pressure = 3.0 * n_atoms * kB * KELVIN / volume
    grid = np.linspace(100.0, 1500.0, 20_001)
    energies = 0.5 * 0.02 / volume * (grid - volume) ** 2 + pressure * grid
    logarithm = (n_atoms - 1) * np.log(grid) - energies / (kB * KELVIN)
    weights = np.exp(logarithm - logarithm.max())
    expected = np.average(grid, weights=weights)
    spread = np.sqrt(np.average((grid - expected) ** 2, weights=weights))
    integrator = moving(atoms, True, pressure, 5.0, (40.0, 80.0))
    volumes, _ = volumes_and_pressures(integrator, 3_000, 100)
    mean = block_average(volumes)
    assert mean.standard_error < 0.15 * spread
    assert abs(mean.value - expected) < 4 * mean.standard_error
    assert volumes.std() == pytest.approx(spread, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["npt-isotropic", "npt"])
def test_a_crystal_has_the_pressure_and_the_volume_of_its_pressure_curve(ensemble, tmp_path):
    """V(P) of constant volume, interpolated, against <V> of constant pressure."""
    settings = replace(
        NPT, ensemble=ensemble, n_steps=12_000, stride=4, seed=5, checkpoint_stride=20_000
    )
    warm = run_classical(spring_crystal(), replace(settings, n_steps=1000), tmp_path / "warm")
    result = run_classical(warm.atoms, settings, tmp_path / "npt")
    temperature, pressure = result.mean_temperature_K, result.mean_pressure_GPa
    assert abs(temperature.value - KELVIN) < 0.01 * KELVIN  # 3N would be 3 % too hot
    assert abs(pressure.value - 1.0) < 3 * pressure.standard_error + 0.003  # of the time step
    assert pressure.standard_error < 0.005
    if ensemble == "npt-isotropic":
        curve = [_pressure_at(side, tmp_path) for side in (7.95, 7.965)]
        volume = np.interp(-1.0, [-p for p in curve], [7.95**3, 7.965**3])
        assert min(curve) < 1.0 < max(curve)
        assert result.mean_volume.value == pytest.approx(volume, rel=1.5e-3)  # of 6 A^3 a GPa


def _pressure_at(side, tmp_path):
    """Of the crystal in a cube of fixed volume (GPa)."""
    atoms = spring_crystal()
    atoms.set_cell([side] * 3, scale_atoms=True)
    settings = ClassicalRun("nose-hoover", KELVIN, 2.0, 6_000, 4, time_constant_fs=50.0)
    result = run_classical(atoms, settings, tmp_path / f"{side}")
    records = read_records(result.trajectory_file)
    found = []
    for frame in range(150, len(records), 4):
        atoms.positions = records["positions"][frame, 0]
        stress = np.trace(atoms.get_stress(voigt=False))
        twice_kinetic = 93 * kB * records["temperature_K"][frame]
        found.append((twice_kinetic / atoms.get_volume() - stress) / 3 / GPa)
    return float(np.mean(found))


@pytest.mark.parametrize("ensemble", ["npt-isotropic", "npt"])
def test_every_frame_has_its_cell_and_pressure(ensemble, tmp_path):
    atoms = spring_crystal()
    result = run_classical(atoms, replace(NPT, ensemble=ensemble), tmp_path)
    trajectory, records = read_run(tmp_path), read_records(result.trajectory_file)
    assert result.n_degrees_of_freedom == 93
    assert (trajectory.dynamics, trajectory.n_frames) == ("NPT", 13)
    np.testing.assert_array_equal(trajectory.cells[0], atoms.cell.array)
    np.testing.assert_array_equal(trajectory.cells[-1], result.atoms.cell.array)
    np.testing.assert_array_equal(trajectory.positions[-1, 0], result.atoms.positions)
    for frame in (0, 7, 12):
        atoms.set_cell(trajectory.cells[frame])
        atoms.positions = trajectory.positions[frame, 0]
        np.testing.assert_allclose(trajectory.forces[frame, 0], atoms.get_forces(), atol=1e-13)
        twice_kinetic = 93 * kB * records["temperature_K"][frame]
        inside = twice_kinetic / atoms.get_volume() - np.trace(atoms.get_stress(voigt=False))
        assert records["pressure_GPa"][frame] == pytest.approx(inside / 3 / GPa, rel=1e-10)
    volumes = np.abs(np.linalg.det(trajectory.cells))
    assert np.ptp(volumes) > 1.0
    assert result.mean_volume.value == pytest.approx(volumes.mean())
    assert result.mean_pressure_GPa.value == pytest.approx(records["pressure_GPa"].mean())


def test_commands_take_the_cell_of_every_frame(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = replace(NPT, ensemble="npt", timestep_fs=4.0, n_steps=240, stride=2)
    run_classical(spring_crystal(), settings, tmp_path / "run")
    for command in (["rdf"], ["msd"], ["vdos"]):
        assert main([*command, "run", "--skip-ps", "0", "--output", command[0]]) == 0
    text = capsys.readouterr().out
    assert "in the mean cell (without the motion of the cell)" in text
    assert "dynamics: NPT" in text
    assert main(["export", "run", "run.extxyz"]) == 0
    frames = ase.io.read("run.extxyz", ":")
    expected = read_run(tmp_path / "run").cells
    np.testing.assert_allclose([atoms.cell.array for atoms in frames], expected, atol=1e-7)


def test_one_evaluation_a_step(tmp_path):
    atoms, n_calls = spring_crystal(), 0
    calculate = atoms.calc.calculate

    def counted(*args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        calculate(*args, **kwargs)

    atoms.calc.calculate = counted
    run_classical(atoms, NPT, tmp_path)
    assert n_calls == NPT.n_steps + 1


@pytest.mark.parametrize("ensemble", ["npt-isotropic", "npt"])
def test_a_run_in_two_parts_is_the_same_run(ensemble, tmp_path):
    settings = replace(NPT, ensemble=ensemble)
    run_classical(spring_crystal(), settings, tmp_path / "whole")
    for n_steps in (35, 60):
        run_classical(spring_crystal(), replace(settings, n_steps=n_steps), tmp_path / "parts")
    for name in (TRAJECTORY_NAME, CHECKPOINT_NAME):
        whole = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "parts" / name).read_bytes() == whole
    with pytest.raises(RunError, match=r"pressure_GPa was 1\.0 and is now 2\.0"):
        run_classical(spring_crystal(), replace(settings, pressure_GPa=2.0), tmp_path / "whole")


def test_kill_9_changes_no_bit(tmp_path):
    settings = replace(NPT, ensemble="npt", n_steps=800, stride=3, checkpoint_stride=70)
    run_classical(spring_crystal(), settings, tmp_path / "whole")
    expected = (tmp_path / "whole" / TRAJECTORY_NAME).read_bytes()
    folder = tmp_path / "killed"
    command = [sys.executable, compressible.__file__, str(folder), json.dumps(asdict(settings))]
    process = subprocess.Popen(command)
    path = folder / TRAJECTORY_NAME
    while not path.exists() or path.stat().st_size < 0.3 * len(expected):
        assert process.poll() is None, "the program ended before it was killed"
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert path.read_bytes() != expected
    run_classical(spring_crystal(), settings, folder)
    assert path.read_bytes() == expected


def test_a_cell_that_bursts_stops_the_run(tmp_path):
    with pytest.raises(RunError, match=r"exploded at step \d+: the volume changes by"):
        run_classical(spring_crystal(), replace(NPT, pressure_GPa=-1e4), tmp_path)


def test_a_cell_smaller_than_the_cutoff_stops_the_run(tmp_path):
    atoms = spring_crystal()
    atoms.calc.cutoff = 7.9
    with pytest.raises(RunError, match=r"exploded at step \d+: the faces of the cell are 7\.\d+ A"):
        run_classical(atoms, replace(NPT, pressure_GPa=20.0), tmp_path / "shrinks")
    atoms.calc.cutoff = 8.1
    with pytest.raises(StructureError, match="take a larger supercell"):
        run_classical(atoms, NPT, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_what_cannot_be_compressed_is_refused(tmp_path):
    def refused(atoms, message):
        with pytest.raises(StructureError, match=message):
            run_classical(atoms, NPT, tmp_path)

    refused(spring_cluster(6), "periodic in all three directions")
    slab = spring_crystal()
    slab.pbc = (True, True, False)
    refused(slab, "periodic in all three directions")
    fixed = spring_crystal()
    fixed.set_constraint(FixAtoms([0]))
    refused(fixed, "fixed atoms cannot follow")
    stressless = spring_crystal()
    stressless.calc = SpringNetwork(stressless.get_positions(), 1.0)
    refused(stressless, "needs the stress")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pressure_GPa": None}, "npt-isotropic needs pressure_GPa"),
        ({"pressure_GPa": float("nan")}, "pressure_GPa must be a finite number"),
        ({"pressure_GPa": "1"}, "pressure_GPa must be a finite number"),
        ({"barostat_time_fs": 10.0}, "at least 8 time steps, 16 fs"),
        ({"barostat_time_fs": -1.0}, "barostat_time_fs must be a positive"),
        ({"time_constant_fs": 3.0}, "at least 8 time steps"),
        ({"temperature_K": 0.0}, "temperature_K"),
        ({"ensemble": "bussi"}, "pressure_GPa is of constant pressure"),
        ({"ensemble": "nve", "pressure_GPa": None}, "barostat_time_fs is of constant pressure"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        replace(NPT, **change)


def test_any_calculator_of_ase_with_a_stress(tmp_path):
    """Lennard-Jones argon, with the mean pressure near the target already after a picosecond."""
    from ase.build import bulk

    atoms = bulk("Ar", a=5.3, cubic=True) * (2, 2, 2)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0103, rc=5.2, smooth=True)
    settings = replace(NPT, temperature_K=30.0, timestep_fs=5.0, n_steps=50, pressure_GPa=0.0)
    result = run_classical(atoms, settings, tmp_path)
    assert np.isfinite(result.mean_pressure_GPa.value)
    assert read_trajectory(result.trajectory_file).cells.shape == (11, 3, 3)
