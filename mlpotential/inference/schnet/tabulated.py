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

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.schnet.filter_table import FilterTable
from mlpotential.models.potential import stress_of
from mlpotential.models.schnet import SchNet
from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.cfconv import continuous_filter_convolution, neighbor_counts
from mlpotential.nn.cutoffs import hard_cutoff


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
        """Any of energy, forces, virial, stress, atomic_energies, features, dipole, charges.

        As tensors; for the dipole and the charges the model has to have them.
        """
        displacements = graph.pair_displacements()
        distances = torch.linalg.vector_norm(displacements, dim=-1)
        filters, slopes = self.table(distances)
        filters, slopes, atom_weights = self._cut(graph, distances, filters, slopes)
        features, trace = self._forward(graph, filters, atom_weights)
        atomic = self.model.scale(self.model.readout(features), graph.atomic_numbers)
        energy = atomic.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, atomic)
        charges = dipole = None
        if {"dipole", "charges"} & set(properties):
            assert self.model.charge_readout is not None
            charges = self.model.charge_readout(features, graph)
            if "dipole" in properties:
                dipole = self.model.charge_readout.dipole(charges, graph)
        needs_virial = bool({"virial", "stress"} & set(properties))
        forces = virial = None
        if needs_virial or "forces" in properties:
            tension = self._backward(graph, features, trace, filters, slopes, atom_weights)
            pulls = (tension / distances)[:, None] * displacements  # dE/dr times the unit vector
            forces = _forces(graph, pulls)
            virial = _virial(graph, displacements, pulls) if needs_virial else None
        return Prediction(
            energy=energy,
            forces=forces if "forces" in properties else None,
            virial=virial,
            stress=stress_of(virial, graph) if "stress" in properties else None,
            atomic_energies=atomic if "atomic_energies" in properties else None,
            features=features if "features" in properties else None,
            charges=charges if "charges" in properties else None,
            dipole=dipole,
        )

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
        tension = torch.zeros(graph.n_pairs, dtype=torch.float64, device=g.device)
        for block, (y, a), w, dw in zip(
            reversed(blocks),
            reversed(trace),
            reversed(filters.chunk(len(blocks), dim=1)),
            reversed(slopes.chunk(len(blocks), dim=1)),
            strict=True,
        ):
            q = (torch.sigmoid(a) * (g @ block.output.weight)) @ block.filter_to_out.weight  # (2)
            q = q if atom_weights is None else q * atom_weights
            tension += ((q[i] * y[j]).addcmul_(q[j], y[i]) * dw).sum(dim=1)  # (3)
            if block is not blocks[0]:
                back = continuous_filter_convolution(q, w, graph.pair_index)
                g = g + back @ block.in_to_filter.weight  # (4)
        return self.model.scale.std_per_atom * tension


def _forces(graph: AtomGraph, pulls: Tensor) -> Tensor:
    """A pair under tension pulls i towards j and j towards i, [n_atoms, 3] (eV/A)."""
    i, j = graph.pair_index
    forces = torch.zeros_like(graph.positions)
    return forces.index_add_(0, i, pulls).index_add_(0, j, pulls, alpha=-1)


def _virial(graph: AtomGraph, displacements: Tensor, pulls: Tensor) -> Tensor:
    """-sum over pairs of r (x) dE/dr, [n_graphs, 3, 3] (eV)."""
    products = displacements[:, :, None] * pulls[:, None, :]
    virial = displacements.new_zeros(graph.n_graphs, 3, 3)
    return virial.index_add_(0, graph.graph_index[graph.pair_index[0]], products, alpha=-1)
