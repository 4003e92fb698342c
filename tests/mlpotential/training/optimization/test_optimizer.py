"""Adam and AdamW: what shrinks, and what one step does."""

import pytest
import torch

from mlpotential.models.registry import build_potential, config_of
from mlpotential.testing import tiny_schnet
from mlpotential.training.optimization.optimizer import make_optimizer


def test_without_decay_it_is_adam():
    optimizer = make_optimizer(tiny_schnet(), 1e-3, 0.0)
    assert type(optimizer) is torch.optim.Adam
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("architecture", ["SchNet", "DTNN", "BehlerParrinello"])
def test_only_weights_of_dense_layers_shrink(architecture):
    """By the rate times the decay, where there is no gradient to speak of."""
    config = config_of(architecture, {})
    if architecture == "BehlerParrinello":
        config = config.for_elements((1, 8))
    torch.manual_seed(0)
    model = build_potential(config).double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = make_optimizer(model, 0.01, 0.5)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    shrunk = set()
    for name, p in model.named_parameters():
        if torch.equal(p.detach(), before[name]):
            continue
        torch.testing.assert_close(p.detach(), before[name] * (1.0 - 0.01 * 0.5))
        shrunk.add(name)
    expected = {n for n, p in before.items() if p.dim() > 1 and "embedding" not in n}
    assert shrunk == expected
    assert len(expected) > 2
