"""Effective modes of sampled molecules: those of the force field, within honest error bars."""

from dataclasses import replace

import numpy as np
import pytest
from harmonic_molecules import carbon_dioxide, methane, per_cm, water
from scipy.spatial.transform import Rotation

from md_runs.analysis.vibrations.mode_comparison import compare_modes
from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    normal_modes,
    wavenumbers_of_curvatures,
)
from md_runs.analysis.vibrations.quasi_harmonic import QuasiHarmonicModes, quasi_harmonic_modes
from mlpotential.errors import ConfigError, DataError
from mlpotential.units import EV_PER_KELVIN

TEMPERATURE_K = 300.0


def modes_of(build) -> NormalModes:
    atoms, hessian = build()
    return normal_modes(hessian, atoms.get_masses(), atoms.positions)


def sampled(modes: NormalModes, n_frames: int, seed: int, is_moving: bool = True) -> np.ndarray:
    """Independent frames of the harmonic molecule at 300 K, anywhere and turned, (A)."""
    rng = np.random.default_rng(seed)
    one_per_cm = wavenumbers_of_curvatures(np.ones(1))[0]
    curvatures = (modes.wavenumbers_per_cm / one_per_cm) ** 2  # eV/A^2/amu
    q = rng.normal(size=(n_frames, modes.n_modes)) * np.sqrt(
        EV_PER_KELVIN * TEMPERATURE_K / curvatures
    )
    shifts = np.einsum("fk,kix->fix", q, modes.modes) / np.sqrt(modes.masses)[:, None]
    frames = modes.positions + shifts
    if is_moving:
        turns = Rotation.random(n_frames, rng).as_matrix()
        frames = frames @ turns.swapaxes(1, 2) + rng.normal(size=(n_frames, 1, 3))
    return frames


def analysed(modes: NormalModes, frames: np.ndarray, n_blocks: int = 10) -> QuasiHarmonicModes:
    return quasi_harmonic_modes(frames, modes.masses, TEMPERATURE_K, modes.positions, n_blocks)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "n_frames"), [(water, 240), (carbon_dioxide, 240)])
def test_error_bars_are_honest(build, n_frames: int) -> None:
    """Of 68 % bands, 60 to 76 % hold the true wavenumber over 200 runs, degenerate pair or not."""
    modes = modes_of(build)
    runs = [analysed(modes, sampled(modes, n_frames, seed)) for seed in range(200)]
    found = np.array([run.wavenumbers_per_cm for run in runs])
    errors = np.array([run.standard_errors_per_cm for run in runs])
    deviations = (found - modes.wavenumbers_per_cm) / errors
    assert 0.60 < np.mean(np.abs(deviations) < 1) < 0.76
    expected = 1 / np.sqrt(2 * n_frames)  # of a variance 2 / n, of its root a quarter of that
    scatter = np.sqrt(np.mean((found / modes.wavenumbers_per_cm - 1) ** 2, axis=0))
    assert np.allclose(scatter, expected, rtol=0.35)
    for group in modes.degenerate_groups():  # of a group the mean has no bias
        assert abs(deviations[:, group].mean()) < 0.3


def test_a_long_run_of_methane_gives_its_modes() -> None:
    modes = modes_of(methane)
    found = analysed(modes, sampled(modes, 8000, seed=1))
    assert np.allclose(found.wavenumbers_per_cm, modes.wavenumbers_per_cm, rtol=0.04)
    comparison = compare_modes(found, modes)
    assert comparison.overlaps.min() > 0.97
    assert np.abs(found.positions - found.positions.mean(axis=0)).max() < 1.0
    assert (found.n_frames, found.n_blocks, found.temperature_K) == (8000, 10, 300.0)
    flat = found.modes.reshape(9, -1)
    assert np.allclose(flat @ flat.T, np.eye(9), atol=1e-9)


