"""Planes through structures, and grids of points in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from mlpotential.errors import ConfigError
from mlpotential.settings_checks import require

FLAT = 1e-3  # A; chosen: atoms in a line within it span no plane
FORMS = "best, atoms=0,1,2, normal=0,0,1 or lattice=1,1,0"


@dataclass(frozen=True)
class Plane:
    """A plane with two axes.

    Attributes:
        origin: a point of it, [3] (A).
        axes: orthogonal unit vectors in it, [2, 3].
        words: which plane it is.
    """

    origin: np.ndarray
    axes: np.ndarray
    words: str

    @property
    def normal(self) -> np.ndarray:
        """Unit vector, [3]."""
        return np.cross(*self.axes)

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """Along both axes and the normal, from the origin; [n, 3] (A) -> [n, 3] (A)."""
        return (points - self.origin) @ np.vstack([self.axes, self.normal]).T

    def grid(self, bounds: np.ndarray, spacing: float) -> PlaneGrid:
        """Equally spaced points, about so far from each other.

        Args:
            bounds: of both axes, [2, 2]: first and last coordinates of each (A).
            spacing: (A).
        """
        u, v = (
            np.linspace(first, last, max(int(np.ceil((last - first) / spacing)), 1) + 1)
            for first, last in bounds
        )
        return PlaneGrid(self, u, v)


@dataclass(frozen=True)
class PlaneGrid:
    """Points of a plane.

    Attributes:
        plane: they are in.
        u, v: coordinates along its axes, [n_u] and [n_v] (A).
    """

    plane: Plane
    u: np.ndarray
    v: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """Line by line of equal v, [n_v * n_u, 3] (A)."""
        first, second = self.plane.axes
        lines = self.v[:, None, None] * second + self.u[None, :, None] * first
        return self.plane.origin + lines.reshape(-1, 3)


def plane_through_atoms(positions: np.ndarray, atoms: Sequence[int]) -> Plane:
    """Through three atoms, the first axis from the first to the second.

    Args:
        positions: [n_atoms, 3] (A).
        atoms: three numbers, from 0.

    Raises:
        ConfigError: for atoms that are not there, or that lie in a line.
    """
    n = len(positions)
    three = len(set(atoms)) == 3 and all(0 <= a < n for a in atoms)
    require(three, "--plane atoms=", f"three different atoms from 0 to {n - 1}", str(atoms))
    a, b, c = positions[list(atoms)]
    first = (b - a) / np.linalg.norm(b - a)
    second = (c - a) - ((c - a) @ first) * first
    if np.linalg.norm(second) < FLAT:
        raise ConfigError(f"the atoms {', '.join(map(str, atoms))} lie in a line: no plane is told")
    axes = np.stack([first, second / np.linalg.norm(second)])
    return Plane((a + b + c) / 3.0, axes, f"plane of atoms {', '.join(map(str, atoms))}")


def best_plane(atoms: Atoms) -> Plane:
    """That nearest to the atoms in least squares: to those heavier than hydrogen, if these span it.

    Raises:
        ConfigError: where atoms lie in a line, or spread alike in more than two directions.
    """
    heavy = atoms.positions[atoms.numbers > 1]
    for positions in (heavy, atoms.positions):
        if len(positions) < 3:
            continue
        center = positions.mean(axis=0)
        _, extents, directions = np.linalg.svd(positions - center)
        if extents[1] > FLAT and extents[1] > extents[2] + FLAT:
            axes = _right_handed(directions[:2])
            return Plane(center, axes, "best plane of the atoms")
    raise ConfigError(
        "no plane is nearer to the atoms than all others: they lie in a line, or as far in all "
        "directions. Give --plane atoms=0,1,2 or normal=0,0,1 or, in a crystal, lattice=1,1,0"
    )


def plane_of_normal(normal: np.ndarray, origin: np.ndarray, words: str = "") -> Plane:
    """Through a point, [3] (A), normal to a vector, [3]. Raises ConfigError for a zero vector."""
    length = np.linalg.norm(normal)
    require(bool(0.0 < length < np.inf), "--plane normal=", "a vector other than 0", str(normal))
    normal = normal / length
    nearest = np.eye(3)[np.argmin(np.abs(normal).round(9))]
    first = np.cross(nearest, normal)
    first /= np.linalg.norm(first)
    told = words or f"plane normal to ({', '.join(f'{x:g}' for x in normal * length)})"
    return Plane(origin, np.stack([first, np.cross(normal, first)]), told)


def lattice_plane(cell: np.ndarray, indices: Sequence[int], origin: np.ndarray) -> Plane:
    """Through a point, of Miller indices of the cell at hand, the first axis a lattice vector.

    Args:
        cell: lattice vectors as rows, [3, 3] (A).
        indices: h, k, l.
        origin: [3] (A).

    Raises:
        ConfigError: for indices that are all zero.
    """
    require(any(indices), "--plane lattice=", "indices of which one is not 0", str(indices))
    h, k, l = indices  # noqa: E741 - as crystallographers write them
    normal = np.linalg.inv(cell) @ np.array(indices, float)
    within = np.array([(k, -h, 0), (l, 0, -h), (0, l, -k)]) @ cell
    lengths = np.linalg.norm(within, axis=1)
    first = within[np.argmin(np.where(lengths > 0.0, lengths, np.inf))]
    first = first / np.linalg.norm(first)
    second = np.cross(normal / np.linalg.norm(normal), first)
    return Plane(origin, np.stack([first, second]), f"lattice plane ({h} {k} {l})")


def plane_of_words(words: str, atoms: Atoms, origin: Sequence[float] | None = None) -> Plane:
    """The plane that an option names.

    Args:
        words: `best`, `atoms=0,1,2`, `normal=0,0,1` or `lattice=1,1,0`.
        atoms: the structure.
        origin: a point of the plane (A); None for the middle of the atoms or, of a lattice plane,
            the first atom.

    Raises:
        ConfigError: for words that name no plane, and as the functions above.
    """
    if origin is not None:
        require(len(origin) == 3, "--origin", "three coordinates (A)", str(origin))
    name, _, text = words.partition("=")
    middle = atoms.positions.mean(axis=0)
    if words == "best":
        plane = best_plane(atoms)
    elif name == "atoms":
        plane = plane_through_atoms(atoms.positions, _numbers(words, text, int))
    elif name == "normal":
        plane = plane_of_normal(np.array(_numbers(words, text, float)), middle)
    elif name == "lattice":
        if not atoms.pbc.any():
            raise ConfigError(f"--plane {words} is of a crystal, and the structure has no cell")
        plane = lattice_plane(
            np.asarray(atoms.cell), _numbers(words, text, int), atoms.positions[0]
        )
    else:
        raise ConfigError(f"--plane must be {FORMS}, not {words!r}")
    return plane if origin is None else Plane(np.array(origin, float), plane.axes, plane.words)


def _numbers(words: str, text: str, kind: type) -> list:
    """Three of them."""
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise ConfigError(f"--plane {words} needs three numbers, as in {FORMS}")
    return numbers


def _right_handed(axes: np.ndarray) -> np.ndarray:
    """With the largest component of each positive, so that pictures do not depend on the LAPACK."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * np.sign(largest)
