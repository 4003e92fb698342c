"""Geometries of one list of atoms, checked and connected; what stays the same is kept.

A small molecule has the same pairs for ever. All else has a Verlet list for each replica, made anew
only where atoms or cells have moved far.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, check_cell, check_finite_positions, collate
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.structures import Atoms, Structures
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import all_pairs, with_pairs
from mlpotential.verlet_list import VerletList

MAX_ATOMS_ALL_PAIRS = 64  # chosen: so few distances are measured faster than a list is kept


class Replicas:
    """One list of atoms in many geometries.

    Args:
        atomic_numbers: [n_atoms].
        pbc: periodic directions, [3], bool.
        cutoff: of the model (A); None for all pairs.
        threads: that may share the making of a list.
    """

    def __init__(
        self,
        atomic_numbers: np.ndarray,
        pbc: np.ndarray,
        cutoff: float | None,
        threads: int = 1,
    ) -> None:
        self.atomic_numbers, self.pbc, self.cutoff = atomic_numbers, pbc, cutoff
        self._threads = threads
        self.n_atoms = len(atomic_numbers)
        self._periodic = bool(pbc.any())
        self._checked_cell: np.ndarray | None = None
        all_near = not self._periodic and self.n_atoms <= MAX_ATOMS_ALL_PAIRS
        self._fixed = all_pairs(self.n_atoms) if cutoff is None or all_near else None
        self._lists: list[VerletList] = []
        self._atoms: Atoms | None = None  # of the latest number of replicas
        self._joined: PairGraph | None = None
        self._joined_builds: list[int] | None = None  # of the lists that were joined
        self._lock = threading.Lock()  # the lists are of one call until its graph is made

    def structures(self, positions: np.ndarray, cells: np.ndarray | None) -> Structures:
        """Geometries, checked.

        Args:
            positions: [n_replicas, n_atoms, 3] (A).
            cells: [n_replicas, 3, 3] (A); does not count without periodic directions.

        Raises:
            StructureError: for wrong shapes, values that are not finite, a missing, singular or
                thin cell.
        """
        positions = np.ascontiguousarray(positions, np.float64)
        if positions.ndim != 3 or positions.shape[1:] != (self.n_atoms, 3):
            raise StructureError(
                f"positions must be [n_replicas, {self.n_atoms}, 3], not {list(positions.shape)}"
            )
        if len(positions) == 0:
            raise StructureError("there are no replicas: at least one is needed")
        check_finite_positions(positions)
        cells = self._checked_cells(cells, len(positions)) if self._periodic else None
        return ReplicaStructures(self, positions, cells)

    def atoms(self, n_replicas: int) -> Atoms:
        """Of so many replicas."""
        found = self._atoms
        if found is None or found.n_graphs != n_replicas:
            self._atoms = found = Atoms(
                graph_start=self.n_atoms * np.arange(n_replicas + 1),
                atomic_numbers=np.tile(self.atomic_numbers.astype(np.int32), n_replicas),
                pbc=np.tile(self.pbc, (n_replicas, 1)),
            )
        return found

    def _checked_cells(self, cells: np.ndarray | None, n_replicas: int) -> np.ndarray:
        if cells is None:
            check_cell(None, self.pbc)
        cells = np.ascontiguousarray(cells, np.float64)
        if cells.shape != (n_replicas, 3, 3):
            raise StructureError(f"cells must be [{n_replicas}, 3, 3], not {list(cells.shape)}")
        for cell in cells:
            if self._checked_cell is None or not np.array_equal(cell, self._checked_cell):
                check_cell(cell, self.pbc)
                self._checked_cell = cell.copy()
        return cells

    @own_torch_state()
    def graph(self, positions: np.ndarray, cells: np.ndarray | None) -> AtomGraph:
        """Checked replicas with the edges within the cutoff, as tensors.

        Args:
            positions: [n_replicas, n_atoms, 3] (A).
            cells: [n_replicas, 3, 3] (A), or None.
        """
        with self._lock:
            singles = [
                self._connected(k, p, None if cells is None else cells[k])
                for k, p in enumerate(positions)
            ]
        return collate(singles) if len(singles) > 1 else singles[0]

    def _connected(self, k: int, positions: np.ndarray, cell: np.ndarray | None) -> AtomGraph:
        """Replica k: positions [n_atoms, 3], cell [3, 3] or None (A)."""
        single = AtomGraph(
            atomic_numbers=torch.from_numpy(self.atomic_numbers),
            positions=torch.tensor(positions),
            graph_index=torch.zeros(self.n_atoms, dtype=torch.int64),
            n_graphs=1,
            pbc=torch.from_numpy(self.pbc)[None],
            cell=None if cell is None else torch.tensor(cell[None]),
        )
        if self._fixed is None:
            pairs, shifts = self._list(k).within_cutoff(positions, cell)
            return with_pairs(single, pairs, None if cell is None else shifts)
        if self.cutoff is None:
            return with_pairs(single, self._fixed, None)
        i, j = self._fixed
        inside = np.linalg.norm(positions[j] - positions[i], axis=1) < self.cutoff  # [n_pairs]
        return with_pairs(single, self._fixed[:, inside], None)

    def pair_graph(self, positions: np.ndarray, cells: np.ndarray | None) -> PairGraph:
        """Checked replicas with all listed pairs, in the arrays of the kernel.

        Args:
            positions: [n_replicas, n_atoms, 3] (A).
            cells: [n_replicas, 3, 3] (A), or None.
        """
        with self._lock:
            return self._pair_graph(positions, cells)

    def _pair_graph(self, positions: np.ndarray, cells: np.ndarray | None) -> PairGraph:
        # One Verlet list for each replica, searched anew only where its atoms have moved far;
        # no list at all where the pairs never change.
        lists = [] if self._fixed is not None else [self._list(k) for k in range(len(positions))]
        for k, verlet in enumerate(lists):
            verlet.update(positions[k], None if cells is None else cells[k])

        # The joined arrays stay right until a list is built anew or the number of replicas changes.
        builds = [verlet.n_builds for verlet in lists]
        joined = self._joined
        if joined is None or joined.n_graphs != len(positions) or builds != self._joined_builds:
            if self._fixed is not None:
                i, j = self._fixed
                row_start = np.searchsorted(i, np.arange(self.n_atoms + 1))
                singles = [self._single(row_start, j.astype(np.int32))] * len(positions)
            else:
                singles = [self._listed(verlet) for verlet in lists]
            self._joined = joined = singles[0] if len(singles) == 1 else PairGraph.joined(singles)
            self._joined_builds = builds
        if cells is None:
            return joined

        # Which image a pair is with (shift_index) is as old as the lists; where that image lies
        # follows the cell of today: [n_translations of a list, 3] for each replica, one after
        # another as `joined` counts them.
        translations = [verlet.translations(cells[k]) for k, verlet in enumerate(lists)]
        return replace(joined, translations=np.concatenate(translations))

    def _list(self, k: int) -> VerletList:
        assert self.cutoff is not None  # else all pairs are fixed
        while len(self._lists) <= k:
            self._lists.append(VerletList(self.cutoff, self.pbc, threads=self._threads))
        return self._lists[k]

    def _listed(self, verlet: VerletList) -> PairGraph:
        """One replica with the pairs of its list; its translations are put in by the caller."""
        half = verlet.half
        single = self._single(half.row_start, half.neighbors)
        if not self._periodic:
            return single
        return replace(single, shift_index=half.shift_index, translations=half.shifts)

    def _single(self, row_start: np.ndarray, neighbors: np.ndarray) -> PairGraph:
        """One replica with these second atoms, int32, of the rows of first atoms."""
        return PairGraph(
            graph_start=np.array([0, self.n_atoms]),
            atomic_numbers=self.atomic_numbers.astype(np.int32),
            row_start=row_start,
            neighbors=neighbors,
        )


class ReplicaStructures(Structures):
    """Checked geometries of the atoms of a `Replicas`, by which they are connected."""

    def __init__(self, replicas: Replicas, positions: np.ndarray, cells: np.ndarray | None) -> None:
        super().__init__(replicas.atoms(len(positions)), positions, cells)
        self._replicas = replicas

    @cached_property
    def graph(self) -> AtomGraph:
        """As `Replicas.graph`."""
        return self._replicas.graph(self.positions, self.cells)

    @cached_property
    def pairs(self) -> PairGraph:
        """As `Replicas.pair_graph`."""
        return self._replicas.pair_graph(self.positions, self.cells)