@pytest.mark.parametrize(("build", "tolerance"), [(water, 1e-6), (carbon_dioxide, 0.05)])
def test_place_and_orientation_of_frames_do_not_matter(build, tolerance: float) -> None:
    """Turns about the axis of CO2 cannot be undone: they mix its bends, frame by frame."""
    modes = modes_of(build)
    frames = sampled(modes, 400, seed=2, is_moving=False)
    turns = Rotation.random(400, np.random.default_rng(3)).as_matrix()
    moving = frames @ turns.swapaxes(1, 2) + np.arange(400)[:, None, None]
    at_rest, moved = (analysed(modes, f).wavenumbers_per_cm for f in (frames, moving))
    assert np.allclose(at_rest, moved, rtol=tolerance)


def test_the_error_bar_knows_of_correlated_frames() -> None:
    """Each frame ten times: the same number, an error bar as of a tenth of the frames."""
    modes = modes_of(water)
    frames = sampled(modes, 1000, seed=4)
    once, repeated = analysed(modes, frames), analysed(modes, np.repeat(frames, 10, axis=0))
    assert np.allclose(once.wavenumbers_per_cm, repeated.wavenumbers_per_cm, rtol=1e-6)
    assert np.allclose(once.standard_errors_per_cm, repeated.standard_errors_per_cm, rtol=1e-3)


def test_an_anharmonic_bond_is_softer_than_its_curvature() -> None:
    """Morse bond: the variance of its Boltzmann distribution by quadrature gives the frequency."""
    depth, a, rest, mass = 1.0, 2.0, 1.1, 14.007
    d = np.linspace(0.7, 1.9, 20001)
    density = np.exp(-depth * (1 - np.exp(-a * (d - rest))) ** 2 / (EV_PER_KELVIN * 900.0))
    density /= density.sum()
    variance = density @ d**2 - (density @ d) ** 2
    effective = per_cm(EV_PER_KELVIN * 900.0 / variance, mass / 2)
    assert effective < 0.9 * per_cm(2 * depth * a**2, mass / 2)
    lengths = np.random.default_rng(8).choice(d, size=5000, p=density)
    frames = np.zeros((5000, 2, 3))
    frames[:, 1, 2] = lengths
    found = quasi_harmonic_modes(frames, np.full(2, mass), 900.0, frames[0])
    error = found.standard_errors_per_cm[0]
    assert abs(found.wavenumbers_per_cm[0] - effective) < 3 * error
    assert error < 0.02 * effective


def test_one_block_has_no_error_bar(tmp_path) -> None:
    modes = modes_of(water)
    found = analysed(modes, sampled(modes, 1000, seed=5), n_blocks=1)
    assert np.isnan(found.standard_errors_per_cm).all()
    assert np.allclose(found.wavenumbers_per_cm, modes.wavenumbers_per_cm, rtol=0.1)
    found.save_csv(tmp_path / "modes.csv")
    assert (tmp_path / "modes.csv").read_text().splitlines()[1].endswith(",")


def test_impossible_input_is_refused() -> None:
    modes = modes_of(water)
    frames = sampled(modes, 100, seed=6)
    with pytest.raises(ConfigError, match="temperature_K"):
        quasi_harmonic_modes(frames, modes.masses, 0.0, modes.positions)
    with pytest.raises(DataError, match=r"take trajectory\.positions\[:, 0\]"):
        analysed(modes, frames[:, None])
    with pytest.raises(DataError, match="the reference has shape"):
        analysed(replace(modes, positions=modes.positions[:2]), frames)
    with pytest.raises(DataError, match="masses of shape"):
        analysed(replace(modes, masses=modes.masses[:2]), frames)
    with pytest.raises(DataError, match="7 frames in 2 blocks are too few for 3 modes"):
        analysed(modes, frames[:7], n_blocks=2)
    with pytest.raises(DataError, match="cannot be divided"):
        analysed(modes, frames[:7], n_blocks=8)
    broken = frames.copy()
    broken[40, 1, 2] = np.nan
    with pytest.raises(DataError, match="positions of frame 40 are not finite"):
        analysed(modes, broken)
    with pytest.raises(DataError, match="does not move"):
        analysed(modes, np.repeat(frames[:1], 100, axis=0))
