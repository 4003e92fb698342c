"""DTNN: deep tensor neural network, whose atoms are refined by a factorised tensor layer.

K. T. Schuett, F. Arbabzadah, S. Chmiela, K.-R. Mueller, A. Tkatchenko, "Quantum-chemical insights
from deep tensor neural networks", Nat. Commun. 8, 13890 (2017), doi:10.1038/ncomms13890. Atoms
begin as c_Z and are refined T times by one and the same interaction,

    c_i <- c_i + sum_j v_ij,                                                             (1)
    v_ij = tanh[ W^cf ( (W^fc c_j + b^f1) o (W^fd d_ij + b^f2) ) ],                      (2)

d_ij Gaussians of the distance; a dense layer (tanh) and a linear one give atomic energies.
Departures: the factor of an unordered pair, W^fd d_ij + b^f2, is computed once for both directions
and all T passes; weights begin as in SchNet, not at zero; and a cosine may end v_ij at a cutoff.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.models.dtnn_config import DTNNConfig
from mlpotential.models.outputs import ENERGY_ALONE, Outputs
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.nn.cutoffs import cosine_cutoff
from mlpotential.nn.initial_weights import xavier
from mlpotential.nn.radial_basis import GaussianBasis


class TensorLayer(nn.Module):
    """v_ij of Eq. (2), summed over the neighbours of each atom."""

    def __init__(self, n_features: int, n_factors: int) -> None:
        super().__init__()
        self.features_to_factors = nn.Linear(n_features, n_factors)
        self.factors_to_features = nn.Linear(n_factors, n_features, bias=False)

    def forward(
        self, features: Tensor, factors: Tensor, weights: Tensor | None, pair_index: Tensor
    ) -> Tensor:
        """sum_j v_ij of each atom, [n_atoms, n_features].

        Args:
            features: c, [n_atoms, n_features].
            factors: W^fd d_ij + b^f2 of each unordered pair, [n_pairs, n_factors].
            weights: what v_ij and v_ji are multiplied with, [n_pairs]; None for 1.
            pair_index: [2, n_pairs].
        """
        i, j = pair_index
        of_atoms = self.features_to_factors(features)
        refined = features.new_zeros(features.shape)
        for center, neighbor in ((i, j), (j, i)):
            v = torch.tanh(self.factors_to_features(of_atoms[neighbor] * factors))  # Eq. (2)
            v = v if weights is None else v * weights[:, None]
            refined = refined.index_add(0, center, v)
        return refined


class DTNN(Potential):
    """DTNN with atomwise readouts.

    Args:
        config: hyperparameters.
        outputs: what it gives, by name.
    """

    config: DTNNConfig
    readout_activation = "tanh"

    def __init__(self, config: DTNNConfig, outputs: Outputs = ENERGY_ALONE) -> None:
        super().__init__(config, outputs)
        self.n_features, self.cutoff = config.n_features, config.cutoff
        self.traits = ModelTraits(
            smooth_at_cutoff=True,
            additive=config.cutoff is not None,
            radial_filters=False,
            periodic=config.cutoff is not None,
        )
        self.embedding = nn.Embedding(config.max_atomic_number + 1, config.n_features)
        self.radial_basis = GaussianBasis(
            config.rbf_start, config.rbf_stop, config.n_gaussians, config.gamma
        )
        self.distance_to_factors = nn.Linear(config.n_gaussians, config.n_factors)
        self.interaction = TensorLayer(config.n_features, config.n_factors)
        self._add_readouts()
        self.elements = tuple(range(1, config.max_atomic_number + 1))
        self.apply(xavier)
        nn.init.normal_(self.embedding.weight, std=config.n_features**-0.25)  # as in their program
        self.to(torch.float32)

    def representation(self, graph: AtomGraph) -> Tensor:
        """c_i after T passes, [n_atoms, n_features]."""
        for layer in self.layers(graph):
            features = layer
        return features

    def layers(self, graph: AtomGraph) -> Iterator[Tensor]:
        """c_i after 0 ... T passes of Eq. (1), each [n_atoms, n_features]."""
        distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1).to(self.dtype)
        factors = self.distance_to_factors(self.radial_basis(distances))
        weights = None if self.cutoff is None else cosine_cutoff(distances, self.cutoff)
        features = self.embedding(graph.atomic_numbers)
        yield features
        for _ in range(self.config.n_interactions):
            refined = self.interaction(features, factors, weights, graph.pair_index)
            features = features + refined  # Eq. (1)
            yield features
