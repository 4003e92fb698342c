"""Honest error bars, on autoregressive series whose true error is known.

x(t+1) = a x(t) + noise has C(k)/C(0) = a^k, hence g = (1 + a) / (1 - a), and its mean has the
variance g var(x) / n.
"""

import numpy as np
import pytest
from scipy.signal import lfilter

from md_runs.analysis.sampling.uncertainty import (
    block_average,
    block_bootstrap,
    mean_of_blocks,
    statistical_inefficiency,
)
from mlpotential.errors import ConfigError, DataError

N_FRAMES, N_SERIES = 20_000, 200


def autoregressive(coefficient: float) -> np.ndarray:
    """Stationary series of variance 1, [N_FRAMES, N_SERIES]."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(N_FRAMES, N_SERIES)) * np.sqrt(1 - coefficient**2)
    noise[0] = rng.normal(size=N_SERIES)
    return lfilter([1.0], [1.0, -coefficient], noise, axis=0)


@pytest.mark.parametrize(
    "coefficient", [0.9, *(pytest.param(c, marks=pytest.mark.slow) for c in (0.0, 0.99))]
)
def test_block_errors_are_the_true_errors(coefficient: float) -> None:
    true_error = np.sqrt((1 + coefficient) / (1 - coefficient) / N_FRAMES)
    estimate = block_average(autoregressive(coefficient), n_blocks=20)
    scatter = estimate.value.std() / true_error
    claimed = np.sqrt(np.mean(estimate.standard_error**2)) / true_error
    assert scatter == pytest.approx(1.0, abs=0.2)
    assert claimed == pytest.approx(1.0, abs=0.15)
    within = np.mean(np.abs(estimate.value) < 2 * estimate.standard_error)
    assert 0.88 < within < 0.99  # Student's t with 19 degrees of freedom: 0.94
    within = np.mean(np.abs(estimate.value) < estimate.standard_error)
    assert 0.60 < within < 0.76  # Student: 0.67


@pytest.mark.parametrize(
    "coefficient", [0.9, *(pytest.param(c, marks=pytest.mark.slow) for c in (0.0, 0.5, 0.99))]
)
def test_statistical_inefficiency_is_the_true_one(coefficient: float) -> None:
    expected = (1 + coefficient) / (1 - coefficient)
    series = autoregressive(coefficient)
    found = [statistical_inefficiency(series[:, k]) for k in range(60)]
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


def test_statistical_inefficiency_of_four_frames_by_hand() -> None:
    """C(1)/C(0) = 1/3 and C(2) < 0, so that g = 1 + 2 (1 - 1/4) / 3."""
    assert statistical_inefficiency(np.arange(4.0)) == pytest.approx(1.5)


def test_an_alternating_series_is_no_better_than_independent() -> None:
    assert statistical_inefficiency(np.tile([1.0, -1.0], 50)) == 1.0


def test_bootstrap_of_a_mean_is_its_standard_error_and_of_a_ratio_that_of_propagation() -> None:
    rng = np.random.default_rng(6)
    blocks = np.array([4.0, 2.0]) + 0.1 * rng.normal(size=(50, 2))
    plain = mean_of_blocks(blocks)

    def statistic(sums: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        x = sums["x"]
        return {"mean": x / 50, "ratio": x[..., 0] / x[..., 1]}

    found = block_bootstrap({"x": blocks}, statistic, n_resamples=2000)
    assert found["mean"].value == pytest.approx(plain.value, rel=1e-14)
    assert found["mean"].standard_error == pytest.approx(plain.standard_error, rel=0.06)
    ratio = found["ratio"]
    linear = (blocks[:, 0] - ratio.value * blocks[:, 1]) / plain.value[1]
    assert ratio.value == pytest.approx(2.0, abs=0.06)
    assert ratio.standard_error == pytest.approx(linear.std(ddof=1) / np.sqrt(50), rel=0.06)
    assert ratio.n_blocks == 50
    again = [block_bootstrap({"x": blocks}, statistic, seed=1)["ratio"] for _ in range(2)]
    assert again[0] == again[1] != block_bootstrap({"x": blocks}, statistic, seed=2)["ratio"]


@pytest.mark.slow
def test_bootstrap_over_blocks_is_honest() -> None:
    """200 repeats of a correlated series: the standard deviation is within its error of 68 %."""
    series = autoregressive(0.9)[: 20 * 500].reshape(20, 500, N_SERIES)
    sums = {"x": series.sum(axis=1), "squares": (series**2).sum(axis=1)}
    n_frames = 20 * 500

    def deviation(s: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"deviation": np.sqrt(s["squares"] / n_frames - (s["x"] / n_frames) ** 2)}

    found = block_bootstrap(sums, deviation)["deviation"]  # the repeats are its elements
    within = np.mean(np.abs(found.value - 1.0) < found.standard_error)
    assert 0.60 < within < 0.76


def test_the_mean_is_over_all_frames_also_where_blocks_do_not_divide_them() -> None:
    samples = np.random.default_rng(4).normal(size=(103, 2, 3))
    estimate = block_average(samples, n_blocks=10)
    rounding = 1e-14 * np.abs(samples).max()
    assert np.allclose(estimate.value, samples.mean(axis=0), rtol=0, atol=rounding)
    assert estimate.standard_error.shape == (2, 3)


def test_one_block_has_no_error_bar() -> None:
    estimate = block_average(np.arange(3.0), n_blocks=1)
    assert estimate.value == 1.0
    assert np.isnan(estimate.standard_error)


def test_an_estimate_reads_as_a_number_with_its_error() -> None:
    assert str(block_average(np.array([1.0, 2.0]), n_blocks=2)) == "1.5(5)"


def test_impossible_input_is_refused() -> None:
    with pytest.raises(DataError, match="5 frames cannot be divided into 10 blocks"):
        block_average(np.zeros(5))
    with pytest.raises(ConfigError, match="n_blocks"):
        block_average(np.zeros(5), n_blocks=-1)
    with pytest.raises(DataError, match="frame 2 are not finite"):
        block_average(np.array([0.0, 1.0, np.nan, 1.0]), n_blocks=2)
    with pytest.raises(DataError, match="constant"):
        statistical_inefficiency(np.full(10, 0.1))
    with pytest.raises(DataError, match="at least 3 frames"):
        statistical_inefficiency(np.zeros(2))
    with pytest.raises(DataError, match="sums 'x' of a block are not finite"):
        block_bootstrap({"x": np.array([1.0, np.inf])}, dict)
    with pytest.raises(ConfigError, match="n_resamples"):
        block_bootstrap({"x": np.zeros(3)}, dict, n_resamples=1)
