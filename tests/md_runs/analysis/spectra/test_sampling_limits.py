"""Frames too far apart: what the spectrum itself, velocities with positions, and bonds tell."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

from md_runs.analysis.spectra.sampling_limits import (
    differences_check,
    fastest_stretch,
    limit_check,
    nyquist_limit_per_cm,
)
from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

MASSES = np.array([1.0, 16.0])


def stretch(per_cm: float, interval_fs: float, n_frames: int = 1500):
    """Velocities and positions of two atoms, [n_frames, 2, 3]."""
    omega = 2 * np.pi * per_cm / WAVENUMBER_PER_INVERSE_FS
    phases = omega * interval_fs * np.arange(n_frames)
    shape = np.zeros((2, 3))
    shape[:, 0] = 16 / 17, -1 / 17
    positions = shape * (1 + 0.05 * np.cos(phases))[:, None, None]
    return -shape * (0.05 * omega * np.sin(phases))[:, None, None], positions


def test_the_limit():
    assert nyquist_limit_per_cm(16.0) == pytest.approx(1042.4, abs=0.1)


@pytest.mark.parametrize(
    ("interval_fs", "seen_per_cm", "passed"),
    [(0.5, 3700.0, True), (4.0, 3700.0, True), (16.0, 469.5, False), (8.0, 469.5, False)],
)
def test_velocities_against_positions(interval_fs, seen_per_cm, passed):
    """A line at 3700 1/cm is seen at 469.5 where frames are 8 or 16 fs apart."""
    velocities, positions = stretch(3700.0, interval_fs)
    k = np.linspace(0, nyquist_limit_per_cm(interval_fs), 4000)
    density = np.exp(-((k - seen_per_cm) ** 2) / 200.0)
    freedom = degrees_of_freedom(positions, MASSES)
    common = (positions, freedom, interval_fs, k, density)
    found = differences_check(velocities, *common)
    assert found.passed is passed
    share = np.sinc(2 * 3700.0 * interval_fs / WAVENUMBER_PER_INVERSE_FS) ** 2
    assert found.value == pytest.approx(share, abs=0.02)
    # A/ps taken for A/fs, and the other way round, which a share near 0 cannot tell.
    for factor in (1e3, 1e-3) if share > 0.5 else (1e-3,):
        assert not differences_check(factor * velocities, *common).passed


@pytest.mark.parametrize("n_blocks", [1, 8])
def test_a_spectrum_ends_below_the_limit(n_blocks):
    k = np.linspace(0, nyquist_limit_per_cm(4.0), 2000)
    scatter = 0.02 * np.random.default_rng(0).normal(size=(n_blocks, len(k)))
    line = np.exp(-(((k - 3700) / 20) ** 2)) + np.exp(-(((k - 1600) / 20) ** 2)) + 0.1 * scatter
    assert limit_check(k, line, 4.0).passed
    broad = np.exp(-(((k - 3900) / 300) ** 2)) + scatter
    found = limit_check(k, broad, 4.0)
    assert not found.passed
    assert "just below the limit of 4170 1/cm" in str(found)
    assert not limit_check(k, np.ones_like(scatter) + scatter, 4.0).passed  # noise alone
    assert limit_check(k[:1000], broad[:, :1000], 4.0) is None  # cut off on purpose


def test_bonds_tell_how_fast_atoms_vibrate():
    """Below what is measured: C-H 2900 to 3100, O-H 3600 to 3800, C-D 2100 to 2300 1/cm."""
    for name, bond, low, high in (("CH4", (0, 1), 2800, 3000), ("H2O", (0, 1), 3300, 3600)):
        atoms = molecule(name)
        per_cm, *pair = fastest_stretch(atoms.positions, atoms.numbers, atoms.get_masses())
        assert low < per_cm < high
        assert sorted(pair)[0] == bond[0]
    heavy = molecule("CH4")
    heavy.set_masses([12.011] + 4 * [2.014])
    assert 2000 < fastest_stretch(heavy.positions, heavy.numbers, heavy.get_masses())[0] < 2200
    far = np.array([[0, 0, 0], [0, 0, 3.0]])
    assert fastest_stretch(far, np.array([1, 1]), np.ones(2)) is None
    assert fastest_stretch(far, np.array([18, 18]), np.ones(2)) is None
