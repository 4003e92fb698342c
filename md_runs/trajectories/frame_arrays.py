"""Arrays over the frames of a run that are read when they are asked for, some frames at a time.

A run of a million frames does not fit into memory twice. What a `Trajectory` holds may therefore be
a NumPy array, a memory map, or a `LazyFrames`: all have a shape, and give NumPy arrays (float64)
when frames are taken, `values[100:200]`. Take pieces of frames; `np.asarray(values)` is everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mlpotential.errors import RunError

FRAMES_AT_ONCE = 1024  # chosen: read together where frames are taken with a stride

FrameArray = Any  # a NumPy array, a memory map or LazyFrames, [n_frames, ...]


class LazyFrames:
    """An array [n_frames, ...] behind a function that reads some of its frames.

    Attributes:
        shape: of the whole.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, shape: Sequence[int], read: Callable[[int, int], np.ndarray]) -> None:
        """Nothing is read.

        Args:
            shape: of the whole, frames first.
            read: frames start to stop, as [stop - start, ...].
        """
        self.shape = tuple(int(length) for length in shape)
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """What the whole would take in memory."""
        return 8 * int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Frames as NumPy does it; of a tuple the first entry chooses frames, which are read."""
        frames, rest = (key[0], key[1:]) if isinstance(key, tuple) else (key, ())
        if frames is Ellipsis:
            frames, rest = slice(None), (Ellipsis, *rest) if rest else ()
        if isinstance(frames, int | np.integer):
            index = range(len(self))[frames]
            return self._frames(index, index + 1)[0][rest]
        if isinstance(frames, slice):
            chosen = np.arange(len(self))[frames]
        else:
            chosen = np.arange(len(self))[np.asarray(frames)]
        return self._gathered(chosen)[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("what is read from a file cannot be given without a copy")
        return self._frames(0, len(self)).astype(dtype or self.dtype, copy=False)

    def _frames(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._read(start, stop), np.float64)

    def _gathered(self, chosen: np.ndarray) -> np.ndarray:
        """Frames of these numbers, neighbours read together."""
        if len(chosen) == 0:
            return np.empty((0, *self.shape[1:]))
        if (np.diff(chosen) == 1).all():
            return self._frames(chosen[0], chosen[-1] + 1)
        values = np.empty((len(chosen), *self.shape[1:]))
        start = 0
        while start < len(chosen):
            near = np.abs(chosen[start:] - chosen[start]) < FRAMES_AT_ONCE
            stop = start + (int(np.argmin(near)) or len(near))
            first, last = chosen[start:stop].min(), chosen[start:stop].max()
            values[start:stop] = self._frames(first, last + 1)[chosen[start:stop] - first]
            start = stop
        return values


def missing_frames(shape: Sequence[int], reason: str) -> LazyFrames:
    """Frames that are not there: taking any raises RunError, which says why."""

    def read(start: int, stop: int) -> np.ndarray:
        raise RunError(reason)

    return MissingFrames(shape, read)


class MissingFrames(LazyFrames):
    """See `missing_frames`."""


class SubstituteFrames(LazyFrames):
    """Positions that stand in for others: made of velocities, or of a bead for the centroid."""


def changed_frames(
    values: FrameArray, change: Callable[[np.ndarray], np.ndarray], frame_shape: Sequence[int]
) -> LazyFrames:
    """A function of each frame: `change` takes some frames and gives [n, *frame_shape]."""

    def read(start: int, stop: int) -> np.ndarray:
        return change(np.asarray(values[start:stop], np.float64))

    return LazyFrames((len(values), *frame_shape), read)


def of_bead(values: FrameArray, bead_index: int) -> FrameArray:
    """One bead, [n_frames, ...], of [n_frames, n_beads, ...]; of a NumPy array a view."""
    if isinstance(values, np.ndarray):
        return values[:, bead_index]
    return changed_frames(values, lambda frames: frames[:, bead_index], values.shape[2:])


def centroid(values: FrameArray, keep_bead: bool = False) -> FrameArray:
    """The mean over beads of [n_frames, n_beads, ...]: [n_frames, ...], or as the only bead."""
    shape = values.shape[2:]
    if keep_bead:
        return changed_frames(values, lambda frames: frames.mean(1, keepdims=True), (1, *shape))
    if values.shape[1] == 1:
        return of_bead(values, 0)
    return changed_frames(values, lambda frames: frames.mean(axis=1), shape)


def beads_together(beads: Sequence[FrameArray]) -> FrameArray:
    """[n_frames, n_beads, ...] from as many arrays [n_frames, ...]."""
    if len(beads) == 1 and isinstance(beads[0], np.ndarray):
        return beads[0][:, None]

    def read(start: int, stop: int) -> np.ndarray:
        return np.stack([np.asarray(bead[start:stop], np.float64) for bead in beads], axis=1)

    return LazyFrames((len(beads[0]), len(beads), *beads[0].shape[1:]), read)


def chosen_frames(values: FrameArray, chosen: np.ndarray) -> FrameArray:
    """The frames of ascending numbers `chosen`, [n_chosen]."""
    if len(chosen) == len(values):
        return values
    if len(chosen) and chosen[-1] - chosen[0] == len(chosen) - 1 and isinstance(values, np.ndarray):
        return values[chosen[0] : chosen[-1] + 1]
    if not isinstance(values, LazyFrames):
        values = changed_frames(values, lambda frames: frames, values.shape[1:])
    kind = type(values)
    return kind((len(chosen), *values.shape[1:]), lambda start, stop: values[chosen[start:stop]])
