"""Verlet list: pairs a little beyond the cutoff, kept for as long as none can be missing.

L. Verlet, Phys. Rev. 159, 98 (1967), https://doi.org/10.1103/PhysRev.159.98; here with a criterion
that also holds for changing cells, and in an order that does not depend on the age of the list.
"""

from __future__ import annotations

import math

import numpy as np

from mlpotential.cell_list.half_list import NO_PAIRS, half_list

SKIN = 1.0  # A; chosen: cheapest for water at 300 K in steps of 0.5 fs, where it lasts 20 steps
ROUNDING = 1e-6  # A; chosen: that of positions 1e9 A away


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
        half: its pairs. Without those beyond the cutoff, lists of any age have the same pairs in
            the same order.
        n_builds: how often the list was made.

    Args:
        cutoff: (A).
        pbc: periodic directions, [3], bool.
        skin: how far beyond the cutoff pairs are listed (A).
        threads: that may share the making of the list.
    """

    def __init__(
        self, cutoff: float, pbc: np.ndarray, skin: float = SKIN, threads: int = 1
    ) -> None:
        self.cutoff = cutoff
        self.pbc = pbc
        self.skin = skin
        self.threads = threads
        self.half = NO_PAIRS
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
        listed = self.half.pairs
        displacements = np.take(positions, listed[1], axis=0)
        displacements -= np.take(positions, listed[0], axis=0)
        if cell is not None:
            displacements += np.take(self.translations(cell), self.half.shift_index, axis=0)
        x, y, z = displacements.T
        inside = np.flatnonzero(x * x + y * y + z * z < self.cutoff**2)
        pairs = np.take(listed, inside, axis=1).astype(np.int64)
        return pairs, np.take(self.half.shifts, self.half.shift_index[inside], axis=0)

    def translations(self, cell: np.ndarray) -> np.ndarray:
        """The shifts as vectors, [n_shifts, 3] (A), each the same whatever the others are.

        In a product of matrices the last bit could depend on the number of rows.
        """
        return (self.half.shifts[:, :, None] * cell).sum(axis=1)

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
        self.half = half_list(positions, radius, cell, self.pbc, self.threads)
        self._positions = positions.copy()
        self._cell = None if cell is None else cell.copy()
        self.n_builds += 1
