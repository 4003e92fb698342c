"""How many beads are enough, and what quantum effects change, on series whose limit is known."""

from pathlib import Path

import harmonic_ring_polymer as oscillator
import numpy as np
import pytest
from numpy.testing import assert_allclose

from md_runs.analysis.path_integrals.bead_convergence import bead_convergence
from md_runs.analysis.path_integrals.energies import path_integral_energies
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.structure.angle_distributions import angle_distribution
from md_runs.analysis.structure.distances import distance_distribution
from md_runs.analysis.structure.distribution_difference import (
    AngleDifference,
    RadialDifference,
    distribution_difference,
)
from md_runs.analysis.structure.rdf import pair_distribution, radial_distributions
from mlpotential.errors import ConfigError, DataError


def series(error: float, n_beads: tuple[int, ...] = (1, 2, 4, 8, 16)) -> dict[int, Estimate]:
    """5 + 3 / P^2 without noise."""
    return {p: Estimate(5 + 3 / p**2, error, 10) for p in n_beads}


def test_a_series_of_inverse_squares_is_extrapolated_exactly() -> None:
    found = bead_convergence(series(1e-3), "energy", "eV", tolerance=0.1)
    assert found.limit.value == pytest.approx(5.0)
    assert found.limit.standard_error == pytest.approx(1e-3 * np.hypot(4 / 3, 1 / 3))
    assert_allclose(found.remaining_errors, 3 / found.n_beads**2)
    # the last run is part of the limit: v_16 - v = (v_8 - v_16) / 3
    assert found.errors_of_remaining[-1] == pytest.approx(1e-3 * np.sqrt(2) / 3)
    assert found.verdicts == ("not converged",) * 3 + ("converged",) * 2
    assert found.n_beads_needed == 8
    assert found.verdict == "8 beads are enough for energy within 0.1 eV"
    uneven = bead_convergence(series(1e-3, (2, 6, 9)), "energy", "eV", tolerance=0.1)
    assert uneven.limit.value == pytest.approx(5.0)


def test_verdicts_know_their_error_bars() -> None:
    noisy = bead_convergence(series(0.2), "energy", "eV", tolerance=0.1)
    assert noisy.verdicts[-1] == "undecided"
    assert noisy.n_beads_needed is None
    assert "run longer" in noisy.verdict
    early = bead_convergence(series(1e-3, (1, 2)), "energy", "eV", tolerance=0.1)
    assert early.verdict == "2 beads are not enough for energy: run with more"
    lucky = series(1e-4) | {2: Estimate(5.0, 1e-4, 10)}  # between runs that are not converged
    assert bead_convergence(lucky, "energy", "eV", 0.1).n_beads_needed == 8


def test_kinetic_energies_of_oscillators_converge() -> None:
    """beta hbar omega = 4: 16 beads are within 1 % of kT, 4 are not."""
    masses, kT = np.ones(2), oscillator.KT
    runs = {
        p: path_integral_energies(
            *oscillator.sample(4.0, p, 4000, masses, seed=p), masses, oscillator.KELVIN
        ).kinetic_energy
        for p in (1, 2, 4, 8, 16)
    }
    found = bead_convergence(runs, "kinetic energy", "eV", tolerance=0.02 * 6 * kT)
    exact = 3 * oscillator.energy(4.0, None) * kT
    assert abs(found.limit.value - exact) < 3 * found.limit.standard_error + 0.003 * exact
    assert found.verdicts[:3] == ("not converged",) * 3
    assert found.n_beads_needed == 16


def test_tables_carry_the_unit_of_the_quantity(tmp_path: Path) -> None:
    found = bead_convergence(series(1e-3), "bond", "A", tolerance=0.1)
    found.save_csv(tmp_path / "beads.csv")
    lines = (tmp_path / "beads.csv").read_text().splitlines()
    assert lines[0].startswith("n_beads (1),values (A),standard_errors (A)")
    assert lines[-1].endswith("converged")
    assert found.to_dict()["units"]["limit"] == "A"


