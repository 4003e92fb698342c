"""What the backends in torch have in common: checks, arrays, and atoms outside the training domain.

They differ in the network that they call, on whatever device it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.backend import (
    SMALLEST_DISTANCE,
    EvaluationBackend,
    check_finite,
    coincident_atoms,
)
from mlpotential.inference.structures import Structures
from mlpotential.inference.training_domain import (
    Outliers,
    TrainingDomain,
    is_outside,
    watched_bond_lengths,
)
from mlpotential.models.potential import Potential
from mlpotential.models.torch_state import own_torch_state

PREDICTED = [f for f in fields(Prediction) if f.name != "scalars"]
Network = Callable[[AtomGraph, Collection[str]], Prediction]  # as `Potential.forward`


class TorchBackend(EvaluationBackend):
    """Evaluates by a network of tensors.

    Args: as for every backend; a subclass says which network it makes of the potential (`network`).
    """

    def __init__(self, potential: Potential, domain: TrainingDomain, threads: int) -> None:
        self._device = next(potential.parameters()).device
        self._network = self.network(potential)
        self._domain = domain
        self._shortest, self._ranges = _tensors_of(domain, potential.dtype, self._device)
        self._neighborhoods = self._bond_lengths = None
        if domain.neighborhoods is not None:
            lengths = watched_bond_lengths(len(domain.neighborhoods))
            self._neighborhoods = torch.tensor(domain.neighborhoods, device=self._device)
            self._bond_lengths = torch.tensor(lengths, device=self._device)

    @abstractmethod
    def network(self, potential: Potential) -> Network:
        """What evaluates a connected graph on the device."""

    @own_torch_state()
    def predict(
        self, structures: Structures, properties: Collection[str], monitored: bool
    ) -> tuple[Prediction, Outliers | None]:
        """As every backend."""
        graph = structures.graph.to(self._device)
        distances = checked_distances(graph)
        if monitored and self._ranges is not None:
            properties = [*properties, "features"]
        tensors = self._network(graph, properties)
        outliers = self._outliers(graph, distances, tensors.features) if monitored else None
        prediction = as_arrays(replace(tensors, features=None))
        check_finite(prediction)
        return prediction, outliers

    def _outliers(
        self, graph: AtomGraph, distances: Tensor, features: Tensor | None
    ) -> Outliers | None:
        """In few operations where all atoms are inside: each costs more than its numbers.

        Args:
            graph: connected.
            distances: of its pairs, [n_pairs] (A).
            features: of the last layer, [n_atoms, n_features]; None where no range is known.
        """
        numbers, deficits, deviations = graph.atomic_numbers, None, None
        if self._shortest is not None and len(distances):
            deficits = _of_pairs(graph, self._shortest) - distances
        if self._ranges is not None and features is not None:
            scales, offsets = self._ranges.index_select(0, numbers).chunk(2, dim=1)
            deviations = torch.addcmul(offsets, features, scales).abs()  # |x - c| s
        ratios, lacking = self._solitude(graph, distances)
        found = (deficits, deviations, ratios, lacking)
        if not is_outside(*(-np.inf if x is None else float(x.max()) for x in found)):
            return None
        starts = np.zeros(graph.n_graphs + 1, np.int64)
        np.cumsum(graph.atoms_per_graph().cpu().numpy(), out=starts[1:])
        of_atoms, partners = _of_first_atoms(graph, deficits)
        return Outliers(
            domain=self._domain,
            distance_deficits=of_atoms,
            partners=partners,
            feature_deviations=np.zeros(graph.n_atoms)
            if deviations is None
            else deviations.amax(dim=1).cpu().numpy(),
            nearest_ratios=np.zeros(graph.n_atoms) if ratios is None else ratios.cpu().numpy(),
            coordination_deficits=np.zeros(graph.n_atoms, np.int64)
            if lacking is None
            else lacking.cpu().numpy(),
            atomic_numbers=numbers.cpu().numpy(),
            graph_start=starts,
            farthest_features=None
            if deviations is None
            else deviations.argmax(dim=1).cpu().numpy(),
        )

    def _solitude(self, graph: AtomGraph, distances: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Nearest ratio and coordination deficit of each atom; None where they are not known."""
        if self._neighborhoods is None or self._bond_lengths is None:
            return None, None
        atoms = graph.pair_index.reshape(-1)  # each pair is of both
        bonded = (distances < _of_pairs(graph, self._bond_lengths)).to(torch.int64)
        nearest = distances.new_full((graph.n_atoms,), torch.inf)
        nearest = nearest.scatter_reduce(0, atoms, distances.repeat(2), "amin")
        coordination = bonded.new_zeros(graph.n_atoms).scatter_add(0, atoms, bonded.repeat(2))
        largest, least, isolated = self._neighborhoods.index_select(0, graph.atomic_numbers).T
        is_usual = nearest.isinf() & (isolated != 0.0)
        return (
            (nearest / largest).masked_fill(is_usual, 0.0),
            (least.to(torch.int64) - coordination).masked_fill(is_usual, 0),
        )


