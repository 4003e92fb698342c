"""A probe in Behler-Parrinello potentials: the network of its element on its own functions.

Symmetry functions of an atom know positions and elements of its neighbours alone, so the probe's
are exact in a graph where it sees its neighbours and these see nobody else. Each probe has its own
copies of them, images included, and many probes are evaluated at once.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.probes.probe import Probe
from mlpotential.interpretation.fields.probes.surroundings import Pairs
from mlpotential.models.behler_parrinello import BehlerParrinello


class BehlerParrinelloProbe(Probe):
    """The model and the elements of the structure.

    Args: as of `Probe`.
    """

    PAIRS_AT_ONCE: ClassVar[int] = 2**12

    def __init__(
        self, model: BehlerParrinello, readout: nn.Module, graph: AtomGraph, dtype: torch.dtype
    ) -> None:
        self._numbers = graph.atomic_numbers
        self._model = copy.deepcopy(model).to(dtype)
        self._readout = copy.deepcopy(readout).to(dtype)

    def around(self, graph: AtomGraph) -> Self:
        """As of `Probe`."""
        other = copy.copy(self)
        other._numbers = graph.atomic_numbers
        return other

    def values(self, points: Tensor, pairs: Pairs, atomic_number: int) -> Tensor:
        """As of `Probe`."""
        n_points = len(points)
        neighbors = points[pairs.point_index] + pairs.displacements
        numbers = torch.cat(
            [torch.full((n_points,), atomic_number), self._numbers[pairs.atom_index]]
        )
        copies = n_points + torch.arange(len(neighbors))
        stars = AtomGraph(
            atomic_numbers=numbers,
            positions=torch.cat([points, neighbors]),
            graph_index=torch.zeros_like(numbers),
            n_graphs=1,
            pbc=torch.zeros(1, 3, dtype=torch.bool),
            edge_index=torch.stack(
                [torch.cat([pairs.point_index, copies]), torch.cat([copies, pairs.point_index])]
            ),
        )
        features = self._model.representation(stars)[:n_points]
        return self._readout(features, _first_atoms(stars, n_points))


def _first_atoms(graph: AtomGraph, n_atoms: int) -> AtomGraph:
    """A readout asks for their elements."""
    return replace(
        graph,
        atomic_numbers=graph.atomic_numbers[:n_atoms],
        positions=graph.positions[:n_atoms],
        graph_index=graph.graph_index[:n_atoms],
        edge_index=None,
    )
