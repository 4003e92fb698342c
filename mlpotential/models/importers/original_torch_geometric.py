"""A SchNet of torch_geometric evaluated by torch_geometric itself, where it is installed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import version

import torch
from torch import Tensor

from mlpotential.graph import AtomGraph
from mlpotential.models.importers.foreign_network import OriginalAnswer


def evaluate_with_torch_geometric(
    tensors: Mapping[str, Tensor],
    cutoff: float,
    mean: float | None,
    std: float | None,
    scale: float,
    graph: AtomGraph,
) -> OriginalAnswer:
    """Energies and forces in float64, in the units of the network.

    Its interaction graph, which needs another package and drops neighbours, is replaced by the
    edges of `graph`, and its ln 2, rounded to float32, by ln 2; all else is the program's own.

    Args:
        tensors: by torch_geometric's names.
        cutoff, mean, std, scale: attributes of the network.
        graph: connected molecules, positions in the unit of the network.

    Raises:
        ImportError: if torch_geometric is not installed, or cannot be imported.
    """
    from torch_geometric.nn.models.schnet import SchNet, ShiftedSoftplus

    def edges(positions: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        assert graph.edge_index is not None
        center, neighbor = graph.edge_index
        distances = (positions[neighbor] - positions[center]).norm(dim=-1)
        return torch.stack([neighbor, center]), distances

    embedding, filters = tensors["embedding.weight"], tensors["interactions.0.conv.lin1.weight"]
    blocks = {name.split(".")[1] for name in tensors if name.startswith("interactions.")}
    network = SchNet(
        hidden_channels=embedding.shape[1],
        num_filters=len(filters),
        num_interactions=len(blocks),
        num_gaussians=len(tensors["distance_expansion.offset"]),
        cutoff=cutoff,
        interaction_graph=edges,
        mean=mean,
        std=std,
        atomref=tensors.get("atomref.weight"),
    )
    network.scale = scale
    network.double()
    for module in network.modules():
        if isinstance(module, ShiftedSoftplus):
            module.shift = math.log(2.0)
    network.load_state_dict({k: v.double() for k, v in tensors.items()}, strict=False)
    positions = graph.positions.clone().requires_grad_()
    energy = network(graph.atomic_numbers, positions, graph.graph_index).flatten()
    (gradient,) = torch.autograd.grad(energy.sum(), positions)
    program = f"torch_geometric {version('torch_geometric')}"
    return OriginalAnswer(program, energy.detach(), -gradient)
