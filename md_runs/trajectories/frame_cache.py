"""Frames of a slow format, read once and kept as numbers in temporary files.

The files lie in Python's folder for temporary files (the variable TMPDIR chooses another), have no
name, and are gone with the last array that reads them, however the program ends.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from md_runs.trajectories.frame_arrays import LazyFrames
from mlpotential.errors import RunError

Batch = dict[str, np.ndarray]  # some frames of each quantity, [n, ...]


class FrameCache:
    """The frames of one run, or of one file of it after another.

    One temporary file for each name of a quantity, whatever the number of beads: there may be
    thousands of these, but not of open files.
    """

    def __init__(self) -> None:
        self._files: dict[str, _Numbers] = {}

    def cached_frames(self, batches: Iterable[Batch], path: Path) -> dict[str, LazyFrames]:
        """Arrays [n_frames, ...] of all quantities that every frame has.

        Args:
            batches: consecutive frames; "positions" are in every batch.
            path: where they come from, for messages.

        Raises:
            RunError: no frame, a number that is not finite, or no room for a temporary file.

        Warns:
            UserWarning: a quantity that only some frames have, and is left out.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        left_out: set[str] = set()
        starts: dict[str, int] = {}  # of this file's numbers among those of the run (bytes)
        n_frames = 0
        try:
            for batch in batches:
                # The first frames tell what there is. Beads before may have filled the same files.
                if n_frames == 0:
                    shapes = {name: values.shape[1:] for name, values in batch.items()}
                    self._files |= {n: _Numbers() for n in shapes.keys() - self._files.keys()}
                    starts = {name: self._files[name].size for name in shapes}
                # What comes or goes later is left out altogether; the rest is appended.
                for name in shapes.keys() ^ batch.keys():
                    if name not in left_out:
                        warn_of_missing(path, name, n_frames)
                        left_out.add(name)
                for name in batch.keys() - left_out:
                    _check(path, name, batch[name], shapes[name], n_frames)
                    self._files[name].append(batch[name])
                n_frames += len(batch["positions"])
        except OSError as error:
            raise RunError(
                f"cannot read the trajectory {path}: {error.strerror or error}"
            ) from error
        if n_frames == 0:
            raise RunError(f"{path} holds no complete frame")
        return {
            name: self._files[name].frames(starts[name], (n_frames, *shapes[name]))
            for name in shapes.keys() - left_out
        }


class _Numbers:
    """A temporary file of float64, which is closed when no array reads it any more."""

    def __init__(self) -> None:
        with TemporaryFile() as file:
            self._descriptor = os.dup(file.fileno())
        self.size = 0  # bytes

    def __del__(self) -> None:
        os.close(self._descriptor)

    def append(self, values: np.ndarray) -> None:
        """Raises OSError where there is no room."""
        data = np.ascontiguousarray(values, np.float64).reshape(-1).view(np.uint8).data
        while data:
            n_written = os.pwrite(self._descriptor, data, self.size)
            self.size, data = self.size + n_written, data[n_written:]

    def frames(self, offset: int, shape: tuple[int, ...]) -> LazyFrames:
        """The numbers from a byte on, as [n_frames, ...]."""
        frame_bytes = 8 * int(np.prod(shape[1:]))

        def read(start: int, stop: int) -> np.ndarray:
            values = np.empty((stop - start, *shape[1:]))
            buffer, place = values.reshape(-1).view(np.uint8).data, offset + start * frame_bytes
            while buffer:  # the system gives at most 2 GB at once
                n_read = os.preadv(self._descriptor, [buffer], place)
                buffer, place = buffer[n_read:], place + n_read
            return values

        return LazyFrames(shape, read)


def _check(
    path: Path, name: str, values: np.ndarray, shape: tuple[int, ...], first_frame: int
) -> None:
    if values.shape[1:] != shape:
        raise RunError(
            f"{name} of frame {first_frame} of {path} have the shape {list(values.shape[1:])}, "
            f"those before {list(shape)}"
        )
    if not np.isfinite(values).all():
        frame = int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise RunError(f"frame {first_frame + frame} of {path} has {name} that are not finite")


def warn_of_missing(path: Path, name: str, frame: int) -> None:
    """Says that a quantity is left out."""
    warnings.warn(
        f"not every frame of {path} has {name} (frames around {frame}): they are left out",
        stacklevel=4,
    )
