"""Segments of a trajectory, or one trajectory in consecutive pieces, read piece by piece.

A segment is anything that can be sliced by frame (NumPy array, memory map, HDF5 data set); segments
come as a sequence, an array with one more axis, or an iterator. The pieces that are handed on are
small, so that a long trajectory never lies in memory as a whole unless it did before.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from md_runs.analysis.sampling.frames import check_finite_frames
from mlpotential.errors import ConfigError, DataError

Segments = Iterable[Any]
PIECE_BYTES = 8e6  # chosen: of each quantity, as float64; larger ones leave the caches

_ABSENT = object()


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of one segment.

    Attributes:
        starts_segment: whether they are the first of their segment.
        arrays: of each quantity, [n, ...], float64, in the order the quantities were given.
    """

    starts_segment: bool
    arrays: tuple[np.ndarray, ...]


def frame_pieces(contiguous: bool, **quantities: Segments) -> Iterator[Piece]:
    """Walks through the segments of several quantities at once.

    Args:
        contiguous: the items are consecutive pieces of one trajectory, not segments of their own.
        quantities: by name, segments [n_frames, ...] each.

    Raises:
        DataError: no or different numbers of segments, quantities that differ in frames, frames
            that differ in shape, or a frame that is not finite.
    """
    names = tuple(quantities)
    shapes: list[tuple[int, ...]] = []
    first_frame = 0
    for index, items in enumerate(itertools.zip_longest(*quantities.values(), fillvalue=_ABSENT)):
        where = f"piece {index}" if contiguous else f"segment {index}"
        _check_together(names, items, where)
        shapes = shapes or [np.shape(item)[1:] for item in items]
        for name, item, shape in zip(names, items, shapes, strict=True):
            if np.shape(item)[1:] != shape:
                raise DataError(
                    f"{name} of {where} have the shape {list(np.shape(item)[1:])} per frame, those "
                    f"before {list(shape)}: atoms must neither come, go nor change their order"
                )
        first_frame = first_frame if contiguous else 0
        largest = max(int(np.prod(shape)) for shape in shapes)
        step = max(1, int(PIECE_BYTES / (8 * max(1, largest))))
        for start in range(0, len(items[0]), step):
            arrays = tuple(np.asarray(item[start : start + step], np.float64) for item in items)
            for name, array in zip(names, arrays, strict=True):
                check_finite_frames(array, f"{name} ({where})", first_frame + start)
            yield Piece(start == 0 and not (contiguous and index), arrays)
        first_frame += len(items[0])
    if not shapes:
        raise DataError(f"no {' or '.join(names)}: at least one segment is needed")


def _check_together(names: Sequence[str], items: Sequence[Any], where: str) -> None:
    """Raises DataError unless every quantity has this segment, with as many frames."""
    missing = [name for name, item in zip(names, items, strict=True) if item is _ABSENT]
    if missing:
        raise DataError(f"{missing[0]} end before {where}: as many segments of each are needed")
    lengths = {name: len(item) for name, item in zip(names, items, strict=True)}
    if len(set(lengths.values())) > 1:
        shortest = min(lengths, key=lengths.__getitem__)
        counts = ", ".join(f"{count} frames of {name}" for name, count in lengths.items())
        raise DataError(f"{where} has {counts}: {shortest} were cut short or recorded less often")


def window_lags(n_lags: int | None, segments: Segments, contiguous: bool) -> int:
    """The length of the lag window in frames: as asked, or half of the shortest segment.

    Raises:
        ConfigError: below 2 lags, or None where the segments come from an iterator.
        DataError: if a segment has fewer than 2 frames.
    """
    if n_lags is not None:
        if n_lags < 2:
            raise ConfigError(f"the window needs at least 2 frames, not n_lags = {n_lags}")
        return int(n_lags)
    if not isinstance(segments, Sequence | np.ndarray):
        raise ConfigError(
            "frames from an iterator do not tell how many there are: give n_lags, the length of "
            "the window in frames"
        )
    lengths = [len(segment) for segment in segments]
    if not lengths:
        raise DataError("at least one segment is needed")
    n_frames = sum(lengths) if contiguous else min(lengths)
    if n_frames < 2:
        raise DataError(f"a spectrum needs segments of at least 2 frames, not {n_frames}")
    return max(2, n_frames // 2)


def check_timestep(timestep_fs: float) -> None:
    """Raises DataError unless the time between frames is positive."""
    if not (np.isfinite(timestep_fs) and timestep_fs > 0):
        raise DataError(f"timestep_fs must be positive, not {timestep_fs}")
