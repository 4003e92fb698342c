"""Training on tabulated filters against training on the filter networks themselves, in float64."""

import numpy as np
import pytest
import torch

from mlpotential.graph import AtomGraph, collate
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect
from mlpotential.testing import tiny_schnet
from mlpotential.training.losses import loss_per_graph

WITHOUT_CUTOFF = {"cutoff_function": "none", "cutoff": None}
MODES = {
    "none": WITHOUT_CUTOFF,
    "hard": {"cutoff_function": "hard", "cutoff": 3.0},
    "cosine": {"cutoff_function": "cosine", "cutoff": 3.0},
    "linear": WITHOUT_CUTOFF | {"filter_output_activation": "none"},
    "wide": WITHOUT_CUTOFF | {"rbf_gamma": 0.5},
}


def labelled_batch(cutoff: float | None, spread: float = 1.0) -> AtomGraph:
    rng = np.random.default_rng(2)
    corners = np.array(list(np.ndindex(2, 2, 2))) * 1.4 * spread
    graphs = [
        AtomGraph.from_arrays(
            rng.choice([1, 8], 8),
            corners + rng.normal(scale=0.2, size=(8, 3)),
            energy=rng.normal(),
            forces=rng.normal(size=(8, 3)),
        )
        for _ in range(3)
    ]
    return collate([connect(graph, cutoff) for graph in graphs])


def loss_and_gradients(model: SchNet, graph: AtomGraph) -> tuple[float, list[torch.Tensor]]:
    model.train().zero_grad()
    prediction = model(graph, ("energy", "forces"))
    loss = loss_per_graph(prediction, graph, {"energy": 0.3, "forces": 1.0}).mean()
    loss.backward()
    return loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.fixture(params=MODES)
def model(request):
    return tiny_schnet(1, n_features=16, n_interactions=3, rbf_spacing=0.2, **MODES[request.param])


def test_same_loss_and_gradients(model):
    graph = labelled_batch(model.cutoff)
    expected_loss, expected = loss_and_gradients(model, graph)
    model.tabulated_in_training = True
    loss, gradients = loss_and_gradients(model, graph)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert loss != expected_loss  # the table is in use
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=2e-5 * float(theirs.abs().max()))


def test_network_itself_is_evaluated(model):
    graph = labelled_batch(model.cutoff)
    expected = model.eval()(graph).energy
    model.tabulated_in_training = True
    assert torch.equal(model.eval()(graph).energy, expected)


def test_atoms_out_of_reach():
    model = tiny_schnet(n_features=4, cutoff=3.0, rbf_spacing=0.1)
    model.tabulated_in_training = True
    _, gradients = loss_and_gradients(model, labelled_batch(model.cutoff, spread=20.0))
    assert all(torch.isfinite(g).all() for g in gradients)


def test_pairs_at_and_beyond_a_cosine_cutoff():
    model = tiny_schnet(n_features=4, cutoff=3.0, rbf_spacing=0.1)
    distances = torch.tensor([0.7, 2.999, 3.0, 3.2], dtype=torch.float64)
    tabulated, exact = model._tabulated_filters(distances), model._network_filters(distances)
    for ours, theirs in zip(tabulated, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=1e-6)
        assert torch.count_nonzero(theirs[2:]) == 0
