"""Frames of a slow format, read once and kept as numbers in a temporary file.

The file lies in Python's folder for temporary files (the variable TMPDIR chooses another), has no
name, and is gone with the last array that shows it, however the program ends.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from mlpotential.errors import RunError

Batch = dict[str, np.ndarray]  # some frames of each quantity, [n, ...]


def spooled(batches: Iterable[Batch], path: Path) -> dict[str, np.ndarray]:
    """Memory maps [n_frames, ...] of all quantities that every frame has.

    Args:
        batches: consecutive frames; "positions" are in every batch.
        path: where they come from, for messages.

    Raises:
        RunError: no frame, a number that is not finite, or no room for the temporary file.

    Warns:
        UserWarning: a quantity that only some frames have, and is left out.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    left_out: set[str] = set()
    n_frames = 0
    with contextlib.ExitStack() as opened:
        files: dict[str, Any] = {}
        try:
            for batch in batches:
                if n_frames == 0:
                    shapes = {name: values.shape[1:] for name, values in batch.items()}
                    files = {name: opened.enter_context(TemporaryFile()) for name in batch}
                for name in shapes.keys() ^ batch.keys():
                    if name not in left_out:
                        warn_of_missing(path, name, n_frames)
                        left_out.add(name)
                for name in batch.keys() - left_out:
                    _check(path, name, batch[name], shapes[name], n_frames)
                    files[name].write(np.ascontiguousarray(batch[name], np.float64).data)
                n_frames += len(batch["positions"])
            if n_frames == 0:
                raise RunError(f"{path} holds no complete frame")
            for file in files.values():
                file.flush()
        except OSError as error:
            raise RunError(
                f"cannot read the trajectory {path}: {error.strerror or error}"
            ) from error
        return {
            name: np.memmap(files[name], np.float64, mode="r", shape=(n_frames, *shapes[name]))
            for name in shapes.keys() - left_out
        }


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
