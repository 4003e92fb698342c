"""Activations with their first two derivatives.

K. T. Schuett, A. Tkatchenko and K.-R. Mueller, "Learning representations of molecules and materials
with atomistic neural networks", arXiv:1812.04690 (2018), Fig. 2:

    ssp(x) = ln(0.5 e^x + 0.5),    ssp' = s,    ssp'' = s (1 - s),    s = 1 / (1 + e^-x);
    ELU(x) = x of x > 0, e^x - 1 else,    ELU' = 1 or e^x,    ELU'' = 0 or e^x.

The second derivative of ELU jumps at zero, and forces of a network made of it have a kink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit


@dataclass(frozen=True, eq=False)
class ActivationCurves:
    """One activation.

    Attributes:
        name: of it.
        x: [n].
        value, first, second: itself and its derivatives, [n].
    """

    name: str
    x: np.ndarray
    value: np.ndarray
    first: np.ndarray
    second: np.ndarray


def shifted_softplus_curves(x: np.ndarray) -> ActivationCurves:
    """ssp, ssp' and ssp''."""
    s = expit(x)
    return ActivationCurves("ssp", x, np.logaddexp(0.0, x) - np.log(2.0), s, s * (1.0 - s))


def elu_curves(x: np.ndarray) -> ActivationCurves:
    """ELU, ELU' and ELU''."""
    e = np.exp(np.minimum(x, 0.0))
    positive = x > 0.0
    value = np.where(positive, x, np.expm1(np.minimum(x, 0.0)))
    return ActivationCurves("ELU", x, value, e, np.where(positive, 0.0, e))
