"""Activations: shifted softplus, smooth to every order and zero at zero, and its relatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOG_2 = math.log(2.0)
LINEAR_FROM = 14.0


def shifted_softplus(x: Tensor) -> Tensor:
    """ssp(x) = ln(0.5 e^x + 0.5); Schuett et al., J. Chem. Phys. 148, 241722 (2018), Sec. II B."""
    return F.softplus(x) - LOG_2


def shortened_softplus(x: Tensor) -> Tensor:
    """ssp(x) up to 14, x - ln 2 beyond (a step of 8e-7): that of the original SchNet program."""
    return F.softplus(x, threshold=LINEAR_FROM) - LOG_2


@dataclass(frozen=True)
class Activation:
    """A function of each number.

    Attributes:
        function, slope: itself, and its derivative for those who differentiate by hand.
        kernel_number: `SchNetReadoutActivation` of the compiled kernel, in `schnet.h`; None where
            it has none.
    """

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    kernel_number: int | None


def _shortened_slope(x: Tensor) -> Tensor:
    return torch.where(x > LINEAR_FROM, 1.0, torch.sigmoid(x))


def _silu_slope(x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


# Those of the readout, by their names in `models.outputs`; silu(x) = x / (1 + e^-x).
READOUT_ACTIVATIONS = {
    "ssp": Activation(shifted_softplus, torch.sigmoid, 0),
    "ssp_linear_from_14": Activation(shortened_softplus, _shortened_slope, 1),
    "silu": Activation(F.silu, _silu_slope, 2),
    "tanh": Activation(torch.tanh, lambda x: 1.0 - torch.tanh(x) ** 2, None),
}


def exact_softplus(x: Tensor) -> Tensor:
    """ln(1 + e^x), in float64 to the last digit."""
    return F.softplus(x, threshold=40.0)


# Those of the networks of RuNNer and n2p2, by their letters.
LETTERED_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "l": lambda x: x,
    "t": torch.tanh,
    "s": torch.sigmoid,
    "S": lambda x: torch.sigmoid(-x),
    "p": exact_softplus,
    "g": lambda x: torch.exp(-0.5 * x**2),
    "c": torch.cos,
    "e": lambda x: torch.exp(-x),
    "h": lambda x: x**2,
}
