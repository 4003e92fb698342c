"""Dynamics against what is known exactly: equipartition, Verlet's solution, conservation laws."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms, FixBondLength
from ase.units import kB
from spring_network import PolarSprings, SpringNetwork, spring_cluster

from md_runs.classical.run import ClassicalRun, run_classical
from md_runs.classical.thermostats import NoseHooverChain
from md_runs.thermal_velocities import (
    maxwell_boltzmann,
    n_degrees_of_freedom,
    without_rigid_motion,
)
from md_runs.trajectories.frames_file import read_records, read_trajectory
from mlpotential.errors import ConfigError, RunError, StructureError
from mlpotential.units import ASE_TIME_PER_FS

NVE = ClassicalRun(ensemble="nve", temperature_K=300.0, timestep_fs=0.5, n_steps=200, stride=1)


@pytest.mark.parametrize(
    ("ensemble", "n_dof"), [("langevin", 57), ("bussi", 54), ("nose-hoover", 54)]
)
def test_thermostats_leave_rigid_motion_at_rest(ensemble, n_dof, tmp_path):
    atoms = spring_cluster(20)
    settings = ClassicalRun(ensemble=ensemble, n_steps=50, stride=5, friction_per_fs=0.02, seed=4)
    result = run_classical(atoms, settings, tmp_path)
    assert result.n_degrees_of_freedom == n_dof
    velocities = np.asarray(read_trajectory(result.trajectory_file).velocities_angstrom_per_fs)
    momenta = result.atoms.get_masses()[:, None] * velocities[:, 0]
    assert np.abs(momenta.sum(axis=1)).max() < 1e-12 * np.abs(momenta).max()
    if settings.rescales:
        turning = np.cross(result.atoms.positions, result.atoms.get_momenta())
        assert np.abs(turning.sum(axis=0)).max() < 1e-9 * np.abs(turning).max()


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", ["langevin", "bussi", "nose-hoover"])
def test_mean_temperature_of_20_atoms(ensemble, tmp_path):
    warm_up = ClassicalRun(
        ensemble=ensemble,
        temperature_K=300.0,
        timestep_fs=1.0,
        n_steps=500,
        stride=5,
        friction_per_fs=0.02,
        time_constant_fs=20.0,
        seed=3,
    )
    warm = run_classical(spring_cluster(20), warm_up, tmp_path / "warm_up")
    longer = replace(warm_up, n_steps=9000, seed=4)
    result = run_classical(warm.atoms, longer, tmp_path / "production")
    mean = result.mean_temperature_K
    assert mean.standard_error < 300.0 * 3 / 57 / 4  # three missing degrees of freedom would show
    assert abs(mean.value - 300.0) < 4.0 * mean.standard_error


def test_the_nose_hoover_chain_conserves_its_energy(tmp_path):
    """Only with one count everywhere: with 3N instead of 3N - 6 it would drift by kT a time."""
    atoms = spring_cluster(8)
    atoms.set_momenta(maxwell_boltzmann(atoms, 300.0, False, np.random.default_rng(2)))
    chain = NoseHooverChain(atoms, 0.25 * ASE_TIME_PER_FS, 300.0, 20.0 * ASE_TIME_PER_FS, 18)
    forces, energies = atoms.get_forces(), []
    for _ in range(800):
        forces = chain.step(forces)
        energies.append(chain.conserved_energy())
    assert np.ptp(energies) < 0.01 * 18 * kB * 300.0
    positions, momenta = chain.state["positions"], chain.state["momenta"]
    assert len(positions) == len(momenta) == 3
    bath = kB * 300.0 * (18 * positions[0] + sum(positions[1:]))
    masses = kB * 300.0 * (20.0 * ASE_TIME_PER_FS) ** 2 * np.array([18, 1, 1])
    heat = np.sum(np.square(momenta) / (2 * masses))
    total = atoms.get_potential_energy() + atoms.get_kinetic_energy() + bath + heat
    assert total == pytest.approx(energies[-1], abs=1e-12)


def test_periodic_atoms_keep_three_more_degrees_of_freedom(tmp_path):
    atoms = spring_cluster(8)
    atoms.set_cell([20.0, 20.0, 20.0])
    atoms.pbc = True
    settings = ClassicalRun(ensemble="bussi", n_steps=20, stride=10)
    result = run_classical(atoms, settings, tmp_path)
    trajectory = read_trajectory(result.trajectory_file)
    assert result.n_degrees_of_freedom == 21
    assert trajectory.pbc == (True, True, True)
    assert trajectory.cells is not None
    np.testing.assert_array_equal(trajectory.cells[2], 20.0 * np.eye(3))


@pytest.mark.parametrize(
    ("positions", "pbc", "thermal", "still"),
    [
        ([[0, 0, 0], [0, 0, 1.1]], False, 3, 1),
        ([[-1.2, 0, 0], [0, 0, 0], [1.2, 0, 0]], False, 6, 4),
        ([[0, 0, 0], [0, 0.8, 0.6], [0, -0.8, 0.6]], False, 6, 3),
        ([[0, 0, 0], [0, 0.8, 0.6], [0, -0.8, 0.6]], True, 6, 6),
    ],
)
def test_degrees_of_freedom(positions, pbc, thermal, still):
    atoms = Atoms("C" * len(positions), positions=positions, cell=[9.0] * 3, pbc=pbc)
    assert n_degrees_of_freedom(atoms, rotates=True) == thermal
    assert n_degrees_of_freedom(atoms, rotates=False) == still


def test_drawn_velocities_have_the_temperature_in_the_right_directions():
    atoms, generator = spring_cluster(6), np.random.default_rng(0)
    kinetic = []
    for _ in range(1000):
        atoms.set_momenta(maxwell_boltzmann(atoms, 300.0, rotates=False, generator=generator))
        kinetic.append(atoms.get_kinetic_energy())
    n_dof = n_degrees_of_freedom(atoms, rotates=False)
    scaled = np.array(kinetic) / (0.5 * kB * 300.0)  # a chi-square of n_dof degrees of freedom
    assert abs(scaled.mean() - n_dof) < 4.0 * math.sqrt(2 * n_dof / 1000)
    assert scaled.var() == pytest.approx(2 * n_dof, rel=4.0 * math.sqrt((2 + 12 / n_dof) / 1000))
    turning = np.cross(atoms.positions, atoms.get_momenta())
    assert np.abs(turning.sum(axis=0)).max() < 1e-12 * np.abs(turning).max()


def test_a_translation_and_a_rotation_leave_nothing():
    atoms = spring_cluster(6)
    masses = atoms.get_masses()[:, None]
    rigid = masses * (np.cross([0.3, -0.2, 0.1], atoms.positions) + np.array([1.0, 2.0, 3.0]))
    rounding = 1e-13 * np.abs(rigid).max()
    assert np.abs(without_rigid_motion(atoms, rigid, rotates=False)).max() < rounding
    left = without_rigid_motion(atoms, rigid, rotates=True)
    assert np.abs(left.sum(axis=0)).max() < rounding
    assert np.abs(left).max() > 1.0


def test_diatomic_follows_the_exact_solution_of_verlet(tmp_path):
    """Velocity Verlet turns x'' = -w^2 x into x_n = A cos(W n dt), sin(W dt / 2) = w dt / 2."""
    spring, timestep_fs, amplitude = 30.0, 2.0, 0.05
    atoms = Atoms("CO", positions=[[0, 0, 0], [0, 0, 1.1]])
    atoms.calc = SpringNetwork(atoms.get_positions(), spring)
    atoms.positions[1, 2] += amplitude
    settings = replace(NVE, temperature_K=0.0, timestep_fs=timestep_fs)
    result = run_classical(atoms, settings, tmp_path)
    trajectory = read_trajectory(result.trajectory_file)
    reduced_mass = 1.0 / np.sum(1.0 / atoms.get_masses())
    half_phase = math.sqrt(spring / reduced_mass) * timestep_fs * ASE_TIME_PER_FS / 2.0
    expected = 1.1 + amplitude * np.cos(2.0 * math.asin(half_phase) * np.arange(201))
    bond = trajectory.positions[:, 0, 1, 2] - trajectory.positions[:, 0, 0, 2]
    np.testing.assert_allclose(bond, expected, atol=1e-12)
    np.testing.assert_allclose(trajectory.times_fs, 2.0 * np.arange(201))
    assert trajectory.energies is not None
    np.testing.assert_allclose(
        trajectory.energies[:, 0], 0.5 * spring * (expected - 1.1) ** 2, atol=1e-12
    )


def test_nve_conserves_energy_to_second_order_in_the_time_step(tmp_path):
    ripple = {}
    for timestep_fs in (0.25, 0.5):
        n_steps = int(200 / timestep_fs)
        settings = replace(NVE, timestep_fs=timestep_fs, n_steps=n_steps)
        result = run_classical(spring_cluster(6), settings, tmp_path / str(timestep_fs))
        records = read_records(result.trajectory_file)
        kinetic = 0.5 * result.n_degrees_of_freedom * kB * records["temperature_K"]
        total = records["energies"][:, 0] + kinetic
        ripple[timestep_fs] = total.std()
        halves = np.split(total[:-1], 2)
        drift = (halves[1].mean() - halves[0].mean()) / 6 / 0.1  # eV per atom and ps
        assert abs(drift) < 1e-5
    assert math.log2(ripple[0.5] / ripple[0.25]) == pytest.approx(2.0, abs=0.25)


def test_frames_hold_forces_and_velocities_of_their_positions(tmp_path):
    atoms = spring_cluster(6)
    result = run_classical(atoms, replace(NVE, timestep_fs=0.02, n_steps=20), tmp_path)
    trajectory = read_trajectory(result.trajectory_file)
    assert trajectory.forces is not None
    assert trajectory.velocities_angstrom_per_fs is not None
    atoms.positions = trajectory.positions[7, 0]
    np.testing.assert_array_equal(trajectory.forces[7, 0], atoms.get_forces())
    slope = (trajectory.positions[8, 0] - trajectory.positions[6, 0]) / (2 * 0.02)
    np.testing.assert_allclose(trajectory.velocities_angstrom_per_fs[7, 0], slope, atol=1e-7)


class SeparateDipole(SpringNetwork):
    """A dipole that must be asked for, and then costs an evaluation."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012 - as ASE declares it

    def calculate(self, atoms=None, properties=("energy",), *args):
        assert "dipole" not in properties
        super().calculate(atoms, properties, *args)


