"""The transform from correlation functions to spectra, and honest error bars of spectra."""

import json
from pathlib import Path

import numpy as np
import pytest
from harmonic_motion import CM_PER_FS

from md_runs.analysis.sampling.correlation_stream import correlate
from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    vibrational_density_of_states,
)
from md_runs.analysis.spectra.spectrum import cosine_transform, lags_for_resolution
from mlpotential.errors import DataError


@pytest.fixture(scope="module")
def spectrum() -> VibrationalSpectrum:
    rng = np.random.default_rng(0)
    velocities = rng.normal(size=(5, 400, 2, 3))
    return vibrational_density_of_states(velocities, None, np.ones(2), 1.0, 100, "nothing")


def test_transform_is_the_sum_over_both_signs_of_the_lag() -> None:
    rng = np.random.default_rng(1)
    correlation, dt = rng.normal(size=(2, 40)), 0.7
    k, transform = cosine_transform(correlation, dt)
    lags = np.arange(-39, 40)
    window = 0.5 * (1 + np.cos(np.pi * lags / 40))
    terms = window * correlation[:, np.abs(lags)]
    expected = 2 * CM_PER_FS * dt * terms @ np.cos(2 * np.pi * CM_PER_FS * dt * np.outer(lags, k))
    assert np.allclose(transform, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert k[-1] == pytest.approx(1 / (2 * CM_PER_FS * dt))
    assert np.allclose(np.trapezoid(transform, k, axis=1), correlation[:, 0], rtol=1e-12)


def test_window_for_a_resolution() -> None:
    assert lags_for_resolution(8.1, 0.5) == 8237  # 1 / (c 0.5 fs 8.1 1/cm), rounded up
    with pytest.raises(DataError, match="resolution must be positive"):
        lags_for_resolution(0.0, 0.5)


@pytest.mark.slow
def test_error_bars_of_a_gaussian_spectrum_are_honest() -> None:
    """200 repeats of a Gaussian process with a Gaussian band at 1000 1/cm, as channels.

    The truth is the band as the window shows it: the transform of its correlation function
    exp(-(s t)^2 / 2) cos(w0 t). The error band of 68 % must cover it in 60-76 % of the repeats.
    """
    n_frames, n_lags, dt = 8000, 100, 1.0
    w0, s = 2 * np.pi * CM_PER_FS * 1000, 2 * np.pi * CM_PER_FS * 150
    n_long = 16_000  # twice as long as what is used: the synthesis is circular
    w = 2 * np.pi * np.fft.rfftfreq(n_long, dt)
    amplitude = np.exp(-((w - w0) ** 2) / (4 * s**2))
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(2, 200, len(w)))
    series = np.fft.irfft(amplitude * (noise[0] + 1j * noise[1]), n_long, axis=1)[:, :n_frames]
    scale = 2 * np.sum(amplitude[1:-1] ** 2) * 2 / n_long**2  # variance of the process
    t = dt * np.arange(n_lags)
    k, truth = cosine_transform(scale * np.exp(-((s * t) ** 2) / 2) * np.cos(w0 * t), dt)
    found = correlate([(True, series.T)], n_lags, np.arange(200))
    _, blocks = cosine_transform(found.blocks, dt)
    error = blocks.std(axis=0, ddof=1) / np.sqrt(found.n_blocks)
    covered = np.abs(blocks.mean(axis=0) - truth) < error
    band = np.abs(k - 1000) < 300
    assert 0.60 < covered[:, band].mean() < 0.76
    bias = (blocks.mean(axis=(0, 1)) - truth)[band]
    assert np.abs(bias).max() < 0.05 * truth.max()


def test_area_is_an_integral_with_the_error_of_the_blocks(spectrum: VibrationalSpectrum) -> None:
    everything = spectrum.area(0, np.inf)
    assert everything.value == pytest.approx(6.0)
    assert everything.standard_error < 1e-12  # normalised
    half = spectrum.area(0, spectrum.wavenumbers_per_cm[-1] / 2)
    assert abs(half.value - 3.0) < 4 * half.standard_error < 1.0
    with pytest.raises(DataError, match="no two points from 7 to 8 1/cm"):
        spectrum.area(7, 8)


def test_saved_spectra_carry_units_and_parameters_but_no_blocks(
    spectrum: VibrationalSpectrum, tmp_path: Path
) -> None:
    spectrum.save_json(tmp_path / "vdos.json")
    saved = json.loads((tmp_path / "vdos.json").read_text())
    assert "blocks" not in saved
    for name in ("window", "n_lags", "resolution_per_cm", "quantum_correction", "dynamics"):
        assert name in saved
    assert saved["units"]["intensity"] == "cm"
    assert saved["units"]["wavenumbers_per_cm"] == "1/cm"
    assert all({"name", "passed"} <= set(check) for check in saved["checks"])
    spectrum.save_csv(tmp_path / "vdos.csv")
    header = (tmp_path / "vdos.csv").read_text().splitlines()[0]
    assert header == "wavenumbers_per_cm (1/cm),intensity (cm),standard_error (cm)"
