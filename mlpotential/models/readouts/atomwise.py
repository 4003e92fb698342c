"""From features to atomic quantities."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from ase.data import atomic_masses
from torch import Tensor, nn

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph
from mlpotential.models.config import LARGEST_ATOMIC_NUMBER
from mlpotential.nn.activations import READOUT_ACTIVATIONS
from mlpotential.nn.charges import dipole, with_total_charge

N_ROWS = LARGEST_ATOMIC_NUMBER + 1


class AtomwiseReadout(nn.Module):
    """Two dense layers applied to each atom alone: F -> hidden (ssp as published) -> outputs.

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Fig. 2.

    Args:
        n_features: F.
        n_hidden: width of the hidden layer.
        activation: of the hidden layer, a name of `READOUT_ACTIVATIONS`.
        n_outputs: numbers per atom.
    """

    def __init__(
        self, n_features: int, n_hidden: int, activation: str = "ssp", n_outputs: int = 1
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, n_hidden)
        self.output = nn.Linear(n_hidden, n_outputs)
        self.activation = READOUT_ACTIVATIONS[activation]

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """[n_atoms, n_features] -> [n_atoms] or, of several outputs, [n_atoms, n_outputs].

        All elements share the layers.
        """
        return self.output(self.activation.function(self.hidden(features))).squeeze(-1)

    def gradient(self, features: Tensor) -> Tensor:
        """Derivative of each atom's value by its own features, [n_atoms, n_features], by hand.

        Of one output.
        """
        slopes = self.activation.slope(self.hidden(features))
        return (self.output.weight * slopes) @ self.hidden.weight


class ChargeReadout(nn.Module):
    """Latent charges of atoms and the dipole moment they make, both in float64.

    Gastegger, Behler, Marquetand, Chem. Sci. 8, 6924 (2017); see `mlpotential.nn.charges`.

    Args:
        atomwise: (features, graph) -> charges, as they come out of the network.
        total_charge: what those of each structure add up to (e); None leaves them as they are.
    """

    def __init__(self, atomwise: nn.Module, total_charge: float | None = None) -> None:
        super().__init__()
        self.atomwise = atomwise
        self.total_charge = total_charge

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """[n_atoms, n_features] -> [n_atoms] (e)."""
        charges = self.atomwise(features, graph).double()
        if self.total_charge is None:
            return charges
        index = graph.graph_index
        return with_total_charge(
            charges, self.total_charge, index, lambda values: sum_per_graph(values, graph)
        )

    @staticmethod
    def dipole(charges: Tensor, graph: AtomGraph) -> Tensor:
        """Of molecules, about their centres of mass, [n_graphs, 3] (e A).

        Raises:
            StructureError: as `require_molecules`.
        """
        require_molecules(bool(graph.pbc.any()))
        masses = _masses(graph.positions.device)[graph.atomic_numbers]
        index = graph.graph_index
        return dipole(
            charges, graph.positions, masses, index, lambda values: sum_per_graph(values, graph)
        )


def require_molecules(periodic: bool, what: str = "dipole moment") -> None:
    """Raises StructureError where a quantity has many values, one for each choice of images."""
    if periodic:
        raise StructureError(
            f"a periodic structure has no {what}: it depends on which image of each atom is "
            "taken. Ask for charges, or set pbc=False for a molecule"
        )


def sum_per_graph(values: Tensor, graph: AtomGraph) -> Tensor:
    """[n_atoms, ...] -> [n_graphs, ...]."""
    total = values.new_zeros(graph.n_graphs, *values.shape[1:])
    return total.index_add(0, graph.graph_index, values)


@cache
def _masses(device: torch.device) -> Tensor:
    """By atomic number, [119] (amu)."""
    return torch.tensor(atomic_masses, dtype=torch.float64, device=device)


class EnergyScale(nn.Module):
    """E_i = std y_i + mean + reference(Z_i), in float64 whatever the dtype of the network.

    Of energies (eV) or, in their units, of any other quantity that atoms contribute to.

    Attributes:
        mean_per_atom, std_per_atom: of the training energies less the references (eV).
        atom_references: reference energy by atomic number, [119] (eV).
    """

    mean_per_atom: Tensor
    std_per_atom: Tensor
    atom_references: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_per_atom", torch.zeros((), dtype=torch.float64))
        self.register_buffer("std_per_atom", torch.ones((), dtype=torch.float64))
        self.register_buffer("atom_references", torch.zeros(N_ROWS, dtype=torch.float64))

    def set(
        self, mean_per_atom: float, std_per_atom: float, references: dict[int, float] | None = None
    ) -> None:
        """Takes the statistics of the training data (eV); references by atomic number."""
        self.mean_per_atom.fill_(mean_per_atom)
        self.std_per_atom.fill_(std_per_atom)
        self.atom_references.zero_()
        for atomic_number, energy in (references or {}).items():
            self.atom_references[atomic_number] = energy

    def forward(self, atomic: Tensor, atomic_numbers: Tensor) -> Tensor:
        """[n_atoms] in units of the scale -> [n_atoms] (eV)."""
        offset = self.mean_per_atom + self.atom_references[atomic_numbers]
        return self.std_per_atom * atomic.double() + offset

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Also takes checkpoints of version 0.1.0, with fewer rows."""
        name = f"{prefix}atom_references"
        if name in state_dict:
            state_dict[name] = with_all_elements(state_dict[name])
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> EnergyScale:
        """Follows the network to another device, but never leaves float64."""
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to(fn(buffer).device)
        return self


def with_all_elements(atom_references: Tensor) -> Tensor:
    """Completes a vector by atomic number with zeros, [n_rows] -> [119]; others are returned."""
    n_missing = N_ROWS - len(atom_references) if atom_references.dim() == 1 else 0
    return nn.functional.pad(atom_references, (0, n_missing)) if n_missing > 0 else atom_references
