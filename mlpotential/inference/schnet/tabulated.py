"""SchNet with tabulated filters and a backward pass by hand: no filter network, no autograd.

Forward, for each interaction l (Schuett et al., J. Chem. Phys. 148, 241722 (2018), Fig. 2):

    y = A x,  m_i = w_i sum_j y_j o W(r_ij),  a = B m + b,  x <- x + C ssp(a) + c.        (1)

Backward, with g = dE/dx, ssp' = sigmoid:

    q = B^T [sigmoid(a) o C^T g] w_i                        = dE/d(sum_j y_j o W_ij),      (2)
    dE/dr_ij += sum_f (q_i o y_j + q_j o y_i) o dW/dr,                                     (3)
    g <- g + A^T sum_j q_j o W(r_ij).                                                      (4)
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph, Prediction, stress_of
from mlpotential.inference.backend import Everything, Obstacle
from mlpotential.inference.schnet.filter_table import (
    TABLE_TOLERANCE,
    FilterTable,
    obstacle_to_tables,
    table_of,
    tabulate_filters,
)
from mlpotential.inference.torch_backend import Network, TorchBackend
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.cfconv import continuous_filter_convolution, neighbor_counts
from mlpotential.nn.cutoffs import hard_cutoff


class TabulatedBackend(TorchBackend):
    """SchNet with tabulated filters, on any device."""

    name = "tabulated"
    gives = Everything(but="born_charges")

    @classmethod
    def obstacle(cls, potential: Potential, device: torch.device) -> Obstacle | None:
        """Filters that cannot be tabulated."""
        return obstacle_to_tables(potential)

    @classmethod
    def describe(cls, potential: Potential) -> list[str]:
        """Size and error of the tables in both dtypes."""
        if not isinstance(potential, SchNet) or obstacle_to_tables(potential) is not None:
            return []
        lines = []
        for dtype, tolerance in TABLE_TOLERANCE.items():
            table = tabulate_filters(potential, tolerance)
            megabytes = table.knots.numel() * dtype.itemsize / 1e6
            lines += [
                f"filter table for {str(dtype).removeprefix('torch.')}: {len(table.knots)} knots, "
                f"{table.spacing:.4f} A apart, {megabytes:.1f} MB",
                f"  largest error between knots: filters {table.error.filters:.1e}, slopes "
                f"{table.error.slopes:.1e} of the largest (asked for: {tolerance:.0e})",
            ]
        return lines

    def network(self, potential: Potential) -> Network:
        """The same with a table."""
        assert isinstance(potential, SchNet)  # or it would not be supported
        table = table_of(potential)
        self.table_error = table.error
        return TabulatedSchNet(potential, table)


class TabulatedSchNet(nn.Module):
    """Evaluates connected graphs as `Potential.forward` does, to the error of its table.

    Args:
        model: in evaluation mode; its weights are shared.
        table: of its filters.
    """

    def __init__(self, model: SchNet, table: FilterTable) -> None:
        super().__init__()
        self.model = model
        self.table = table.to(device=next(model.parameters()).device)
        self.table.knots = self.table.knots.to(model.dtype)

    @torch.no_grad()
    def forward(
        self, graph: AtomGraph, properties: Collection[str] = ("energy", "forces")
    ) -> Prediction:
        """Any properties that the model has but Born charges, as tensors."""
        displacements = graph.pair_displacements()
        distances = torch.linalg.vector_norm(displacements, dim=-1)
        filters, slopes = self.table(distances)
        filters, slopes, atom_weights = self._cut(graph, distances, filters, slopes)
        features, trace = self._forward(graph, filters, atom_weights)
        found: dict[str, Tensor | None] = {**self.model.quantities(graph, features, properties)}
        needs_virial = bool({"virial", "stress"} & set(properties))
        forces = virial = None
        if needs_virial or "forces" in properties:
            pair_slopes = self._backward(graph, features, trace, filters, slopes, atom_weights)
            pair_forces = (pair_slopes / distances)[:, None] * displacements  # dE/dr r_ij / |r_ij|
            forces = _forces(graph, pair_forces)
            virial = _virial(graph, displacements, pair_forces) if needs_virial else None
        if "forces" in properties:
            found["forces"] = forces
        if "stress" in properties:
            found["stress"] = stress_of(virial, graph.cell)
        return Prediction.of(found | {"virial": virial})

    def _cut(
        self, graph: AtomGraph, distances: Tensor, filters: Tensor, slopes: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Filters and slopes without pairs outside a hard cutoff, and the weights of messages."""
        if self.model.cutoff is None or self.model.config.cutoff_function != "hard":
            return filters, slopes, None
        inside = hard_cutoff(distances, self.model.cutoff).to(filters.dtype)
        counts = neighbor_counts(inside, graph.pair_index, graph.n_atoms).clamp(min=1.0)
        return filters * inside[:, None], slopes * inside[:, None], 1.0 / counts[:, None]

    def _forward(
        self, graph: AtomGraph, filters: Tensor, atom_weights: Tensor | None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Final features, and y and a of each interaction. Eq. (1)."""
        x = self.model.embedding(graph.atomic_numbers)
        trace = []
        blocks = self.model.blocks
        for block, w in zip(blocks, filters.chunk(len(blocks), dim=1), strict=True):
            y = block.in_to_filter(x)
            m = continuous_filter_convolution(y, w, graph.pair_index)
            a = block.filter_to_out(m if atom_weights is None else m * atom_weights)
            x = x + block.output(shifted_softplus(a))
            trace.append((y, a))
        return x, trace

    def _backward(
        self,
        graph: AtomGraph,
        features: Tensor,
        trace: list[tuple[Tensor, Tensor]],
        filters: Tensor,
        slopes: Tensor,
        atom_weights: Tensor | None,
    ) -> Tensor:
        """dE/dr of each pair, [n_pairs], float64 (eV/A)."""
        i, j = graph.pair_index
        blocks = self.model.blocks
        g = self.model.readout.gradient(features)
        pair_slopes = torch.zeros(graph.n_pairs, dtype=torch.float64, device=g.device)
        for block, (y, a), w, dw in zip(
            reversed(blocks),
            reversed(trace),
            reversed(filters.chunk(len(blocks), dim=1)),
            reversed(slopes.chunk(len(blocks), dim=1)),
            strict=True,
        ):
            q = (torch.sigmoid(a) * (g @ block.output.weight)) @ block.filter_to_out.weight  # (2)
            q = q if atom_weights is None else q * atom_weights
            pair_slopes += ((q[i] * y[j]).addcmul_(q[j], y[i]) * dw).sum(dim=1)  # (3)
            if block is not blocks[0]:
                back = continuous_filter_convolution(q, w, graph.pair_index)
                g = g + back @ block.in_to_filter.weight  # (4)
        return self.model.scale.std_per_atom * pair_slopes


def _forces(graph: AtomGraph, pair_forces: Tensor) -> Tensor:
    """[n_pairs, 3] -> [n_atoms, 3] (eV/A): i feels the force of a pair, j its opposite."""
    i, j = graph.pair_index
    forces = torch.zeros_like(graph.positions)
    return forces.index_add_(0, i, pair_forces).index_add_(0, j, pair_forces, alpha=-1)


def _virial(graph: AtomGraph, displacements: Tensor, pair_forces: Tensor) -> Tensor:
    """-sum over pairs of r (x) dE/dr, [n_graphs, 3, 3] (eV)."""
    products = displacements[:, :, None] * pair_forces[:, None, :]
    virial = displacements.new_zeros(graph.n_graphs, 3, 3)
    return virial.index_add_(0, graph.graph_index[graph.pair_index[0]], products, alpha=-1)
