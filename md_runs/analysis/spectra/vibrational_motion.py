"""From recorded velocities to the vibrations of atoms or modes, piece by piece.

Mass-weighted velocities sqrt(m) v less those of the molecule as a whole, in the laboratory frame;
or, with the modes e_k of a reference structure, in the Eckart frame of the reference,

    dq_k/dt = sum_i sqrt(m_i) e_ki . R v_i.   (1)

Of the 3 n_g degrees of freedom of a group g of atoms, those that are free to move, the vibrations
hold

    n_g' = 3 n_g - sum_u sum_(i in g) |u_i|^2,   (2)

u being the orthonormal mass-weighted rigid motions that are taken off, see `degrees_of_freedom`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from md_runs.analysis.vibrations.degrees_of_freedom import (
    LINEAR_AT_REST_DEGREES,
    Conserved,
    DegreesOfFreedom,
    degrees_of_freedom,
    is_linear,
)
from md_runs.analysis.vibrations.rigid_body import eckart_rotations
from mlpotential.errors import ConfigError, DataError
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

Removed = Conserved

ORTHONORMAL_TOLERANCE = 1e-6  # chosen: modes read from a text file keep six digits
JUMP_ANGSTROM = 1.0  # chosen: atoms move by 0.1 A between frames, cells are longer than 2 A


@dataclass(frozen=True)
class ModeProjection:
    """Normal modes to project velocities on, see `normal_modes.NormalModes`.

    Attributes:
        modes: mass-weighted and orthonormal, [n_modes, n_atoms, 3].
        reference: positions of the structure they belong to, [n_atoms, 3] (A).

    Raises:
        DataError: shapes that do not belong together, or modes that are not orthonormal.
    """

    modes: np.ndarray
    reference: np.ndarray

    def __post_init__(self) -> None:
        shape = np.shape(self.modes)
        if len(shape) != 3 or shape[1:] != np.shape(self.reference) or shape[2] != 3:
            raise DataError(
                f"modes [n_modes, n_atoms, 3] and a reference [n_atoms, 3] are needed, not "
                f"{list(shape)} and {list(np.shape(self.reference))}"
            )
        flat = np.reshape(self.modes, (len(self.modes), -1))
        if np.abs(flat @ flat.T - np.eye(len(flat))).max() > ORTHONORMAL_TOLERANCE:
            raise DataError(
                "the modes are not orthonormal: mass-weighted eigenvectors are needed, not "
                "Cartesian displacements"
            )


class VibrationalMotion:
    """Turns velocities (and positions) into columns whose correlation functions are taken.

    Args:
        masses: [n_atoms] (amu), checked.
        parts: a label of each atom, [n_atoms], or modes.
        removed: motions of the molecule as a whole to take off.
        mass_weighted: whether velocities are multiplied by sqrt(m).
        fixed: atoms that do not move and are not counted, [n_atoms] of bool; None for none.

    Raises:
        ConfigError: unknown motions to remove, modes without mass weighting.
        DataError: as many labels as atoms are needed, modes of another structure, or modes to be
            followed while atoms are fixed in a molecule that turns.
    """

    def __init__(
        self,
        masses: np.ndarray,
        parts: Sequence[str] | ModeProjection,
        removed: Removed,
        mass_weighted: bool = True,
        fixed: np.ndarray | None = None,
    ) -> None:
        if removed not in get_args(Removed):
            raise ConfigError(f"removed must be one of {get_args(Removed)}, not {removed!r}")
        self.masses = np.asarray(masses, np.float64)
        self.removed = removed
        self.mass_weighted = mass_weighted
        self.projection = parts if isinstance(parts, ModeProjection) else None
        self._rotational_energy = 0.0  # amu A^2/fs^2, summed over frames
        self._n_frames = 0
        self._first_positions: np.ndarray | None = None
        n_atoms = len(self.masses)
        self.fixed = np.zeros(n_atoms, bool) if fixed is None else np.asarray(fixed, bool)
        if isinstance(parts, ModeProjection):
            if not mass_weighted:
                raise ConfigError("modes are mass-weighted: leave mass_weighted on")
            if len(parts.reference) != n_atoms:
                raise DataError(f"the modes have {len(parts.reference)} atoms, not {n_atoms}")
            free = degrees_of_freedom(parts.reference, self.masses, removed, fixed=self.fixed)
            if self.fixed.any() and free.n_rotations:
                raise DataError(
                    "modes are followed in the frame of the whole molecule, but it turns about "
                    "atoms that are fixed: divide by element or atom, or remove 'translation' only"
                )
            self.labels = tuple(f"mode {k + 1}" for k in range(len(parts.modes)))
            self.channels = np.arange(len(parts.modes))
        else:
            if len(parts) != n_atoms:
                raise DataError(f"{n_atoms} atoms need as many labels, not {len(parts)}")
            self.labels = tuple(dict.fromkeys(parts))
            self._groups = np.array([self.labels.index(label) for label in parts])
            self.channels = np.repeat(self._groups, 3)
        self.freedom = self._freedom(np.zeros((n_atoms, 3)))  # the first frames tell of rotations

    @property
    def needs_positions(self) -> bool:
        """Whether velocities alone are not enough."""
        return self.removed == "translation and rotation"

    @property
    def n_modes(self) -> int:
        """Number of vibrations in all columns."""
        return self.freedom.n_thermal if self.projection is None else len(self.projection.modes)

    def _freedom(self, positions: np.ndarray) -> DegreesOfFreedom:
        """What is left to vibrate; modes tell by their own structure whether it is linear."""
        linear = None
        if self.projection is not None:
            linear = is_linear(self.projection.reference, LINEAR_AT_REST_DEGREES)
        return degrees_of_freedom(
            positions, self.masses, self.removed, fixed=self.fixed, linear=linear
        )

    def columns(self, velocities: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """One piece, [n, n_atoms, 3] (A/fs) and (A), as [n, n_columns] (sqrt(amu) A/fs)."""
        if self._n_frames == 0 and positions is not None:
            self._first_positions = positions[0]
            self.freedom = self._freedom(positions)
        self._n_frames += len(velocities)
        turning = velocities = self.freedom.without_translation(velocities)
        if self.removed == "translation and rotation":
            assert positions is not None
            check_unwrapped(positions)
            velocities = self.freedom.without_rigid_motion(turning, positions)
            self._rotational_energy += 0.5 * float(
                np.einsum("i,fix,fix->", self.masses, turning - velocities, turning)
            )
        weights = np.sqrt(self.masses) if self.mass_weighted else np.ones(len(self.masses))
        weighted = velocities * weights[:, None]
        if self.projection is None:
            return weighted.reshape(len(weighted), -1)
        if self.freedom.n_rotations:
            assert positions is not None
            turns = eckart_rotations(
                positions, self.projection.reference, self.masses, self.freedom.is_linear
            )
            weighted = np.einsum("fxy,fiy->fix", turns, weighted)
        flat_modes = self.projection.modes.reshape(len(self.projection.modes), -1)
        return weighted.reshape(len(weighted), -1) @ flat_modes.T  # (1)

    def expected_modes(self) -> np.ndarray:
        """How many vibrations each part holds (2), in the first frame, [n_parts]."""
        if self.projection is not None:
            return np.ones(len(self.labels))
        n_free = 3.0 * np.bincount(self._groups, weights=~self.fixed)
        positions = self._first_positions
        rigid = self.freedom.rigid_vectors(
            np.zeros((len(self.masses), 3)) if positions is None else positions
        )
        shares = np.einsum("uix,uix->i", rigid, rigid)
        return n_free - np.bincount(self._groups, weights=shares)  # (2)

    def line_splitting_per_cm(self) -> float | None:
        """How far rotation splits lines at most, W / (pi c); None where it was not looked at.

        W is the turning about the axis of least inertia that would hold the energy found.
        """
        if self.freedom.n_rotations == 0 or self.projection is not None:
            return None
        assert self._first_positions is not None
        turning = self.freedom.moments(self._first_positions)
        mean_energy = max(self._rotational_energy, 0.0) / self._n_frames  # 0 up to rounding
        return float(np.sqrt(2 * mean_energy / turning[0]) / np.pi * WAVENUMBER_PER_INVERSE_FS)


def check_unwrapped(positions: np.ndarray) -> None:
    """Raises DataError if an atom jumps from one frame to the next, as wrapped positions do."""
    steps = np.abs(np.diff(positions, axis=0))
    if steps.size and steps.max() > JUMP_ANGSTROM:
        frame, atom, _ = np.unravel_index(int(np.argmax(steps)), steps.shape)
        raise DataError(
            f"atom {atom} moves by {steps.max():.3g} A from one frame to the next (frame {frame} "
            "of a piece): unwrap the positions, or record frames more often"
        )
