"""Which atoms see which: all pairs of a molecule, or neighbours within a cutoff (vesin).

Both give the edge order that `mlpotential.graph` describes: each unordered pair once, then all of
them reversed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from vesin import NeighborList

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, cell_heights, collate, reduction
from mlpotential.properties import LABELS

BYTES_PER_PAIR = 200.0  # measured: a periodic crystal of 8,000 atoms, its pairs, and its forces
MOST_SEARCH_BOXES = 1e5  # vesin's own limit, beyond which it makes boxes larger


def all_pairs(n_atoms: int) -> np.ndarray:
    """Every unordered pair i < j, [2, n_atoms (n_atoms - 1) / 2], int64.

    Raises:
        StructureError: if so many do not fit into the memory.
    """
    _check_memory(0.5 * n_atoms * (n_atoms - 1.0), n_atoms, "without a cutoff")
    return np.stack(np.triu_indices(n_atoms, k=1)).astype(np.int64)


def neighbor_pairs(
    positions: np.ndarray, cutoff: float, cell: np.ndarray | None, pbc: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Every unordered pair within the cutoff, periodic images included.

    Args:
        positions: [n_atoms, 3] (A).
        cutoff: (A).
        cell: lattice vectors as rows, [3, 3] (A), or None for a molecule.
        pbc: [3], bool.

    Returns:
        Pairs i, j, [2, n_pairs], int64, and lattice translations of j, [n_pairs, 3], float64.

    Raises:
        StructureError: if so many do not fit into the memory.
    """
    check_memory_of_pairs(positions, cutoff, cell, pbc)
    change = np.eye(3) if cell is None else reduction(cell, pbc)
    box = np.zeros((3, 3)) if cell is None else change @ cell
    wrapped, translation = _wrap(
        close_gaps(positions, cutoff, cell, pbc), None if cell is None else box, pbc
    )
    periodic = np.asarray(pbc, bool)
    if _is_beyond_vesin(box, cutoff):
        pairs, images = _half_list_of_ase(wrapped, cutoff, box, periodic)
    else:
        search = NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
        pairs, images = search.compute(points=wrapped, box=box, periodic=periodic, quantities="PS")
    pairs = pairs.T.astype(np.int64, order="C")
    shifts = images.astype(np.float64)
    if translation.any():
        shifts += np.take(translation, pairs[1], axis=0) - np.take(translation, pairs[0], axis=0)
    return pairs, shifts if np.array_equal(change, np.eye(3)) else shifts @ change


def check_memory_of_pairs(
    positions: np.ndarray, cutoff: float, cell: np.ndarray | None, pbc: np.ndarray
) -> None:
    """Raises StructureError where the pairs of `neighbor_pairs` do not fit into the memory."""
    n_pairs = _estimated_pairs(positions, cutoff, cell, pbc)
    _check_memory(n_pairs, len(positions), f"within {cutoff:g} A")


def _estimated_pairs(
    positions: np.ndarray, cutoff: float, cell: np.ndarray | None, pbc: np.ndarray
) -> float:
    """As many as atoms spread evenly have in a cube of twice the cutoff, about twice too many.

    Along a periodic direction it holds more than one cell where the cutoff is long; along another
    one at most all atoms.
    """
    vectors = np.zeros((0, 3)) if cell is None else cell[np.asarray(pbc, bool)]
    share = 1.0
    if cell is not None:
        share *= float(np.prod(2.0 * cutoff / cell_heights(cell)[np.asarray(pbc, bool)]))
    if len(vectors) < 3:
        directions = np.linalg.svd(vectors)[2][len(vectors) :]
        extents = np.ptp(positions @ directions.T, axis=0)
        share *= float(np.prod(2.0 * cutoff / np.maximum(extents, 2.0 * cutoff)))
    return 0.5 * len(positions) ** 2 * share


def _check_memory(n_pairs: float, n_atoms: int, where: str) -> None:
    """Raises StructureError for pairs that this machine could not hold."""
    needed = BYTES_PER_PAIR * n_pairs
    there = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if needed > there:
        raise StructureError(
            f"{n_atoms} atoms have about {n_pairs:.1e} pairs {where}, which need about "
            f"{needed / 1e9:.3g} GB of memory, more than the {there / 1e9:.3g} GB of this machine: "
            "use fewer atoms, a larger cell, or a model with a shorter cutoff"
        )


def _is_beyond_vesin(box: np.ndarray, cutoff: float) -> bool:
    """Whether vesin 0.6 would end the process: very many search boxes, few in one direction."""
    if not box.any():
        return False
    n_boxes = np.maximum(np.floor(cell_heights(box) / cutoff), 1.0)
    thinned = n_boxes * (MOST_SEARCH_BOXES / n_boxes.prod()) ** (1.0 / 3.0)
    return bool(n_boxes.prod() > MOST_SEARCH_BOXES and thinned.min() < 1.0)


