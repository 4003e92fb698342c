"""SchNet: what it does as no other model does."""

import numpy as np
import torch

from mlpotential.graph import AtomGraph
from mlpotential.neighbors import connect
from mlpotential.testing import tiny_schnet


def test_hard_cutoff_averages_over_neighbours():
    """A message is the mean over neighbours: writing every neighbour twice changes nothing."""
    model = tiny_schnet(n_interactions=1, cutoff_function="hard", cutoff=4.0)
    positions = np.array([[0.0, 0.0, 0.0], [1.1, 0.0, 0.0], [0.0, 1.2, 0.0]])
    once = AtomGraph.from_arrays(np.array([8, 1, 1]), positions)
    twice = AtomGraph.from_arrays(
        np.array([8, 1, 1, 1, 1]), np.concatenate([positions, positions[1:]])
    )
    centre = [model.representation(connect(graph, 4.0))[0] for graph in (once, twice)]
    torch.testing.assert_close(centre[0], centre[1])
