"""Quintic Hermite interpolation of functions of one distance on a uniform grid.

With t = (r - r_k) / h and the values f, h f', h^2 f'' at both ends of an interval,

    W(r) = sum_m H_m(t) c_m,   W'(r) = (1/h) sum_m H_m'(t) c_m.   (1)

Both are linear in the values at the knots, so the function behind a table can be trained.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mlpotential.nn.jets import Jet

# Coefficients of H_m by powers of t^0 ... t^5, m = f_0, h f_0', h^2 f_0'', f_1, h f_1', h^2 f_1''.
HERMITE = (
    (1.0, 0.0, 0.0, -10.0, 15.0, -6.0),
    (0.0, 1.0, 0.0, -6.0, 8.0, -3.0),
    (0.0, 0.0, 0.5, -1.5, 1.5, -0.5),
    (0.0, 0.0, 0.0, 10.0, -15.0, 6.0),
    (0.0, 0.0, 0.0, -4.0, 7.0, -3.0),
    (0.0, 0.0, 0.0, 0.5, -1.0, 0.5),
)


def hermite_basis() -> np.ndarray:
    """H_m and H_m' by powers of t, [2, 6, 6], float64."""
    values = np.array(HERMITE)
    slopes = np.zeros((6, 6))
    slopes[:, :5] = values[:, 1:] * np.arange(1, 6)
    return np.stack([values, slopes])


def knots_of(jet: Jet, spacing: float) -> Tensor:
    """f, h f', h^2 f'' of functions [n_knots, n_functions] -> [n_knots, 3, n_functions]."""
    return torch.stack([jet.value, spacing * jet.slope, spacing**2 * jet.curvature], dim=1)


def interpolation_weights(
    distances: Tensor, spacing: float, n_knots: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What each of the six values around a distance contributes to W and to W'. Eq. (1).

    Args:
        distances: from the first knot, [n_pairs], float64 (A).
        spacing: h (A).
        n_knots: at least two; beyond the last one its own values are taken.

    Returns:
        The knot before each distance, [n_pairs], int64; H_m(t) and H_m'(t)/h, each [n_pairs, 6].
    """
    scaled = distances / spacing
    interval = scaled.floor().clamp(max=n_knots - 2)
    t = (scaled - interval).clamp(max=1.0)[:, None]
    powers = torch.cat([torch.ones_like(t), t, t**2, t**3, t**4, t**5], dim=1)
    values, slopes = torch.from_numpy(hermite_basis()).to(distances)
    return interval.long(), powers @ values.T, powers @ slopes.T / spacing


def interpolated(knots: Tensor, distances: Tensor, spacing: float) -> tuple[Tensor, Tensor]:
    """W and W' as sums over the values at the knots, to which gradients flow. Eq. (1).

    Args:
        knots: f, h f', h^2 f'' of each knot, [n_knots, 3, n_functions].
        distances: from the first knot, [n_pairs], float64 (A).
        spacing: h (A).

    Returns:
        Each [n_pairs, n_functions].
    """
    first, values, slopes = interpolation_weights(distances, spacing, len(knots))
    rows = 3 * first[:, None] + torch.arange(6, device=first.device)
    both = torch.nn.functional.embedding_bag(
        torch.cat([rows, rows]),
        knots.flatten(0, 1),
        per_sample_weights=torch.cat([values, slopes]).to(knots.dtype),
        mode="sum",
    )
    interpolated_values, interpolated_slopes = both.split(len(distances))  # one backward for both
    return interpolated_values, interpolated_slopes
