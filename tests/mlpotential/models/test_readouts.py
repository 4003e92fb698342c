"""Readouts: activations of other programs, and the derivative by hand."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch

from mlpotential.errors import ConfigError
from mlpotential.models.outputs import Activation, Output
from mlpotential.models.readouts.atomwise import AtomwiseReadout
from mlpotential.nn.activations import READOUT_ACTIVATIONS

X = torch.linspace(-40.0, 40.0, 1601, dtype=torch.float64)
EXACT = {  # written out in NumPy, safe for large |x|
    "ssp": lambda x: np.logaddexp(x, 0.0) - math.log(2.0),
    "ssp_linear_from_14": lambda x: np.where(x > 14.0, x, np.logaddexp(x, 0.0)) - math.log(2.0),
    "silu": lambda x: x * np.exp(-np.logaddexp(-x, 0.0)),
    "tanh": lambda x: 1.0 - 2.0 * np.exp(-np.logaddexp(2.0 * x, 0.0)),
}


def test_every_setting_has_an_activation() -> None:
    assert set(READOUT_ACTIVATIONS) == set(get_args(Activation)) == set(EXACT)
    with pytest.raises(ConfigError, match="activation of an output must be one of ssp, ssp_lin"):
        Output(activation="relu")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXACT)
def test_values(name: str) -> None:
    """ssp in torch is x - ln 2 from x = 20 on, 2e-9 off."""
    values = READOUT_ACTIVATIONS[name].function(X).numpy()
    np.testing.assert_allclose(values, EXACT[name](X.numpy()), rtol=0, atol=3e-9)


@pytest.mark.parametrize("name", EXACT)
def test_gradient(name: str) -> None:
    torch.manual_seed(0)
    readout = AtomwiseReadout(6, 4, name).double()
    torch.nn.init.normal_(readout.hidden.weight, std=4.0)
    features = torch.randn(300, 6, dtype=torch.float64, requires_grad=True)
    assert float(readout.hidden(features).detach().max()) > 20.0
    (expected,) = torch.autograd.grad(readout(features, None).sum(), features)
    gradient = readout.gradient(features).detach()
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-8)
