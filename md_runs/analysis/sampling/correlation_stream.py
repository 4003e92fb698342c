"""Autocorrelation functions of long trajectories, piece by piece, with error bars from blocks.

The estimator is that of `correlation`: to the products within a piece come those of its first
frames with the last n_lags - 1 before it. No product is lost and none is circular, whatever the
pieces are, and the memory needed does not grow with the run.

For error bars the frames are divided into blocks b with sums S_b(k) over n_b(k) products. A product
across their border counts half for each: given to one of them alone, it would leave the spectrum of
a block with one-sided tails beside every line, which cancel in the whole. To first order the error
of the ratio C = sum S_b / sum n_b is that of the mean of

    C_b(k) = C(k) + n_blocks (S_b(k) - C(k) n_b(k)) / sum_b n_b(k),   (1)

whose plain mean is C, also where blocks differ in length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy

from md_runs.analysis.sampling.frame_pieces import (
    Segments,
    check_timestep,
    frame_pieces,
    window_lags,
)
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import mean_of_blocks
from mlpotential.errors import ConfigError, DataError

BLOCK_LAGS = 4  # frames of the shortest block over n_lags; chosen: fewer make blocks depend on
# their neighbours, whose products they share
MOST_BLOCKS = 32  # chosen: neighbours are merged beyond it; 16 blocks know their error to 18 %
COLUMNS_BYTES = 32e6  # chosen: padded columns transformed at once


@dataclass(frozen=True)
class CorrelationFunction(AnalysisResult):
    """The autocorrelation function of a vector: the sum over its components.

    Attributes:
        times_fs: [n_lags].
        values: [n_lags].
        standard_errors: from blocks, [n_lags]; NaN for one block.
        n_blocks: number of blocks the error bars come from.
        n_segments: number of independent segments.
        n_frames: number of frames in all segments.
    """

    times_fs: Annotated[np.ndarray, "fs"]
    values: Annotated[np.ndarray, "weight times unit of the samples squared"]
    standard_errors: Annotated[np.ndarray, "weight times unit of the samples squared"]
    n_blocks: int
    n_segments: int
    n_frames: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("times_fs", "values", "standard_errors")


def correlation_function(
    samples: Segments,
    timestep_fs: float,
    n_lags: int | None = None,
    weights: np.ndarray | None = None,
    contiguous: bool = False,
) -> CorrelationFunction:
    """The autocorrelation function of all segments, summed over components, with error bars.

    Args:
        samples: segments [n_frames, ...]: a sequence, an array or an iterator.
        timestep_fs: time between frames, see `frames.uniform_timestep_fs`.
        n_lags: number of lags, 0 included; None for half of the shortest segment.
        weights: of the products of each component, of a shape that one frame broadcasts with, such
            as masses[:, None] for velocities; None for 1.
        contiguous: the items are pieces of one trajectory, in order, not segments of their own.

    Raises:
        DataError: no segment, segments that do not fit together, a frame that is not finite, a
            weight that is negative.
        ConfigError: more lags than frames, or fewer than 2.
    """
    check_timestep(timestep_fs)
    root = np.sqrt(_checked_weights(weights))
    found = correlate(
        (
            (piece.starts_segment, (piece.arrays[0] * root).reshape(len(piece.arrays[0]), -1))
            for piece in frame_pieces(contiguous, samples=samples)
        ),
        window_lags(n_lags, samples, contiguous),
    )
    mean = mean_of_blocks(found.blocks[:, 0])
    return CorrelationFunction(
        times_fs=timestep_fs * np.arange(found.n_lags),
        values=mean.value,
        standard_errors=mean.standard_error,
        n_blocks=found.n_blocks,
        n_segments=found.n_segments,
        n_frames=found.n_frames,
    )


def _checked_weights(weights: np.ndarray | None) -> np.ndarray:
    checked = np.ones(()) if weights is None else np.asarray(weights, np.float64)
    if not (np.isfinite(checked).all() and np.all(checked >= 0)):
        raise DataError("weights must be finite and not negative")
    return checked


@dataclass(frozen=True)
class BlockedCorrelation:
    """Autocorrelation functions summed over the columns of each channel, in blocks.

    Attributes:
        blocks: C_b of equation (1), [n_blocks, n_channels, n_lags] (unit of the columns squared).
        n_segments: number of independent segments.
        n_frames: number of frames in all segments.
    """

    blocks: np.ndarray
    n_segments: int
    n_frames: int

    @property
    def n_blocks(self) -> int:
        """Number of blocks the error bars come from."""
        return self.blocks.shape[0]

    @property
    def n_lags(self) -> int:
        """Number of lags, 0 included."""
        return self.blocks.shape[2]


def correlate(
    columns: Iterable[tuple[bool, np.ndarray]], n_lags: int, channels: np.ndarray | None = None
) -> BlockedCorrelation:
    """The autocorrelation functions of frames that arrive in pieces.

    Args:
        columns: pieces [n, n_columns], each with whether it starts a segment.
        n_lags: number of lags, 0 included.
        channels: as of `CorrelationStream`; None for one channel.

    Raises:
        DataError: no pieces.
        ConfigError: a segment shorter than `n_lags`.
    """
    stream: CorrelationStream | None = None
    for starts_segment, frames in columns:
        if stream is None:
            one = np.zeros(frames.shape[1], int)
            stream = CorrelationStream(n_lags, one if channels is None else channels)
        elif starts_segment:
            stream.end_segment()
        stream.add(frames)
    if stream is None:
        raise DataError("there are no frames to correlate")
    stream.end_segment()
    return stream.result()


@dataclass
class _Block:
    """Sums of products and their numbers."""

    sums: np.ndarray  # [n_channels, n_lags]
    n_products: np.ndarray  # [n_lags]
    n_frames: int

    def add(self, other: _Block) -> None:
        self.sums += other.sums
        self.n_products += other.n_products
        self.n_frames += other.n_frames


class CorrelationStream:
    """Autocorrelation functions of frames that arrive in pieces; memory does not grow with them.

    Args:
        n_lags: number of lags, 0 included.
        channels: the channel that each column belongs to, [n_columns]: 0...n_channels-1.

    Raises:
        ConfigError: if `n_lags` is below 1.
    """

    def __init__(self, n_lags: int, channels: np.ndarray) -> None:
        if n_lags < 1:
            raise ConfigError(f"n_lags must be at least 1, not {n_lags}")
        self.n_lags = n_lags
        self.n_segments = 0
        self._channels = np.asarray(channels)
        self._n_channels = int(self._channels.max()) + 1
        self._piece_frames = self._block_frames = BLOCK_LAGS * n_lags
        self._joins_segments = False
        self._blocks: list[_Block] = []
        self._waiting = np.empty((self._piece_frames, len(self._channels)))  # taken as it fills
        self._start_segment()

    def _start_segment(self) -> None:
        self._tail = np.empty((0, len(self._channels)))
        self._n_waiting = 0
        self._segment_frames = 0

    def add(self, frames: np.ndarray) -> None:
        """Takes the frames that follow, [n, n_columns]."""
        self._segment_frames += len(frames)
        while len(frames):
            if self._n_waiting == self._piece_frames:
                self._work_off()
            n_taken = min(len(frames), self._piece_frames - self._n_waiting)
            self._waiting[self._n_waiting : self._n_waiting + n_taken] = frames[:n_taken]
            self._n_waiting += n_taken
            frames = frames[n_taken:]

    def end_segment(self) -> None:
        """The frames that come next have nothing to do with those before.

        Raises:
            ConfigError: if the segment is shorter than `n_lags`.
        """
        if self._segment_frames < self.n_lags:
            raise ConfigError(
                f"the window of {self.n_lags} frames does not fit into a segment of "
                f"{self._segment_frames} frames: n_lags must be within 2...{self._segment_frames}"
            )
        self._work_off()
        self.n_segments += 1
        self._start_segment()

    def _work_off(self) -> None:
        """Correlates the waiting frames as one piece."""
        piece, reach = self._waiting[: self._n_waiting], self.n_lags - 1
        self._store(self._within(piece), self._across(self._tail, piece))
        # The next piece is correlated with the last n_lags - 1 frames, of this one or of several.
        joined = np.concatenate([self._tail, piece]) if len(piece) < reach else piece
        self._tail = joined[len(joined) - min(len(joined), reach) :].copy()
        self._n_waiting = 0

    def _within(self, frames: np.ndarray) -> _Block:
        """Products of frames of one piece."""
        # Zeros behind the frames keep the circular correlation from wrapping around into any lag.
        n_padded = scipy.fft.next_fast_len(len(frames) + self.n_lags - 1, real=True)
        sums = self._transformed(n_padded, frames, None)[:, : self.n_lags]
        n_products = np.maximum(len(frames) - np.arange(self.n_lags), 0)
        return _Block(sums, n_products.astype(np.float64), len(frames))

    def _across(self, tail: np.ndarray, piece: np.ndarray) -> _Block | None:
        """Products of the frames before a piece with its own; None at the start of a segment."""
        if len(tail) == 0:
            return None
        # tail[i] and head[j] are k = len(tail) - i + j frames apart: the shift m = j - i of the
        # transform is k - len(tail), negative for most lags and then found from the end.
        head, lags = piece[: self.n_lags - 1], np.arange(self.n_lags)
        n_padded = scipy.fft.next_fast_len(len(tail) + self.n_lags, real=True)
        sums = self._transformed(n_padded, tail, head)[:, lags - len(tail)]
        # How many pairs (i, j) there are at a lag: it grows from 0, and falls at the far end.
        n_first = np.minimum(np.minimum(lags, len(tail)), len(head))  # lags below both: k products
        n_products = np.clip(len(tail) + len(head) - lags, 0, n_first)
        return _Block(sums * (n_products > 0), n_products.astype(np.float64), 0)

    def _transformed(
        self, n_padded: int, first: np.ndarray, second: np.ndarray | None
    ) -> np.ndarray:
        """Sums over columns and i of first_i second_(i + m), [n_channels, n_padded] over m.

        `second` is None for `first` with itself; negative m are found from the end.
        """
        power = np.zeros((self._n_channels, n_padded // 2 + 1), complex)
        at_once = max(1, int(COLUMNS_BYTES / (8 * n_padded)))
        for channel in range(self._n_channels):
            columns = np.flatnonzero(self._channels == channel)
            for start in range(0, len(columns), at_once):
                some = columns[start : start + at_once]
                # [n, some] -> [some, n]: each column is transformed along contiguous memory.
                x = scipy.fft.rfft(np.ascontiguousarray(first[:, some].T), n_padded, axis=1)
                if second is None:
                    power[channel] += (x.real**2 + x.imag**2).sum(axis=0)
                else:
                    y = scipy.fft.rfft(np.ascontiguousarray(second[:, some].T), n_padded, axis=1)
                    power[channel] += np.einsum("cf,cf->f", x.conj(), y)
        sums: np.ndarray = scipy.fft.irfft(power, n_padded, axis=1)
        return sums

    def _store(self, within: _Block, across: _Block | None) -> None:
        """Adds to the last block until it is long enough; a short rest joins its neighbour."""
        is_first = across is None
        # The last block takes the piece if it is not full yet, or the piece is only a rest.
        if self._blocks:
            last = self._blocks[-1]
            has_room = last.n_frames < self._block_frames
            is_rest = within.n_frames < self._piece_frames / 2
            if (has_room and (self._joins_segments or not is_first)) or (is_rest and not is_first):
                last.add(within)
                if across is not None:
                    last.add(across)
                return
        # Too many blocks: neighbours are merged, and new ones are as long as those.
        if len(self._blocks) == MOST_BLOCKS:
            for kept, merged in zip(self._blocks[::2], self._blocks[1::2], strict=True):
                kept.add(merged)
            del self._blocks[1::2]
            self._block_frames = int(np.median([block.n_frames for block in self._blocks]))
            self._joins_segments = True
        # A new block. Products across its beginning belong half to it, half to the block before.
        if across is not None:
            half = _Block(0.5 * across.sums, 0.5 * across.n_products, 0)
            self._blocks[-1].add(half)
            within.add(half)
        self._blocks.append(within)

    def result(self) -> BlockedCorrelation:
        """The autocorrelation functions of all segments that have ended.

        Raises:
            DataError: if there are none.
        """
        if self.n_segments == 0:
            raise DataError("there are no frames to correlate")
        n_products = sum(block.n_products for block in self._blocks)
        mean = sum(block.sums for block in self._blocks) / n_products
        deviations = np.stack([b.sums - mean * b.n_products for b in self._blocks]) / n_products
        return BlockedCorrelation(
            blocks=mean + len(self._blocks) * deviations,  # (1)
            n_segments=self.n_segments,
            n_frames=sum(block.n_frames for block in self._blocks),
        )
