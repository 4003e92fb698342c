"""Structures on their way to a backend: checked arrays, connected in the form that is asked for.

A backend in torch reads `graph`, the compiled kernel `pairs`; whichever is made serves all networks
that are evaluated on these structures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

from mlpotential.graph import AtomGraph
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import connect


class Structures(ABC):
    """Checked structures that are evaluated at once.

    Attributes:
        positions: of all atoms, structure by structure, [n_atoms, 3] or [n_graphs, n_atoms of each,
            3], float64, C-contiguous (A).
        cells: lattice vectors as rows, [n_graphs, 3, 3], float64 (A); None where no structure has
            one, zeros for a molecule beside others with one.
        n_graphs: number of structures.
    """

    def __init__(self, positions: np.ndarray, cells: np.ndarray | None, n_graphs: int) -> None:
        self.positions, self.cells, self.n_graphs = positions, cells, n_graphs

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

    @own_torch_state()
    def __init__(self, graph: AtomGraph, cutoff: float | None) -> None:
        self._graph = connect(graph.to("cpu"), cutoff)
        super().__init__(
            positions=np.ascontiguousarray(self._graph.positions.detach().numpy()),
            cells=None if self._graph.cell is None else self._graph.cell.numpy(),
            n_graphs=self._graph.n_graphs,
        )

    @cached_property
    def graph(self) -> AtomGraph:
        """As they were connected."""
        return self._graph

    @cached_property
    def pairs(self) -> PairGraph:
        """The same edges."""
        return PairGraph.from_graph(self._graph)