def test_the_dipole_is_recorded_where_it_comes_with_the_forces(tmp_path):
    atoms = spring_cluster(6)
    for calculator, name in ((PolarSprings, "polar"), (SeparateDipole, "separate")):
        atoms.calc = calculator(atoms.get_positions(), 2.0)
        run_classical(atoms, replace(NVE, n_steps=6, stride=2), tmp_path / name)
    separate = read_trajectory(tmp_path / "separate" / "trajectory.frames")
    polar = read_trajectory(tmp_path / "polar" / "trajectory.frames")
    assert separate.dipoles is None
    expected = np.einsum("i,fbix->fbx", atoms.numbers, polar.positions)
    np.testing.assert_allclose(polar.dipoles, expected, rtol=0, atol=1e-13 * expected.max())
    np.testing.assert_array_equal(polar.positions, separate.positions)


def test_velocities_of_the_structure_are_used(tmp_path):
    atoms = spring_cluster(6)
    momenta = maxwell_boltzmann(atoms, 500.0, False, np.random.default_rng(2))
    atoms.set_momenta(momenta + atoms.get_masses()[:, None] * [0.1, 0.0, 0.0])
    result = run_classical(atoms, replace(NVE, n_steps=1), tmp_path)
    first = read_trajectory(result.trajectory_file).velocities_angstrom_per_fs
    assert first is not None
    expected = momenta / atoms.get_masses()[:, None] * ASE_TIME_PER_FS
    np.testing.assert_allclose(first[0, 0], expected, rtol=0, atol=1e-12 * expected.max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ensemble": "nvt"}, "langevin, bussi, nose-hoover, nve"),
        ({"ensemble": "langevn"}, "Did you mean 'langevin'"),
        ({"timestep_fs": 0.0}, "timestep_fs"),
        ({"timestep_fs": float("nan")}, "timestep_fs"),
        ({"timestep_fs": "0.5"}, "timestep_fs"),
        ({"temperature_K": -1.0}, "zero or positive"),
        ({"temperature_K": 0.0, "ensemble": "bussi"}, "temperature_K"),
        ({"temperature_K": 0.0, "ensemble": "nose-hoover"}, "temperature_K"),
        ({"ensemble": "nose-hoover", "time_constant_fs": 3.0}, "at least 8 time steps, 4 fs"),
        ({"friction_per_fs": -0.1}, "friction_per_fs"),
        ({"friction_per_fs": 3.0}, "below 1"),
        ({"time_constant_fs": float("inf")}, "time_constant_fs"),
        ({"n_steps": 0}, "n_steps"),
        ({"n_steps": 1.5}, "n_steps"),
        ({"stride": -1}, "stride"),
        ({"checkpoint_stride": 0}, "checkpoint_stride"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        ClassicalRun(**change)


def test_impossible_atoms_are_refused(tmp_path):
    good = spring_cluster(6)

    def refused(atoms: Atoms, message: str) -> None:
        with pytest.raises(StructureError, match=message):
            run_classical(atoms, NVE, tmp_path)

    constrained = good.copy()
    constrained.calc = good.calc
    constrained.set_constraint([FixAtoms([0]), FixBondLength(1, 2)])
    refused(constrained, r"constraints \(FixBondLengths\) is not supported")
    constrained.set_constraint(FixAtoms(range(6)))
    refused(constrained, "at least two")
    for name, value, message in (
        ("masses", [0.0] + [1.0] * 5, "mass of atom 0"),
        ("momenta", np.full((6, 3), np.nan), "velocity of atom 0"),
        ("positions", np.full((6, 3), np.inf), "position of atom 0"),
    ):
        broken = good.copy()
        broken.calc = good.calc
        broken.set_array(name, np.array(value))
        refused(broken, message)
    refused(good.copy(), "no calculator")
    single = bulk("Cu")
    single.calc = good.calc
    refused(single, "at least two")
    assert not any(tmp_path.iterdir())


class Exploding(SpringNetwork):
    """Springs that turn infinite, or not a number, after so many evaluations."""

    def __init__(self, rest_positions, force, n_good):
        super().__init__(rest_positions, 2.0)
        self.force, self.n_left = force, n_good

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.n_left -= 1
        if self.n_left < 0:
            self.results["forces"][2] = self.force


@pytest.mark.parametrize("force", [float("nan"), 1e5])
def test_exploding_dynamics_stops_and_keeps_the_good_frames(force, tmp_path):
    atoms = spring_cluster(6)
    atoms.calc = Exploding(atoms.get_positions(), force, 25)
    with pytest.raises(RunError, match="exploded at step 25: the force on atom 2"):
        run_classical(atoms, replace(NVE, stride=10, checkpoint_stride=15), tmp_path)
    trajectory = read_trajectory(tmp_path / "trajectory.frames")
    assert trajectory.n_frames == 3  # steps 0, 10 and 20
    assert np.isfinite(trajectory.positions).all()


@pytest.mark.parametrize("jump", [7.0, -7.0, float("nan")])
def test_a_jump_of_the_energy_stops(jump, tmp_path):
    """1 eV per atom in a step; a NaN is seen though the forces are fine."""
    atoms = spring_cluster(6)
    calculate, n_calls = atoms.calc.calculate, 0

    def jumping(*args):
        nonlocal n_calls
        n_calls += 1
        calculate(*args)
        if n_calls > 20:
            atoms.calc.results["energy"] += jump

    atoms.calc.calculate = jumping
    with pytest.raises(RunError, match=r"exploded at step 20: the energy changed by .* eV/atom"):
        run_classical(atoms, replace(NVE, stride=10), tmp_path)
    assert read_trajectory(tmp_path / "trajectory.frames").n_frames == 2


def test_a_structure_the_potential_refuses_stops_the_run(tmp_path):
    atoms = spring_cluster(6)
    calculate = atoms.calc.calculate

    def refusing(moved, *args):
        if (tmp_path / "trajectory.frames").exists() and read_records(
            tmp_path / "trajectory.frames"
        ).shape[0] > 2:
            raise StructureError("atoms 0 and 1 are in one place")
        calculate(moved, *args)

    atoms.calc.calculate = refusing
    with pytest.raises(RunError, match="exploded at step 3: atoms 0 and 1 are in one place"):
        run_classical(atoms, NVE, tmp_path)


@pytest.mark.parametrize("ensemble", ["nve", "langevin", "bussi", "nose-hoover"])
def test_heat_between_frames_stops(ensemble, tmp_path):
    """One kick at step 7; a thermostat would have cooled it by the next frame."""
    atoms = spring_cluster(6)
    calculate, n_calls = atoms.calc.calculate, 0

    def kicking(*args):
        nonlocal n_calls
        n_calls += 1
        calculate(*args)
        if n_calls == 8:  # the first was of the start
            atoms.calc.results["forces"][2] += [900.0, 0.0, 0.0]

    atoms.calc.calculate = kicking
    settings = ClassicalRun(
        ensemble,
        temperature_K=50.0,
        timestep_fs=2.0,
        n_steps=200,
        stride=100,
        time_constant_fs=16.0,
    )
    hot = r"exploded at step [78]: the temperature is (.*e\+0.|nan) K"  # a chain overflows
    with pytest.raises(RunError, match=hot):
        run_classical(atoms, settings, tmp_path)
    assert read_trajectory(tmp_path / "trajectory.frames").n_frames == 1


def test_a_time_step_far_too_long_stops(tmp_path):
    atoms = spring_cluster(6)
    with pytest.raises(RunError, match="exploded"):
        run_classical(atoms, replace(NVE, timestep_fs=20.0, n_steps=5000, stride=10), tmp_path)


def test_only_one_evaluation_a_step(tmp_path):
    atoms, n_calls = spring_cluster(6), 0
    calculate = atoms.calc.calculate

    def counted(*args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        calculate(*args, **kwargs)

    calculator: Calculator = atoms.calc
    calculator.calculate = counted
    run_classical(atoms, replace(NVE, stride=3, checkpoint_stride=7), tmp_path)
    assert n_calls == NVE.n_steps + 1


def test_the_users_atoms_stay_as_they_are(tmp_path):
    atoms = spring_cluster(6)
    before = atoms.get_positions()
    run_classical(atoms, replace(NVE, ensemble="langevin"), tmp_path)
    np.testing.assert_array_equal(atoms.positions, before)
    assert not atoms.has("momenta")
    assert not atoms.constraints
