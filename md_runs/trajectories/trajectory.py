"""What a run leaves behind: positions (of every bead) in time, with whatever else was recorded."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from md_runs.analysis.sampling.frames import uniform_timestep_fs
from md_runs.analysis.structure.periodic_images import checked_cells
from md_runs.trajectories.frame_arrays import (
    FrameArray,
    LazyFrames,
    MissingFrames,
    centroid,
    chosen_frames,
)
from md_runs.trajectories.unwrapping import unwrapped_positions
from mlpotential.errors import DataError

REPEATED = "{} frames were recorded again after a restart: the later ones are used"


@dataclass(frozen=True)
class Trajectory:
    """A run of one structure; a classical run has one bead. Quantities not recorded are None.

    Frame arrays may be read from a file when frames are taken, see `frame_arrays`.

    Attributes:
        atomic_numbers: [n_atoms].
        masses: [n_atoms] (amu).
        times_fs: [n_frames], ascending.
        positions: [n_frames, n_beads, n_atoms, 3] (A); `has_positions` tells whether there are any,
            `unwrapped` takes them across the faces of a cell that they may be wrapped into.
        velocities_angstrom_per_fs: [n_frames, n_beads, n_atoms, 3].
        forces: [n_frames, n_beads, n_atoms, 3] (eV/A).
        energies: potential energies, [n_frames, n_beads] (eV).
        cells: lattice vectors as rows, [n_frames, 3, 3] (A); None for a molecule.
        pbc: periodic directions, [3].
        dipoles: [n_frames, n_beads, 3] (e A).
        polarizabilities: [n_frames, n_beads, 3, 3] (A^3).
        charges: [n_frames, n_beads, n_atoms] (e).
        member_energies: potential energies of each member of a committee, whose mean moved the
            atoms, [n_frames, n_beads, n_members] (eV).
        member_energy_scale: standard error over their spread, where it was calibrated.
        calibration: of the committee, in words.
        temperature_K: of the thermostat; None where it is not known, or there is none.
        dynamics: what moved the atoms, a method of `analysis.spectra.dynamics`, or its
            SAMPLING_ONLY; None where it is not known.
        friction_per_fs: of a Langevin thermostat, where it is known.
        integration_timestep_fs: step of the integrator, where it is known.
        fixed: which atoms were held where they are, [n_atoms] of bool; None where all could move.
    """

    atomic_numbers: np.ndarray
    masses: np.ndarray
    times_fs: np.ndarray
    positions: FrameArray
    velocities_angstrom_per_fs: FrameArray | None = None
    forces: FrameArray | None = None
    energies: FrameArray | None = None
    cells: FrameArray | None = None
    pbc: tuple[bool, bool, bool] = (False, False, False)
    dipoles: FrameArray | None = None
    polarizabilities: FrameArray | None = None
    charges: FrameArray | None = None
    member_energies: FrameArray | None = None
    member_energy_scale: float | None = None
    calibration: str | None = None
    temperature_K: float | None = None
    dynamics: str | None = None
    friction_per_fs: float | None = None
    integration_timestep_fs: float | None = None
    fixed: np.ndarray | None = None

    @property
    def n_frames(self) -> int:
        """Number of recorded frames."""
        return int(self.positions.shape[0])

    @property
    def n_beads(self) -> int:
        """Number of beads; 1 for a classical run."""
        return int(self.positions.shape[1])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.positions.shape[2])

    @property
    def has_positions(self) -> bool:
        """Whether positions can be taken; outputs of i-PI may hold dipoles or energies alone."""
        return not isinstance(self.positions, MissingFrames)

    @property
    def frame_interval_fs(self) -> float:
        """The time between frames. Raises DataError where it varies, or there is one frame."""
        return uniform_timestep_fs(self.times_fs)


FRAME_FIELDS = (
    "positions",
    "velocities_angstrom_per_fs",
    "forces",
    "energies",
    "cells",
    "dipoles",
    "polarizabilities",
    "charges",
    "member_energies",
)


def last_records(times: np.ndarray) -> np.ndarray:
    """Indices of the frames that no later one repeats or precedes, ascending in time.

    A run that was restarted from a checkpoint records the frames after it again; the later ones
    belong to what follows and replace the earlier ones.
    """
    earliest_to_come = np.minimum.accumulate(times[::-1])[::-1]
    is_last = np.append(times[:-1] < earliest_to_come[1:], True) if len(times) else np.array([])
    return np.flatnonzero(is_last)


def with_frames(trajectory: Trajectory, chosen: np.ndarray) -> Trajectory:
    """The frames of ascending numbers `chosen`, [n_chosen], only; nothing is read."""
    fields = {name: getattr(trajectory, name) for name in FRAME_FIELDS}
    kept = {name: chosen_frames(v, chosen) for name, v in fields.items() if v is not None}
    return replace(trajectory, times_fs=trajectory.times_fs[chosen], **kept)


def centroid_of(trajectory: Trajectory) -> Trajectory:
    """The mean over beads of everything, as the only bead; nothing is read."""
    of_beads = [name for name in FRAME_FIELDS if name != "cells"]
    fields = {name: getattr(trajectory, name) for name in of_beads}
    means = {name: centroid(v, keep_bead=True) for name, v in fields.items() if v is not None}
    return replace(trajectory, **means)


def unwrapped(trajectory: Trajectory) -> Trajectory:
    """The same run with positions that do not jump at the faces of its cell, and in one cell.

    Where the cell changes positions are those `in_mean_cell`.

    Raises:
        DataError, StructureError: as `unwrapped_positions`.
    """
    if trajectory.cells is None or not any(trajectory.pbc) or not trajectory.has_positions:
        return trajectory
    trajectory = in_mean_cell(trajectory)
    positions = unwrapped_positions(trajectory.positions, trajectory.cells, trajectory.pbc)
    return replace(trajectory, positions=positions)


def has_moving_cell(trajectory: Trajectory) -> bool:
    """Whether the cell differs between frames."""
    if trajectory.cells is None or not any(trajectory.pbc) or trajectory.n_frames == 0:
        return False
    cells = np.asarray(trajectory.cells[:])
    return bool((cells != cells[0]).any())


def in_mean_cell(trajectory: Trajectory) -> Trajectory:
    """The motion of atoms relative to a cell that changes: x a(t)^-1 <a>, all in the cell <a>.

    A cell that breathes carries every atom along, the further the longer its way has been, and none
    of that is motion of atoms. Positions of another run are as they are; nothing is read.

    Raises:
        DataError, StructureError: for a cell that is flat or thin.
    """
    if not (has_moving_cell(trajectory) and trajectory.has_positions):
        return trajectory
    assert trajectory.cells is not None
    cells = checked_cells(np.asarray(trajectory.cells[:]), trajectory.pbc)
    mean_cell, positions = cells.mean(axis=0), trajectory.positions
    changes = np.linalg.inv(cells) @ mean_cell

    def read(start: int, stop: int) -> np.ndarray:
        piece = np.asarray(positions[start:stop], np.float64)
        moved: np.ndarray = piece @ changes[start:stop, None]
        return moved

    moved = LazyFrames(positions.shape, read)
    return replace(trajectory, positions=moved, cells=np.broadcast_to(mean_cell, cells.shape))


def with_velocities(trajectory: Trajectory) -> Trajectory:
    """Velocities from positions where none were recorded; the first and the last frame go.

    They are central differences (x(t + h) - x(t - h)) / 2h, which damp a spectrum by
    sinc(w h)^2: `analysis.without_difference_damping(spectrum, 2)` takes that
    back. Positions that are wrapped into a
    cell are unwrapped first; where the cell changes velocities are those relative to it.

    Raises:
        DataError: fewer than four frames, frames that are not evenly spaced, or as `unwrapped`.

    Warns:
        UserWarning: that velocities are differences.
    """
    if trajectory.velocities_angstrom_per_fs is not None:
        return trajectory
    if trajectory.n_frames < 4:
        raise DataError(
            f"velocities as differences of positions take at least 4 frames, not "
            f"{trajectory.n_frames}: run longer, or record velocities"
        )
    trajectory, interval_fs = unwrapped(trajectory), trajectory.frame_interval_fs
    positions = trajectory.positions
    inner = with_frames(trajectory, np.arange(1, trajectory.n_frames - 1))

    def read(start: int, stop: int) -> np.ndarray:
        around = np.asarray(positions[start : stop + 2], np.float64)
        differences: np.ndarray = (around[2:] - around[:-2]) / (2 * interval_fs)
        return differences

    warnings.warn(
        "velocities are not those of the run: they are central differences of the positions, which "
        f"damp high wavenumbers (frames {interval_fs:.4g} fs apart)",
        stacklevel=2,
    )
    return replace(inner, velocities_angstrom_per_fs=LazyFrames(inner.positions.shape, read))
