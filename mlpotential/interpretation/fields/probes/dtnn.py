"""A probe in DTNN, evaluated pair by pair.

With c_j^t of the undisturbed structure, Eqs. (1) and (2) of `mlpotential.models.dtnn` give

    c_p = a_Z + sum_t sum_j tanh[ W^cf ( (W^fc c_j^t + b^f1) o (W^fd d_pj + b^f2) ) ].    (1)
"""

from __future__ import annotations

import copy
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.probes.probe import Probe
from mlpotential.interpretation.fields.probes.surroundings import Pairs
from mlpotential.models.dtnn import DTNN
from mlpotential.nn.cutoffs import cosine_cutoff


class DTNNProbe(Probe):
    """The factors of each atom in each pass.

    Args: as of `Probe`.
    """

    PAIRS_AT_ONCE: ClassVar[int] = 2**14

    def __init__(
        self, model: DTNN, readout: nn.Module, graph: AtomGraph, dtype: torch.dtype
    ) -> None:
        self._double = model
        self._model = copy.deepcopy(model).to(dtype)
        self._readout = copy.deepcopy(readout).to(dtype)
        self._look_at(graph)

    def around(self, graph: AtomGraph) -> Self:
        """As of `Probe`."""
        other = copy.copy(self)
        other._look_at(graph)
        return other

    def _look_at(self, graph: AtomGraph) -> None:
        """Prepares what depends on the structure."""
        *passes, _ = self._double.layers(graph)
        to_factors = self._double.interaction.features_to_factors
        self._of_atoms = [to_factors(features).to(self._model.dtype) for features in passes]
        self._graph = graph

    def values(self, points: Tensor, pairs: Pairs, atomic_number: int) -> Tensor:
        """As of `Probe`."""
        model, distances = self._model, pairs.distances.to(self._model.dtype)
        factors = model.distance_to_factors(model.radial_basis(distances))
        refined = torch.zeros(len(distances), model.n_features, dtype=model.dtype)
        for of_atoms in self._of_atoms:
            product = of_atoms[pairs.atom_index] * factors
            refined = refined + torch.tanh(model.interaction.factors_to_features(product))
        if model.cutoff is not None:
            refined = refined * cosine_cutoff(distances, model.cutoff)[:, None]
        features = model.embedding.weight[atomic_number] + pairs.summed(refined)  # (1)
        return self._readout(features, self._graph)  # the same layers for all elements
