"""What frames must be before they are analysed, and how they are divided into blocks."""

from __future__ import annotations

import itertools

import numpy as np

from mlpotential.errors import ConfigError, DataError


def block_slices(n_frames: int, n_blocks: int) -> list[slice]:
    """Contiguous blocks that hold every frame once; their lengths differ by one at most.

    Raises:
        ConfigError: if `n_blocks` is below 1.
        DataError: if there are fewer frames than blocks.
    """
    if n_blocks < 1:
        raise ConfigError(f"n_blocks must be at least 1, not {n_blocks}")
    if n_frames < n_blocks:
        raise DataError(
            f"{n_frames} frames cannot be divided into {n_blocks} blocks: run longer, or ask for "
            "fewer blocks (n_blocks=1 goes without error bars)"
        )
    edges = [n_frames * block // n_blocks for block in range(n_blocks + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def check_finite_frames(values: np.ndarray, name: str, first_frame: int = 0) -> None:
    """Raises DataError naming the first frame that holds NaN or infinity.

    Args:
        values: [n_frames, ...].
        name: what the values are, for the message.
        first_frame: number of the first frame of `values` in its trajectory.
    """
    if not np.isfinite(values).all():
        frame = int(np.argmax(~np.isfinite(values).reshape(len(values), -1).all(axis=1)))
        raise DataError(
            f"{name} of frame {first_frame + frame} are not finite: "
            "the run went wrong there; analyse the frames before it"
        )


def check_masses(masses: np.ndarray, n_atoms: int) -> None:
    """Raises DataError unless there is one positive mass for each atom, [n_atoms] (amu)."""
    if np.shape(masses) != (n_atoms,):
        raise DataError(
            f"{n_atoms} atoms need masses of shape ({n_atoms},), not {np.shape(masses)}"
        )
    if not (np.isfinite(masses).all() and np.all(np.asarray(masses) > 0)):
        atom = int(np.argmin(np.nan_to_num(masses, nan=0.0, posinf=0.0) > 0))
        raise DataError(f"the mass of atom {atom} is {masses[atom]}: it must be positive (amu)")


def check_trajectory_positions(positions: np.ndarray) -> None:
    """Raises DataError unless the shape is [n_frames, n_beads, n_atoms, 3] and nothing is empty."""
    if len(positions.shape) != 4 or positions.shape[3] != 3 or 0 in positions.shape:
        raise DataError(
            f"positions must have shape [n_frames, n_beads, n_atoms, 3], not "
            f"{list(positions.shape)} (a classical run has one bead)"
        )


def uniform_timestep_fs(times_fs: np.ndarray) -> float:
    """The time between frames that are evenly spaced (fs).

    Args:
        times_fs: [n_frames].

    Raises:
        DataError: a single frame; times that go backward, repeat or are unevenly spaced.
    """
    times = np.asarray(times_fs, np.float64)
    if len(times) < 2:
        raise DataError(f"a time step needs at least 2 frames, not {len(times)}")
    check_finite_frames(times, "times")
    steps = np.diff(times)
    typical = float(np.median(steps))
    uneven = np.abs(steps - typical) > 1e-3 * typical  # chosen: times are often rounded
    if typical <= 0 or uneven.any():
        frame = int(np.argmax(uneven))
        raise DataError(
            f"frames are not evenly spaced in time: {times[frame]} fs is followed by "
            f"{times[frame + 1]} fs at frame {frame + 1}, where most steps are {typical:.6g} fs. "
            "If the times are wrong, give the interval (--frame-interval-fs)"
        )
    return float(times[-1] - times[0]) / len(steps)
