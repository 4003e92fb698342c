"""Filters of a SchNet as functions of one distance, tabulated once with a measured error.

A trained filter W(r) depends on the distance alone, so the network that makes it is replaced by
quintic Hermite interpolation on a uniform grid: value, slope and curvature of every interaction at
each knot, taken from the network in float64, cutoff function included. The slope that forces need
is that of the interpolant, so forces remain exact derivatives of the energy.

With t = (r - r_k) / h and the values f, h f', h^2 f'' at both ends of an interval,

    W(r) = sum_m H_m(t) c_m,   W'(r) = (1/h) sum_m H_m'(t) c_m.   (1)

Below the first knot there is no distance (it lies at 0). Beyond the last one W is constant: zero
behind a cutoff; without one, the Gaussians have died away there and the network itself is constant.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mlpotential.models.schnet import FilterNetwork, SchNet
from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.cutoffs import cosine_taper
from mlpotential.nn.radial_basis import DEAD_EXPONENT

COARSEST_SPACING = 0.1  # A
FINEST_SPACING = 0.1 / 2**8  # A; chosen: 240 MB at most for 5 A, T = 6, F = 128, float64
WORST_SLOPE = 0.5 * (1.0 - 5.0**-0.5)

# Coefficients of H_m by powers of t^0 ... t^5, m = f_0, h f_0', h^2 f_0'', f_1, h f_1', h^2 f_1''.
HERMITE = (
    (1.0, 0.0, 0.0, -10.0, 15.0, -6.0),
    (0.0, 1.0, 0.0, -6.0, 8.0, -3.0),
    (0.0, 0.0, 0.5, -1.5, 1.5, -0.5),
    (0.0, 0.0, 0.0, 10.0, -15.0, 6.0),
    (0.0, 0.0, 0.0, -4.0, 7.0, -3.0),
    (0.0, 0.0, 0.0, 0.5, -1.0, 0.5),
)

Jet = tuple[Tensor, Tensor, Tensor]  # a function of the distance with its first two derivatives


@dataclass(frozen=True)
class TableError:
    """Largest deviations of the table from the network between knots.

    Measured where the interpolation error t^3 (1 - t)^3 and its slope are largest.

    Attributes:
        filters: of W, relative to the largest |W|, at t = 1/2.
        slopes: of dW/dr, relative to the largest |dW/dr|, at t = (1 - 1/sqrt(5)) / 2.
    """

    filters: float
    slopes: float


class FilterTable(nn.Module):
    """Filters of all interactions on a uniform grid from 0.

    Attributes:
        spacing: distance of knots (A).
        last: position of the last knot (A).
        knots: f, h f', h^2 f'' of each knot, [n_knots, 3, n_interactions * n_features].
        error: measured when the table was made.
    """

    knots: Tensor
    hermite: Tensor

    def __init__(self, knots: Tensor, spacing: float, error: TableError) -> None:
        super().__init__()
        self.spacing, self.error = spacing, error
        self.last = spacing * (len(knots) - 1)
        self.register_buffer("knots", knots)
        self.register_buffer("hermite", torch.tensor(HERMITE, dtype=torch.float64))

    @staticmethod
    def basis() -> np.ndarray:
        """H_m and H_m' by powers of t, [2, 6, 6], float64."""
        values = np.array(HERMITE)
        slopes = np.zeros((6, 6))
        slopes[:, :5] = values[:, 1:] * np.arange(1, 6)
        return np.stack([values, slopes])

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Filters and their slopes, each [n_pairs, n_interactions * n_features]. Eq. (1).

        Args:
            distances: [n_pairs], float64 (A).
        """
        scaled = distances / self.spacing
        interval = scaled.floor().clamp(max=len(self.knots) - 2)
        t = (scaled - interval).clamp(max=1.0)[:, None]
        powers = torch.cat([torch.ones_like(t), t, t**2, t**3, t**4, t**5], dim=1)
        order = torch.arange(1, 6, dtype=t.dtype, device=t.device)
        weights = powers @ self.hermite.T  # H_m(t)
        slope_weights = (powers[:, :5] * order) @ self.hermite[:, 1:].T / self.spacing  # H_m'(t)/h
        slope_weights = slope_weights * (distances < self.last)[:, None]
        both = torch.stack([weights, slope_weights], dim=1).to(self.knots.dtype)
        index = interval.long()
        rows = self.knots[torch.stack([index, index + 1], dim=1)].flatten(1, 2)
        filters, slopes = torch.bmm(both, rows).unbind(dim=1)
        return filters, slopes


def tabulate_filters(model: SchNet, tolerance: float) -> FilterTable:
    """The coarsest table, by halving the spacing, whose measured error is within the tolerance.

    Args:
        model: the network; a float64 copy of it is tabulated.
        tolerance: for both figures of `TableError`.

    Returns:
        A float64 table. Its `error` exceeds the tolerance only where `FINEST_SPACING` was reached,
        or where it is not finite: the network is lost, and no spacing helps.
    """
    model = copy.deepcopy(model).double().cpu().eval()
    last = _range(model)
    spacing = COARSEST_SPACING
    while True:
        table = _table(model, last, spacing)
        errors = table.error.filters, table.error.slopes
        is_finite = all(map(math.isfinite, errors))
        if max(errors) <= tolerance or not is_finite or spacing <= FINEST_SPACING:
            return table
        spacing /= 2.0


def _range(model: SchNet) -> float:
    """Where the filters have become constant (A)."""
    if model.cutoff is not None:
        return model.cutoff
    return model.config.rbf_stop + (-DEAD_EXPONENT / model.config.gamma) ** 0.5


def _table(model: SchNet, last: float, spacing: float) -> FilterTable:
    n_intervals = max(round(last / spacing), 1)
    spacing = last / n_intervals
    grid = torch.linspace(0.0, last, n_intervals + 1, dtype=torch.float64)
    values, slopes, curvatures = _derivatives(model, grid)
    knots = torch.stack([values, spacing * slopes, spacing**2 * curvatures], dim=1)
    table = FilterTable(knots, spacing, TableError(0.0, 0.0))
    middle, flank = grid[:-1] + 0.5 * spacing, grid[:-1] + WORST_SLOPE * spacing
    filters_off = table(middle)[0] - _derivatives(model, middle)[0]
    slopes_off = table(flank)[1] - _derivatives(model, flank)[1]
    table.error = TableError(
        filters=_relative(filters_off, values), slopes=_relative(slopes_off, slopes)
    )
    return table


def _relative(deviations: Tensor, values: Tensor) -> float:
    """The largest deviation over the largest value; none is 0 even where all values are."""
    largest = deviations.abs().max()
    return float(largest / values.abs().max()) if largest != 0.0 else 0.0


def _derivatives(model: SchNet, distances: Tensor) -> Jet:
    """W, W' and W'' of all interactions, each [n_distances, n_interactions * n_features]."""
    offsets = distances[:, None] - model.radial_basis.centers
    basis = model.radial_basis(distances)
    slope = -2.0 * model.radial_basis.gamma * offsets
    jet = (basis, slope * basis, (slope**2 - 2.0 * model.radial_basis.gamma) * basis)
    filters = [_filter_jet(block.filter_network, jet) for block in model.blocks]
    joined = tuple(torch.cat(parts, dim=1).detach() for parts in zip(*filters, strict=True))
    if model.cutoff is None or model.config.cutoff_function != "cosine":
        return joined[0], joined[1], joined[2]
    frequency = math.pi / model.cutoff
    taper = cosine_taper(distances, model.cutoff)[:, None]
    taper_slope = -0.5 * frequency * torch.sin(frequency * distances)[:, None]
    taper_curvature = -0.5 * frequency**2 * torch.cos(frequency * distances)[:, None]
    f, f1, f2 = joined
    return (
        f * taper,
        f1 * taper + f * taper_slope,
        f2 * taper + 2.0 * f1 * taper_slope + f * taper_curvature,
    )


def _filter_jet(network: FilterNetwork, basis: Jet) -> Jet:
    """A filter network and its first two derivatives, from those of the basis."""
    hidden = _activated(_dense(network.hidden, basis))
    output = _dense(network.output, hidden)
    return _activated(output) if network.has_output_activation else output


def _dense(layer: nn.Linear, x: Jet) -> Jet:
    return layer(x[0]), x[1] @ layer.weight.T, x[2] @ layer.weight.T


def _activated(x: Jet) -> Jet:
    """ssp' = sigmoid s, ssp'' = s (1 - s), by the chain rule."""
    s = torch.sigmoid(x[0])
    return shifted_softplus(x[0]), s * x[1], s * (1.0 - s) * x[1] ** 2 + s * x[2]
