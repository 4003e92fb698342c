"""Many structures in flat arrays, one behind another, of which graphs are made when asked for.

A hundred thousand structures are a hundred thousand objects otherwise. The arrays may be mapped
from files; statistics and checks read them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import AtomGraph
from mlpotential.properties import LABELS, label_row

_NUMBERS_AT_ONCE = 2**22  # chosen: 32 MB


@dataclass(frozen=True, eq=False)
class StructureArrays(Sequence[AtomGraph]):
    """Chosen structures of a set, in order; the arrays are those of the whole set.

    Attributes:
        atomic_numbers: of all atoms, [n_all_atoms], of any type of whole numbers.
        positions: [n_all_atoms, 3] (A).
        starts: the first atom of each structure and the end of the last, [n_all + 1], int64.
        rows: the structures that are meant, [n_structures], int64.
        pbc: periodic directions, [n_all, 3], bool.
        cells: lattice vectors as rows, [n_all, 3, 3] (A), zero for a molecule; None where all are.
        labels: by names of `properties.LABELS` or of scalars, [n_all, ...] or [n_all_atoms, ...],
            in their units.
        weights: of the labels in a loss, [n_all, n_labels + 1], as an `AtomGraph` has them; None
            where all are 1.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    starts: np.ndarray
    rows: np.ndarray
    pbc: np.ndarray
    cells: np.ndarray | None = None
    labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: np.ndarray | None = None

    @classmethod
    def of(cls, graphs: Sequence[AtomGraph]) -> StructureArrays:
        """Of single structures, which all have the same labels; edges are left out."""
        if isinstance(graphs, StructureArrays):
            return graphs
        n_atoms = [graph.n_atoms for graph in graphs]
        starts = np.zeros(len(graphs) + 1, np.int64)
        np.cumsum(n_atoms, out=starts[1:])
        cells = [None if graph.cell is None else graph.cell.cpu().numpy() for graph in graphs]
        names = dict.fromkeys(name for graph in graphs for name in graph.labels)
        known = {name: [graph.label(name) for graph in graphs] for name in names}
        weighted = any(graph.weights is not None for graph in graphs)
        ones = np.ones((1, len(LABELS) + 1))
        return cls(
            atomic_numbers=_joined([g.atomic_numbers for g in graphs], (0,), np.int64),
            positions=_joined([g.positions for g in graphs], (0, 3)),
            starts=starts,
            rows=np.arange(len(graphs)),
            pbc=_joined([g.pbc for g in graphs], (0, 3), bool),
            cells=np.concatenate([np.zeros((1, 3, 3)) if c is None else c for c in cells])
            if any(cell is not None for cell in cells)
            else None,
            labels={
                name: _joined([v for v in values if v is not None], (0,))
                for name, values in known.items()
                if all(v is not None for v in values)
            },
            weights=np.concatenate(
                [ones if g.weights is None else g.weights.cpu().numpy() for g in graphs]
            )
            if weighted
            else None,
        )

    @classmethod
    def joined(cls, parts: Sequence[StructureArrays]) -> StructureArrays:
        """One behind another, without labels and weights."""
        first, *others = parts
        if all(part.positions is first.positions for part in others):
            return replace(first, rows=np.concatenate([part.rows for part in parts]))
        has_cells = any(part.cells is not None for part in parts)
        atoms = [part.atom_index(range(len(part))) for part in parts]
        starts = np.concatenate([[0], *(part.n_atoms for part in parts)]).cumsum()
        return cls(
            atomic_numbers=np.concatenate(
                [p.atomic_numbers[k] for p, k in zip(parts, atoms, strict=True)]
            ),
            positions=np.concatenate([p.positions[k] for p, k in zip(parts, atoms, strict=True)]),
            starts=starts,
            rows=np.arange(len(starts) - 1),
            pbc=np.concatenate([part.pbc[part.rows] for part in parts]),
            cells=np.concatenate(
                [
                    np.zeros((len(part), 3, 3)) if part.cells is None else part.cells[part.rows]
                    for part in parts
                ]
            )
            if has_cells
            else None,
        )

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> AtomGraph: ...
    @overload
    def __getitem__(self, index: slice) -> StructureArrays: ...
    def __getitem__(self, index: int | slice) -> AtomGraph | StructureArrays:
        if isinstance(index, slice):
            return replace(self, rows=self.rows[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"structure {index} of {len(self)}")
        return self.batch([index % len(self)])

    def select(self, indices: Iterable[int] | np.ndarray) -> StructureArrays:
        """The structures at these places, in this order."""
        chosen = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices), np.int64)
        return replace(self, rows=self.rows[chosen])

    @cached_property
    def n_atoms(self) -> np.ndarray:
        """Of each structure, [n_structures], int64."""
        return self.starts[self.rows + 1] - self.starts[self.rows]

    @cached_property
    def is_periodic(self) -> np.ndarray:
        """Whether there are periodic directions, [n_structures], bool."""
        return np.asarray(self.pbc[self.rows].any(axis=1))

    @cached_property
    def has_cell(self) -> np.ndarray:
        """Whether there are lattice vectors, [n_structures], bool."""
        if self.cells is None:
            return np.zeros(len(self), bool)
        return np.asarray(self.cells[self.rows].any(axis=(1, 2)))

    @cached_property
    def all_numbers(self) -> np.ndarray:
        """Atomic numbers of the atoms of the chosen structures, one behind another, int64."""
        return self.atomic_numbers[self.atom_index(range(len(self)))].astype(np.int64)

    @cached_property
    def structure_of_atom(self) -> np.ndarray:
        """The structure of each of them."""
        return np.repeat(np.arange(len(self)), self.n_atoms)

    @property
    def known_labels(self) -> list[str]:
        """Names, those of the table first and in its order."""
        return [n for n in LABELS if n in self.labels] + [n for n in self.labels if n not in LABELS]

    def label(self, name: str) -> np.ndarray:
        """Of the chosen structures or of their atoms, [n, ...], float64. KeyError without it."""
        rows = self.rows if label_row(name).per == "graph" else self.atom_index(range(len(self)))
        return np.asarray(self.labels[name][rows], np.float64)

    def label_weights(self, name: str) -> np.ndarray:
        """The weight of this label of each structure in a loss, [n_structures]."""
        if self.weights is None:
            return np.ones(len(self))
        column = list(LABELS).index(name) if name in LABELS else len(LABELS)
        return np.asarray(self.weights[self.rows, column])

    def atom_index(self, chosen: Sequence[int] | np.ndarray) -> np.ndarray:
        """Rows of the arrays of atoms, for these structures one behind another."""
        structures = self.rows[np.asarray(chosen, np.int64)]
        starts = self.starts[structures]
        counts = self.starts[structures + 1] - starts
        ends = np.cumsum(counts)
        return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)

    def batch(self, chosen: Sequence[int] | np.ndarray) -> AtomGraph:
        """These structures as one graph without edges."""
        places = np.asarray(chosen, np.int64)
        rows, atoms = self.rows[places], self.atom_index(places)
        counts = self.n_atoms[places]
        cells = None if self.cells is None else self.cells[rows]
        has_cell = cells is not None and bool(cells.any())
        labels = {
            name: _tensor(
                self.labels[name][atoms if label_row(name).per == "atom" else rows], float
            )
            for name in self.known_labels
        }
        return AtomGraph(
            atomic_numbers=_tensor(self.atomic_numbers[atoms], np.int64),
            positions=_tensor(self.positions[atoms], np.float64),
            graph_index=torch.from_numpy(np.repeat(np.arange(len(rows)), counts)),
            n_graphs=len(rows),
            pbc=_tensor(self.pbc[rows], bool),
            cell=_tensor(cells, np.float64) if has_cell and cells is not None else None,
            weights=None if self.weights is None else _tensor(self.weights[rows], np.float64),
            scalars={name: values for name, values in labels.items() if name not in LABELS},
            **{name: values for name, values in labels.items() if name in LABELS},
        )

    def batches(self, batch_size: int) -> Iterator[AtomGraph]:
        """All of them in order, `batch_size` at a time, without edges."""
        for start in range(0, len(self), batch_size):
            yield self.batch(range(start, min(start + batch_size, len(self))))

    def by_size(self, numbers_per_atom_pair: int = 1) -> Iterator[tuple[np.ndarray, ...]]:
        """Structures of equal numbers of atoms, some at a time.

        Args:
            numbers_per_atom_pair: how many numbers are needed of each pair of atoms: as many
                structures come together as a few MB can hold.

        Yields:
            Places of the structures [n], atomic numbers [n, n_atoms], positions [n, n_atoms, 3].
        """
        for size in np.unique(self.n_atoms).tolist():
            places = np.flatnonzero(self.n_atoms == size)
            n = max(1, _NUMBERS_AT_ONCE // (numbers_per_atom_pair * size**2))
            for first in range(0, len(places), n):
                some = places[first : first + n]
                rows = self.atom_index(some).reshape(len(some), size)
                yield some, self.atomic_numbers[rows].astype(np.int64), self.positions[rows]


def _joined(
    tensors: Sequence[Tensor], shape: tuple[int, ...], dtype: type = np.float64
) -> np.ndarray:
    if not tensors:
        return np.zeros(shape, dtype)
    return np.concatenate([tensor.detach().cpu().numpy() for tensor in tensors])


def _tensor(array: np.ndarray, dtype: type) -> Tensor:
    """Of a fresh copy, which is writable whatever the array was mapped from."""
    return torch.from_numpy(np.array(array, dtype, order="C"))
