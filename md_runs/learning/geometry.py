"""Structures of one molecule as points between which there are distances, and what was seen of it.

The descriptor of a structure has all interatomic distances, sorted within each pair of elements: it
does not see translation, rotation or which of two like atoms is which.

    d(A, B)^2 = mean_k (r_k^A - r_k^B)^2   (1)
"""

from __future__ import annotations

import itertools

import numpy as np

SAME = 0.01  # A, of Eq. (1); chosen: what such structures differ by, a network does not tell


def descriptors(positions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Of each structure, [n_structures, n_pairs] (A).

    Args:
        positions: [n_structures, n_atoms, 3] (A).
        numbers: atomic numbers, [n_atoms].
    """
    first, second = np.triu_indices(len(numbers), 1)
    distances = np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)
    kinds = [tuple(sorted((numbers[i], numbers[j]))) for i, j in zip(first, second, strict=True)]
    for kind in set(kinds):
        chosen = np.array([k == kind for k in kinds])
        distances[:, chosen] = np.sort(distances[:, chosen], axis=1)
    return distances


def nearest_distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each point to the nearest other, by Eq. (1), [n_points] (A); infinite without others."""
    nearest = np.full(len(points), np.inf)
    for other in others:
        np.minimum(nearest, distances_to(points, other), out=nearest)
    return nearest


def distances_to(points: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Of each point to one of them, by Eq. (1), [n_points] (A)."""
    return np.asarray(np.sqrt(((points - one) ** 2).mean(axis=1)))


def farthest_points(
    points: np.ndarray, known: np.ndarray, n_wanted: int, least: float = SAME
) -> list[int]:
    """Numbers of points that are far from all known ones, and from each other, one after another.

    Args:
        points: [n_points, n_features] (A).
        known: [n_known, n_features] (A).
        n_wanted: at most so many.
        least: a point nearer than this to a known or chosen one is never taken (A).
    """
    chosen: list[int] = []
    nearest = nearest_distances(points, known)
    while len(chosen) < n_wanted and len(points):
        k = int(nearest.argmax())
        if nearest[k] < least:
            break
        chosen.append(k)
        np.minimum(nearest, distances_to(points, points[k]), out=nearest)
    return chosen


def first_new_points(
    points: np.ndarray, known: np.ndarray, n_wanted: int, least: float = SAME
) -> list[int]:
    """Numbers of the first points that are no repetition; arguments as of `farthest_points`."""
    chosen: list[int] = []
    nearest = nearest_distances(points, known)
    for k in range(len(points)):
        if len(chosen) >= n_wanted:
            break
        if nearest[k] >= least:
            chosen.append(k)
            np.minimum(nearest, distances_to(points, points[k]), out=nearest)
    return chosen


def bonded_pairs(positions: np.ndarray, numbers: np.ndarray) -> list[tuple[int, int]]:
    """Neighbours by covalent radii, of one structure."""
    from mlpotential.inference.training_domain import bond_lengths

    lengths = bond_lengths(int(numbers.max()) + 1)
    return [
        (i, j)
        for i, j in itertools.combinations(range(len(numbers)), 2)
        if np.linalg.norm(positions[i] - positions[j]) < lengths[numbers[i], numbers[j]]
    ]
