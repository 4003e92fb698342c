"""SchNet: continuous-filter convolutions over atoms.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Mueller, "SchNet - A deep
learning architecture for molecules and materials", J. Chem. Phys. 148, 241722 (2018),
doi:10.1063/1.5019779; Fig. 2 and Eqs. (1)-(8). Departures: the filter of an unordered pair is
computed once and serves both directions, which changes nothing but the time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.models.outputs import ENERGY_ALONE, Outputs
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.models.readouts.atomwise import AtomwiseReadout
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.nn import jets
from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.cfconv import continuous_filter_convolution, neighbor_counts
from mlpotential.nn.compiled_cfconv import compiled_convolution
from mlpotential.nn.cutoffs import cosine_cutoff, hard_cutoff
from mlpotential.nn.hermite import interpolated, knots_of
from mlpotential.nn.initial_weights import xavier
from mlpotential.nn.jets import Jet
from mlpotential.nn.radial_basis import GaussianBasis

KNOTS_PER_WIDTH = 3  # chosen: gradients of a loss are off by some 1e-6 of the largest


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

    def jet(self, basis: Jet) -> Jet:
        """The same with two derivatives by the distance, from those of the basis."""
        filters = jets.dense(self.output, jets.activated(jets.dense(self.hidden, basis)))
        return jets.activated(filters) if self.has_output_activation else filters


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
        self, features: Tensor, filters: Tensor, atom_weights: Tensor | None, pair_index: Tensor
    ) -> Tensor:
        """The residual v_i of each atom, [n_atoms, n_features].

        Args:
            features: x, [n_atoms, n_features].
            filters: W(r_ij), [n_pairs, n_features].
            atom_weights: factor on each atom's message, [n_atoms]; None for a plain sum.
            pair_index: [2, n_pairs].
        """
        convolution = compiled_convolution if self.training else continuous_filter_convolution
        messages = convolution(self.in_to_filter(features), filters, pair_index)
        if atom_weights is not None:
            messages = messages * atom_weights[:, None]
        return self.output(shifted_softplus(self.filter_to_out(messages)))


class SchNet(Potential):
    """SchNet with atomwise readouts.

    Args:
        config: hyperparameters.
        outputs: what it gives, by name.

    Attributes:
        tabulated_in_training: in training mode, filters come from a table that is made from the
            filter networks at every call: the faster, the more pairs there are.
    """

    readout: AtomwiseReadout

    config: SchNetConfig

    def __init__(self, config: SchNetConfig, outputs: Outputs = ENERGY_ALONE) -> None:
        super().__init__(config, outputs)
        self.n_features = n = config.n_features
        self.cutoff = config.cutoff
        self.tabulated_in_training = False
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
        self._add_readouts()
        self.elements = tuple(range(1, config.max_atomic_number + 1))
        self.apply(xavier)
        self.to(torch.float32)

    @property
    def blocks(self) -> list[Interaction]:
        """The interaction blocks, first to last."""
        return list(self.interactions)  # type: ignore[arg-type]

    def tabulate_filters_in_training(self) -> None:
        """Sets `tabulated_in_training`."""
        self.tabulated_in_training = True

    @property
    def divides_by_neighbors(self) -> bool:
        """Whether messages are divided by the number of neighbours: where a cutoff is hard."""
        return self.cutoff is not None and self._taper_radius is None

    @property
    def _taper_radius(self) -> float | None:
        """Where a cosine ends the filters (A)."""
        return self.cutoff if self.config.cutoff_function == "cosine" else None

    def representation(self, graph: AtomGraph) -> Tensor:
        """x^(T), [n_atoms, n_features]."""
        for layer in self.layers(graph):
            features = layer
        return features

    def layers(self, graph: AtomGraph) -> Iterator[Tensor]:
        """x^(0) = embedding(Z), x^(l+1) = x^(l) + v^(l), l < T. Eqs. (1), (8).

        Each [n_atoms, n_features].
        """
        pair_index = graph.pair_index
        distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1)
        from_table = self.training and self.tabulated_in_training and len(distances) > 0
        filters = (self._tabulated_filters if from_table else self._network_filters)(distances)
        atom_weights = None
        if self.cutoff is not None and self.divides_by_neighbors:
            inside = hard_cutoff(distances.detach(), self.cutoff).to(self.dtype)
            filters = [f * inside[:, None] for f in filters]
            atom_weights = 1.0 / neighbor_counts(inside, pair_index, graph.n_atoms).clamp(min=1.0)
        features = self.embedding(graph.atomic_numbers)
        yield features
        for interaction, f in zip(self.interactions, filters, strict=True):
            features = features + interaction(features, f, atom_weights, pair_index)
            yield features

    def _network_filters(self, distances: Tensor) -> list[Tensor]:
        """W(r) of each interaction, cosine cutoff included, [n_pairs, n_features]."""
        distances = distances.to(self.dtype)
        basis = self.radial_basis(distances)
        filters = [block.filter_network(basis) for block in self.blocks]
        if self._taper_radius is None:
            return filters
        weights = cosine_cutoff(distances, self._taper_radius)[:, None]
        return [f * weights for f in filters]

    def _tabulated_filters(self, distances: Tensor) -> list[Tensor]:
        """The same, interpolated between knots over the distances at hand.

        W + (r - r0) W' with r = r0 has the value and the slope of the filter, so forces and the
        gradients of a loss that holds forces are right; second derivatives by the distance are not.
        """
        if self._taper_radius is not None:  # where the filter is zero, and flat
            distances = distances.clamp(max=self._taper_radius)
        fixed = distances.detach()
        spacing = KNOTS_PER_WIDTH**-1 * (2.0 * self.radial_basis.gamma) ** -0.5
        first, last = (int(bound / spacing) for bound in fixed.aminmax())
        knots = torch.arange(first, last + 2, dtype=fixed.dtype, device=fixed.device) * spacing
        table = knots_of(self.filter_jet(knots), spacing)
        values, slopes = interpolated(table, fixed - knots[0], spacing)
        moved = (distances - fixed).to(self.dtype)[:, None]
        n = len(self.blocks)
        parts = zip(values.chunk(n, dim=1), slopes.chunk(n, dim=1), strict=True)
        return [torch.addcmul(value, moved, slope) for value, slope in parts]

    def filter_jet(self, distances: Tensor) -> Jet:
        """W, W' and W'' of all interactions, each [n_distances, n_interactions * n_features].

        Args:
            distances: [n_distances], float64, at most the cutoff of a cosine (A).
        """
        basis = jets.gaussians(self.radial_basis, distances).to(self.dtype)
        filters = jets.joined([block.filter_network.jet(basis) for block in self.blocks])
        if self._taper_radius is None:
            return filters
        return jets.product(filters, jets.taper(distances, self._taper_radius).to(self.dtype))
