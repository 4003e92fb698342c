"""Energies and heat capacities of path integrals against closed forms, quadrature and i-PI."""

from pathlib import Path

import harmonic_ring_polymer as oscillator
import numpy as np
import pytest
from ase import units
from numpy.testing import assert_allclose

from md_runs.analysis.path_integrals.energies import (
    HBAR,
    centroid_virial_kinetic_energies,
    path_integral_energies,
    primitive_kinetic_energies,
    thermal_energy,
)
from mlpotential.errors import ConfigError, DataError

REFERENCE = Path(__file__).parents[3] / "reference"
KT, KELVIN = oscillator.KT, oscillator.KELVIN


def test_planck_constant_is_that_of_ase() -> None:
    assert pytest.approx(oscillator.HBAR, rel=1e-14) == HBAR
    assert thermal_energy(KELVIN) == KT


def test_the_closed_form_is_that_of_the_normal_modes() -> None:
    """<V> of 1800 / cm at 300 K in hartree, recorded elsewhere, and the sum over modes."""
    u = 1800.0 * units.invcm / KT
    anchors = {1: 4.7502e-4, 4: 1.39519e-3, 8: 1.80533e-3, 32: 2.03260e-3, None: 2.05098e-3}
    for n_beads, hartree in anchors.items():
        potential = 0.5 * oscillator.energy(u, n_beads) * KT / units.Hartree
        assert potential == pytest.approx(hartree, rel=5e-5)
    for n_beads in (1, 2, 5):
        curvatures = oscillator.mode_curvatures(3.0, n_beads, 1.0)
        spring = (3.0 * KT / HBAR) ** 2
        assert 0.5 * spring * np.sum(1 / curvatures) == pytest.approx(
            0.5 * oscillator.energy(3.0, n_beads)
        )
        log_z = oscillator.log_partition(np.array([2.999, 3.001]), n_beads)
        assert -3.0 * np.diff(log_z)[0] / 0.002 == pytest.approx(
            oscillator.energy(3.0, n_beads), rel=1e-6
        )


@pytest.mark.parametrize("n_beads", [1, 2, 4, 8, 32])
def test_oscillators_have_the_energies_of_p_beads(n_beads: int) -> None:
    """Two atoms of different mass, beta hbar omega = 4, within four standard errors."""
    masses, n_frames = np.array([1.0, 12.0]), 4000
    beads = oscillator.sample(4.0, n_beads, n_frames, masses, seed=n_beads)
    found = path_integral_energies(*beads, masses, KELVIN)
    total = 6 * oscillator.energy(4.0, n_beads) * KT
    expected = {
        "kinetic_energy": (0.5 * total, 0.01),
        "kinetic_energy_primitive": (0.5 * total, 0.04),
        "potential_energy": (0.5 * total, 0.02),
        "total_energy": (total, 0.015),
    }
    for name, (exact, precision) in expected.items():
        estimate = getattr(found, name)
        assert abs(estimate.value - exact) < 4 * estimate.standard_error + 1e-12, name
        assert estimate.standard_error < precision * exact, name
    capacity = found.heat_capacity
    exact_capacity = 6 * oscillator.heat_capacity(4.0, n_beads)
    assert abs(capacity.value - exact_capacity) < 4 * capacity.standard_error
    assert capacity.standard_error < 0.6
    atoms = found.kinetic_energy_of_atoms
    assert (np.abs(atoms.value - 0.25 * total) < 4 * atoms.standard_error + 1e-12).all()
    assert atoms.value.sum() == pytest.approx(found.kinetic_energy.value)
    if n_beads == 1:
        assert found.kinetic_energy.value == pytest.approx(3 * KT)
        assert found.kinetic_energy_primitive.value == pytest.approx(3 * KT)


def test_two_anharmonic_beads_against_quadrature() -> None:
    """V = a x^2 + b x^4 in each direction: derivatives of ln Z on a grid, samples from the grid."""
    mass, n_grid = 1.0, 301
    x = np.linspace(-1.0, 1.0, n_grid)
    potential = 4.0 * x**2 + 40.0 * x**4
    force = -8.0 * x - 160.0 * x**3

    def weights(beta: float) -> np.ndarray:
        springs = 2 * 0.5 * 2 * mass / (beta * HBAR) ** 2 * (x[:, None] - x) ** 2
        action = beta * (springs + 0.5 * (potential[:, None] + potential))
        return beta**-1.0 * np.exp(-action)

    beta, step = 1 / KT, 1e-3 / KT
    log_z = np.log([weights(beta + k * step).sum() for k in (-2, -1, 0, 1, 2)])
    energy = -(8 * (log_z[3] - log_z[1]) - (log_z[4] - log_z[0])) / (12 * step)
    capacity = beta**2 * (
        (16 * (log_z[3] + log_z[1]) - (log_z[4] + log_z[0]) - 30 * log_z[2]) / (12 * step**2)
    )
    share = weights(beta).ravel() / weights(beta).sum()
    rng = np.random.default_rng(8)
    drawn = rng.choice(n_grid**2, p=share, size=(40_000, 1, 3))
    place = np.stack(np.divmod(drawn, n_grid), axis=1)  # [n_frames, 2, 1, 3]
    found = path_integral_energies(
        x[place], force[place], potential[place].sum(axis=(2, 3)), np.array([mass]), KELVIN
    )
    assert abs(found.total_energy.value - 3 * energy) < 3 * found.total_energy.standard_error
    assert found.total_energy.standard_error < 0.01 * 3 * energy
    assert abs(found.heat_capacity.value - 3 * capacity) < 3 * found.heat_capacity.standard_error
    assert found.heat_capacity.standard_error < 0.1
    assert capacity > 1.2  # neither classical nor that of any harmonic oscillator: two beads


