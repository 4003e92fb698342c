"""Structures about a minimum."""

import numpy as np
import pytest
from ase.units import kB

from md_runs.analysis.path_integrals.energies import HBAR
from md_runs.analysis.vibrations.normal_modes import NormalModes, curvatures_of_wavenumbers
from md_runs.learning.first_structures import displaced_along_modes

WAVENUMBER_PER_CM = 3000.0


@pytest.fixture
def stretch() -> NormalModes:
    """Of two atoms of 1 amu: along x, by mass-weighted (1, -1) / sqrt 2."""
    modes = np.zeros((1, 2, 3))
    modes[0, :, 0] = np.array([1.0, -1.0]) / np.sqrt(2.0)
    return NormalModes(
        wavenumbers_per_cm=np.array([WAVENUMBER_PER_CM]),
        modes=modes,
        masses=np.ones(2),
        positions=np.array([[0.0, 0, 0], [0.8, 0, 0]]),
        residual_wavenumbers_per_cm=np.zeros(5),
    )


@pytest.mark.parametrize("is_quantum", [False, True])
def test_width_is_that_of_the_oscillator(stretch, is_quantum):
    """Classically kT / omega^2, at 0 K almost hbar / 2 omega: a stretch at 300 K is cold."""
    n, temperature_K = 20_000, 300.0
    random = np.random.default_rng(3)
    found = displaced_along_modes(stretch, n, temperature_K, is_quantum, random)
    q = np.sqrt(2.0) * (found - stretch.positions)[:, 0, 0]
    omega = np.sqrt(curvatures_of_wavenumbers(np.array([WAVENUMBER_PER_CM])))[0]
    expected = HBAR / (2.0 * omega) if is_quantum else kB * temperature_K / omega**2
    assert q.var() == pytest.approx(expected, rel=4.0 * np.sqrt(2.0 / n))
