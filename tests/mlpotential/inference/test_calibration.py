"""Calibrated spreads on errors of known origin, and the conformal bound's exact coverage."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import beta, expon, kstest
from scipy.stats import t as student_t

from mlpotential.errors import DataError, ModelFileError
from mlpotential.inference.calibration import (
    Calibration,
    ConformalBound,
    calibrated_spread,
    conformal_bound,
    conformal_rank,
    force_score,
)

RATIO = 3.0  # true errors over the spread of members, which know too little of them


def errors_and_spreads(n_labels, n_members, seed, ratio=RATIO):
    """Errors of width `ratio` tau about means of members of width tau, which differs by label."""
    generator = np.random.default_rng(seed)
    tau = np.exp(generator.normal(-4.0, 1.0, n_labels))
    members = tau * generator.standard_normal((n_members, n_labels))
    truth = ratio * tau * generator.standard_normal(n_labels)
    return members.mean(axis=0) - truth, members.std(axis=0, ddof=1)


@pytest.mark.parametrize("n_members", [2, 3, 4, 8])
def test_coverage_of_errors_that_were_not_seen(n_members):
    """68 % within 60 to 76, 95 % within 2, by few members too, whose spread is itself uncertain."""
    found = calibrated_spread(*errors_and_spreads(3_000, n_members, seed=1))
    assert found.before[0] < 0.4  # overconfident
    errors, spreads = errors_and_spreads(20_000, n_members, seed=2)
    standard_errors = found.scale * spreads
    assert 0.60 < np.mean(np.abs(errors) < standard_errors) < 0.76
    assert np.mean(np.abs(errors) < found.width_95 * standard_errors) == pytest.approx(
        0.95, abs=0.02
    )
    assert found.after == pytest.approx((0.6827, 0.95), abs=0.02)


def test_root_mean_square_fails_for_few_members():
    """The rule of many members overstates 68 % of four; Eq. (1) is what mends it."""
    errors, spreads = errors_and_spreads(20_000, 4, seed=3)
    scale = np.sqrt(np.mean((errors / spreads) ** 2))
    assert np.mean(np.abs(errors) < scale * spreads) > 0.76


def test_known_scale():
    """Members and truth alike: n = M - 1 and a^2 = 1 + 1/M, as the docstring says."""
    n_members = 5
    found = calibrated_spread(*errors_and_spreads(100_000, n_members, seed=4, ratio=1.0))
    assert found.degrees_of_freedom == pytest.approx(n_members - 1, rel=0.05)
    width = student_t.ppf(0.5 + 0.5 * 0.6827, n_members - 1)
    assert found.scale == pytest.approx(np.sqrt(1 + 1 / n_members) * width, rel=0.01)
    many = calibrated_spread(*errors_and_spreads(20_000, 200, seed=5))
    errors, spreads = errors_and_spreads(20_000, 200, seed=5)
    assert many.scale == pytest.approx(np.sqrt(np.mean((errors / spreads) ** 2)), rel=0.02)


def test_values_that_a_symmetry_fixes_say_nothing():
    errors, spreads = errors_and_spreads(1_000, 4, seed=6)
    nothing = np.zeros(5_000)
    found = calibrated_spread(np.append(errors, nothing), np.append(spreads, nothing))
    assert found == calibrated_spread(errors, spreads)
    with pytest.raises(DataError, match="agree to the last digits"):
        calibrated_spread(errors, np.zeros_like(errors))


@pytest.mark.parametrize(("n_labels", "level"), [(19, 0.95), (50, 0.9), (200, 0.95)])
def test_conformal_coverage_has_its_beta_distribution(n_labels, level):
    """Of the level, exactly: over 2,000 draws of the labels."""
    scores = np.random.default_rng(7).exponential(size=(2_000, n_labels))
    bounds = [conformal_bound(s, level) for s in scores]
    covered = expon.cdf([bound.quantile for bound in bounds])
    rank = conformal_rank(n_labels, level)
    expected = beta(rank, n_labels + 1 - rank)
    assert kstest(covered, expected.cdf).pvalue > 1e-3
    assert expected.mean() >= level - 1e-12
    assert covered.mean() == pytest.approx(expected.mean(), abs=5 * expected.std() / 2_000**0.5)


def test_too_few_labels_for_the_level():
    assert conformal_bound(np.ones(18), 0.95) is None
    assert conformal_bound(np.ones(19), 0.95) is not None


def test_bound_of_all_forces_of_a_structure():
    std = np.random.default_rng(8).random((6, 3))
    errors = np.random.default_rng(9).standard_normal((6, 3))
    bound = ConformalBound(0.95, force_score(errors, std), 50)
    slack = bound.of(std) - np.linalg.norm(errors, axis=1)
    assert_allclose(slack.min(), 0.0, atol=1e-14)


def test_record_of_a_model_file():
    spread = calibrated_spread(*errors_and_spreads(100, 4, seed=10))
    found = Calibration(("a", "b"), "c", 100, spread, spread, conformal_bound(np.ones(19)))
    assert Calibration.of_record(found.record) == found
    assert Calibration.of_record({}) is None
    damaged = found.record | {"energy": found.record["energy"] | {"scale": float("nan")}}
    with pytest.raises(ModelFileError, match="Calibrate again"):
        Calibration.of_record(damaged)
