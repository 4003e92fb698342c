"""Distances of atom pairs, read slice by slice, and what is gathered of them block by block.

Bins are the multiples of the bin width, so that histograms of two runs share them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from md_runs.analysis.frames import block_slices, check_finite_frames, check_trajectory_positions
from md_runs.analysis.uncertainty import Estimate, standard_error_of_blocks
from mlpotential.errors import ConfigError, DataError

DISTANCES_PER_CHUNK = 500_000  # chosen: about 30 MB of displacements and distances at a time
MAX_BINS = 100_000  # chosen: more are a sign of atoms that flew away (1,000 A at 0.01 A)


def check_pairs(positions: np.ndarray, pairs: np.ndarray) -> None:
    """Raises DataError unless the positions are a trajectory's and hold every atom of the pairs."""
    check_trajectory_positions(positions)
    n_atoms = positions.shape[2]
    if np.ndim(pairs) != 2 or np.shape(pairs)[1] != 2 or len(pairs) == 0:
        raise DataError(f"pairs must have shape [n_pairs, 2], not {list(np.shape(pairs))}")
    if np.min(pairs) < 0 or np.max(pairs) >= n_atoms:
        raise DataError(
            f"the pairs name atoms {np.min(pairs)} to {np.max(pairs)}, but the trajectory has "
            f"atoms 0 to {n_atoms - 1}: is it another molecule?"
        )


def distance_chunks(
    positions: np.ndarray, pairs: np.ndarray, n_blocks: int
) -> Iterator[tuple[int, np.ndarray]]:
    """The number of the block and the distances of the pairs, some frames at a time, in order.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A); anything that can be sliced by frame.
        pairs: [n_pairs, 2].
        n_blocks: number of blocks of frames.

    Yields:
        Block index and distances, [n_frames of the chunk, n_beads, n_pairs] (A).
    """
    check_pairs(positions, pairs)
    i, j = np.asarray(pairs).T
    n_frames = max(1, DISTANCES_PER_CHUNK // (positions.shape[1] * len(pairs)))
    for block_index, block in enumerate(block_slices(positions.shape[0], n_blocks)):
        for start in range(block.start, block.stop, n_frames):
            chunk = np.asarray(positions[start : min(start + n_frames, block.stop)], np.float64)
            check_finite_frames(chunk, "positions", start)
            displacements = chunk[:, :, j] - chunk[:, :, i]
            yield block_index, np.sqrt(np.einsum("fbpx,fbpx->fbp", displacements, displacements))


class BlockHistogram:
    """Counts of distances in bins, for each block; the bins grow with the distances that come."""

    def __init__(self, bin_width: float, n_blocks: int) -> None:
        if not (np.isfinite(bin_width) and bin_width > 0):
            raise ConfigError(f"bin_width must be positive (A), not {bin_width}")
        self.bin_width = bin_width
        self.counts = np.zeros((n_blocks, 0), np.int64)

    def add(self, block: int, distances: np.ndarray) -> None:
        """Counts distances of any shape (A). Raises DataError if they need too many bins."""
        largest = float(distances.max())
        if largest / self.bin_width >= MAX_BINS:
            raise DataError(
                f"a distance of {largest:.4g} A needs more than {MAX_BINS} bins of "
                f"{self.bin_width} A: did the molecule fall apart? If not, use wider bins"
            )
        bins = np.floor(distances / self.bin_width).astype(np.int64).reshape(-1)
        counts = np.bincount(bins, minlength=self.counts.shape[1])
        n_new = len(counts) - self.counts.shape[1]
        self.counts = np.pad(self.counts, ((0, 0), (0, n_new)))
        self.counts[block] += counts

    def density(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Bin centres (A), density whose integral is 1, its standard error (1/A), all [n_bins].

        The bins run from one before the smallest distance to one after the largest.
        """
        filled = np.flatnonzero(self.counts.any(axis=0))
        first, last = max(0, filled[0] - 1), filled[-1] + 1
        counts = np.pad(self.counts, ((0, 0), (0, 1)))[:, first : last + 1]
        by_block = counts / (counts.sum(axis=1, keepdims=True) * self.bin_width)
        density = counts.sum(axis=0) / (counts.sum() * self.bin_width)
        centres = (np.arange(first, last + 1) + 0.5) * self.bin_width
        return centres, density, standard_error_of_blocks(by_block)


class BlockMoments:
    """Mean and spread of all distances pooled, with errors from the moments of each block."""

    def __init__(self, n_blocks: int) -> None:
        self.counts, self.sums, self.squares = np.zeros((3, n_blocks))
        self.origin = np.nan

    def add(self, block: int, distances: np.ndarray) -> None:
        """Gathers distances of any shape (A)."""
        if np.isnan(self.origin):
            self.origin = float(distances.mean())  # sums about it keep their digits
        shifted = distances - self.origin
        self.counts[block] += shifted.size
        self.sums[block] += shifted.sum()
        self.squares[block] += np.vdot(shifted, shifted)

    def mean(self) -> Estimate:
        """The mean (A)."""
        error = standard_error_of_blocks(self.sums / self.counts)
        value = self.origin + self.sums.sum() / self.counts.sum()
        return Estimate(value, error, len(self.counts))

    def standard_deviation(self) -> Estimate:
        """The standard deviation sd of the pooled distances (A).

        Its error follows from that of the variance, sd^2 = <(d - mean)^2>: error / (2 sd).
        """
        mean = self.sums.sum() / self.counts.sum()
        variances = (self.squares - 2 * mean * self.sums) / self.counts + mean**2
        deviation = np.sqrt(max(0.0, np.average(variances, weights=self.counts)))
        with np.errstate(divide="ignore", invalid="ignore"):  # a rigid molecule has no spread
            error = standard_error_of_blocks(variances) / (2 * deviation)
        return Estimate(deviation, error, len(self.counts))
