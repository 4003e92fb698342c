"""Sums over frames, block by block, and whatever is estimated from them, with error bars.

Every estimator here is a smooth function of sums over frames: counts of a histogram, first and
second moments, products. The sums are kept for each of a few contiguous blocks, so that a run of
any length needs little memory. Error bars come from the block bootstrap of `uncertainty`: blocks
must be longer than the correlation time.

Frames come as arrays (NumPy, memory map, HDF5 data set), read some at a time, or as iterables of
chunks of frames. The length of an iterable is not known: its blocks begin with one frame each and
are joined in pairs whenever there are twice too many, which leaves n_blocks to 2 n_blocks of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from md_runs.analysis.sampling.frame_pieces import frame_pieces
from md_runs.analysis.sampling.frames import block_slices, check_trajectory_positions
from md_runs.analysis.sampling.uncertainty import Estimate, block_bootstrap
from mlpotential.errors import ConfigError

VALUES_PER_PIECE = 50_000  # chosen: temporaries of 0.4 MB stay in the cache

Frames = Any  # an array [n_frames, ...], whatever can be sliced, or an iterable of such arrays
Sums = dict[str, np.ndarray]


@dataclass(frozen=True)
class BlockSums:
    """Sums over the frames of each block.

    Attributes:
        sums: by name, each [n_blocks, ...].
        n_frames: number of frames in all blocks.
        frame_shape: shape of one frame of the first source, [n_beads, n_atoms, 3] of positions.
    """

    sums: Sums
    n_frames: int
    frame_shape: tuple[int, ...]

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(next(iter(self.sums.values())))

    def estimates(self, statistic: Callable[[Sums], Mapping[str, Any]]) -> dict[str, Estimate]:
        """What follows from the sums over all frames, see `uncertainty.block_bootstrap`.

        Args:
            statistic: from sums of shape [..., (their own)] to named estimates [..., (their own)].
        """
        return block_bootstrap(self.sums, statistic)


def sum_blocks(
    measure: Callable[..., Mapping[str, Any]],
    sources: Mapping[str, Frames],
    n_blocks: int,
    values_per_frame: Callable[[tuple[int, ...]], int],
) -> BlockSums:
    """Sums over frames, block by block.

    Args:
        measure: from some frames of each source, in order, to named sums over these frames. Sums
            with one axis may grow longer from call to call, as histograms do.
        sources: frames by name, all arrays or all iterables of chunks; the first are positions,
            [n_frames, n_beads, n_atoms, 3].
        n_blocks: number of blocks; between that and twice as many for iterables.
        values_per_frame: numbers that `measure` makes of one frame, from the shape of positions.

    Raises:
        DataError: fewer frames than blocks; frames that are not finite or change their shape;
            sources of different lengths.
        ConfigError: if `n_blocks` is below 1, or arrays and iterables are mixed.
    """
    n_frames = _known_length(sources)
    segments = sources if n_frames is None else {name: [s] for name, s in sources.items()}
    blocks = _Blocks(n_blocks, n_frames)
    frame_shape: tuple[int, ...] = ()
    for piece in frame_pieces(True, **segments):
        frames = piece.arrays
        check_trajectory_positions(frames[0])
        frame_shape = frames[0].shape[1:]
        n_most = max(1, VALUES_PER_PIECE // max(1, values_per_frame(frame_shape)))
        start = 0
        while start < len(frames[0]):
            stop = min(start + min(n_most, blocks.room()), len(frames[0]))
            sums = measure(*(array[start:stop] for array in frames))
            blocks.add(stop - start, {name: np.asarray(value) for name, value in sums.items()})
            start = stop
    return BlockSums(blocks.stacked(), blocks.n_frames, frame_shape)


def sums_of_series(series: Mapping[str, np.ndarray], n_blocks: int) -> Sums:
    """Sums of series in memory, [n_frames] each, over contiguous blocks, with "frames": [n_blocks].

    Raises:
        DataError: fewer frames than blocks.
        ConfigError: if `n_blocks` is below 1.
    """
    blocks = block_slices(len(next(iter(series.values()))), n_blocks)
    sums = {name: np.array([values[b].sum() for b in blocks]) for name, values in series.items()}
    return sums | {"frames": np.array([b.stop - b.start for b in blocks])}


def with_cells(
    positions: Frames, cells: Frames | None
) -> tuple[dict[str, Frames], np.ndarray | None]:
    """Sources for `sum_blocks`, and the cell where it is the same in all frames.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A), or an iterable of such chunks.
        cells: [3, 3], [n_frames, 3, 3] (A), an iterable of such chunks, or None.
    """
    if cells is None:
        return {"positions": positions}, None
    if hasattr(cells, "shape") and len(cells.shape) == 2:
        return {"positions": positions}, np.asarray(cells, np.float64)
    return {"positions": positions, "cells": cells}, None


class _Blocks:
    """Blocks of frames that are being filled."""

    def __init__(self, n_blocks: int, n_frames: int | None) -> None:
        """The blocks of a known number of frames, or blocks that double."""
        if n_blocks < 1:
            raise ConfigError(f"n_blocks must be at least 1, not {n_blocks}")
        self.n_blocks = n_blocks
        self.n_frames = 0  # so far
        self.blocks: list[Sums] = []
        self._length = 1  # of a block of an iterable
        self._end = 0  # of the last block
        self._ends = None if n_frames is None else iter(block_slices(n_frames, n_blocks))

    def room(self) -> int:
        """Number of frames that the last block can still take; begins a new one if it is full."""
        if self.n_frames == self._end:
            if self._ends is not None:  # of a known number of frames: the blocks are laid out
                self._end = next(self._ends).stop
            else:
                # Of an unknown number: when there are twice as many as wanted, neighbours merge
                # and all that follow are twice as long, so that there are never fewer than wanted.
                if len(self.blocks) == 2 * self.n_blocks:
                    pairs = zip(self.blocks[::2], self.blocks[1::2], strict=True)
                    self.blocks = [_added(first, second) for first, second in pairs]
                    self._length *= 2
                self._end += self._length
            self.blocks.append({})
        return self._end - self.n_frames

    def add(self, n_frames: int, sums: Sums) -> None:
        """Adds frames to the last block, no more than there is room for."""
        last = self.blocks[-1]
        self.blocks[-1] = _added(last, sums) if last else sums
        self.n_frames += n_frames

    def stacked(self) -> Sums:
        """[n_blocks, ...] by name. Raises DataError if there are fewer frames than blocks."""
        if len(self.blocks) < self.n_blocks:
            block_slices(self.n_frames, self.n_blocks)  # raises, and says what to do
        return {
            name: np.stack(_of_one_length([block[name] for block in self.blocks]))
            for name in self.blocks[0]
        }


def _added(first: Sums, second: Sums) -> Sums:
    return {name: np.add(*_of_one_length([first[name], second[name]])) for name in first}


def _of_one_length(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Arrays with one axis are filled with zeros to the longest of them."""
    if arrays[0].ndim != 1:
        return arrays
    longest = max(len(array) for array in arrays)
    return [np.pad(array, (0, longest - len(array))) for array in arrays]


def _known_length(sources: Mapping[str, Frames]) -> int | None:
    """Number of frames; None for iterables. Raises if the sources do not fit together."""
    are_arrays = {hasattr(source, "shape") for source in sources.values()}
    if len(are_arrays) > 1:
        raise ConfigError(f"give all of {', '.join(sources)} as arrays, or all as iterables")
    if are_arrays == {False}:
        return None
    positions = next(iter(sources.values()))
    check_trajectory_positions(positions)
    return int(positions.shape[0])