def test_free_particles_have_the_classical_kinetic_energy() -> None:
    """Beads of a free particle, whose centroid is anywhere."""
    positions, _, _ = oscillator.sample(1e-3, 16, 4000, [2.0])
    zero = np.zeros_like(positions)
    found = path_integral_energies(positions, zero, zero[..., 0, 0], np.array([2.0]), KELVIN)
    assert found.kinetic_energy.value == pytest.approx(1.5 * KT, rel=1e-12)
    primitive = found.kinetic_energy_primitive
    assert abs(primitive.value - 1.5 * KT) < 4 * primitive.standard_error
    assert found.heat_capacity.value == pytest.approx(1.5)


def test_a_large_offset_of_the_energy_changes_nothing_else() -> None:
    masses = np.ones(2)
    positions, forces, potentials = oscillator.sample(4.0, 4, 500, masses)
    plain = path_integral_energies(positions, forces, potentials, masses, KELVIN)
    shifted = path_integral_energies(positions, forces, potentials - 2e4, masses, KELVIN)
    assert shifted.total_energy.value == pytest.approx(plain.total_energy.value - 2e4, rel=1e-13)
    assert shifted.heat_capacity.value == pytest.approx(plain.heat_capacity.value, abs=1e-7)
    assert shifted.heat_capacity.standard_error == pytest.approx(
        plain.heat_capacity.standard_error, rel=1e-6
    )


@pytest.mark.slow
def test_error_bars_cover_the_truth() -> None:
    """68 % bands of 200 runs of 400 frames: energies and the heat capacity of 4 beads."""
    masses = np.ones(1)
    whole = oscillator.sample(3.0, 4, 200 * 400, masses, seed=3)
    exact = 3 * oscillator.energy(3.0, 4) * KT
    covered = []
    for run in range(200):
        piece = slice(400 * run, 400 * (run + 1))
        found = path_integral_energies(*(a[piece] for a in whole), masses, KELVIN)
        truth = {
            "kinetic_energy": 0.5 * exact,
            "kinetic_energy_primitive": 0.5 * exact,
            "total_energy": exact,
            "heat_capacity": 3 * oscillator.heat_capacity(3.0, 4),
        }
        estimates = {name: getattr(found, name) for name in truth}
        covered.append(
            [abs(e.value - truth[name]) < e.standard_error for name, e in estimates.items()]
        )
    share = np.mean(covered, axis=0)
    assert ((share > 0.60) & (share < 0.76)).all(), share


def test_ipi_says_the_same() -> None:
    """`make_ipi_path_integral_reference.py`; i-PI's rounded constants differ by 1e-6."""
    with np.load(REFERENCE / "ipi_path_integral.npz") as file:
        ipi = dict(file)
    kT = thermal_energy(float(ipi["temperature_K"]))
    virial = centroid_virial_kinetic_energies(ipi["positions"], ipi["forces"], ipi["masses"], kT)
    primitive = primitive_kinetic_energies(ipi["positions"], ipi["masses"], kT)
    assert_allclose(virial.sum(axis=1), ipi["kinetic_cv"], rtol=2e-6)
    assert_allclose(virial[:, 1], ipi["kinetic_cv_of_atom_1"], rtol=2e-6)
    assert_allclose(primitive.sum(axis=1), ipi["kinetic_td"], rtol=0, atol=4e-6)
    assert_allclose(primitive[:, 0], ipi["kinetic_td_of_atom_0"], rtol=0, atol=4e-6)
    assert np.ptp(ipi["kinetic_cv"]) > 0.1
    found = path_integral_energies(
        ipi["positions"], ipi["forces"], ipi["potentials"], ipi["masses"], 300.0
    )
    assert found.kinetic_energy.value == pytest.approx(ipi["kinetic_cv"].mean(), rel=2e-6)
    assert (found.n_frames, found.n_beads) == (30, 8)


def test_streams_are_arrays_and_results_are_saved(tmp_path: Path) -> None:
    masses = np.ones(2)
    beads = oscillator.sample(4.0, 4, 64, masses)
    whole = path_integral_energies(*beads, masses, KELVIN)
    chunks = [[array[k : k + 10] for k in range(0, 64, 10)] for array in beads]
    stream = path_integral_energies(*chunks, masses, KELVIN)
    assert stream.total_energy.value == pytest.approx(whole.total_energy.value, rel=1e-12)
    assert stream.heat_capacity.value == pytest.approx(whole.heat_capacity.value, rel=1e-9)
    whole.save_json(tmp_path / "energies.json")
    assert '"heat_capacity": "k_B"' in (tmp_path / "energies.json").read_text()


def test_incomplete_runs_are_refused() -> None:
    masses = np.ones(2)
    positions, forces, potentials = oscillator.sample(4.0, 4, 20, masses)
    with pytest.raises(DataError, match="forces of every bead of the same shape"):
        path_integral_energies(positions, forces[:, :1], potentials, masses, KELVIN)
    with pytest.raises(DataError, match="the mean over the beads is not enough"):
        path_integral_energies(positions, forces, potentials.mean(axis=1), masses, KELVIN)
    with pytest.raises(DataError, match="2 atoms need masses"):
        path_integral_energies(positions, forces, potentials, np.ones(3), KELVIN)
    with pytest.raises(ConfigError, match="temperature_K must be a positive number"):
        path_integral_energies(positions, forces, potentials, masses, 0.0)
    with pytest.raises(DataError, match=r"atom \d is \d+\.\d A from itself in the next bead"):
        path_integral_energies(positions % 8.0, forces, potentials, masses, KELVIN)
    forces[11, 2, 0, 1] = np.nan
    with pytest.raises(DataError, match="forces .*frame 11 are not finite"):
        path_integral_energies(positions, forces, potentials, masses, KELVIN)
