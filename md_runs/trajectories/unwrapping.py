"""Positions that are followed across the faces of a periodic cell.

Between two frames an atom moves by less than half a cell, so that its step is the one to the
nearest image,

    d(t) = x(t) - x(t - h) - n(t) a(t),   n = rint((x(t) - x(t - h)) a(t)^-1),   (1)

with the cell vectors a of the later frame (of a run whose cell changes `trajectory.unwrapped` gives
positions in its mean cell, which do not depend on how far an atom has gone); unwrapped positions
are the first ones and the sum of the steps (S. von Buelow, J. T. Bullerjahn, G. Hummer, J. Chem.
Phys. 153, 021101 (2020), doi:10.1063/5.0008316). Only the jumps n a are kept, which are few. A step
of nearly half a cell could as well be one to the other side: it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from md_runs.analysis.structure.periodic_images import checked_cells
from md_runs.trajectories.frame_arrays import FrameArray, LazyFrames
from mlpotential.errors import DataError

PIECE_FRAMES = 1_000  # chosen: read at once
LONGEST_STEP = 0.4  # chosen: of the distance between faces; half of it cannot be told


@dataclass(frozen=True)
class _Jumps:
    """Lattice vectors that are taken off from a frame on, in the order of the frames.

    Attributes:
        frames: [n_jumps].
        particles: number of bead and atom together, [n_jumps].
        vectors: [n_jumps, 3] (A).
    """

    frames: np.ndarray
    particles: np.ndarray
    vectors: np.ndarray

    def offsets(self, start: int, stop: int, n_particles: int) -> np.ndarray:
        """Sums up to each frame, [stop - start, n_particles, 3] (A)."""
        before, within = np.searchsorted(self.frames, [start, stop])
        offsets = np.zeros((stop - start, n_particles, 3))
        np.add.at(offsets[0], self.particles[:before], self.vectors[:before])
        here = slice(before, within)
        np.add.at(offsets, (self.frames[here] - start, self.particles[here]), self.vectors[here])
        return np.cumsum(offsets, axis=0)


def unwrapped_positions(
    positions: FrameArray, cells: FrameArray, pbc: tuple[bool, bool, bool]
) -> FrameArray:
    """Positions that do not jump, (1), read when they are taken; the same where none jumps.

    Args:
        positions: wrapped or not, [n_frames, n_beads, n_atoms, 3] (A).
        cells: lattice vectors as rows, [n_frames, 3, 3] (A).
        pbc: periodic directions.

    Raises:
        DataError: an atom crosses a face, and one moves by nearly half a cell between two frames:
            its image cannot be told.
        StructureError: for a cell that is flat or thin.
    """
    jumps, shape = _jumps(positions, cells, pbc), positions.shape
    if len(jumps.frames) == 0:
        return positions

    def read(start: int, stop: int) -> np.ndarray:
        wrapped = np.asarray(positions[start:stop], np.float64)
        offsets = jumps.offsets(start, stop, shape[1] * shape[2])
        found: np.ndarray = wrapped - offsets.reshape(wrapped.shape)
        return found

    return LazyFrames(shape, read)


def _jumps(positions: FrameArray, cells: FrameArray, pbc: tuple[bool, bool, bool]) -> _Jumps:
    """Where (1) has n other than 0. Raises DataError as `unwrapped_positions`."""
    frames, particles, vectors = [np.empty(0, int)], [np.empty(0, int)], [np.empty((0, 3))]
    longest, where = 0.0, (0, 0)
    n_frames, n_atoms = positions.shape[0], positions.shape[2]
    for start in range(0, n_frames - 1, PIECE_FRAMES):
        stop = min(start + PIECE_FRAMES + 1, n_frames)
        later_cells = checked_cells(np.asarray(cells[start + 1 : stop]), pbc)
        steps = _steps(positions, start, stop)  # [n, n_particles, 3]
        fractional = steps @ np.linalg.inv(later_cells)
        images = np.where(pbc, np.rint(fractional), 0.0)
        rest = np.where(pbc, np.abs(fractional - images), 0.0)
        if rest.max() > longest:
            at, particle, _ = (int(k) for k in np.unravel_index(int(rest.argmax()), rest.shape))
            longest, where = float(rest.max()), (start + at + 1, particle % n_atoms)
        jumping, whose = np.nonzero(images.any(axis=2))
        frames.append(start + 1 + jumping)
        particles.append(whose)
        vectors.append(np.einsum("kx,kxy->ky", images[jumping, whose], later_cells[jumping]))
    found = _Jumps(*(np.concatenate(some) for some in (frames, particles, vectors)))
    if len(found.frames) and longest > LONGEST_STEP:
        raise DataError(
            f"positions are wrapped into the cell, and atom {where[1]} moves by {longest:.2g} of "
            f"it from frame {where[0] - 1} to {where[0]}: too far to tell its image. Record frames "
            "more often, unwrapped positions, or velocities"
        )
    return found


def _steps(positions: FrameArray, start: int, stop: int) -> np.ndarray:
    """From frame to frame, [stop - start - 1, n_beads * n_atoms, 3] (A)."""
    piece = np.asarray(positions[start:stop], np.float64)
    return np.diff(piece.reshape(len(piece), -1, 3), axis=0)
