"""Expansion of distances in Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor, nn

DEAD_EXPONENT = -38.0  # e^-38 = 3e-17, nothing beside 1 in float64


class GaussianBasis(nn.Module):
    """e_k(r) = exp(-gamma (r - mu_k)^2) with equidistant centres mu_k.

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Eq. (7).

    Args:
        start: first centre (A).
        stop: last centre (A).
        n_rbf: number of centres.
        gamma: inverse squared width (1/A^2).
    """

    centers: Tensor

    def __init__(self, start: float, stop: float, n_rbf: int, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("centers", torch.linspace(start, stop, n_rbf, dtype=torch.float64))

    def forward(self, distances: Tensor) -> Tensor:
        """[n_pairs] (A) -> [n_pairs, n_rbf]; the far tails are exactly zero.

        Their denormal numbers would make every product with them a hundred times slower.
        """
        exponents = -self.gamma * (distances[:, None] - self.centers) ** 2  # Eq. (7)
        return torch.exp(torch.where(exponents > DEAD_EXPONENT, exponents, -torch.inf))
