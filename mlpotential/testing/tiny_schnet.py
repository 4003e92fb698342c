"""A SchNet for tests: random weights, small, at hand without a file."""

from __future__ import annotations

from typing import Any

import torch

from mlpotential.models.outputs import ENERGY_ALONE, Outputs
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig

TINY: dict[str, Any] = {
    "n_features": 8,
    "n_interactions": 2,
    "rbf_stop": 5.0,
    "rbf_spacing": 0.5,
    "rbf_gamma": None,
    "cutoff_function": "cosine",
    "cutoff": 5.0,
}
REFERENCES = {1: -13.6, 6: -1030.0, 8: -2040.0}  # eV; chosen: of the size of total energies


def tiny_schnet(seed: int = 0, outputs: Outputs = ENERGY_ALONE, **settings: Any) -> SchNet:
    """In float64, in evaluation mode, of H, C and O; energies of atoms as large as real ones.

    Args:
        seed: of the weights; the caller's random numbers stay as they are.
        outputs: what it gives.
        settings: of `SchNetConfig`, in place of those of `TINY`:
            `tiny_schnet(cutoff_function="none", cutoff=None)`.

    Raises:
        ConfigError: for settings that do not fit together.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SchNet(SchNetConfig(**(TINY | settings)), outputs).double().eval()
    if model.has_energy:
        model.scale.set(-1.5, 0.3, REFERENCES)
    model.elements = tuple(REFERENCES)
    return model