def test_series_that_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="at least two numbers of beads"):
        bead_convergence({4: Estimate(1.0, 0.1, 10)}, "energy", "eV", 0.1)
    with pytest.raises(DataError, match="needs a value and an error bar"):
        bead_convergence(series(0.1) | {1: Estimate(1.0, np.nan, 1)}, "energy", "eV", 0.1)
    with pytest.raises(ConfigError, match="tolerance must be a positive number"):
        bead_convergence(series(0.1), "energy", "eV", 0.0)


def bonds(n_beads: int, width: float, n_frames: int = 200) -> np.ndarray:
    noise = np.random.default_rng(n_beads).normal(size=(n_frames, n_beads, 3, 3))
    return np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]]) + width * noise


def test_a_difference_is_that_of_the_densities() -> None:
    pairs = np.array([[0, 1]])
    quantum = distance_distribution(bonds(4, 0.1), pairs, "bond")
    classical = distance_distribution(bonds(1, 0.05), pairs, "bond")
    found = distribution_difference(quantum, classical)
    for one, sign in ((quantum, 1), (classical, -1)):
        place = np.searchsorted(found.places, one.distances - 1e-6)
        assert_allclose(found.places[place], one.distances, atol=1e-9)
        other = classical if sign == 1 else quantum
        alone = ~np.isin(np.rint(one.distances * 1e4), np.rint(other.distances * 1e4))
        assert_allclose(found.difference[place][alone], sign * one.density[alone])
        assert_allclose(found.standard_error[place][alone], one.standard_error[alone])
    assert found.difference.sum() * found.bin_width == pytest.approx(0.0, abs=1e-12)
    swapped = distribution_difference(classical, quantum)
    assert_allclose(swapped.difference, -found.difference)
    assert (found.label, found.UNITS["difference"]) == ("bond", "1/A")
    nothing = distribution_difference(quantum, quantum)
    assert_allclose(nothing.difference, 0)
    assert_allclose(nothing.standard_error, np.sqrt(2) * quantum.standard_error)


@pytest.mark.slow
def test_the_band_of_a_difference_covers_zero_of_equal_runs() -> None:
    pairs = np.array([[0, 1]])
    rng, covered = np.random.default_rng(3), []
    for _ in range(200):
        frames = np.array([[0.0, 0, 0], [1.5, 0, 0]]) + 0.1 * rng.normal(size=(2, 400, 1, 2, 3))
        runs = [distance_distribution(one, pairs, "bond", bin_width=0.1) for one in frames]
        found = distribution_difference(*runs)
        middle = np.abs(found.places - 1.5) < 0.16
        covered.append(np.abs(found.difference[middle]) < found.standard_error[middle])
    assert 0.60 < np.mean(covered) < 0.76


def test_every_kind_of_distribution_has_a_difference() -> None:
    frames, triples = bonds(2, 0.1), np.array([[1, 0, 2]])
    angle = distribution_difference(
        angle_distribution(frames, triples, "angle"),
        angle_distribution(bonds(1, 0.1), triples, "angle"),
    )
    assert isinstance(angle, AngleDifference)
    assert angle.UNITS["places"] == "degree"
    pair = distribution_difference(pair_distribution(frames), pair_distribution(bonds(1, 0.1)))
    assert pair.label == "distance r"
    options = {"atomic_numbers": np.array([6, 6, 6]), "cells": 6.0 * np.eye(3)}
    (quantum,) = radial_distributions(frames, **options)
    (classical,) = radial_distributions(bonds(1, 0.1), **options, max_distance=2.0)
    radial = distribution_difference(quantum, classical)
    assert isinstance(radial, RadialDifference)
    assert radial.places[-1] == pytest.approx(classical.distances[-1])
    with pytest.raises(ConfigError, match="have no difference"):
        distribution_difference(quantum, pair_distribution(frames))
    with pytest.raises(ConfigError, match="the bins differ"):
        distribution_difference(pair_distribution(frames), pair_distribution(frames, 0.02))
