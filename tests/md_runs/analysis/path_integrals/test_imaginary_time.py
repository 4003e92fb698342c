"""Ring polymers in imaginary time: oscillators, free particles, i-PI's radius of gyration."""

from pathlib import Path

import harmonic_ring_polymer as oscillator
import numpy as np
import pytest
from numpy.testing import assert_allclose

from md_runs.analysis.path_integrals.imaginary_time import imaginary_time_spread
from mlpotential.errors import DataError

REFERENCE = Path(__file__).parents[3] / "reference"
KT, KELVIN, HBAR = oscillator.KT, oscillator.KELVIN, oscillator.HBAR


def exact_correlation(u: float, n_beads: int, mass: float) -> np.ndarray:
    """G at all tau_k up to half the path, three directions (A^2)."""
    modes = np.arange(1, n_beads)
    variances = KT / oscillator.mode_curvatures(u, n_beads, mass)[1:]
    steps = np.arange(n_beads // 2 + 1)
    return 3 * np.cos(2 * np.pi * np.outer(steps, modes) / n_beads) @ variances


@pytest.mark.parametrize("n_beads", [2, 4, 8, 32])
def test_oscillators_spread_as_they_should(n_beads: int) -> None:
    masses, numbers = np.array([1.0, 12.0, 1.0]), np.array([1, 6, 1])
    positions, _, _ = oscillator.sample(4.0, n_beads, 2000, masses, seed=n_beads)
    found = imaginary_time_spread(positions, numbers, masses, KELVIN)
    assert found.elements == ("H", "C")
    for k, mass in enumerate((1.0, 12.0)):
        exact = exact_correlation(4.0, n_beads, mass)
        value, error = (a[k] for a in (found.correlation.value, found.correlation.standard_error))
        assert (np.abs(value - exact) < 4 * error).all()
        radius = found.gyration_radius_of_elements
        assert abs(radius.value[k] - np.sqrt(exact[0])) < 4 * radius.standard_error[k]
        assert radius.standard_error[k] < 0.02 * radius.value[k]
        squares = found.mean_square_displacement.value[k]
        assert_allclose(squares, 2 * (value[0] - value), atol=1e-12)
    atoms = found.gyration_radius_of_atoms
    hydrogens = np.sqrt(np.mean(atoms.value[[0, 2]] ** 2))
    assert hydrogens == pytest.approx(found.gyration_radius_of_elements.value[0])
    assert found.imaginary_times_fs[-1] == pytest.approx(0.5 * 25.4606, rel=1e-4)  # beta hbar / 2
    assert (found.mean_square_displacement.value <= found.free_particle + 1e-12).all()


def test_free_particles_spread_most() -> None:
    positions, _, _ = oscillator.sample(1e-3, 8, 4000, [2.0])
    found = imaginary_time_spread(positions, np.array([1]), np.array([2.0]), KELVIN)
    squares = found.mean_square_displacement
    difference = np.abs(squares.value - found.free_particle)
    assert (difference <= 4 * squares.standard_error).all()
    assert found.free_particle[0, -1] == pytest.approx(0.75 * HBAR**2 / KT / 2.0)


def test_displacements_are_those_between_beads() -> None:
    positions, _, _ = oscillator.sample(2.0, 6, 30, np.ones(2))
    found = imaginary_time_spread(positions, np.array([1, 1]), np.ones(2), KELVIN)
    for k in range(4):
        steps = np.roll(positions, -k, axis=1) - positions
        direct = np.sum(steps**2, axis=-1).mean()
        assert found.mean_square_displacement.value[0, k] == pytest.approx(direct, abs=1e-12)


@pytest.mark.slow
def test_error_bars_cover_the_truth() -> None:
    """68 % bands of 200 runs of 60 frames: radii of gyration of 4 beads."""
    masses = np.ones(4)
    whole, _, _ = oscillator.sample(4.0, 4, 200 * 60, masses, seed=9)
    exact = np.sqrt(exact_correlation(4.0, 4, 1.0)[0])
    covered = []
    for run in range(200):
        piece = whole[60 * run : 60 * (run + 1)]
        found = imaginary_time_spread(piece, np.ones(4, int), masses, KELVIN)
        radius = found.gyration_radius_of_atoms
        covered.append(np.abs(radius.value - exact) < radius.standard_error)
    assert 0.60 < np.mean(covered) < 0.76


def test_ipi_finds_the_same_radii() -> None:
    """i-PI averages the radius over atoms; here it is taken of one atom of one frame."""
    with np.load(REFERENCE / "ipi_path_integral.npz") as file:
        ipi = dict(file)
    for frame, radii in zip(ipi["positions"], ipi["gyration_of_atoms_0_and_2"], strict=True):
        found = imaginary_time_spread(
            frame[None], np.array([8, 1, 1]), ipi["masses"], 300.0, n_blocks=1
        )
        assert_allclose(found.gyration_radius_of_atoms.value[[0, 2]], radii, rtol=1e-7)


def test_what_has_no_spread_is_refused() -> None:
    positions, _, _ = oscillator.sample(2.0, 1, 20, np.ones(2))
    with pytest.raises(DataError, match="a single bead has no extent"):
        imaginary_time_spread(positions, np.array([1, 1]), np.ones(2), KELVIN)
    with pytest.raises(DataError, match="2 atoms need masses"):
        imaginary_time_spread(positions, np.ones(3, int), np.ones(3), KELVIN)
    with pytest.raises(DataError, match="3 atoms need masses"):
        imaginary_time_spread(positions, np.ones(3, int), np.ones(2), KELVIN)
    beads, _, _ = oscillator.sample(2.0, 4, 20, np.ones(2))
    with pytest.raises(DataError, match="are beads wrapped into a cell"):
        imaginary_time_spread(beads % 8.0, np.array([1, 1]), np.ones(2), KELVIN)
