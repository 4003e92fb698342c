"""Which structures of a set are one and the same for a model.

Molecules may be moved, turned, mirrored and have their atoms in another order. In crystals all
atoms may be moved together, each to another of its images, the cell turned, the order changed.
Numbers that none of this changes bring candidates together, positions decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlpotential.data.structure_arrays import StructureArrays
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
    arrays = StructureArrays.of(graphs)
    first = np.arange(len(arrays))
    for members, invariants in _groups(arrays):
        candidates = members[_have_a_twin(invariants)]
        for same in _clusters([_shape(arrays[int(k)]) for k in candidates]):
            first[candidates[same]] = candidates[same].min()
    return first


def _groups(arrays: StructureArrays) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Structures of the same atoms and periodicity with their invariants, two of them at least."""
    groups: dict[bytes, list[tuple[int, np.ndarray]]] = defaultdict(list)
    has_cell = arrays.has_cell
    for places, numbers, positions in arrays.by_size(numbers_per_atom_pair=8):
        molecules = ~has_cell[places]
        invariants: list[np.ndarray] = [np.zeros(0)] * len(places)
        of_molecules = _of_molecules(numbers[molecules], positions[molecules])[0]
        for k, values in zip(np.flatnonzero(molecules).tolist(), of_molecules, strict=True):
            invariants[k] = values
        for k in np.flatnonzero(~molecules).tolist():
            invariants[k] = _shape(arrays[int(places[k])]).invariants
        keys = np.sort(numbers, axis=1)
        pbc = arrays.pbc[arrays.rows[places]]
        for k, place in enumerate(places.tolist()):
            groups[keys[k].tobytes() + pbc[k].tobytes()].append((place, invariants[k]))
    for members in groups.values():
        if len(members) > 1:
            found, values = zip(*members, strict=True)
            yield np.array(found), np.array(values)


def _have_a_twin(invariants: np.ndarray) -> np.ndarray:
    """Those, in ascending order, whose invariants [n, n_invariants] another one shares."""
    order = np.argsort(invariants[:, 0], kind="stable")
    ranked = invariants[order]
    found = np.zeros(len(ranked), bool)
    for lag in range(1, len(ranked)):
        near = ranked[lag:, 0] - ranked[:-lag, 0] < _WINDOW
        open_ones = np.flatnonzero(near & ~(found[lag:] & found[:-lag]))
        if not near.any() or found.all():
            break
        same = (np.abs(ranked[open_ones + lag] - ranked[open_ones]) < _WINDOW).all(axis=1)
        found[open_ones[same]] = found[open_ones[same] + lag] = True
    return np.sort(order[found])


def _clusters(shapes: list[_Shape]) -> list[list[int]]:
    """Sets of equal shapes: along the first invariant, each meets those found just before."""
    clusters: list[list[int]] = []
    if not shapes:
        return clusters
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


def _of_molecules(numbers: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Invariants of molecules of one size, and an order of their atoms that goes with the shape.

    From atomic numbers [n, n_atoms] and positions [n, n_atoms, 3]: [n, 2 + n_atoms], [n, n_atoms].
    """
    weights = 1.0 + (numbers * _GOLDEN) % 1.0
    total = weights.sum(axis=1)[:, None, None]
    distances = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=3)
    functions = np.stack([distances, np.exp(-distances)], axis=1)  # [n, 2, n_atoms, n_atoms]
    each = (functions @ weights[:, None, :, None])[..., 0] / total
    means = (each @ weights[..., None])[..., 0] / total[:, 0]
    order = np.lexsort((each[:, 1], numbers), axis=-1)
    # Sorted, the values of atoms change no more than each of them.
    return np.concatenate([means, np.take_along_axis(each[:, 1], order, 1)], axis=1), order


def _shape(graph: AtomGraph) -> _Shape:
    numbers, positions = graph.atomic_numbers.numpy(), graph.positions.numpy()
    pbc = graph.pbc[0].numpy()
    if graph.cell is None:
        invariants, order = (found[0] for found in _of_molecules(numbers[None], positions[None]))
        places = positions - positions.mean(axis=0)
        return _Shape(invariants, places, order, numbers, pbc, None)
    weights, cell = 1.0 + (numbers * _GOLDEN) % 1.0, graph.cell[0].numpy()
    places = positions @ np.linalg.inv(cell)
    phases = np.exp(2j * np.pi * places @ _WAVES.T)  # [n_atoms, n_waves]
    sums = weights @ phases / weights.sum()
    # A displacement d changes |sum|^2 by 4 pi |k| d at most, k the vector of the wave.
    slopes = 4.0 * np.pi * np.linalg.norm(_WAVES @ np.linalg.inv(cell).T, axis=1)
    invariants = np.concatenate([(np.abs(sums) ** 2 / slopes)[::-1], np.linalg.norm(cell, axis=1)])
    order = np.lexsort(((phases * sums.conj()).real[:, -1], numbers))
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
