"""Which motions of a system are thermal: one rule for runs, for their starts and for analysis.

A motion of the whole that no potential between the atoms resists is

    v_i = V + w x (r_i - c),   with V + w x (r_f - c) = 0 for each fixed atom f.            (1)

Its momentum (P for V, L for w) is conserved: a run that begins without it never has it, and a
thermostat that scales momenta cannot heat it. With no atom fixed there are three translations and,
in a molecule, three rotations about the centre of mass c; with one fixed atom c only the rotations
about it; with several on one line the rotation about that line; else, as with a fixed slab, none.
What is periodic in any direction does not turn. Friction on every atom does heat rotations, which
is why a caller says what is conserved.

A linear molecule has two rotations, not three. Where it is bent, its moment of inertia about its
axis is not zero, but the motion about the axis is that of its bends, two vibrations of one
wavenumber that pass into each other: vibrational angular momentum, as thermal as any vibration. So
with N atoms free to move there are

    f = 3 N - n_rigid,   n_rigid = n_translations + n_rotations,                            (2)

n_rotations being the number of independent w in (1), and one less in a linear molecule: of 3 N - 5
vibrations none is lost. At any positions the momenta without rigid motion fill a linear space of f
dimensions, where their mean kinetic energy at equilibrium is f kT / 2. Of a linear molecule they
have an L along its axis, which Newton's equations keep as long as the axis stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from md_runs.analysis.vibrations.rigid_body import centered, inertia_tensors

Conserved = Literal["translation and rotation", "translation", "nothing"]

# Two tolerances, because two questions are asked. At rest a molecule is linear or it is not, but
# for what a residual force bends it: 0.01 eV/A bends CO2 by 0.1 degrees. Atoms in motion bend: HCN
# at 300 K by 10 degrees (root mean square), in one frame of 5000 by 30. Of bent molecules those
# with the most obtuse angles stay below: NO2 has 134 degrees, HNCO 124 at its nitrogen.
LINEAR_AT_REST_DEGREES = 175.0  # chosen
LINEAR_IN_MOTION_DEGREES = 150.0  # chosen
SAME_LINE = 1e-6  # chosen: of squared lengths; fixed atoms on one line to three digits


@dataclass(frozen=True)
class DegreesOfFreedom:
    """The rigid motions (1) of a system, and the number of its thermal degrees of freedom (2).

    Attributes:
        masses: [n_atoms] (amu).
        fixed: which atoms never move, [n_atoms].
        n_translations: 3 or 0.
        turn_directions: what w of (1) is a combination of, orthonormal, [0, 1 or 3, 3].
        is_linear: a linear molecule, whose motion about its axis is vibration.
    """

    masses: np.ndarray
    fixed: np.ndarray
    n_translations: int
    turn_directions: np.ndarray
    is_linear: bool

    @property
    def n_rotations(self) -> int:
        """Number of independent rotations of the whole."""
        return max(0, len(self.turn_directions) - int(self.is_linear))

    @property
    def n_rigid(self) -> int:
        """Number of rigid motions, translations and rotations."""
        return self.n_translations + self.n_rotations

    @property
    def n_thermal(self) -> int:
        """f of (2)."""
        return 3 * int(np.sum(~self.fixed)) - self.n_rigid

    def moments(self, positions: np.ndarray) -> np.ndarray:
        """Moments of inertia of the rotations, ascending, [..., n_rotations] (amu A^2)."""
        return self._rotations(positions)[0]

    def rigid_vectors(self, positions: np.ndarray) -> np.ndarray:
        """The rigid motions of one structure, mass-weighted and orthonormal.

        Args:
            positions: [n_atoms, 3] (A).

        Returns:
            Translations, then rotations, [n_rigid, n_atoms, 3].
        """
        root_mass = np.sqrt(self.masses)[:, None]
        axes, r = self._rotations(positions)[1], self._from_centre(positions)
        shifts = np.eye(3)[: self.n_translations, None, :]
        turns = np.where(self.fixed[:, None], 0.0, np.cross(axes[:, None, :], r))
        vectors = root_mass * np.concatenate([np.tile(shifts, (1, len(r), 1)), turns])
        return vectors / np.linalg.norm(vectors, axis=(1, 2), keepdims=True)

    def without_translation(self, velocities: np.ndarray) -> np.ndarray:
        """Velocities without that of the centre of mass, if it is free; none of fixed atoms.

        Args:
            velocities: [..., n_atoms, 3], in any unit.
        """
        moving = np.where(self.fixed[:, None], 0.0, velocities)
        return centered(moving, self.masses) if self.n_translations else moving

    def without_rigid_motion(self, velocities: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Velocities without the rigid motions: the orthogonal projection, mass-weighted.

        Maxwell-Boltzmann velocities stay Maxwell-Boltzmann in the directions that are left. The
        angular velocity is that of the angular momentum at each frame, w = I^-1 L.

        Args:
            velocities: [..., n_atoms, 3], in any unit.
            positions: [..., n_atoms, 3] (A).
        """
        v = self.without_translation(velocities)
        if self.n_rotations == 0:
            return v
        r = self._from_centre(positions)
        moments, axes = self._rotations(positions)
        angular_momenta = np.einsum("i,...ix->...x", self.masses, np.cross(r, v))
        along_axes = np.einsum("...kx,...x->...k", axes, angular_momenta)
        turns = np.divide(along_axes, moments, out=np.zeros_like(moments), where=moments > 0)
        w = np.einsum("...kx,...k->...x", axes, turns)
        return self.without_translation(v - np.cross(w[..., None, :], r))

    def _from_centre(self, positions: np.ndarray) -> np.ndarray:
        """r - c of (1), [..., n_atoms, 3] (A)."""
        if not self.fixed.any():
            return centered(positions, self.masses)
        first = int(np.argmax(self.fixed))
        return positions - positions[..., first : first + 1, :]

    def _rotations(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Moments, [..., n_rotations] (amu A^2), and axes, [..., n_rotations, 3]; of a linear
        molecule all but the least moment.
        """
        directions = self.turn_directions
        tensors = inertia_tensors(self._from_centre(positions), self.masses)
        among_directions = np.einsum("kx,...xy,ly->...kl", directions, tensors, directions)
        moments, vectors = np.linalg.eigh(among_directions)
        first = len(directions) - self.n_rotations
        axes = np.einsum("...kl,kx->...lx", vectors, directions)
        return moments[..., first:], axes[..., first:, :]


def degrees_of_freedom(
    positions: np.ndarray,
    masses: np.ndarray,
    conserved: Conserved = "translation and rotation",
    *,
    fixed: np.ndarray | None = None,
    pbc: Sequence[bool] | np.ndarray = (False, False, False),
    linear: bool | None = None,
) -> DegreesOfFreedom:
    """The rigid motions and the thermal degrees of freedom of a system.

    Args:
        positions: of one structure or of frames, [n_atoms, 3] or [n_frames, n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        conserved: what the dynamics conserves, were no atom fixed and nothing periodic.
        fixed: which atoms never move, [n_atoms] of bool; None for none.
        pbc: periodic directions, [3].
        linear: whether the molecule is linear, where that is known from elsewhere (the structure
            that a run began with); None to ask the positions, see `is_linear`.
    """
    positions, masses = np.asarray(positions, np.float64), np.asarray(masses, np.float64)
    n_atoms = len(masses)
    is_fixed = np.zeros(n_atoms, bool) if fixed is None else np.asarray(fixed, bool)
    turns = conserved == "translation and rotation" and not np.any(pbc) and n_atoms > 1
    directions = np.zeros((0, 3))
    if turns:
        directions = _turn_directions(positions.reshape(-1, n_atoms, 3)[0][is_fixed])
        linear = is_linear(positions) if linear is None else linear
    return DegreesOfFreedom(
        masses=masses,
        fixed=is_fixed,
        n_translations=0 if conserved == "nothing" or is_fixed.any() else 3,
        turn_directions=directions,
        is_linear=bool(turns and linear),
    )


def degrees_of_freedom_at_rest(
    positions: np.ndarray,
    masses: np.ndarray,
    *,
    fixed: np.ndarray | None = None,
    pbc: Sequence[bool] | np.ndarray = (False, False, False),
    linear: bool | None = None,
) -> DegreesOfFreedom:
    """`degrees_of_freedom` in the structure that modes belong to.

    Args:
        positions: a stationary point, or near one, [n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        fixed, pbc, linear: as of `degrees_of_freedom`.
    """
    if linear is None:
        linear = is_linear(positions, LINEAR_AT_REST_DEGREES)
    return degrees_of_freedom(positions, masses, fixed=fixed, pbc=pbc, linear=linear)


def n_vibrations(n_atoms: int, is_linear: bool) -> int:
    """Of a free molecule: 3N - 6, linear 3N - 5, of an atom none."""
    return 0 if n_atoms == 1 else 3 * n_atoms - (5 if is_linear else 6)


def is_linear(positions: np.ndarray, least_degrees: float = LINEAR_IN_MOTION_DEGREES) -> bool:
    """Whether the atoms lie on a line, but for bending.

    In the order of the atoms along the longest extension of each frame, the bond angles have mean
    cosines, over frames, which are all those of an angle of at least `least_degrees`.

    Args:
        positions: [..., n_atoms, 3] (A).
        least_degrees: the least bond angle of a linear molecule (degrees).
    """
    positions = np.asarray(positions, np.float64)
    frames = positions.reshape(-1, *positions.shape[-2:])
    n_atoms = frames.shape[1]
    if n_atoms < 3:
        return n_atoms == 2
    r = frames - frames.mean(axis=1, keepdims=True)
    longest = np.linalg.eigh(np.einsum("fix,fiy->fxy", r, r))[1][:, :, -1]
    order = np.argsort(np.einsum("fix,fx->fi", r, longest), axis=1)
    bonds = np.diff(np.take_along_axis(r, order[:, :, None], axis=1), axis=1)
    bonds /= np.maximum(np.linalg.norm(bonds, axis=2, keepdims=True), np.finfo(float).tiny)
    cosines = np.einsum("fkx,fkx->fk", bonds[:, 1:], bonds[:, :-1]).mean(axis=0)  # 1 if straight
    return bool(cosines.min() >= -np.cos(np.radians(least_degrees)))


def _turn_directions(fixed_positions: np.ndarray) -> np.ndarray:
    """Directions of w that leave all fixed atoms, [n_fixed, 3] (A), in place, [0, 1 or 3, 3]."""
    offsets = fixed_positions - fixed_positions[:1]
    squares = np.einsum("ix,iy->xy", offsets, offsets)
    # w moves the fixed atoms by sum |w x d|^2 = w (tr S - S) w in all.
    moved, directions = np.linalg.eigh(np.trace(squares) * np.eye(3) - squares)
    return np.asarray(directions.T[moved <= SAME_LINE * np.trace(squares)])
