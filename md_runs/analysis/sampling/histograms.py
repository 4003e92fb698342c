"""Histograms, means and spreads of anything that frames have many of: distances, angles.

Bins are the multiples of the bin width, so that histograms of two runs share them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from md_runs.analysis.sampling.block_sums import BlockSums, Frames, Sums, sum_blocks
from md_runs.analysis.sampling.uncertainty import Estimate
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_number

MAX_BINS = 100_000  # chosen: more are a sign of atoms that flew away (1,000 A at 0.01 A)


def bin_counts(
    values: np.ndarray, bin_width: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """How many values fall into each bin from 0 on, or their sum of weights, [n_bins].

    Raises:
        DataError: if the values need more than `MAX_BINS` bins.
    """
    largest = float(values.max())
    if largest / bin_width >= MAX_BINS:
        raise DataError(
            f"a value of {largest:.4g} needs more than {MAX_BINS} bins of {bin_width}: did the "
            "molecule fall apart? If not, use wider bins"
        )
    bins = (values / bin_width).astype(np.intp)
    if weights is None:
        return np.bincount(bins.ravel(order="K"))  # as it lies in memory: nothing is copied
    return np.bincount(bins.ravel(), weights.ravel())


def filled_bins(counts: np.ndarray) -> slice:
    """From one bin before the first that is filled to one after the last, where there are such.

    Args:
        counts: of all blocks, [n_blocks, n_bins].
    """
    filled = np.flatnonzero(counts.any(axis=0))
    return slice(max(0, int(filled[0]) - 1), int(filled[-1]) + 2)


@dataclass
class HistogramSums:
    """A measure for `sum_blocks`: histogram, number, sum and squares of non-negative values.

    Attributes:
        values_of: the values, from some frames of each source.
        bin_width: in the unit of the values.
        origin: of sums and squares, a mean of the first values: sums about it keep their digits.
    """

    values_of: Callable[..., np.ndarray]
    bin_width: float
    origin: float = field(default=np.nan, init=False)

    def __call__(self, *frames: np.ndarray) -> dict[str, Any]:
        """Sums over some frames."""
        values = self.values_of(*frames)
        if np.isnan(self.origin):
            self.origin = float(values.mean())
        shifted = (values - self.origin).ravel(order="K")
        return {
            "counts": bin_counts(values, self.bin_width),
            "number": values.size,
            "sum": shifted.sum(),
            "squares": np.einsum("i,i->", shifted, shifted),
        }

    def moments(self, sums: Sums) -> dict[str, Any]:
        """Mean and standard deviation of all values pooled."""
        mean = sums["sum"] / sums["number"]
        variance = sums["squares"] / sums["number"] - mean**2
        return {
            "mean": self.origin + mean,
            "standard_deviation": np.sqrt(np.maximum(0.0, variance)),
        }


@dataclass(frozen=True)
class Histogram:
    """A distribution with its moments, before it is given a name and a unit.

    Attributes:
        centers: of the bins, [n_bins].
        density: its integral is 1, [n_bins].
        mean, standard_deviation: of all values pooled.
        blocks: the sums it comes from.
    """

    centers: np.ndarray
    density: Estimate
    mean: Estimate
    standard_deviation: Estimate
    blocks: BlockSums


def histogram(
    values_of: Callable[..., np.ndarray],
    sources: Mapping[str, Frames],
    bin_width: float,
    n_blocks: int,
    values_per_frame: Callable[[tuple[int, ...]], int],
) -> Histogram:
    """The distribution of non-negative values over frames and beads.

    Args:
        values_of: from some frames of each source, [n, ...], to values, [n, n_beads, ...].
        sources: as `sum_blocks`.
        bin_width: in the unit of the values.
        n_blocks: blocks of frames for the error bars; 1 goes without.
        values_per_frame: as `sum_blocks`.

    Returns:
        Bins run from one before the smallest value to one after the largest.

    Raises:
        DataError, ConfigError: as `sum_blocks` and `bin_counts`; a bin width that is not positive.
    """
    check_number("bin_width", bin_width)
    measure = HistogramSums(values_of, bin_width)
    blocks = sum_blocks(measure, sources, n_blocks, values_per_frame)
    counts = np.pad(blocks.sums["counts"], ((0, 0), (0, 1)))
    kept = filled_bins(counts)
    blocks = replace(blocks, sums=blocks.sums | {"counts": counts[:, kept]})

    def statistic(sums: Sums) -> dict[str, Any]:
        density = sums["counts"] / (sums["number"][..., None] * bin_width)
        return {"density": density, **measure.moments(sums)}

    estimates = blocks.estimates(statistic)
    return Histogram(
        centers=(np.arange(kept.start, kept.stop) + 0.5) * bin_width, blocks=blocks, **estimates
    )
