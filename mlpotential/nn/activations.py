"""Shifted softplus, the activation of SchNet: smooth to every order, zero at zero."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

LOG_2 = math.log(2.0)


def shifted_softplus(x: Tensor) -> Tensor:
    """ssp(x) = ln(0.5 e^x + 0.5); Schuett et al., J. Chem. Phys. 148, 241722 (2018), Sec. II B."""
    return F.softplus(x) - LOG_2
