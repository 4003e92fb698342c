"""Error bars of means over correlated frames.

Block averaging: H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989),
doi:10.1063/1.457480. Blocks longer than the correlation time have independent means b, so that

    standard error = sd(b) / sqrt(n_blocks).   (1)

One standard error to each side holds the truth as often as Student's t with n_blocks - 1 degrees of
freedom says: in 50 % of the cases for 2 blocks, 61 % for 4, 66 % for 10, 68 % for many.

Statistical inefficiency: J. D. Chodera et al., J. Chem. Theory Comput. 3, 26 (2007),
doi:10.1021/ct0502864, eqs. (20)-(22): of n frames only n / g are independent, with

    g = 1 + 2 sum_k (1 - k / n) C(k) / C(0),   (2)

summed up to the first lag at which C is no longer positive, where noise begins.

Bootstrap, for error bars of what is no mean: blocks that do not overlap are drawn with replacement,
as many as there are (H. R. Kuensch, Ann. Statist. 17, 1217 (1989), doi:10.1214/aos/1176347265), and

    standard error = sqrt(n / (n - 1)) sd(estimate over draws),   n = n_blocks.   (3)

The root makes the error of a plain mean unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from md_runs.analysis.sampling.correlation import autocorrelation
from md_runs.analysis.sampling.frames import block_slices, check_finite_frames
from md_runs.analysis.sampling.results import AnalysisResult
from mlpotential.errors import ConfigError, DataError

N_RESAMPLES = 400  # chosen: error bars reproducible within 4 %


@dataclass(frozen=True)
class Estimate(AnalysisResult):
    """A mean with its error bar.

    Attributes:
        value: a number or an array.
        standard_error: of the shape of `value`; NaN where there is one block.
        n_blocks: number of blocks (or independent segments) the error comes from.
    """

    value: Any
    standard_error: Any
    n_blocks: int

    def __str__(self) -> str:
        return estimate_text(self)


def block_average(samples: np.ndarray, n_blocks: int = 10) -> Estimate:
    """The mean over all frames, and its standard error from block means.

    Args:
        samples: [n_frames, ...].
        n_blocks: number of contiguous blocks; 1 gives no error bar.

    Returns:
        Value and standard error of shape [...], in the unit of `samples`.

    Raises:
        DataError: if there are fewer frames than blocks, or a frame is not finite.
        ConfigError: if `n_blocks` is below 1.
    """
    samples = np.asarray(samples, np.float64)
    blocks = block_slices(len(samples), n_blocks)
    check_finite_frames(samples, "samples")
    means = np.stack([samples[block].mean(axis=0) for block in blocks])
    return Estimate(samples.mean(axis=0), standard_error_of_blocks(means), n_blocks)


def standard_error_of_blocks(block_means: np.ndarray) -> Any:
    """Equation (1): [n_blocks, ...] -> [...]; NaN for a single block."""
    n_blocks = len(block_means)
    if n_blocks < 2:
        return np.full(block_means.shape[1:], np.nan)[()]
    return block_means.std(axis=0, ddof=1) / np.sqrt(n_blocks)  # (1)


def mean_of_blocks(blocks: np.ndarray) -> Estimate:
    """The mean of equally weighted blocks with its standard error, [n_blocks, ...] -> [...]."""
    return Estimate(blocks.mean(axis=0)[()], standard_error_of_blocks(blocks), len(blocks))


def difference_of_estimates(first: Estimate, second: Estimate) -> Estimate:
    """The first number minus the second, of independent runs."""
    error = float(np.hypot(first.standard_error, second.standard_error))
    value = float(first.value - second.value)
    return Estimate(value, error, min(first.n_blocks, second.n_blocks))


def ratio_of_estimates(first: Estimate, second: Estimate) -> Estimate:
    """The first number over the second, of independent runs, with its error to first order."""
    value = float(first.value / second.value)
    relative = np.hypot(first.standard_error / first.value, second.standard_error / second.value)
    return Estimate(value, float(abs(value) * relative), min(first.n_blocks, second.n_blocks))


def statistical_inefficiency(series: np.ndarray) -> float:
    """Equation (2): the number of frames that are worth one independent frame, at least 1.

    Args:
        series: [n_frames].

    Raises:
        DataError: fewer than 3 frames, more than one axis, a frame that is not finite, or a
            constant series.
    """
    series = np.asarray(series, np.float64)
    _check_series(series, 3)
    fluctuation = series - series.mean()
    correlation = autocorrelation(fluctuation)
    positive = correlation > 0
    n_terms = len(series) if positive.all() else int(np.argmin(positive))
    k = np.arange(1, n_terms)
    g = 1 + 2 * np.sum((1 - k / len(series)) * correlation[1:n_terms]) / correlation[0]  # (2)
    return max(1.0, float(g))


def block_bootstrap(
    blocks: Mapping[str, np.ndarray],
    statistic: Callable[[dict[str, np.ndarray]], Mapping[str, Any]],
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """What follows from sums over frames, with error bars by equation (3).

    Args:
        blocks: sums over the frames of each block, by name, each [n_blocks, ...]; blocks must be
            longer than the correlation time.
        statistic: from sums over blocks of shape [..., (their own)] to named estimates
            [..., (their own)]; all draws are handed over at once.
        n_resamples: how often blocks are drawn.
        seed: of the draws.

    Returns:
        Estimates by name; standard errors are NaN where there is one block.

    Raises:
        DataError: a block that is not finite.
        ConfigError: fewer than two draws.
    """
    if n_resamples < 2:
        raise ConfigError(f"n_resamples must be at least 2, not {n_resamples}")
    blocks = {name: np.asarray(sums, np.float64) for name, sums in blocks.items()}
    for name, sums in blocks.items():
        if not np.isfinite(sums).all():
            raise DataError(f"the sums {name!r} of a block are not finite")
    n_blocks = len(next(iter(blocks.values())))
    values = statistic({name: sums.sum(axis=0) for name, sums in blocks.items()})
    if n_blocks < 2:
        return {
            name: Estimate(value, np.full(np.shape(value), np.nan)[()], n_blocks)
            for name, value in values.items()
        }
    share = np.full(n_blocks, 1 / n_blocks)
    draws = np.random.default_rng(seed).multinomial(n_blocks, share, size=n_resamples)
    drawn = statistic({name: np.tensordot(draws, sums, axes=1) for name, sums in blocks.items()})
    inflation = np.sqrt(n_blocks / (n_blocks - 1))
    return {
        name: Estimate(value, inflation * np.std(drawn[name], axis=0, ddof=1), n_blocks)  # (3)
        for name, value in values.items()
    }


def _check_series(series: np.ndarray, n_least: int) -> None:
    """Raises DataError unless there is one axis, enough frames, all finite, not all the same."""
    if series.ndim != 1 or len(series) < n_least:
        raise DataError(
            f"a series of at least {n_least} frames is needed, not shape {series.shape}"
        )
    check_finite_frames(series, "samples")
    if not (series - series.mean()).any():
        raise DataError("the series is constant: its correlation time is not defined")


DIGITS_WITHOUT_ERROR = 5
ROUNDING = 1e-12  # of the number; smaller errors are those of arithmetic


def number_text(value: float, standard_error: float = math.nan) -> str:
    """`1.4592(6)`; an error that begins with 1 has two digits; without one, five digits.

    Args:
        value: the number.
        standard_error: NaN where it is unknown.
    """
    if not math.isfinite(value):
        return "-"
    if not standard_error > ROUNDING * abs(value) or not math.isfinite(standard_error):
        return f"{value:.{DIGITS_WITHOUT_ERROR}g}"
    exponent = math.floor(math.log10(standard_error))
    n_digits = 2 if standard_error / 10.0**exponent < 1.95 else 1
    n_decimals = n_digits - 1 - exponent
    error = round(standard_error * 10.0**n_decimals)
    if error in (10, 100) and n_digits == 1:  # 0.096 has become 0.10
        n_digits, error = 2, error
    if n_decimals > 0:
        return f"{value:.{n_decimals}f}({error})"
    scale = 10**-n_decimals
    return f"{round(value / scale) * scale}({error * scale})"


def estimate_text(estimate: Estimate, unit: str = "") -> str:
    """An estimate with its unit: `1.4592(6) A`."""
    text = number_text(float(estimate.value), float(estimate.standard_error))
    return f"{text} {unit}" if unit and unit != "1" else text
