"""From features to atomic quantities."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mlpotential.nn.activations import READOUT_ACTIVATIONS


class AtomwiseReadout(nn.Module):
    """Two dense layers applied to each atom alone: F -> hidden (ssp as published) -> 1.

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Fig. 2.

    Args:
        n_features: F.
        n_hidden: width of the hidden layer.
        activation: of the hidden layer, a name of `READOUT_ACTIVATIONS`.
    """

    def __init__(self, n_features: int, n_hidden: int, activation: str = "ssp") -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, n_hidden)
        self.output = nn.Linear(n_hidden, 1)
        self.activation = READOUT_ACTIVATIONS[activation]

    def forward(self, features: Tensor) -> Tensor:
        """[n_atoms, n_features] -> [n_atoms]."""
        return self.output(self.activation.function(self.hidden(features))).squeeze(-1)

    def gradient(self, features: Tensor) -> Tensor:
        """Derivative of each atom's value by its own features, [n_atoms, n_features], by hand."""
        slopes = self.activation.slope(self.hidden(features))
        return (self.output.weight * slopes) @ self.hidden.weight


class EnergyScale(nn.Module):
    """E_i = std y_i + mean + reference(Z_i), in float64 whatever the dtype of the network.

    Attributes:
        mean_per_atom, std_per_atom: of the training energies less the references (eV).
        atom_references: reference energy by atomic number, [max_atomic_number + 1] (eV).
    """

    mean_per_atom: Tensor
    std_per_atom: Tensor
    atom_references: Tensor

    def __init__(self, max_atomic_number: int) -> None:
        super().__init__()
        self.register_buffer("mean_per_atom", torch.zeros((), dtype=torch.float64))
        self.register_buffer("std_per_atom", torch.ones((), dtype=torch.float64))
        self.register_buffer(
            "atom_references", torch.zeros(max_atomic_number + 1, dtype=torch.float64)
        )

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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> EnergyScale:
        """Follows the network to another device, but never leaves float64."""
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to(fn(buffer).device)
        return self
