"""SchNet: continuous-filter convolutions over atoms.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Mueller, "SchNet - A deep
learning architecture for molecules and materials", J. Chem. Phys. 148, 241722 (2018),
doi:10.1063/1.5019779; Fig. 2 and Eqs. (1)-(8). Departures: the filter of an unordered pair is
computed once and serves both directions, which changes nothing but the time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.models.config import SchNetConfig
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.models.readouts import AtomwiseReadout, EnergyScale
from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.cfconv import continuous_filter_convolution, neighbor_counts
from mlpotential.nn.cutoffs import cosine_cutoff, hard_cutoff
from mlpotential.nn.radial_basis import GaussianBasis


class FilterNetwork(nn.Module):
    """W(r): Gaussians -> dense (ssp) -> dense (ssp as published, or linear)."""

    def __init__(self, n_rbf: int, n_features: int, output_activation: str) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_rbf, n_features)
        self.output = nn.Linear(n_features, n_features)
        self.has_output_activation = output_activation == "ssp"

    def forward(self, basis: Tensor) -> Tensor:
        """[n_pairs, n_rbf] -> [n_pairs, n_features]."""
        filters = self.output(shifted_softplus(self.hidden(basis)))
        return shifted_softplus(filters) if self.has_output_activation else filters


class Interaction(nn.Module):
    """Interaction block: atomwise, cfconv, atomwise (ssp), atomwise; Fig. 2, middle column."""

    def __init__(self, config: SchNetConfig) -> None:
        super().__init__()
        n = config.n_features
        self.filter_network = FilterNetwork(config.n_gaussians, n, config.filter_output_activation)
        self.in_to_filter = nn.Linear(n, n, bias=False)
        self.filter_to_out = nn.Linear(n, n)
        self.output = nn.Linear(n, n)

    def forward(
        self,
        features: Tensor,
        basis: Tensor,
        pair_weights: Tensor | None,
        atom_weights: Tensor | None,
        pair_index: Tensor,
    ) -> Tensor:
        """The residual v_i of each atom, [n_atoms, n_features].

        Args:
            features: x, [n_atoms, n_features].
            basis: expanded distances, [n_pairs, n_rbf].
            pair_weights: cutoff function of each pair, [n_pairs]; None without cutoff.
            atom_weights: factor on each atom's message, [n_atoms]; None for a plain sum.
            pair_index: [2, n_pairs].
        """
        filters = self.filter_network(basis)
        if pair_weights is not None:
            filters = filters * pair_weights[:, None]
        messages = continuous_filter_convolution(self.in_to_filter(features), filters, pair_index)
        if atom_weights is not None:
            messages = messages * atom_weights[:, None]
        return self.output(shifted_softplus(self.filter_to_out(messages)))


class SchNet(Potential):
    """SchNet with an atomwise energy readout.

    Args:
        config: hyperparameters.
    """

    def __init__(self, config: SchNetConfig) -> None:
        super().__init__()
        self._config = config
        n = config.n_features
        self.cutoff = config.cutoff
        smooth = config.cutoff_function == "cosine"
        self.traits = ModelTraits(
            smooth_at_cutoff=smooth or config.cutoff is None,
            additive=config.cutoff is not None,
            radial_filters=True,
            periodic=config.cutoff is not None,
        )
        self.embedding = nn.Embedding(config.max_atomic_number + 1, n)
        self.radial_basis = GaussianBasis(
            config.rbf_start, config.rbf_stop, config.n_gaussians, config.gamma
        )
        self.interactions = nn.ModuleList(Interaction(config) for _ in range(config.n_interactions))
        self.readout = AtomwiseReadout(
            n, config.n_readout_hidden or max(n // 2, 1), config.readout_activation
        )
        self.scale = EnergyScale(config.max_atomic_number)
        self.elements = tuple(range(1, config.max_atomic_number + 1))
        self.apply(_initialize)
        self.to(torch.float32)

    @property
    def blocks(self) -> list[Interaction]:
        """The interaction blocks, first to last."""
        return list(self.interactions)  # type: ignore[arg-type]

    @property
    def config(self) -> SchNetConfig:
        """The hyperparameters."""
        return self._config

    def representation(self, graph: AtomGraph) -> Tensor:
        """x^(0) = embedding(Z), x^(l+1) = x^(l) + v^(l); [n_atoms, n_features]. Eqs. (1), (8)."""
        pair_index = graph.pair_index
        distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1).to(self.dtype)
        basis = self.radial_basis(distances)
        pair_weights, atom_weights = self._cutoff_weights(distances, pair_index, graph.n_atoms)
        features = self.embedding(graph.atomic_numbers)
        for interaction in self.interactions:
            features = features + interaction(
                features, basis, pair_weights, atom_weights, pair_index
            )
        return features

    def _cutoff_weights(
        self, distances: Tensor, pair_index: Tensor, n_atoms: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """Factors on filters [n_pairs] and on messages [n_atoms]."""
        if self.cutoff is None:
            return None, None
        if self._config.cutoff_function == "cosine":
            return cosine_cutoff(distances, self.cutoff), None
        inside = hard_cutoff(distances.detach(), self.cutoff)
        counts = neighbor_counts(inside, pair_index, n_atoms)
        return inside, 1.0 / counts.clamp(min=1.0)


def _initialize(module: nn.Module) -> None:
    """Xavier weights and zero biases, as in the original program."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
