"""Frames in order, evenly spaced and complete, before a spectrum is made of them.

A run that was restarted from a checkpoint records the frames after it again; the later ones
belong to what follows and replace the earlier ones.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from md_runs.analysis.sampling.frames import check_finite_frames, uniform_timestep_fs
from mlpotential.errors import DataError

REPEATED = "{} frames were recorded again after a restart: the later ones are used"


@dataclass(frozen=True)
class EvenFrames:
    """Quantities of frames that follow each other in equal times.

    Attributes:
        timestep_fs: time between frames.
        quantities: by name, [n_frames, ...].
        n_repeated: number of frames that were left out because a restart repeated them.
    """

    timestep_fs: float
    quantities: dict[str, np.ndarray]
    n_repeated: int


def evenly_spaced_frames(times_fs: np.ndarray, **quantities: np.ndarray) -> EvenFrames:
    """Takes out frames that a restart repeated, and checks that nothing is missing.

    Args:
        times_fs: of each frame, [n_frames].
        quantities: velocities, dipoles, ... by name, [n_frames, ...].

    Raises:
        DataError: a quantity with more or fewer frames than times, times that are not finite, or
            frames that are not evenly spaced once repeated ones are out.

    Warns:
        UserWarning: if frames were repeated, how many.
    """
    times = np.asarray(times_fs, np.float64)
    for name, values in quantities.items():
        if len(values) != len(times):
            longer = "longer" if len(values) > len(times) else "shorter"
            raise DataError(
                f"{len(times)} frames have times, but {len(values)} have {name}: their file is "
                f"{longer}, so that frames cannot be told apart; cut both to what they share"
            )
    check_finite_frames(times, "times")
    kept = last_records(times)
    n_repeated = len(times) - len(kept)
    if n_repeated:
        warnings.warn(REPEATED.format(n_repeated), stacklevel=2)
    return EvenFrames(
        timestep_fs=uniform_timestep_fs(times[kept]),
        quantities={
            name: values[kept] if n_repeated else values for name, values in quantities.items()
        },
        n_repeated=n_repeated,
    )


def last_records(times: np.ndarray) -> np.ndarray:
    """Indices of the frames that no later one repeats or precedes, ascending in time."""
    earliest_to_come = np.minimum.accumulate(times[::-1])[::-1]
    is_last = np.append(times[:-1] < earliest_to_come[1:], True) if len(times) else np.array([])
    return np.flatnonzero(is_last)
