"""Structures on their way to a backend: checked arrays, connected in the form that is asked for.

A backend in torch reads `graph`, the compiled kernel `pairs`; whichever is made serves all networks
that are evaluated on these structures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlpotential.graph import AtomGraph
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import connect


@dataclass(frozen=True)
class Atoms:
    """Which atoms there are, structure by structure, wherever they are.

    Attributes:
        graph_start: first atom of each structure and the end of the last, [n_graphs + 1], int64.
        atomic_numbers: [n_atoms], int32.
        pbc: periodic directions, [n_graphs, 3], bool.
    """

    graph_start: np.ndarray
    atomic_numbers: np.ndarray
    pbc: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Of all structures together."""
        return len(self.atomic_numbers)

    @property
    def n_graphs(self) -> int:
        """Number of structures."""
        return len(self.graph_start) - 1

    def some(self, graphs: slice) -> Atoms:
        """Of structures one after another."""
        starts = self.graph_start[graphs.start : graphs.stop + 1]
        numbers = self.atomic_numbers[starts[0] : starts[-1]]
        return Atoms(starts - starts[0], numbers, self.pbc[graphs])

    def chosen(self, graphs: np.ndarray) -> Atoms:
        """Of structures by their numbers, ascending, [n_chosen]."""
        starts = np.zeros(len(graphs) + 1, np.int64)
        np.cumsum(np.diff(self.graph_start)[graphs], out=starts[1:])
        return Atoms(starts, self.atomic_numbers[self.atoms_of(graphs)], self.pbc[graphs])

    def atoms_of(self, graphs: np.ndarray) -> np.ndarray:
        """Numbers of the atoms of structures, [n]."""
        of_atoms = np.repeat(np.arange(self.n_graphs), np.diff(self.graph_start))
        return np.flatnonzero(np.isin(of_atoms, graphs))

    def is_same(self, other: Atoms) -> bool:
        """Whether these are the same atoms."""
        return self is other or (
            np.array_equal(self.graph_start, other.graph_start)
            and np.array_equal(self.atomic_numbers, other.atomic_numbers)
            and np.array_equal(self.pbc, other.pbc)
        )


class Structures(ABC):
    """Checked structures that are evaluated at once.

    Attributes:
        atoms: of all of them.
        positions: of all atoms, structure by structure, [n_atoms, 3] or [n_graphs, n_atoms of each,
            3], float64, C-contiguous (A).
        cells: lattice vectors as rows, [n_graphs, 3, 3], float64 (A); None where no structure has
            one, zeros for a molecule beside others with one.
    """

    def __init__(self, atoms: Atoms, positions: np.ndarray, cells: np.ndarray | None) -> None:
        self.atoms, self.positions, self.cells = atoms, positions, cells

    @property
    def n_graphs(self) -> int:
        """Number of structures."""
        return self.atoms.n_graphs

    @cached_property
    @abstractmethod
    def graph(self) -> AtomGraph:
        """With the edges within the cutoff, as tensors on the CPU."""

    @cached_property
    @abstractmethod
    def pairs(self) -> PairGraph:
        """With half a list of pairs, of which some may be beyond the cutoff, as flat arrays."""


class ConnectedStructures(Structures):
    """Any structures, whose edges are searched anew.

    Args:
        graph: checked, on any device, with or without edges.
        cutoff: of the model (A); None for all pairs.
    """

    def __init__(self, graph: AtomGraph, cutoff: float | None) -> None:
        self._unconnected, self._cutoff = graph.to("cpu"), cutoff
        graph = self._unconnected
        starts = np.zeros(graph.n_graphs + 1, np.int64)
        np.cumsum(graph.atoms_per_graph().numpy(), out=starts[1:])
        numbers = graph.atomic_numbers.numpy().astype(np.int32)
        super().__init__(
            atoms=Atoms(starts, numbers, graph.pbc.numpy()),
            positions=np.ascontiguousarray(graph.positions.detach().numpy()),
            cells=None if graph.cell is None else graph.cell.numpy(),
        )

    @cached_property
    @own_torch_state()
    def graph(self) -> AtomGraph:
        """With the edges that are there now."""
        return connect(self._unconnected, self._cutoff)

    @cached_property
    def pairs(self) -> PairGraph:
        """The same edges."""
        return PairGraph.from_graph(self.graph)
