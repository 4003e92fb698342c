"""Model errors of averages where the answer of every member is known."""

import numpy as np
import pytest
from ase.units import kB
from numpy.testing import assert_allclose

from md_runs.analysis.sampling.committee_reweighting import model_error
from mlpotential.errors import DataError

KELVIN, STIFFNESS = 300.0, 2.0  # eV/A^2
FORCES = np.array([-0.02, -0.005, 0.01, 0.015])  # of the members, constant; their mean is zero


def run_of_oscillator(n_frames, forces=FORCES, seed=0):
    """Positions drawn from exp(-beta k x^2 / 2), and energies of members V - f x."""
    x = np.sqrt(kB * KELVIN / STIFFNESS) * np.random.default_rng(seed).standard_normal(n_frames)
    energies = 0.5 * STIFFNESS * x[:, None] ** 2 - forces * x[:, None]
    return x, energies - 100.0


def test_members_with_constant_forces():
    """Each has its mean at f / k, of which first order is exact."""
    x, energies = run_of_oscillator(20_000)
    found = model_error(x, energies, KELVIN, "place", "A")
    exact = FORCES / STIFFNESS
    assert_allclose(found.member_means - x.mean(), exact, atol=0.05 * np.abs(exact).max())
    assert found.error.value == pytest.approx(exact.std(ddof=1), rel=0.05)
    difference = found.error.value - exact.std(ddof=1)
    assert abs(difference) < 4 * found.error.standard_error
    assert found.is_trustworthy
    # weights exp(beta f x): their share is exp(-(beta f)^2 <x^2>)
    share = np.exp(-(np.abs(FORCES).max() ** 2) / (kB * KELVIN * STIFFNESS))
    assert found.effective_share == pytest.approx(share, rel=0.02)
    assert found.n_effective == pytest.approx(20_000 * share, rel=0.1)


def test_calibrated_energies_scale_the_error():
    x, energies = run_of_oscillator(2_000)
    plain, scaled = (
        model_error(x, energies, KELVIN, "place", "A", scale=scale) for scale in (1.0, 2.5)
    )
    assert scaled.error.value == pytest.approx(2.5 * plain.error.value, rel=1e-9)
    assert scaled.mean == plain.mean


def test_energies_that_differ_by_constants_do_not_matter():
    """Nor do digits get lost in total energies."""
    x, energies = run_of_oscillator(2_000)
    shifted = energies - np.array([20_000.0, 20_001.0, 19_998.0, 20_000.5])
    plain, other = (model_error(x, e, KELVIN, "place", "A") for e in (energies, shifted))
    assert_allclose(other.member_means, plain.member_means, rtol=0, atol=1e-8)
    assert other.effective_share == pytest.approx(plain.effective_share, rel=1e-6)


def test_members_that_go_elsewhere_are_told():
    x, energies = run_of_oscillator(2_000, forces=20 * FORCES)
    assert not model_error(x, energies, KELVIN, "place", "A").is_trustworthy


def test_what_cannot_be_reweighted():
    x, energies = run_of_oscillator(100)
    with pytest.raises(DataError, match="two members"):
        model_error(x, energies[:, :1], KELVIN, "place", "A")
    with pytest.raises(DataError, match="100 frames"):
        model_error(x, energies[:50], KELVIN, "place", "A")
