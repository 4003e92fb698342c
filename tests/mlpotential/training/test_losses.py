"""The loss against sums written out by hand; Eq. (9) of the SchNet paper."""

import numpy as np
import pytest
import torch

from mlpotential.graph import AtomGraph, Prediction, collate
from mlpotential.training.config import TrainingConfig
from mlpotential.training.losses import loss_per_graph


def labelled(n_atoms: int, energy: float) -> AtomGraph:
    positions = np.arange(3.0 * n_atoms).reshape(n_atoms, 3)
    return AtomGraph.from_arrays(
        np.ones(n_atoms), positions, energy=energy, forces=np.zeros((n_atoms, 3))
    )


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        # energies are wrong by 0.5 and -2; forces by 1 in one component of one atom, and of all
        ("energy", [0.25, 4.0]),
        ("forces", [1.0 / 2.0, 1.0]),
        ("energy_and_forces", [0.1 * 0.25 + 1.0 / 2.0, 0.1 * 4.0 + 1.0]),
    ],
)
def test_loss_of_two_structures(targets, expected):
    graph = collate([labelled(2, energy=-1.0), labelled(3, energy=5.0)])
    forces = torch.zeros(5, 3, dtype=torch.float64)
    forces[1, 2] = -1.0
    forces[2:, 0] = 1.0
    prediction = Prediction(torch.tensor([-0.5, 3.0], dtype=torch.float64), forces)
    weights = TrainingConfig(targets=targets, energy_weight=0.1).energy_weights
    losses = loss_per_graph(prediction, graph, weights)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))
