"""Irreducible representations of the point groups: Mulliken's names and characters.

Every point group is a group of rotations, such a group times the inversion or a horizontal mirror,
or isomorphic to one: Cnv, and Dnd and S2n of even n, to the turns and reflections of the plane that
they leave in the xy plane, Td to O through S4 -> C4. So the five families of rotation groups carry
all tables (F. A. Cotton, "Chemical Applications of Group Theory", 3rd ed., Wiley 1990), written
here as formulas of the angle. Names follow R. S. Mulliken, J. Chem. Phys. 23, 1997 (1955),
doi:10.1063/1.1740655, with T for triple degeneracy. A pair of complex conjugate representations
(E of C3, say) is taken as one real one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from md_runs.analysis.vibrations.point_groups import SMALL_ANGLE, PointGroup
from md_runs.analysis.vibrations.symmetry_operations import turn_vectors

D2_NAMES = {"A1": "A", "A2": "B1", "B1": "B3", "B2": "B2"}  # +1 on C2(z): B1, on C2(x): B3
LINEAR_NAMES = {
    "Cinfv": {"A1": "Σ+", "A2": "Σ-", "E": "Π", "B1": "Δ", "B2": "Δ"},
    "Dinfh": {"A1g": "Σg+", "A2g": "Σg-", "Eg": "Πg", "B1g": "Δg", "B2g": "Δg"}
    | {"A1u": "Σu-", "A2u": "Σu+", "Eu": "Πu", "B1u": "Δu", "B2u": "Δu"},
}


@dataclass(frozen=True)
class Irrep:
    """An irreducible representation over the real numbers.

    Attributes:
        name: Mulliken's symbol.
        characters: of the group's operations, [n_operations].
    """

    name: str
    characters: np.ndarray

    @property
    def dimension(self) -> int:
        """Degeneracy of its modes."""
        return round(float(self.characters[0]))

    def multiplicity(self, characters: np.ndarray) -> float:
        """How often it is contained in a representation with characters [n_operations]."""
        return float(self.characters @ characters / (self.characters @ self.characters))


def irreps(group: PointGroup) -> list[Irrep]:
    """The irreducible representations of a point group, the totally symmetric one first."""
    operations, signs = group.operations, np.sign(np.linalg.det(group.operations))
    inversion = np.abs(operations + np.eye(3)).max(axis=(1, 2)) < 0.1
    if inversion.any():
        rotations = signs[:, None, None] * operations
        found = _doubled(_family(group, rotations), signs, ("g", "u"))
    elif _has_horizontal_mirror(group):
        z = group.axes[2]
        mirror = np.eye(3) - 2 * np.outer(z, z)
        rotations = np.where(signs[:, None, None] > 0, operations, mirror @ operations)
        found = _doubled(_family(group, rotations), signs, ("'", "''"))
    else:
        found = _family(group, operations)
    if names := LINEAR_NAMES.get(group.schoenflies):
        found = [Irrep(names[irrep.name], irrep.characters) for irrep in found]
    return found


def _has_horizontal_mirror(group: PointGroup) -> bool:
    """And no inversion: Cs, and Cnh and Dnh of odd n."""
    return group.schoenflies == "Cs" or (
        group.schoenflies[0] in "CD" and (group.schoenflies.endswith("h") and not group.is_linear)
    )


def _doubled(proper: list[Irrep], signs: np.ndarray, suffixes: tuple[str, str]) -> list[Irrep]:
    """Each representation twice: even and odd under the inversion or the horizontal mirror."""
    even, odd = suffixes
    return [Irrep(irrep.name + even, irrep.characters) for irrep in proper] + [
        Irrep(irrep.name + odd, irrep.characters * signs) for irrep in proper
    ]


def _family(group: PointGroup, operations: np.ndarray) -> list[Irrep]:
    """Representations by the family of rotation groups that the operations are isomorphic to."""
    letter = group.schoenflies[0]
    if letter in "TOI":
        angles = np.linalg.norm(turn_vectors(operations), axis=1)
        if group.schoenflies in ("T", "Th"):
            return _tetrahedral(angles)
        if letter == "I":
            return _icosahedral(angles)
        return _octahedral(operations, angles)
    in_frame = group.axes @ operations @ group.axes.T
    found = _planar(in_frame[:, :2, :2])
    return (
        [Irrep(D2_NAMES[irrep.name], irrep.characters) for irrep in found]
        if group.schoenflies in ("D2", "D2h")
        else found
    )


def _planar(plane: np.ndarray) -> list[Irrep]:
    """Cyclic and dihedral groups, by what they do in the xy plane, [n_operations, 2, 2].

    A turn has the angle phi = 2 pi k / n, a reflection leaves the direction alpha = pi k / n.
    """
    is_turn = np.linalg.det(plane) > 0
    phi = np.arctan2(plane[:, 1, 0] - plane[:, 0, 1], plane[:, 0, 0] + plane[:, 1, 1])
    turned = abs(phi[is_turn & (abs(phi) > SMALL_ANGLE)])
    n = round(2 * np.pi / turned.min()) if len(turned) else 1
    two_alpha = np.arctan2(plane[:, 0, 1] + plane[:, 1, 0], plane[:, 0, 0] - plane[:, 1, 1])
    k = np.round(np.where(is_turn, phi, two_alpha) * n / (2 * np.pi)).astype(int)
    alternating = np.where(k % 2 == 0, 1.0, -1.0)
    ones, parity = np.ones(len(plane)), np.where(is_turn, 1.0, -1.0)
    if is_turn.all():
        found = [Irrep("A", ones)] + ([Irrep("B", alternating)] if n % 2 == 0 else [])
    else:
        found = [Irrep("A1", ones), Irrep("A2", parity)]
        if n % 2 == 0:
            found += [Irrep("B1", alternating), Irrep("B2", alternating * parity)]
    n_pairs = (n - 1) // 2
    for m in range(1, n_pairs + 1):
        name = "E" if n_pairs == 1 else f"E{m}"
        found.append(Irrep(name, np.where(is_turn, 2 * np.cos(2 * np.pi * m * k / n), 0.0)))
    return found


def _tetrahedral(angles: np.ndarray) -> list[Irrep]:
    k = np.round(angles * 6 / np.pi)  # multiples of 30 degrees
    is_third = k == 4
    return [
        Irrep("A", np.ones(len(k))),
        Irrep("E", np.where(is_third, -1.0, 2.0)),
        Irrep("T", _spherical(1, k * np.pi / 6)),
    ]


def _octahedral(operations: np.ndarray, angles: np.ndarray) -> list[Irrep]:
    """O, and Td through its rotations and S4 -> C4."""
    phi = np.round(angles * 6 / np.pi) * np.pi / 6
    is_quarter, is_half = np.isclose(phi, np.pi / 2), np.isclose(phi, np.pi)
    axes = turn_vectors(operations) / np.maximum(angles, 1e-3)[:, None]
    along_quarter = (abs(axes @ axes[is_quarter].T) > 0.9).any(axis=1)
    sign = np.where(is_quarter | (is_half & ~along_quarter), -1.0, 1.0)
    t1 = _spherical(1, phi)
    t2 = sign * t1
    return [
        Irrep("A1", np.ones(len(phi))),
        Irrep("A2", sign),
        Irrep("E", _spherical(2, phi) - t2),  # l = 2 is E + T2
        Irrep("T1", t1),
        Irrep("T2", t2),
    ]


def _icosahedral(angles: np.ndarray) -> list[Irrep]:
    phi = np.round(angles * 30 / np.pi) * np.pi / 30  # multiples of 6 degrees
    t1, t2 = _spherical(1, phi), _spherical(1, 7 * phi)  # 72 <-> 144 degrees, others as they are
    h = _spherical(2, phi)
    return [
        Irrep("A", np.ones(len(phi))),
        Irrep("T1", t1),
        Irrep("T2", t2),
        Irrep("G", t1 * t2 - h),  # T1 x T2 = G + H
        Irrep("H", h),
    ]


def _spherical(degree: int, angles: np.ndarray) -> np.ndarray:
    """Characters of the spherical harmonics of a degree l: sum of cos(m phi), m = -l ... l."""
    orders = np.arange(1, degree + 1)
    return np.asarray(1.0 + 2.0 * np.cos(np.multiply.outer(angles, orders)).sum(axis=1))
