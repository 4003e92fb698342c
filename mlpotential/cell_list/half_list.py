"""Every pair of atoms within a radius once, ordered and grouped by first atoms.

A compiled cell list (D. Frenkel and B. Smit, Understanding Molecular Simulation, appendix F) does
the search; for strongly skewed cells and atoms very many cells apart, and for all where nothing was
compiled, `neighbor_pairs`, whose pairs are then sorted. Both give the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlpotential.cell_list import library
from mlpotential.graph import cell_heights, reduction
from mlpotential.neighbors import check_memory_of_pairs, close_gaps, neighbor_pairs

MOST_CODES = 2**20  # chosen: a table as long is filled in a millisecond
FARTHEST = 1e6  # cells; chosen: positions are still exact to 1e-9 A there
MARGIN = 1.0 + 1e-6  # chosen: rounding puts no atom past the next box
ATOMS_OF_A_THREAD = 1000  # chosen: fewer are listed faster than a thread starts


@dataclass(frozen=True)
class HalfList:
    """Pairs i < j, or i == j and the first non-zero component of the shift positive.

    Attributes:
        row_start: pairs of atom i are row_start[i] to row_start[i + 1], [n_atoms + 1], int64.
        neighbors: second atoms, [n_pairs], int32; ascending for each first atom, then by shift.
        shift_index: row of `shifts` of each pair, [n_pairs], int32.
        shifts: the distinct lattice translations of j, ascending, [n_shifts, 3], whole float64;
            displacement = r_j + shift . cell - r_i.
    """

    row_start: np.ndarray
    neighbors: np.ndarray
    shift_index: np.ndarray
    shifts: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """i and j, [2, n_pairs], int32."""
        counts = np.diff(self.row_start)
        first = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        return np.stack([first, self.neighbors])


NO_PAIRS = HalfList(
    np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 3))
)


def half_list(
    positions: np.ndarray, radius: float, cell: np.ndarray | None, pbc: np.ndarray, threads: int = 1
) -> HalfList:
    """All pairs within a radius.

    Args:
        positions: [n_atoms, 3], float64 (A).
        radius: (A).
        cell: lattice vectors as rows, regular, [3, 3] (A); None for a molecule.
        pbc: periodic directions, [3], bool.
        threads: that may share the search; the list does not depend on them.

    Raises:
        StructureError: if so many do not fit into the memory.
    """
    check_memory_of_pairs(positions, radius, cell, pbc)
    gathered = np.ascontiguousarray(close_gaps(positions, radius, cell, pbc))
    boxes = _boxes(gathered, radius, cell, np.asarray(pbc, bool)) if library.library() else None
    if boxes is None:
        return by_sorting(*neighbor_pairs(positions, radius, cell, pbc), n_atoms=len(positions))
    threads = min(threads, 1 + len(positions) // ATOMS_OF_A_THREAD)
    return HalfList(*library.sorted_pairs(gathered, radius, boxes, threads))


def _boxes(
    positions: np.ndarray, radius: float, cell: np.ndarray | None, pbc: np.ndarray
) -> dict[str, np.ndarray] | None:
    """As `library.sorted_pairs` wants them; None where the search is for others."""
    if cell is None:
        cell, pbc = np.eye(3), np.zeros(3, bool)
    elif not np.array_equal(reduction(cell, pbc), np.eye(3)):
        return None
    inverse = np.linalg.inv(cell)
    heights = cell_heights(cell)

    # Parts of the cell between which the atoms lie, [3], and so many boxes as have the height.
    parts = positions @ inverse
    low, high = parts.min(axis=0), parts.max(axis=0)
    if np.abs([low, high])[:, pbc].max(initial=0.0) > FARTHEST:
        return None
    least_height = radius * MARGIN
    extent = np.where(pbc, 1.0, np.maximum(high - low, least_height / heights))
    n_boxes = np.clip(extent * heights / least_height, 1.0, 1e6).astype(np.int64)
    while n_boxes.prod() > 2 * len(positions) + 27:  # empty boxes would cost more than full ones
        n_boxes[n_boxes.argmax()] //= 2
    reach = np.ceil(least_height * n_boxes / (extent * heights)).astype(np.int64)
    cells_apart = np.where(pbc, np.floor(high) - np.floor(low) + 2.0 + reach, 0.0)  # with rounding
    if (2.0 * cells_apart + 1.0).prod() > MOST_CODES:
        return None
    return {
        "cell": np.ascontiguousarray(cell, np.float64),
        "inverse": np.ascontiguousarray(inverse),
        "periodic": pbc.astype(np.int64),
        "low": np.where(pbc, 0.0, low),
        "extent": extent,
        "n_boxes": n_boxes,
        "reach": reach,
    }


def by_sorting(pairs: np.ndarray, shifts: np.ndarray, n_atoms: int) -> HalfList:
    """From unordered pairs [2, n_pairs] and shifts [n_pairs, 3], each pair once, in any order."""
    pairs, shifts = _oriented(pairs, shifts)
    distinct, shift_index = _numbered(shifts)
    ordered, shift_index = _sorted(pairs, shift_index)
    atoms = np.arange(n_atoms + 1, dtype=np.int32)
    return HalfList(np.searchsorted(ordered[0], atoms), ordered[1].copy(), shift_index, distinct)


def _oriented(pairs: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same with i < j, or i == j and the first non-zero component of the shift positive."""
    i, j = pairs
    backward = i > j
    images = np.flatnonzero(i == j)
    backward[images] = np.sign(shifts[images]) @ [4.0, 2.0, 1.0] < 0.0
    if not backward.any():
        return pairs, shifts
    return np.where(backward, pairs[::-1], pairs), np.where(backward[:, None], -shifts, shifts)


def _numbered(shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct shifts, ascending, [n_shifts, 3], and the number of each pair's, [n_pairs]."""
    columns = np.array(shifts.T, order="C")
    low = columns.min(axis=1, initial=0.0)
    columns -= low[:, None]
    extents = columns.max(axis=1, initial=0.0) + 1.0
    if extents.prod() > MOST_CODES:  # atoms many cells apart
        distinct, index = np.unique(shifts, axis=0, return_inverse=True)
        return distinct + 0.0, index.reshape(-1)  # no minus zero
    codes = (np.array([extents[1] * extents[2], extents[2], 1.0]) @ columns).astype(np.int64)
    present = np.zeros(extents.astype(np.int64), bool)
    present.reshape(-1)[codes] = True
    distinct = np.add(np.argwhere(present), low, order="C")
    return distinct, np.take(np.cumsum(present) - 1, codes)


def _sorted(pairs: np.ndarray, shift_index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and shift indices, int32, ordered by i, j, shift: packed in one number to be sorted."""
    atom_bits = int(pairs.max(initial=0)).bit_length()
    shift_bits = int(shift_index.max(initial=0)).bit_length()
    keys = (((pairs[0] << atom_bits) | pairs[1]) << shift_bits) | shift_index
    keys.sort()
    ordered = np.empty(pairs.shape, np.int32)
    ordered[0] = keys >> (atom_bits + shift_bits)
    ordered[1] = (keys >> shift_bits) & ((1 << atom_bits) - 1)
    return ordered, (keys & ((1 << shift_bits) - 1)).astype(np.int32)
