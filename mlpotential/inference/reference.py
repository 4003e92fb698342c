"""The backend that evaluates the model itself by autograd: any architecture on any device."""

from __future__ import annotations

import torch

from mlpotential.inference.backend import Everything, Obstacle
from mlpotential.inference.torch_backend import Network, TorchBackend
from mlpotential.models.potential import Potential


class ReferenceBackend(TorchBackend):
    """The model itself, against which all other backends are measured."""

    name = "reference"
    gives = Everything()
    adds_terms = True

    @classmethod
    def obstacle(cls, potential: Potential, device: torch.device) -> Obstacle | None:
        """None: it can evaluate everything."""
        return None

    def network(self, potential: Potential) -> Network:
        """The potential."""
        return potential
