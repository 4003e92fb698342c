"""Jets: functions of one distance with their first two derivatives, carried through layers.

A jet is three tensors of one shape, f, f' and f''. Everything here is an ordinary function of
tensors, so a jet can be differentiated by the weights that made it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.cutoffs import cosine_taper
from mlpotential.nn.radial_basis import GaussianBasis


class Jet(NamedTuple):
    """f, f' and f'' at the same distances."""

    value: Tensor
    slope: Tensor
    curvature: Tensor

    def to(self, dtype: torch.dtype) -> Jet:
        """In another dtype."""
        return Jet(*(part.to(dtype) for part in self))


def gaussians(basis: GaussianBasis, distances: Tensor) -> Jet:
    """Of e_k(r) = exp(-gamma (r - mu_k)^2), each [n_distances, n_rbf]."""
    value = basis(distances)
    slope = -2.0 * basis.gamma * (distances[:, None] - basis.centers)  # of the logarithm
    return Jet(value, slope * value, (slope**2 - 2.0 * basis.gamma) * value)


def taper(distances: Tensor, cutoff: float) -> Jet:
    """Of 0.5 [cos(pi r / cutoff) + 1], each [n_distances, 1]."""
    frequency = math.pi / cutoff
    return Jet(
        cosine_taper(distances, cutoff)[:, None],
        -0.5 * frequency * torch.sin(frequency * distances)[:, None],
        -0.5 * frequency**2 * torch.cos(frequency * distances)[:, None],
    )


def dense(layer: nn.Linear, x: Jet) -> Jet:
    """Through an affine layer, whose bias the derivatives do not see."""
    return Jet(layer(x.value), x.slope @ layer.weight.T, x.curvature @ layer.weight.T)


def activated(x: Jet) -> Jet:
    """Through ssp: ssp' = sigmoid s, ssp'' = s (1 - s), by the chain rule."""
    s = torch.sigmoid(x.value)
    curvature = s * (1.0 - s) * x.slope**2 + s * x.curvature
    return Jet(shifted_softplus(x.value), s * x.slope, curvature)


def product(f: Jet, g: Jet) -> Jet:
    """By Leibniz' rule."""
    return Jet(
        f.value * g.value,
        f.slope * g.value + f.value * g.slope,
        f.curvature * g.value + 2.0 * f.slope * g.slope + f.value * g.curvature,
    )


def joined(parts: list[Jet]) -> Jet:
    """Many functions beside each other, [n_distances, sum of n_functions]."""
    return Jet(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)))
