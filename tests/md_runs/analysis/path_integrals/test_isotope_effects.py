"""Isotope substitution against the partition functions of oscillators, and against i-PI."""

import runpy
from pathlib import Path

import harmonic_ring_polymer as oscillator
import numpy as np
import pytest
from ase import units
from numpy.testing import assert_allclose

from md_runs.analysis.path_integrals.energies import spring_energies, thermal_energy
from md_runs.analysis.path_integrals.isotope_effects import (
    isotope_effect_from_potentials,
    isotope_effect_from_springs,
    scaled_positions,
)
from mlpotential.errors import DataError

REFERENCE = Path(__file__).parents[3] / "reference"
KT, KELVIN = oscillator.KT, oscillator.KELVIN


def exact_log_ratio(u: float, ratio: float, n_beads: int | None) -> float:
    """Of one atom; omega falls with the root of the mass."""
    new, old = (oscillator.log_partition(w, n_beads) for w in (u / np.sqrt(ratio), u))
    return 3 * float(new - old)


def effects(u: float, n_beads: int, n_frames: int, ratio: float, seed: int = 0) -> tuple:
    """Both estimators for the first of two atoms."""
    masses = np.array([1.0, 1.0])
    new_masses = np.array([ratio, 1.0])
    positions, _, potentials = oscillator.sample(u, n_beads, n_frames, masses, seed)
    spring = masses[0] * (u * KT / oscillator.HBAR) ** 2
    moved = scaled_positions(positions, masses, new_masses)
    after = 0.5 * spring * np.einsum("fbax,fbax->fb", moved, moved)
    return (
        isotope_effect_from_springs(positions, masses, new_masses, KELVIN),
        isotope_effect_from_potentials(positions, potentials, after, masses, new_masses, KELVIN),
    )


@pytest.mark.parametrize("n_beads", [1, 2, 4, 8])
def test_deuterium_for_hydrogen(n_beads: int) -> None:
    """beta hbar omega = 6: the free energy of P beads within four standard errors."""
    exact = exact_log_ratio(6.0, 2.0, n_beads)
    classical = 1.5 * np.log(2.0)
    for found in effects(6.0, n_beads, 20_000, 2.0):
        ratio = found.log_partition_ratio
        if found.is_trustworthy:
            assert abs(ratio.value - exact) < 4 * ratio.standard_error + 1e-12
        assert found.free_energy.value == pytest.approx(-KT * ratio.value)
        assert found.quantum_part.value == pytest.approx(-KT * (ratio.value - classical))
        if n_beads == 1:
            assert found.quantum_part.value == pytest.approx(0.0, abs=1e-12)
    springs, scaled = effects(6.0, n_beads, 20_000, 2.0)
    assert scaled.is_trustworthy
    assert scaled.log_partition_ratio.standard_error < 0.01
    if n_beads == 8:
        assert scaled.effective_share.value > springs.effective_share.value


def test_springs_fail_with_many_beads_and_say_so() -> None:
    springs, scaled = effects(6.0, 32, 2000, 2.0)
    assert not springs.is_trustworthy
    assert scaled.is_trustworthy
    exact = exact_log_ratio(6.0, 2.0, 32)
    assert abs(scaled.log_partition_ratio.value - exact) < 0.05


def test_a_light_isotope_and_the_slope_with_mass() -> None:
    """d ln Q / d ln m = beta K: a change of the mass by 2 % measures the kinetic energy."""
    for found in effects(4.0, 4, 20_000, 1.02, seed=2):
        slope = found.log_partition_ratio.value / np.log(1.02)
        kinetic = 1.5 * oscillator.energy(4.0 / 1.02**0.25, 4)
        error = found.log_partition_ratio.standard_error / np.log(1.02)
        assert abs(slope - kinetic) < 4 * error + 1e-3
    lighter = effects(4.0, 4, 20_000, 0.5, seed=3)[1].log_partition_ratio
    assert abs(lighter.value - exact_log_ratio(4.0, 0.5, 4)) < 4 * lighter.standard_error


@pytest.mark.slow
def test_error_bars_cover_the_truth() -> None:
    """68 % bands of 200 runs of 400 frames, both estimators."""
    masses, new_masses = np.ones(1), np.array([1.5])
    whole, _, potentials = oscillator.sample(4.0, 4, 200 * 400, masses, seed=7)
    spring = (4.0 * KT / oscillator.HBAR) ** 2
    moved = scaled_positions(whole, masses, new_masses)
    after = 0.5 * spring * np.einsum("fbax,fbax->fb", moved, moved)
    exact = exact_log_ratio(4.0, 1.5, 4)
    covered = []
    for run in range(200):
        r, v, w = (a[400 * run : 400 * (run + 1)] for a in (whole, potentials, after))
        ratios = (
            isotope_effect_from_springs(r, masses, new_masses, KELVIN).log_partition_ratio,
            isotope_effect_from_potentials(r, v, w, masses, new_masses, KELVIN).log_partition_ratio,
        )
        covered.append([abs(ratio.value - exact) < ratio.standard_error for ratio in ratios])
    share = np.mean(covered, axis=0)
    assert ((share > 0.60) & (share < 0.76)).all(), share


def test_ipi_gives_the_same_weights() -> None:
    """Hydrogen 1 of Morse water made twice as heavy: TD-FEP and SC-FEP, frame by frame."""
    with np.load(REFERENCE / "ipi_path_integral.npz") as file:
        ipi = dict(file)
    morse = runpy.run_path(str(REFERENCE / "make_ipi_path_integral_reference.py"))["morse"]
    positions, masses = ipi["positions"], ipi["masses"]
    kT = thermal_energy(300.0)
    springs = spring_energies(positions, masses, kT)[:, 1] / kT
    assert_allclose(-springs, ipi["log_weight_td"], rtol=3e-6)
    moved = scaled_positions(positions, masses, masses * [1.0, 2.0, 1.0])
    potentials = [
        np.mean([morse(bead / units.Bohr)[0] for bead in frame]) * units.Hartree for frame in moved
    ]
    log_weights = -(np.array(potentials) - ipi["potentials"].mean(axis=1)) / kT
    assert np.ptp(ipi["log_weight_sc"]) > 1.0
    assert_allclose(log_weights, ipi["log_weight_sc"], rtol=0, atol=2e-4)


def test_wrong_masses_and_potentials_are_refused() -> None:
    positions, _, potentials = oscillator.sample(4.0, 4, 20, np.ones(2))
    with pytest.raises(DataError, match="2 atoms need masses"):
        isotope_effect_from_springs(positions, np.ones(2), np.ones(3), KELVIN)
    with pytest.raises(DataError, match="2 atoms need masses"):
        scaled_positions(positions, np.ones(3), np.ones(3))
    with pytest.raises(DataError, match="must be positive"):
        isotope_effect_from_springs(positions, np.ones(2), np.array([1.0, 0.0]), KELVIN)
    with pytest.raises(DataError, match=r"\[n_frames, n_beads\]"):
        isotope_effect_from_potentials(
            positions, potentials, potentials[:, :1], np.ones(2), np.ones(2), KELVIN
        )
