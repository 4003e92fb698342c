"""DTNN against plain loops over pairs, and its settings."""

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.dtnn import DTNN
from mlpotential.models.dtnn_config import DTNNConfig
from mlpotential.testing import predict


def by_loops(model: DTNN, numbers: np.ndarray, positions: np.ndarray) -> float:
    """Eqs. (1) and (2) and the readout, number by number."""
    config, w = model.config, {k: v.numpy() for k, v in model.state_dict().items()}
    centers = w["radial_basis.centers"]
    features = [w["embedding.weight"][z] for z in numbers]
    for _ in range(config.n_interactions):
        refined = []
        for i in range(len(numbers)):
            total = features[i].copy()
            for j in range(len(numbers)):
                if j == i:
                    continue
                distance = np.linalg.norm(positions[i] - positions[j])
                gaussians = np.exp(-config.gamma * (distance - centers) ** 2)
                of_distance = w["distance_to_factors.weight"] @ gaussians
                of_distance = of_distance + w["distance_to_factors.bias"]
                of_atom = w["interaction.features_to_factors.weight"] @ features[j]
                of_atom = of_atom + w["interaction.features_to_factors.bias"]
                product = of_atom * of_distance
                v = np.tanh(w["interaction.factors_to_features.weight"] @ product)
                if config.cutoff is not None:
                    inside = distance < config.cutoff
                    v = v * inside * 0.5 * (np.cos(np.pi * distance / config.cutoff) + 1.0)
                total = total + v
            refined.append(total)
        features = refined
    energy = 0.0
    for z, c in zip(numbers, features, strict=True):
        hidden = np.tanh(w["readout.hidden.weight"] @ c + w["readout.hidden.bias"])
        y = float(w["readout.output.weight"][0] @ hidden + w["readout.output.bias"][0])
        energy += w["scale.std_per_atom"] * y + w["scale.mean_per_atom"]
        energy += w["scale.atom_references"][z]
    return float(energy)


@pytest.mark.parametrize("cutoff", [{}, {"cutoff_function": "cosine", "cutoff": 2.5}])
def test_it_is_what_the_paper_says(cutoff):
    torch.manual_seed(4)
    model = DTNN(DTNNConfig(**cutoff)).double().eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, -0.3, 0.3)  # biases
    model.scale.set(-2.0, 0.7, {1: -13.6, 6: -1030.0, 8: -2040.0})
    atoms = molecule("CH3CH2OH")
    energy = float(predict(model, AtomGraph.from_atoms(atoms), "energy").energy)
    assert energy == pytest.approx(by_loops(model, atoms.numbers, atoms.positions), rel=1e-13)


def test_published_sizes():
    """The program of its authors: 30 features, 60 factors, 3 passes, a Gaussian each 0.2 A."""
    model = DTNN(DTNNConfig())
    assert (model.config.n_gaussians, model.config.gamma) == (101, pytest.approx(12.5))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes["interaction.features_to_factors.weight"] == (60, 30)
    assert shapes["readout.hidden.weight"] == (15, 30)
    assert sum(name.startswith("interaction") for name in shapes) == 3, "one for all passes"


def test_a_hard_cutoff_is_refused():
    with pytest.raises(ConfigError, match="cutoff_function must be none or cosine with DTNN"):
        DTNNConfig(cutoff_function="hard", cutoff=5.0)
