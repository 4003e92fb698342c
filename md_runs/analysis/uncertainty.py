"""Error bars of means over correlated frames.

Block averaging: H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989),
doi:10.1063/1.457480. Blocks longer than the correlation time have independent means b, so that

    standard error = sd(b) / sqrt(n_blocks).   (1)

Statistical inefficiency: J. D. Chodera et al., J. Chem. Theory Comput. 3, 26 (2007),
doi:10.1021/ct0502864, eqs. (20)-(22): of n frames only n / g are independent, with

    g = 1 + 2 sum_k (1 - k / n) C(k) / C(0),   (2)

summed up to the first lag at which C is no longer positive, where noise begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from md_runs.analysis.correlation import autocorrelation
from md_runs.analysis.frames import block_slices, check_finite_frames
from md_runs.analysis.results import AnalysisResult
from mlpotential.errors import DataError


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
        return f"{self.value:.5g} +- {self.standard_error:.2g}"


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


def statistical_inefficiency(series: np.ndarray) -> float:
    """Equation (2): the number of frames that are worth one independent frame, at least 1.

    Args:
        series: [n_frames].

    Raises:
        DataError: fewer than 3 frames, more than one axis, a frame that is not finite, or a
            constant series.
    """
    series = np.asarray(series, np.float64)
    if series.ndim != 1 or len(series) < 3:
        raise DataError(f"a series of at least 3 frames is needed, not shape {series.shape}")
    check_finite_frames(series, "samples")
    fluctuation = series - series.mean()
    if not fluctuation.any():
        raise DataError("the series is constant: its correlation time is not defined")
    correlation = autocorrelation(fluctuation)
    positive = correlation > 0
    n_terms = len(series) if positive.all() else int(np.argmin(positive))
    k = np.arange(1, n_terms)
    g = 1 + 2 * np.sum((1 - k / len(series)) * correlation[1:n_terms]) / correlation[0]  # (2)
    return max(1.0, float(g))
