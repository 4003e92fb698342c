"""Autocorrelation against sums written out, and against processes whose answer is known."""

import numpy as np
import pytest

from md_runs.analysis.sampling.correlation import autocorrelation
from mlpotential.errors import ConfigError, DataError


@pytest.mark.parametrize("n_frames", [1, 2, 97, 128, 251])
def test_it_equals_the_sum_over_frames_that_are_k_steps_apart(n_frames: int) -> None:
    x = np.random.default_rng(0).normal(size=(n_frames, 2, 3)) + 1.0
    expected = [np.mean(x[: n_frames - k] * x[k:], axis=0) for k in range(n_frames)]
    rounding = 1e-13 * n_frames * np.max(x**2)  # that of a transform, over a single product
    assert np.allclose(autocorrelation(x), expected, rtol=0, atol=rounding)


def test_it_is_linear_not_circular() -> None:
    ramp = np.zeros(50)
    ramp[0] = ramp[-1] = 1.0  # neighbours only if the series were bent into a ring
    correlation = autocorrelation(ramp)
    assert correlation[1] == pytest.approx(0.0, abs=1e-14)
    assert correlation[49] == pytest.approx(1.0)


def test_a_constant_stays_constant_at_every_lag() -> None:
    assert np.allclose(autocorrelation(np.full(101, 3.0), 101), 9.0, atol=1e-10)


def test_autoregressive_process_decays_as_its_coefficient() -> None:
    n_frames, coefficient = 2000, 0.99
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(n_frames, 400))
    x = np.empty_like(noise)
    x[0] = noise[0] / np.sqrt(1 - coefficient**2)
    for t in range(1, n_frames):
        x[t] = coefficient * x[t - 1] + noise[t]
    lags = np.array([0, 50, 100, 150])
    correlation = autocorrelation(x, 151)[lags] * (1 - coefficient**2)
    error = correlation.std(axis=1) / np.sqrt(x.shape[1])
    assert np.all(np.abs(correlation.mean(axis=1) - coefficient**lags) < 4 * error)
    assert np.all(error < 0.02)  # tight enough to see a circular estimator's -8 to -18 %


def test_white_noise_is_uncorrelated() -> None:
    x = np.random.default_rng(2).normal(size=100_003)
    correlation = autocorrelation(x, 20)
    assert correlation[0] == pytest.approx(1.0, abs=0.02)
    assert np.all(np.abs(correlation[1:]) < 4 / np.sqrt(len(x)))


@pytest.mark.parametrize("n_lags", [0, 11])
def test_more_lags_than_frames_are_refused(n_lags: int) -> None:
    with pytest.raises(ConfigError, match=f"n_lags is {n_lags}, but 10 frames have 1 to 10 lags"):
        autocorrelation(np.zeros(10), n_lags)


def test_no_frames_or_bad_frames_are_refused() -> None:
    with pytest.raises(DataError, match="n_frames"):
        autocorrelation(np.zeros((0, 3)))
    with pytest.raises(DataError, match="frame 1 are not finite"):
        autocorrelation(np.array([0.0, np.nan]))
