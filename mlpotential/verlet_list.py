"""Verlet list: pairs a little beyond the cutoff, kept for as long as none can be missing.

L. Verlet, Phys. Rev. 159, 98 (1967), https://doi.org/10.1103/PhysRev.159.98; here with a criterion
that also holds for changing cells, and in an order that does not depend on the age of the list.
"""

from __future__ import annotations

import math

import numpy as np

from mlpotential.neighbors import neighbor_pairs

SKIN = 1.0  # A; chosen: cheapest for water at 300 K in steps of 0.5 fs, where it lasts 20 steps
ROUNDING = 1e-6  # A; chosen: that of positions 1e9 A away
MOST_CODES = 2**20  # chosen: a table as long is filled in a millisecond


class VerletList:
    """Half list of pairs within cutoff + skin of one structure, remade when it could miss a pair.

    The list was made for positions r0 and the cell h0; now they are r and h. With the homogeneous
    deformation F = h0^-1 h (the identity for a molecule), atom i was displaced, beside that, by
    u_i = r_i - r0_i F. A pair with lattice translation S was and is displaced by

        d0 = r0_j + S h0 - r0_i,    d = r_j + S h - r_i = d0 F + u_j - u_i,

    since S h = S h0 F. So d0 = (d - u_j + u_i) F^-1, and a pair that is now within the cutoff had

        |d0| <= (cutoff + 2 max|u|) sigma_max(F^-1),                                          (1)

    with the largest singular value of F^-1: while the right-hand side is at most cutoff + skin, the
    pair is in the list.

    Attributes:
        pairs: i and j, [2, n_pairs], int32; i < j, or i == j and the first non-zero component of
            the shift positive; ordered by i, j, shift. Without those beyond the cutoff, lists of
            any age have the same pairs in the same order.
        row_start: pairs of atom i are row_start[i] to row_start[i + 1], [n_atoms + 1], int64.
        shift_index: row of `shifts` of each pair, [n_pairs], int32.
        shifts: the distinct lattice translations of j, ascending, [n_shifts, 3], whole float64;
            displacement = r_j + shift . cell - r_i.
        n_builds: how often the list was made.

    Args:
        cutoff: (A).
        pbc: periodic directions, [3], bool.
        skin: how far beyond the cutoff pairs are listed (A).
    """

    def __init__(self, cutoff: float, pbc: np.ndarray, skin: float = SKIN) -> None:
        self.cutoff = cutoff
        self.pbc = pbc
        self.skin = skin
        self.pairs = np.zeros((2, 0), np.int32)
        self.row_start = np.zeros(1, np.int64)
        self.shift_index = np.zeros(0, np.int32)
        self.shifts = np.zeros((0, 3))
        self.n_builds = 0
        self._positions = np.zeros((0, 3))  # r0
        self._cell: np.ndarray | None = None  # h0

    def update(self, positions: np.ndarray, cell: np.ndarray | None) -> bool:
        """Makes the list anew, in new arrays, where it could miss a pair; says whether it did.

        Args:
            positions: finite, [n_atoms, 3], float64 (A).
            cell: lattice vectors as rows, regular, [3, 3], float64 (A); None for a molecule.
        """
        if self._is_complete(positions, cell):
            return False
        self._build(positions, cell)
        return True

    def within_cutoff(
        self, positions: np.ndarray, cell: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Updates the list and returns, in its order, what is nearer than the cutoff.

        Args:
            positions, cell: as for `update`.

        Returns:
            Pairs i, j, [2, n_pairs], int64, and lattice translations of j, [n_pairs, 3], float64.
        """
        self.update(positions, cell)
        displacements = np.take(positions, self.pairs[1], axis=0)
        displacements -= np.take(positions, self.pairs[0], axis=0)
        if cell is not None:
            displacements += np.take(self.translations(cell), self.shift_index, axis=0)
        x, y, z = displacements.T
        inside = np.flatnonzero(x * x + y * y + z * z < self.cutoff**2)
        pairs = np.take(self.pairs, inside, axis=1).astype(np.int64)
        return pairs, np.take(self.shifts, self.shift_index[inside], axis=0)

    def translations(self, cell: np.ndarray) -> np.ndarray:
        """The shifts as vectors, [n_shifts, 3] (A), each the same whatever the others are.

        In a product of matrices the last bit could depend on the number of rows.
        """
        return (self.shifts[:, :, None] * cell).sum(axis=1)

    def _is_complete(self, positions: np.ndarray, cell: np.ndarray | None) -> bool:
        """Whether the list is of these atoms and has all pairs within the cutoff. Eq. (1)."""
        h0 = self._cell
        if positions.shape != self._positions.shape or (cell is None) != (h0 is None):
            return False
        if cell is None or h0 is None or np.array_equal(cell, h0):
            moved, stretch = positions - self._positions, 1.0
        else:
            deformation = np.linalg.solve(h0, cell)  # F
            moved = positions - self._positions @ deformation  # u
            stretch = float(np.linalg.norm(np.linalg.inv(deformation), 2))
        farthest = math.sqrt((moved * moved @ np.ones(3)).max())
        return (self.cutoff + 2.0 * farthest) * stretch <= self.cutoff + self.skin

    def _build(self, positions: np.ndarray, cell: np.ndarray | None) -> None:
        radius = self.cutoff + self.skin + ROUNDING
        pairs, shifts = _oriented(*neighbor_pairs(positions, radius, cell, self.pbc))
        self.shifts, shift_index = _numbered(shifts)
        self.pairs, self.shift_index = _sorted(pairs, shift_index)
        atoms = np.arange(len(positions) + 1, dtype=np.int32)
        self.row_start = np.searchsorted(self.pairs[0], atoms)
        self._positions = positions.copy()
        self._cell = None if cell is None else cell.copy()
        self.n_builds += 1


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
