"""The point group of a molecule, its axes and its symmetry number.

Axes follow R. S. Mulliken, J. Chem. Phys. 23, 1997 (1955), doi:10.1063/1.1740655: z is the main
axis; a planar C2v molecule lies in the yz plane; in D2 and D2h z passes through most atoms and x is
perpendicular to a planar molecule. The twofold axes C2' of Dn and Dnh, and the mirror planes
sigma_v of Cnv, are those with most atoms on them (or nearest to atoms).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from md_runs.analysis.sampling.frames import check_masses
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.rigid_body import centered, inertia_tensors
from md_runs.analysis.vibrations.symmetry_operations import symmetry_operations, turn_vectors
from mlpotential.errors import ConfigError, DataError, StructureError

SYMMETRY_TOLERANCE = 0.01  # A, chosen: forces of 1e-3 eV/A leave a soft C20 within 3e-3 A
NEAR_MISS_FACTORS = (1.5, 2.0, 3.0, 5.0, 10.0)  # chosen: of the tolerance
SAME_MASS = 1e-6  # amu
SMALL_ANGLE = 0.05  # chosen: half the smallest turn told apart, that of a 60-fold axis
LINEAR_GROUPS = ("Cinfv", "Dinfh")
POLYHEDRAL = {12: "T", 24: "O", 60: "I"}  # by the number of rotations


@dataclass(frozen=True)
class PointGroup(AnalysisResult):
    """The symmetry of a molecule about its centre of mass.

    Attributes:
        schoenflies: symbol, such as "C2v"; "Cinfv" and "Dinfh" if linear, "Kh" for an atom.
        operations: orthogonal matrices, the identity first, [n_operations, 3, 3]; of a linear
            molecule those of C4v or D4h, which tell its vibrations apart.
        permutations: operation k takes atom i to the place of atom permutations[k, i],
            [n_operations, n_atoms].
        axes: x, y, z as the module says, rows, [3, 3].
        main_order: n of the main axis Cn (4 for the subgroup of a linear molecule); 1 without one.
        symmetry_number: of orientations that look alike, as the rotational entropy needs it.
        largest_deviation: of an atom from where an operation takes its image (A).
        tolerance: what was asked for (A).
    """

    schoenflies: str
    operations: Annotated[np.ndarray, "1"]
    permutations: Annotated[np.ndarray, "1"]
    axes: Annotated[np.ndarray, "1"]
    main_order: int
    symmetry_number: int
    largest_deviation: Annotated[float, "A"]
    tolerance: Annotated[float, "A"]

    @property
    def is_linear(self) -> bool:
        """All atoms, two or more, on one line."""
        return self.schoenflies in LINEAR_GROUPS

    def __str__(self) -> str:
        return (
            f"{self.schoenflies} (atoms within {self.largest_deviation:.1g} A of it, tolerance "
            f"{self.tolerance:g} A)"
        )


def point_group(
    atomic_numbers: np.ndarray,
    positions: np.ndarray,
    masses: np.ndarray,
    tolerance: float = SYMMETRY_TOLERANCE,
) -> PointGroup:
    """The point group of a molecule; isotopes are different atoms.

    Args:
        atomic_numbers: [n_atoms].
        positions: [n_atoms, 3] (A).
        masses: [n_atoms] (amu).
        tolerance: how far an atom may lie from where an operation takes its image (A).

    Raises:
        DataError: shapes that do not belong together, or numbers that are not finite.
        ConfigError: a tolerance that is not positive.
        StructureError: atoms closer to each other than two tolerances.
    """
    numbers, positions = np.asarray(atomic_numbers), np.asarray(positions, np.float64)
    masses = np.asarray(masses, np.float64)
    _check(numbers, positions, masses, tolerance)
    r = centered(positions, masses)
    if len(r) == 1:
        unit = np.eye(3)
        return PointGroup("Kh", unit[None], np.zeros((1, 1), int), unit, 1, 1, 0.0, tolerance)
    _, kinds = np.unique(
        np.stack([numbers, np.round(masses / SAME_MASS)]), axis=1, return_inverse=True
    )
    kinds = kinds.reshape(-1)
    axes = np.linalg.svd(r)[2][::-1]
    off_line = float(np.linalg.norm(r @ axes[:2].T, axis=1).max())
    if off_line <= tolerance:
        return _linear_group(r, kinds, axes, off_line, tolerance)
    operations, permutations, deviations = symmetry_operations(r, kinds, tolerance)
    elements = _elements(operations)
    schoenflies = _schoenflies(elements)
    return PointGroup(
        schoenflies=schoenflies,
        operations=operations,
        permutations=permutations,
        axes=_axes(schoenflies, elements, r, inertia_tensors(r, masses), tolerance),
        main_order=elements.main_order,
        symmetry_number=elements.n_rotations,
        largest_deviation=float(deviations.max()),
        tolerance=tolerance,
    )


def near_misses(
    atomic_numbers: np.ndarray, positions: np.ndarray, masses: np.ndarray, group: PointGroup
) -> dict[str, float]:
    """Higher groups that a molecule would have at up to ten times the tolerance.

    Args:
        atomic_numbers, positions, masses: as of `point_group`.
        group: of the molecule.

    Returns:
        By the symbol, in the order they appear, the tolerance that is enough (A).
    """
    apart = _nearest(positions)[0]
    order, found = _order(group), {}
    for factor in NEAR_MISS_FACTORS:
        tolerance = factor * group.tolerance
        if 2 * tolerance >= apart:
            break
        higher = point_group(atomic_numbers, positions, masses, tolerance)
        if _order(higher) > order:
            order, found[higher.schoenflies] = _order(higher), higher.largest_deviation
    return found


def _order(group: PointGroup) -> float:
    """Number of operations; that of linear molecules is beyond all others."""
    return len(group.operations) * (1e6 if group.is_linear else 1.0)


@dataclass(frozen=True)
class _Elements:
    """What the operations of a finite group leave in place; all vectors [n, 3] of length 1.

    Attributes:
        n_rotations: proper ones, the identity included.
        main_order: the largest n of an axis Cn.
        main_axes: axes of this order, along both directions or one; none if it is 1.
        twofold_axes: of C2.
        improper_axes: of Sn with n above 2.
        mirrors: normals of mirror planes.
        has_inversion: the centre is one of inversion.
        is_chiral: nothing but rotations.
    """

    n_rotations: int
    main_order: int
    main_axes: np.ndarray
    twofold_axes: np.ndarray
    improper_axes: np.ndarray
    mirrors: np.ndarray
    has_inversion: bool
    is_chiral: bool


def _elements(operations: np.ndarray) -> _Elements:
    turns = turn_vectors(operations)
    angles = np.linalg.norm(turns, axis=1)
    axes = turns / np.maximum(angles, SMALL_ANGLE)[:, None]
    is_proper = np.linalg.det(operations) > 0
    is_turned, is_half = angles > SMALL_ANGLE, angles > np.pi - SMALL_ANGLE
    smallest = angles[is_proper & is_turned].min(initial=2 * np.pi)
    return _Elements(
        n_rotations=int(is_proper.sum()),
        main_order=round(2 * np.pi / smallest),
        main_axes=axes[is_proper & is_turned & (angles < smallest + SMALL_ANGLE)],
        twofold_axes=axes[is_proper & is_half],
        improper_axes=axes[~is_proper & is_turned & ~is_half],
        mirrors=axes[~is_proper & is_half],
        has_inversion=bool((~is_proper & ~is_turned).any()),
        is_chiral=bool(is_proper.all()),
    )


def _schoenflies(elements: _Elements) -> str:
    """The symbol of the group."""
    n, n_rotations = elements.main_order, elements.n_rotations
    if n == 1:
        return "C1" if elements.is_chiral else "Ci" if elements.has_inversion else "Cs"
    if n_rotations not in (n, 2 * n):
        letter = POLYHEDRAL[n_rotations]
        return letter + ("" if elements.is_chiral else "h" if elements.has_inversion else "d")
    letter = "C" if n_rotations == n else "D"
    if elements.is_chiral:
        return f"{letter}{n}"
    if (abs(elements.mirrors @ elements.main_axes.T) > 0.9).any():
        return f"{letter}{n}h"
    if letter == "D":
        return f"D{n}d"
    return f"C{n}v" if len(elements.mirrors) else f"S{2 * n}"


def _axes(
    schoenflies: str, elements: _Elements, r: np.ndarray, inertia: np.ndarray, tolerance: float
) -> np.ndarray:
    """x, y and z as the module says, rows, [3, 3]."""

    def atoms_on(axis: np.ndarray) -> tuple[int, float]:
        return _atoms_on(r - np.outer(r @ axis, axis), tolerance)

    def atoms_in(normal: np.ndarray) -> tuple[int, float]:
        return _atoms_on((r @ normal)[:, None], tolerance)

    def moment(axis: np.ndarray) -> float:
        return float(axis @ inertia @ axis)

    x = np.array([1.0, 0.0, 0.0])
    if schoenflies in ("C1", "Ci"):
        z = np.array([0.0, 0.0, 1.0])
    elif schoenflies == "Cs":
        z = elements.mirrors[0]
    elif schoenflies == "D2d":
        z = elements.improper_axes[0]
    elif schoenflies in ("D2", "D2h"):
        x, _, z = sorted(elements.main_axes, key=lambda axis: (atoms_on(axis)[0], -moment(axis)))
    else:
        z = elements.main_axes[0]
    if schoenflies == "C2v":  # x is perpendicular to the plane with most atoms
        x = max(elements.mirrors, key=lambda normal: (atoms_in(normal)[0], moment(normal)))
    elif schoenflies[0] == "C" and schoenflies[-1] == "v":
        x = np.cross(max(elements.mirrors, key=atoms_in), z)
    elif schoenflies[0] == "D" and schoenflies not in ("D2", "D2h"):
        x = max(elements.twofold_axes[abs(elements.twofold_axes @ z) < 0.5], key=atoms_on)
    x = x - (x @ z) * z
    if np.linalg.norm(x) < 0.5:  # no direction is special, and that of choice is along z
        x = np.linalg.svd(z[None])[2][1]
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def _atoms_on(offsets: np.ndarray, tolerance: float) -> tuple[int, float]:
    """How many atoms an axis or plane holds, and how near the next one is (tolerances, negative).

    Args:
        offsets: of the atoms from it, [n_atoms, ...] (A).
        tolerance: to lie on it (A).
    """
    distances = np.linalg.norm(offsets, axis=1)
    is_on = distances <= tolerance
    nearest = distances[~is_on].min(initial=np.inf)
    return int(is_on.sum()), -round(float(nearest / tolerance)) if np.isfinite(nearest) else 0


def _linear_group(
    r: np.ndarray, kinds: np.ndarray, axes: np.ndarray, off_line: float, tolerance: float
) -> PointGroup:
    """Cinfv or Dinfh with the operations of C4v or D4h about the last of the axes."""
    x, y, z = axes
    quarter = np.outer(z, z) + np.outer(y, x) - np.outer(x, y)
    operations = [np.linalg.matrix_power(quarter, k) for k in range(4)]
    operations += [operation @ (np.eye(3) - 2 * np.outer(x, x)) for operation in operations]
    along = r @ z
    order, mirrored = np.argsort(along), np.argsort(-along)
    mismatch = float(abs(along[order] + along[mirrored]).max())
    has_inversion = mismatch <= tolerance and bool((kinds[order] == kinds[mirrored]).all())
    unmoved = np.arange(len(r))
    permutations = [unmoved] * len(operations)
    if has_inversion:
        image = np.empty_like(unmoved)
        image[order] = mirrored
        permutations += [image] * len(operations)
        operations += [-operation for operation in operations]
    return PointGroup(
        schoenflies="Dinfh" if has_inversion else "Cinfv",
        operations=np.array(operations),
        permutations=np.array(permutations),
        axes=np.stack([x, np.cross(z, x), z]),
        main_order=4,
        symmetry_number=2 if has_inversion else 1,
        largest_deviation=max(off_line, mismatch) if has_inversion else off_line,
        tolerance=tolerance,
    )


def _check(
    numbers: np.ndarray, positions: np.ndarray, masses: np.ndarray, tolerance: float
) -> None:
    """Raises as `point_group` says."""
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) == 0:
        raise DataError(f"positions must have shape [n_atoms, 3], not {list(positions.shape)}")
    if numbers.shape != (len(positions),):
        raise DataError(
            f"{len(positions)} atoms need as many atomic numbers, not shape {numbers.shape}"
        )
    check_masses(masses, len(positions))
    if not np.isfinite(positions).all():
        raise DataError("the positions hold numbers that are not finite")
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise ConfigError(f"tolerance must be a positive number (A), not {tolerance!r}")
    distance, i, j = _nearest(positions)
    if distance <= 2 * tolerance:
        raise StructureError(
            f"atoms {i} and {j} are {distance:.3g} A apart, closer than twice the symmetry "
            f"tolerance of {tolerance:g} A: is the structure right, and the tolerance?"
        )


def _nearest(positions: np.ndarray) -> tuple[float, int, int]:
    """The shortest distance (A), infinite of one atom, and of which atoms."""
    distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
    np.fill_diagonal(distances, np.inf)
    i, j = (int(k) for k in np.unravel_index(distances.argmin(), distances.shape))
    return float(distances[i, j]), i, j
