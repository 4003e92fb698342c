"""The rotations and reflections that take a molecule to itself.

Every operation is fixed by where it takes two atoms that do not lie on one line with the centre,
and by its handedness. So the images of one such pair are tried, each candidate is fitted to all
atoms (W. Kabsch, Acta Cryst. A 32, 922 (1976), doi:10.1107/S0567739476001873), and it counts if
every atom then lies within the tolerance of an atom of its own kind. What counts must be a group:
where the tolerance cuts through one, the largest group below it is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy

SAME_OPERATION = 0.1  # chosen: distance of matrices; turns of a 60-fold axis differ by 0.15
LEAST_RADIUS = 0.3  # chosen: share of the largest; an atom near the centre shows no direction
MOST_REFITS = 3  # chosen: a fit that goes on exchanging atoms is no symmetry


def symmetry_operations(
    positions: np.ndarray, kinds: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest group of operations that hold within the tolerance, the identity first.

    Args:
        positions: relative to the centre of mass, not all on a line, [n_atoms, 3] (A).
        kinds: equal numbers for atoms that are alike, [n_atoms].
        tolerance: how far an atom may lie from the image of another (A).

    Returns:
        Orthogonal matrices [n_operations, 3, 3]; permutations [n_operations, n_atoms], atom i is
        taken to the place of atom permutations[k, i]; largest distance from it [n_operations] (A).
    """
    found = []
    for candidate in _candidates(positions, kinds, tolerance):
        fitted = _fit(candidate, positions, kinds)
        if fitted is not None and fitted[2] <= tolerance:
            found.append(fitted)
    matrices, permutations, deviations = (np.array(part) for part in zip(*found, strict=True))
    order = np.argsort(-np.trace(matrices, axis1=1, axis2=2), kind="stable")  # 3 for the identity
    chosen = order[deviations[order] <= _largest_closed_deviation(matrices, deviations)]
    return matrices[chosen], permutations[chosen], deviations[chosen]


def turn_vectors(operations: np.ndarray) -> np.ndarray:
    """Axis times angle (0 to pi) of the rotation R or, for det R = -1, -R: [n_operations, 3].

    An inversion turns by 0, a reflection by pi about its normal.
    """
    signs = np.sign(np.linalg.det(operations))
    return scipy.spatial.transform.Rotation.from_matrix(
        signs[:, None, None] * operations
    ).as_rotvec()


def _candidates(positions: np.ndarray, kinds: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """Every orthogonal matrix that takes two chosen atoms to places of such atoms."""
    a, b = _seed_pair(positions, kinds, tolerance)
    radii = np.linalg.norm(positions, axis=1)
    images_of_a, images_of_b = (
        np.flatnonzero((kinds == kinds[k]) & (abs(radii - radii[k]) <= 2 * tolerance))
        for k in (a, b)
    )
    distances = scipy.spatial.distance.cdist(positions[images_of_a], positions[images_of_b])
    fits = abs(distances - np.linalg.norm(positions[a] - positions[b])) <= 2 * tolerance
    start = _frame(positions[a], positions[b])
    for i, j in np.argwhere(fits):
        end = _frame(positions[images_of_a[i]], positions[images_of_b[j]])
        for handedness in (1.0, -1.0):
            yield end @ np.diag([1.0, 1.0, handedness]) @ start.T


def _seed_pair(positions: np.ndarray, kinds: np.ndarray, tolerance: float) -> tuple[int, int]:
    """Two atoms with few images, far enough from the centre and from one line with it."""
    radii = np.linalg.norm(positions, axis=1)
    is_alike = (kinds[:, None] == kinds) & (abs(radii[:, None] - radii) <= 2 * tolerance)
    n_images = is_alike.sum(axis=1)

    def rarest(lengths: np.ndarray, least: float) -> int:
        usable = np.flatnonzero(lengths >= least * lengths.max())
        return int(usable[np.lexsort((-lengths[usable], n_images[usable]))[0]])

    a = rarest(radii, LEAST_RADIUS)
    b = rarest(np.linalg.norm(np.cross(positions[a] / radii[a], positions), axis=1), 0.5)
    return a, b


def _frame(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Right-handed unit vectors, columns: along a, across it towards b, and their product."""
    first = a / np.linalg.norm(a)
    second = b - (b @ first) * first
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def _fit(
    matrix: np.ndarray, positions: np.ndarray, kinds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """The nearest operation, its permutation and deviation; None if atoms have no partners."""
    handedness = np.sign(np.linalg.det(matrix))
    partners = None
    for _ in range(MOST_REFITS):
        distances = scipy.spatial.distance.cdist(positions @ matrix.T, positions)
        distances[kinds[:, None] != kinds] = np.inf
        nearest = distances.argmin(axis=1)
        if len(np.unique(nearest)) < len(nearest):
            return None
        if partners is not None and np.array_equal(nearest, partners):
            return matrix, nearest, float(distances.min(axis=1).max())
        partners = nearest
        u, _, vt = np.linalg.svd(positions[partners].T @ positions)
        u[:, 2] *= np.linalg.det(u @ vt) * handedness
        matrix = u @ vt
    return None


def _largest_closed_deviation(matrices: np.ndarray, deviations: np.ndarray) -> float:
    """The largest deviation up to which the operations are a group; the identity has none."""
    for limit in np.unique(deviations)[::-1]:
        kept = matrices[deviations <= limit]
        products = np.einsum("aij,bjk->abik", kept, kept).reshape(-1, 9)
        overlaps = products @ kept.reshape(-1, 9).T  # |A - B|^2 = 6 - 2 tr(A^T B)
        if (overlaps.max(axis=1) >= 3.0 - 0.5 * SAME_OPERATION**2).all():
            return float(limit)
    raise AssertionError("the identity alone is a group")
