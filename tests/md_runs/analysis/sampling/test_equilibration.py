"""The end of equilibration of series whose decay is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from md_runs.analysis.sampling.equilibration import detect_equilibration
from mlpotential.errors import ConfigError, DataError


def decaying(start: float, decay_frames: float, n_frames: int, seed: int) -> np.ndarray:
    """A stationary autoregressive series (g = 19) with an exponential start."""
    noise = np.random.default_rng(seed).normal(size=n_frames) * np.sqrt(1 - 0.81)
    stationary = lfilter([1.0], [1.0, -0.9], noise)
    return 5.0 + stationary + start * np.exp(-np.arange(n_frames) / decay_frames)


@pytest.mark.parametrize("n_repeats", [20, pytest.param(400, marks=pytest.mark.slow)])
def test_the_start_is_left_out(n_repeats: int) -> None:
    starts = (decaying(10.0, 150.0, 4000, seed) for seed in range(n_repeats))
    found = [detect_equilibration(start, 30) for start in starts]
    lengths = np.array([f.n_equilibration for f in found])
    assert np.all(lengths > 150)
    assert np.mean(lengths < 2000) > 0.9
    assert np.all([f.is_trustworthy for f in found if f.n_equilibration < 2000])


@pytest.mark.slow
def test_the_mean_is_right() -> None:
    """In 400 repeats the truth lies within one standard error as often as it should, 60-76 %."""
    found = [detect_equilibration(decaying(10.0, 150.0, 4000, seed), 30) for seed in range(400)]
    deviations = np.array([(f.mean.value - 5.0) / f.mean.standard_error for f in found])
    assert 0.60 < np.mean(np.abs(deviations) < 1) < 0.76
    inefficiencies = [f.statistical_inefficiency for f in found]
    assert np.median(inefficiencies) == pytest.approx(19.0, rel=0.25)


def test_an_equilibrated_run_is_kept() -> None:
    lengths = [detect_equilibration(decaying(0, 1, 3000, s)).n_equilibration for s in range(20)]
    assert np.median(lengths) < 0.15 * 3000


def test_a_drift_to_the_end_is_not_trusted() -> None:
    ramp = np.linspace(0, 50, 2000) + np.random.default_rng(0).normal(size=2000)
    found = detect_equilibration(ramp)
    assert not found.is_trustworthy
    assert "too short to be trusted" in str(found)


def test_a_series_that_freezes_is_worth_one_frame_there() -> None:
    series = np.append(np.random.default_rng(0).normal(size=500), np.full(500, 2.0))
    assert detect_equilibration(series).n_equilibration < 500


def test_impossible_input_is_refused() -> None:
    with pytest.raises(DataError, match="at least 60 frames"):
        detect_equilibration(np.zeros(59))
    with pytest.raises(ConfigError, match="n_origins"):
        detect_equilibration(np.zeros(100), n_origins=0)
    with pytest.raises(DataError, match="frame 3 are not finite"):
        detect_equilibration(np.where(np.arange(100) == 3, np.nan, 1.0))
    with pytest.raises(DataError, match="constant"):
        detect_equilibration(np.ones(100))
