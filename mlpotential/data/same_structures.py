"""Which structures of a set are one and the same for a model.

Molecules may be moved, turned, mirrored and have their atoms in another order. In crystals all
atoms may be moved together, each to another of its images, the cell turned, the order changed.
Numbers that none of this changes bring candidates together, positions decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlpotential.graph import AtomGraph

SAME_POSITION = 3e-6  # A, chosen: the decimals of the files in use; nearer structures are the same
_WINDOW = 10.0 * SAME_POSITION  # of the invariants: more than such a displacement changes them
_WAVES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, 3]])  # chosen; reciprocal vectors
_GOLDEN = 0.6180339887498949  # chosen: its multiples tell elements apart


@dataclass(frozen=True)
class _Shape:
    """One structure: atoms in the order of the file and in one that depends on the shape alone.

    `invariants` are lengths (A); `places` are Cartesian about the centre (A) or, with a cell,
    fractional.
    """

    invariants: np.ndarray
    places: np.ndarray
    order: np.ndarray
    numbers: np.ndarray
    pbc: np.ndarray
    cell: np.ndarray | None


def first_occurrences(graphs: Sequence[AtomGraph]) -> np.ndarray:
    """Index of the first structure that is the same, [n_structures]; of a new one its own."""
    first = np.arange(len(graphs))
    groups: dict[bytes, list[int]] = defaultdict(list)
    for k, graph in enumerate(graphs):
        numbers = np.sort(graph.atomic_numbers.numpy())
        groups[numbers.tobytes() + graph.pbc.numpy().tobytes()].append(k)
    for members in groups.values():
        if len(members) > 1:
            for same in _clusters([_shape(graphs[k]) for k in members]):
                first[[members[k] for k in same]] = members[min(same)]
    return first


def _clusters(shapes: list[_Shape]) -> list[list[int]]:
    """Sets of equal shapes: along the first invariant, each meets those found just before."""
    clusters: list[list[int]] = []
    recent: list[list[int]] = []
    invariants = np.array([shape.invariants for shape in shapes])
    for k in np.argsort(invariants[:, 0], kind="stable").tolist():
        recent = [c for c in recent if invariants[k, 0] - invariants[c[-1], 0] < _WINDOW]
        for cluster in recent:
            near = np.abs(invariants[k] - invariants[cluster[-1]]).max() < _WINDOW
            if near and _equal(shapes[k], shapes[cluster[0]]):
                cluster.append(k)
                break
        else:
            recent.append([k])
            clusters.append(recent[-1])
    return clusters


def _shape(graph: AtomGraph) -> _Shape:
    numbers, positions = graph.atomic_numbers.numpy(), graph.positions.numpy()
    pbc, weights = graph.pbc[0].numpy(), 1.0 + (numbers * _GOLDEN) % 1.0
    if graph.cell is None:
        distances = np.linalg.norm(positions[:, None] - positions, axis=2)
        each = np.stack([distances, np.exp(-distances)]) @ weights / weights.sum()
        means = each @ weights / weights.sum()
        places, cell = positions - positions.mean(axis=0), None
    else:
        cell = graph.cell[0].numpy()
        places = positions @ np.linalg.inv(cell)
        phases = np.exp(2j * np.pi * places @ _WAVES.T)  # [n_atoms, n_waves]
        sums = weights @ phases / weights.sum()
        each = (phases * sums.conj()).real.T
        # A displacement d changes |sum|^2 by 4 pi |k| d at most, k the vector of the wave.
        slopes = 4.0 * np.pi * np.linalg.norm(_WAVES @ np.linalg.inv(cell).T, axis=1)
        invariants = np.concatenate(
            [(np.abs(sums) ** 2 / slopes)[::-1], np.linalg.norm(cell, axis=1)]
        )
    order = np.lexsort((each[-1], numbers))
    if cell is None:  # sorted, the values of atoms change no more than each of them
        invariants = np.concatenate([means, each[-1, order]])
    return _Shape(invariants, places, order, numbers, pbc, cell)


def _equal(a: _Shape, b: _Shape) -> bool:
    orders = [(np.arange(len(a.numbers)),) * 2, (a.order, b.order)]
    return any(
        np.array_equal(a.numbers[i], b.numbers[j])
        and _distance(a.places[i], b.places[j], a, b) < SAME_POSITION
        for i, j in orders
    )


def _distance(places: np.ndarray, others: np.ndarray, a: _Shape, b: _Shape) -> float:
    """The largest distance between an atom and its partner, moved to fit (A)."""
    if a.cell is None or b.cell is None:
        u, _, v = np.linalg.svd(places.T @ others)
        return float(np.abs(places @ u @ v - others).max())
    steps = others - places
    steps -= steps[0]
    steps -= np.where(a.pbc, np.rint(steps), 0.0)
    metrics = np.abs(a.cell @ a.cell.T - b.cell @ b.cell.T).max() / np.abs(a.cell).max()
    return max(float(metrics), float(np.abs((steps - steps.mean(axis=0)) @ a.cell).max()))
