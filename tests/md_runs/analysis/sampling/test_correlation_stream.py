"""Streamed correlation functions against sums written out and processes whose answer is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from md_runs.analysis.sampling.correlation import autocorrelation
from md_runs.analysis.sampling.correlation_stream import (
    MOST_BLOCKS,
    CorrelationStream,
    correlate,
    correlation_function,
)
from mlpotential.errors import ConfigError, DataError


def ornstein_uhlenbeck(n_frames: int, n_series: int, relaxation: float, seed: int) -> np.ndarray:
    """Stationary series with C(k) = exp(-k / relaxation), [n_frames, n_series]."""
    decay = np.exp(-1 / relaxation)
    noise = np.random.default_rng(seed).normal(size=(n_frames, n_series))
    noise[1:] *= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], noise, axis=0)


@pytest.mark.parametrize("sizes", [(1000,), (1,) * 1000, (3, 300, 1, 96, 400, 200), (999, 1)])
@pytest.mark.parametrize("n_lags", [2, 37, 250])
def test_pieces_of_any_length_give_the_estimator_of_the_whole(
    sizes: tuple[int, ...], n_lags: int
) -> None:
    x = np.random.default_rng(0).normal(size=(1000, 3)) + 0.5
    pieces = np.split(x, np.cumsum(sizes)[:-1])
    found = correlate(((k == 0, piece) for k, piece in enumerate(pieces)), n_lags)
    expected = autocorrelation(x, n_lags).sum(axis=1)
    assert np.allclose(found.blocks[:, 0].mean(axis=0), expected, rtol=0, atol=1e-12)
    assert (found.n_frames, found.n_segments) == (1000, 1)


def test_segments_share_no_products_and_count_by_their_length() -> None:
    x = np.random.default_rng(1).normal(size=(700, 1))
    first, second = x[:500], x[500:]
    found = correlate([(True, first), (True, second)], 100)
    k = np.arange(100)
    sums = [autocorrelation(s, 100)[:, 0] * (len(s) - k) for s in (first, second)]
    expected = (sums[0] + sums[1]) / (700 - 2 * k)
    assert np.allclose(found.blocks[:, 0].mean(axis=0), expected, atol=1e-12)
    assert found.n_segments == 2


def test_channels_add_up_their_columns() -> None:
    x = np.random.default_rng(2).normal(size=(300, 4))
    found = correlate([(True, x)], 20, np.array([1, 0, 1, 1])).blocks.mean(axis=0)
    each = autocorrelation(x, 20).T
    assert np.allclose(found, [each[1], each[0] + each[2] + each[3]], atol=1e-12)


def test_blocks_are_merged_where_there_are_many() -> None:
    x = ornstein_uhlenbeck(40_000, 1, 5.0, seed=3)
    found = correlate([(True, x)], 10)
    assert MOST_BLOCKS / 2 <= found.n_blocks <= MOST_BLOCKS
    segments = correlate([(True, part) for part in np.split(x, 400)], 10)
    assert MOST_BLOCKS / 2 <= segments.n_blocks <= MOST_BLOCKS
    errors = [f.blocks[:, 0, 5].std(ddof=1) / np.sqrt(f.n_blocks) for f in (found, segments)]
    assert errors[0] == pytest.approx(errors[1], rel=0.6)  # each known to 18 %


def test_segments_are_blocks_where_there_are_few() -> None:
    x = np.random.default_rng(4).normal(size=(6, 100, 2))
    assert correlate([(True, part) for part in x], 50).n_blocks == 6


@pytest.mark.slow
@pytest.mark.parametrize("n_frames", [4000, 8000])
def test_error_bars_of_an_ornstein_uhlenbeck_process_are_honest(n_frames: int) -> None:
    """200 repeats as channels; the error band of 68 % covers the truth as often, within 60-76 %."""
    n_lags, relaxation = 100, 20.0
    series = ornstein_uhlenbeck(n_frames, 200, relaxation, seed=5)
    found = correlate([(True, series)], n_lags, np.arange(200))
    mean = found.blocks.mean(axis=0)
    error = found.blocks.std(axis=0, ddof=1) / np.sqrt(found.n_blocks)
    truth = np.exp(-np.arange(n_lags) / relaxation)
    covered = np.abs(mean - truth) < error
    assert 0.60 < covered.mean() < 0.76
    for lag in (0, 20, 60):
        assert 0.58 < covered[:, lag].mean() < 0.78  # binomial error of 200 repeats: 0.033
    assert np.abs(mean.mean(axis=0) - truth).max() < 4 * mean.std(axis=0).max() / np.sqrt(200)


def test_correlation_function_of_segments_with_weights() -> None:
    rng = np.random.default_rng(6)
    velocities, masses = rng.normal(size=(3, 80, 2, 3)), np.array([1.0, 16.0])
    found = correlation_function(velocities, 0.5, 30, weights=masses[:, None])
    each = np.mean([autocorrelation(v, 30).sum(axis=2) for v in velocities], axis=0)
    assert np.allclose(found.values, each @ masses, atol=1e-12)
    assert np.allclose(found.times_fs, 0.5 * np.arange(30))
    plain = correlation_function(velocities, 0.5, 30)
    assert np.allclose(plain.values, each.sum(axis=1), atol=1e-12)
    assert np.all(plain.standard_errors[1:] > 0)
    assert correlation_function(velocities, 0.5).times_fs[-1] == 0.5 * 39
    whole = correlation_function(iter(velocities), 0.5, 30, contiguous=True)
    assert np.allclose(whole.values, autocorrelation(velocities.reshape(240, 6), 30).sum(axis=1))


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="window of 20 frames does not fit .* 10 frames"):
        correlate([(True, np.ones((10, 1)))], 20)
    with pytest.raises(ConfigError, match="n_lags must be at least 1"):
        CorrelationStream(0, np.zeros(1, int))
    with pytest.raises(DataError, match="no frames"):
        correlate([], 5)
    with pytest.raises(DataError, match="no frames"):
        CorrelationStream(5, np.zeros(1, int)).result()
    with pytest.raises(DataError, match="weights"):
        correlation_function(np.ones((1, 10, 1)), 1.0, weights=np.array([-1.0]))
    with pytest.raises(DataError, match="timestep_fs"):
        correlation_function(np.ones((1, 10, 1)), -1.0)
