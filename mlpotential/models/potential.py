"""The base of every potential: forces, virial, Hessian, batching and scaling live here, once.

A subclass says how atoms see each other (`representation`); a readout maps the features to atomic
energies; their sum in float64 is the energy, and everything else is a derivative of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn

from mlpotential.errors import ConfigError, nearest_name
from mlpotential.graph import AtomGraph, Prediction, stress_of
from mlpotential.models.config import PotentialConfig
from mlpotential.models.outputs import (
    ENERGY_ALONE,
    KNOWN,
    Activation,
    Output,
    Outputs,
    check_outputs,
    rows_of,
)
from mlpotential.models.readouts.atomwise import (
    AtomwiseReadout,
    ChargeReadout,
    EnergyScale,
    sum_per_graph,
)
from mlpotential.models.readouts.quantities import (
    PolarizabilityReadout,
    ScalarReadout,
    SpatialExtentReadout,
)
from mlpotential.models.terms.evaluation import hessian_of_terms, with_terms
from mlpotential.models.terms.settings import Terms
from mlpotential.models.torch_state import own_torch_state
from mlpotential.properties import LABELS, OF_CHARGES, OF_DIPOLES, PROPERTIES

HESSIAN_ROWS_AT_ONCE = 64  # chosen: bounds the memory of the vectorised second derivative


@dataclass(frozen=True)
class ModelTraits:
    """What a potential promises, so that callers and tests know what to expect of it.

    Attributes:
        smooth_at_cutoff: forces go continuously to zero where atoms leave the cutoff.
        additive: the energy of two distant molecules is the sum of theirs.
        radial_filters: atoms interact through functions of one distance, which can be tabulated.
        periodic: can be used with periodic boundaries.
    """

    smooth_at_cutoff: bool
    additive: bool
    radial_filters: bool
    periodic: bool


class Potential(nn.Module, ABC):
    """Energy of structures and its derivatives.

    A subclass sets the attributes below, those of readouts with `_add_readouts`.

    Args:
        config: settings of the representation.
        outputs: what the model gives, by name.

    Attributes:
        cutoff: largest distance at which atoms see each other directly (A); None for all pairs.
        traits: what the model promises.
        n_features: of each atom in the last layer.
        config, outputs: as given: the network can be rebuilt from them.
        rows: what the model gives, by name, with its unit.
        readout: (features, graph) -> atomic energies in units of the scale, [n_atoms]. A model
            without energies has none, and no scale.
        scale: atomic energies -> eV.
        charge_readout: features -> latent charges; None for a model without dipoles.
        quantity_readouts: of all other outputs, by name.
        elements: atomic numbers the model was trained on.
        readout_activation: of the architecture, where an output states none.
        terms: physical terms that are added to the energy of the network, but not in training mode:
            networks are trained on what they leave.
    """

    cutoff: float | None
    traits: ModelTraits
    n_features: int
    readout: nn.Module
    scale: EnergyScale
    elements: tuple[int, ...] = ()
    readout_activation: ClassVar[Activation] = "ssp"
    terms: Terms = MappingProxyType({})

    def __init__(self, config: PotentialConfig, outputs: Outputs = ENERGY_ALONE) -> None:
        super().__init__()
        check_outputs(outputs)
        self.config, self.outputs, self.rows = config, dict(outputs), rows_of(outputs)
        self.charge_readout: ChargeReadout | None = None
        self.quantity_readouts = nn.ModuleDict()

    @abstractmethod
    def representation(self, graph: AtomGraph) -> Tensor:
        """Features of each atom, [n_atoms, n_features]; a smooth function of `graph.positions`."""

    @property
    def properties(self) -> frozenset[str]:
        """What the model can give: names of `properties.PROPERTIES` and of its scalars."""
        return frozenset(self.rows)

    @property
    def has_energy(self) -> bool:
        """Whether it gives energies, and with them forces and all else that is made of them."""
        return "energy" in self.outputs

    def new_readout(self, output: Output, n_outputs: int = 1) -> nn.Module:
        """A fresh map (features, graph) -> numbers per atom; here the same for all elements."""
        n_hidden = output.n_hidden or max(self.n_features // 2, 1)
        activation = output.activation or self.readout_activation
        return AtomwiseReadout(self.n_features, n_hidden, activation, n_outputs)

    def _add_readouts(self) -> None:
        """Those of the outputs, with their scales."""
        for name, output in self.outputs.items():
            new_readout = partial(self.new_readout, output)
            if name == "energy":
                self.readout, self.scale = new_readout(), EnergyScale()
            elif name in OF_DIPOLES:
                self.charge_readout = self.charge_readout or ChargeReadout(
                    new_readout(), output.total_charge
                )
            elif name == "polarizability":
                self.quantity_readouts[name] = PolarizabilityReadout(new_readout, self.cutoff)
            elif name == "spatial_extent":
                self.quantity_readouts[name] = SpatialExtentReadout(new_readout)
            else:
                assert output.pooling is not None, "checked"
                self.quantity_readouts[name] = ScalarReadout(new_readout, output.pooling)

    def fit_to_structures(self, graphs: Sequence[AtomGraph]) -> None:
        """Before the first step of training: takes what it has to know of the structures.

        An architecture that scales its features by their ranges finds these here; by default
        nothing is taken.

        Args:
            graphs: of the training data, without edges.
        """

    def feature_names(self, atomic_number: int) -> tuple[str, ...]:
        """What the features of an element are, for people; by default nothing is known of them."""
        return ()

    def check_elements(self, atomic_numbers: Iterable[int]) -> None:
        """Raises ConfigError for elements that this network has no parameters for."""
        largest = self.config.largest_element
        beyond = sorted(z for z in set(atomic_numbers) if not 1 <= z <= largest)
        if beyond:
            raise ConfigError(
                f"the network has parameters for the elements 1 to {largest}, not for {beyond}: "
                "raise model.max_atomic_number"
            )

    def tabulate_filters_in_training(self) -> None:
        """Makes training faster where filters of one distance can be tabulated in each step.

        Raises:
            ConfigError: where the architecture has no such filters.
        """
        raise ConfigError(
            f"{type(self).__name__} has no filters that are functions of one distance alone: "
            "leave out training.tabulated_filters"
        )

    @property
    def dtype(self) -> torch.dtype:
        """Of the parameters."""
        return next(self.parameters()).dtype

    def atomic_energies(self, graph: AtomGraph) -> Tensor:
        """Of the network, [n_atoms], float64 (eV)."""
        return self.scale(self.readout(self.representation(graph), graph), graph.atomic_numbers)

    def forward(
        self, graph: AtomGraph, properties: Collection[str] = ("energy", "forces")
    ) -> Prediction:
        """Evaluates a connected graph.

        Args:
            graph: structures with edges (`neighbors.connect(graph, model.cutoff)`).
            properties: any of `properties`: energy, forces, virial, stress, atomic_energies and
                features; of a model with a dipole, dipole, dipole_magnitude, charges and
                born_charges; and other outputs. In training mode the derivatives of the energy
                can be differentiated again, also by `graph.positions` that require a gradient.

        Returns:
            A `Prediction` of tensors; stress only where the graph has cells, NaN for a molecule
            beside others.

        Raises:
            ConfigError: for a property that is unknown, or that the model has not.
            StructureError: for the dipole of a periodic structure.
        """
        if not self.properties.issuperset(properties):
            raise lacking(set(properties) - self.properties)
        derivatives = {self.rows[name].derivative for name in properties}
        needs_virial = "strain" in derivatives
        needs_gradients = needs_virial or "positions" in derivatives
        with own_torch_state(), torch.set_grad_enabled(self.training or needs_gradients):
            variables: dict[str, Tensor] = {}
            if needs_gradients:
                variables["positions"] = self._variable_positions(graph)
            if needs_virial:
                strain = graph.positions.new_zeros(graph.n_graphs, 3, 3)
                variables["strain"] = strain.requires_grad_()
            moved = graph if not variables else replace(graph, positions=variables["positions"])
            features = self.representation(
                _strained(moved, variables["strain"]) if needs_virial else moved
            )
            found = self.quantities(moved, features, properties)
            energy = found.get("energy")
            gradients = {} if energy is None else self._gradients(energy, variables)
        if not self.training:
            found = {name: value.detach() for name, value in found.items()}
        virial = -gradients["strain"] if needs_virial else None
        if "forces" in properties:
            found["forces"] = -gradients["positions"]
        if "stress" in properties:
            found["stress"] = stress_of(virial, graph.cell)
        prediction = Prediction.of(found | {"virial": virial})
        if self.training or not self.terms:
            return prediction
        return with_terms(prediction, self.terms, graph)

    def _variable_positions(self, graph: AtomGraph) -> Tensor:
        """Those of a caller who derives forces in training, else a copy."""
        if self.training and graph.positions.requires_grad:
            return graph.positions
        return graph.positions.detach().clone().requires_grad_()

    def quantities(
        self, graph: AtomGraph, features: Tensor, properties: Collection[str]
    ) -> dict[str, Tensor]:
        """What readouts give of features: the energy always, and what else is asked for."""
        found: dict[str, Tensor] = {"features": features} if "features" in properties else {}
        if self.has_energy:
            atomic = self.scale(self.readout(features, graph), graph.atomic_numbers)
            found["energy"] = sum_per_graph(atomic, graph)
            if "atomic_energies" in properties:
                found["atomic_energies"] = atomic
        for name in self.quantity_readouts:
            if name in properties:
                found[name] = self.quantity_readouts[name](features, graph)
        return found | self._of_charges(graph, features, properties)

    def _of_charges(
        self, graph: AtomGraph, features: Tensor, properties: Collection[str]
    ) -> dict[str, Tensor]:
        """Those of `OF_CHARGES` that are asked for; Born charges by three backward passes."""
        asked = OF_CHARGES.intersection(properties)
        if not asked or self.charge_readout is None:
            return {}
        charges = self.charge_readout(features, graph)
        found = {"charges": charges}
        if asked != {"charges"}:
            dipole = self.charge_readout.dipole(charges, graph)
            found |= {"dipole": dipole, "dipole_magnitude": torch.linalg.vector_norm(dipole, dim=1)}
            if "born_charges" in asked:
                rows = [  # atoms of different structures do not see each other
                    torch.autograd.grad(total, graph.positions, retain_graph=True)[0]
                    for total in dipole.sum(dim=0)
                ]
                found["born_charges"] = torch.stack(rows, dim=1)
        return {name: found[name] for name in asked}

    def _gradients(self, energy: Tensor, variables: dict[str, Tensor]) -> dict[str, Tensor]:
        """dE/dx of every variable; zeros where nothing interacts (isolated atoms)."""
        if not variables:
            return {}
        if not energy.requires_grad:
            return {name: torch.zeros_like(x) for name, x in variables.items()}
        gradients = torch.autograd.grad(
            energy.sum(),
            list(variables.values()),
            create_graph=self.training,
            allow_unused=True,
            materialize_grads=True,
        )
        return dict(zip(variables, gradients, strict=True))

    def hessian(self, graph: AtomGraph) -> Tensor:
        """Exact d2E/dr2 of one structure, symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2)."""
        if graph.n_graphs != 1:
            raise ValueError(f"a Hessian is of one structure, not of {graph.n_graphs}")
        # anomaly detection cannot look into many backward passes at once
        if not self.has_energy:
            raise lacking(["energy"])
        with own_torch_state(), torch.enable_grad(), torch.autograd.set_detect_anomaly(False):
            positions = graph.positions.detach().clone().requires_grad_()
            size = positions.numel()
            energy = self.atomic_energies(replace(graph, positions=positions)).sum()
            if not energy.requires_grad:
                return self._of_terms_alone(graph)
            (gradient,) = torch.autograd.grad(
                energy, positions, create_graph=True, materialize_grads=True, allow_unused=True
            )
            if not gradient.requires_grad:
                return self._of_terms_alone(graph)
            unit_vectors = torch.eye(size, dtype=positions.dtype, device=positions.device)
            rows = [
                torch.autograd.grad(
                    gradient.reshape(-1), positions, chunk, retain_graph=True, is_grads_batched=True
                )[0].reshape(-1, size)
                for chunk in unit_vectors.split(HESSIAN_ROWS_AT_ONCE)
            ]
        hessian = torch.cat(rows)
        hessian = 0.5 * (hessian + hessian.T)
        return hessian + self._of_terms_alone(graph)

    def _of_terms_alone(self, graph: AtomGraph) -> Tensor:
        """Their Hessian, [3 n_atoms, 3 n_atoms] (eV/A^2)."""
        size = 3 * graph.n_atoms
        if not self.terms:
            return graph.positions.new_zeros(size, size)
        return hessian_of_terms(self.terms, graph)


def _strained(graph: AtomGraph, strain: Tensor) -> AtomGraph:
    """r -> r (1 + strain), cell -> cell (1 + strain), strain symmetrised, [n_graphs, 3, 3]."""
    symmetric = 0.5 * (strain + strain.transpose(1, 2))
    moved = (graph.positions[:, None, :] @ symmetric[graph.graph_index]).squeeze(1)
    cell = None if graph.cell is None else graph.cell + graph.cell @ symmetric
    return replace(graph, positions=graph.positions + moved, cell=cell)


def unknown_property(properties: Collection[str], known: Collection[str]) -> ConfigError:
    """Of properties of which at least one is not known."""
    name = min(set(properties) - set(known))
    return ConfigError(
        f"unknown property {name!r}; known: {', '.join(known)}.{nearest_name(name, known)}"
    )


def lacking(properties: Collection[str]) -> ConfigError:
    """Of a model that has not these properties, saying how to get one that has."""
    if not PROPERTIES.keys() >= set(properties):
        return unknown_property(properties, PROPERTIES)
    names = ", ".join(sorted(properties))
    readouts = {PROPERTIES[name].of for name in properties}
    labels = [name for name, row in LABELS.items() if row.of in readouts and name in KNOWN][:1]
    outputs = " and ".join(f"'{name}:'" for name in labels)
    return ConfigError(
        f"the model has no {names}: it was trained without {' and '.join(labels)} labels. Train "
        f"one with {outputs} below outputs:"
    )