def _half_list_of_ase(
    positions: np.ndarray, cutoff: float, cell: np.ndarray, pbc: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs [n_pairs, 2] and shifts [n_pairs, 3], each pair once, by ASE's slower list."""
    warnings.warn(
        "the cell is so large and thin that the slower neighbour list of ASE is used",
        stacklevel=2,
    )
    from ase.neighborlist import primitive_neighbor_list

    i, j, shifts = primitive_neighbor_list("ijS", pbc, cell, positions, cutoff)
    leading = shifts[np.arange(len(shifts)), (shifts != 0).argmax(axis=1)]
    once = (i < j) | ((i == j) & (leading > 0))
    return np.column_stack([i, j])[once], shifts[once]


def _wrap(
    positions: np.ndarray, cell: np.ndarray | None, pbc: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Positions folded into the cell, and the translations taken off, [n_atoms, 3], whole numbers.

    A search over atoms 1e6 A away from the cell would otherwise build as many empty boxes.
    """
    if cell is None:
        return positions, np.zeros_like(positions)
    fractional = np.linalg.solve(cell.T, positions.T).T
    translation = np.where(pbc, -np.floor(fractional), 0.0)
    return positions + translation @ cell, translation


def close_gaps(
    positions: np.ndarray, cutoff: float, cell: np.ndarray | None, pbc: np.ndarray
) -> np.ndarray:
    """Positions with empty space beyond the cutoff taken out, where nothing repeats.

    Along every direction perpendicular to the periodic ones, atoms on either side of a gap move as
    a whole and stay out of each other's sight: the pairs are the same. The search builds boxes to
    fill the gap otherwise, and vesin 0.6 ends the process where they are very many.
    """
    if np.ptp(positions, axis=0).max() < 100.0 * cutoff:
        return positions
    periodic = np.zeros((0, 3)) if cell is None else cell[np.asarray(pbc, bool)]
    for direction in np.linalg.svd(periodic)[2][len(periodic) :]:
        heights = positions @ direction
        order = np.argsort(heights)
        excess = np.cumsum(np.maximum(np.diff(heights[order]) - 1.01 * cutoff, 0.0))
        if excess.any():
            positions = positions.copy()
            positions[order[1:]] -= excess[:, None] * direction
    return positions


def connect(graph: AtomGraph, cutoff: float | None) -> AtomGraph:
    """The same structures with their edges.

    Args:
        graph: one structure or many.
        cutoff: largest distance of an edge (A); None for all pairs.

    Raises:
        StructureError: if a structure is periodic and there is no cutoff.
    """
    if cutoff is None and bool(graph.pbc.any()):
        raise StructureError(
            "the model has no cutoff, so it cannot be used with periodic boundaries: "
            "an atom would see infinitely many images. Use a model with a cutoff"
        )
    if graph.n_graphs > 1:
        return collate([connect(single, cutoff) for single in split(graph)])
    if cutoff is None:
        return with_pairs(graph, all_pairs(graph.n_atoms), None)
    cell = None if graph.cell is None else graph.cell[0].cpu().numpy()
    positions, pbc = graph.positions.detach().cpu().numpy(), graph.pbc[0].cpu().numpy()
    pairs, shifts = neighbor_pairs(positions, cutoff, cell, pbc)
    return with_pairs(graph, pairs, None if cell is None else shifts)


def with_pairs(graph: AtomGraph, pairs: np.ndarray, shifts: np.ndarray | None) -> AtomGraph:
    """Attaches unordered pairs [2, n_pairs] and shifts [n_pairs, 3] as the full edge list."""
    edges = np.concatenate([pairs, pairs[::-1]], axis=1)
    device = graph.positions.device
    edge_shift: Tensor | None = None
    if shifts is not None:
        edge_shift = torch.from_numpy(np.concatenate([shifts, -shifts])).to(device, torch.float64)
    return replace(graph, edge_index=torch.from_numpy(edges).to(device), edge_shift=edge_shift)


def split(graph: AtomGraph) -> Sequence[AtomGraph]:
    """The structures of a graph one by one, without edges: the inverse of `collate`."""
    singles = []
    counts = graph.atoms_per_graph().tolist()
    starts = np.cumsum([0, *counts])
    for k, n in enumerate(counts):
        atoms = slice(int(starts[k]), int(starts[k]) + n)
        cell = None if graph.cell is None or not bool(graph.pbc[k].any()) else graph.cell[k : k + 1]
        rows = {"atom": atoms, "graph": slice(k, k + 1)}
        labels = {
            name: values[rows[label.per]]
            for name, label in LABELS.items()
            if (values := getattr(graph, name)) is not None
        }
        scalars = {name: values[k : k + 1] for name, values in graph.scalars.items()}
        singles.append(
            AtomGraph(
                atomic_numbers=graph.atomic_numbers[atoms],
                positions=graph.positions[atoms],
                graph_index=torch.zeros_like(graph.graph_index[atoms]),
                n_graphs=1,
                pbc=graph.pbc[k : k + 1],
                cell=cell,
                scalars=scalars,
                **labels,
            )
        )
    return singles