def _of_pairs(graph: AtomGraph, table: Tensor) -> Tensor:
    """Elements of a table [n_elements, n_elements] for each pair, [n_pairs]."""
    # element [second, first] is number second + size * first of the table flattened
    first, second = graph.atomic_numbers.take(graph.pair_index)
    return table.take(torch.add(second, first, alpha=len(table)))


def _tensors_of(
    domain: TrainingDomain, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor | None, Tensor | None]:
    """Shortest distances, [n_elements, n_elements], and s and -c s of all features side by side.

    The latter [n_elements, 2 n_features], so that |x - c| s is one multiplication and addition.
    """
    shortest = ranges = None
    if domain.shortest is not None:
        shortest = torch.tensor(domain.shortest, device=device)
    if domain.centers is not None and domain.scales is not None:
        both = np.concatenate([domain.scales, -domain.centers * domain.scales], axis=1)
        ranges = torch.tensor(both, dtype=dtype, device=device)
    return shortest, ranges


def checked_distances(graph: AtomGraph) -> Tensor:
    """Distance of each pair, [n_pairs] (A). Raises StructureError for two atoms in one place."""
    distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1)
    if len(distances) and float(distances.min()) < SMALLEST_DISTANCE:
        closest = int(distances.argmin())
        pair = graph.pair_index[:, closest]
        first_atom = int((graph.graph_index < graph.graph_index[pair[0]]).sum())
        i, j = (pair - first_atom).tolist()
        raise coincident_atoms(i, j, float(distances.min()))
    return distances


def as_arrays(tensors: Prediction) -> Prediction:
    """Of arrays of its own, in float64 on the host."""
    arrays = {f.name: to_array(getattr(tensors, f.name)) for f in PREDICTED}
    scalars = {name: to_array(values) for name, values in (tensors.scalars or {}).items()}
    return Prediction(scalars=scalars or None, **arrays)


def to_array(value: Tensor | None) -> np.ndarray | None:
    """A copy of its own in float64 on the host."""
    if value is None:
        return None
    return np.array(value.detach().cpu().numpy(), dtype=np.float64, order="C")


def _of_first_atoms(graph: AtomGraph, deficits: Tensor | None) -> tuple[np.ndarray, np.ndarray]:
    """The largest deficit of each first atom, and the second atom of that pair, each [n_atoms]."""
    largest, partners = np.full(graph.n_atoms, -np.inf), np.arange(graph.n_atoms)
    if deficits is not None:
        values, (i, j) = deficits.cpu().numpy(), graph.pair_index.cpu().numpy()
        order = np.argsort(values)  # the largest of an atom comes last, and stays
        largest[i[order]], partners[i[order]] = values[order], j[order]
    return largest, partners
