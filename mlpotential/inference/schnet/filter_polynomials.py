"""A filter table as the kernel reads it: a polynomial of t = (r - r_k) / h in each interval.

In float64 these are the quintic ones of the table itself. In float32, where fewer coefficients are
faster to read and shorter intervals cost nothing else, they are quartic, with the values and slopes
of the table at both ends of an interval and its value in the middle: continuous with their first
derivative, so that forces are exact derivatives of the energy here, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlpotential.inference.backend import TableError
from mlpotential.inference.schnet.filter_table import (
    TABLE_TOLERANCE,
    FilterTable,
    relative_error,
)
from mlpotential.nn.hermite import hermite_basis

TOLERANCE = 0.5 * TABLE_TOLERANCE[torch.float32]  # of both, where the table leaves any of it
LEAST_ALLOWED = 0.4 * TOLERANCE  # of what is added to the error of the table
FIRST_SPACING = 0.05  # A; where the error is measured that predicts the spacing
SAFETY = 0.97  # of a predicted spacing
SHORTEST_SPACING = 1e-3  # A; chosen: 100 MB at most for 5 A, T = 6, F = 128
WORST_VALUE = 0.5 - 0.05**0.5  # where t^2 (1 - t)^2 (t - 1/2) is largest; its slope in the middle


@dataclass(frozen=True)
class FilterPolynomials:
    """Filters of all interactions from 0 on.

    Attributes:
        coefficients: of t^0, t^1, ..., [n_intervals, degree + 1, n_interactions * n_features],
            float64, C-contiguous.
        spacing: h (A).
        error: that of the table and what was added to it.
    """

    coefficients: Tensor
    spacing: float
    error: TableError


def filter_polynomials(table: FilterTable, dtype: torch.dtype) -> FilterPolynomials:
    """Of a table, as the kernel of a dtype reads them: quartic in float32, else quintic."""
    if dtype != torch.float32:
        return FilterPolynomials(_powers(table), table.spacing, table.error)
    spacing = FIRST_SPACING
    allowed = max(TOLERANCE - max(table.error.filters, table.error.slopes), LEAST_ALLOWED)
    while True:
        found, added = _quartic(table, spacing)
        largest = max(added.filters, added.slopes)
        if not largest > allowed or spacing <= SHORTEST_SPACING:
            error = TableError(
                table.error.filters + added.filters, table.error.slopes + added.slopes
            )
            return FilterPolynomials(found, table.last / len(found), error)
        predicted = SAFETY * spacing * (allowed / largest) ** 0.25  # slopes: as h^4
        spacing = max(min(predicted, 0.9 * spacing), SHORTEST_SPACING)


def _powers(table: FilterTable) -> Tensor:
    """The quintic polynomials of the table itself."""
    knots = table.knots.detach().cpu().double()
    ends = torch.cat([knots[:-1], knots[1:]], dim=1)
    values = torch.from_numpy(hermite_basis()[0])
    return torch.einsum("imf,mp->ipf", ends, values).contiguous()


def _quartic(table: FilterTable, spacing: float) -> tuple[Tensor, TableError]:
    """At most this far apart, and how far they are from the table."""
    n_intervals = max(-int(-table.last // spacing), 1)
    h = table.last / n_intervals
    grid = torch.linspace(0.0, table.last, n_intervals + 1, dtype=torch.float64)
    values, slopes = _of_table(table, grid)
    (f0, f1), (d0, d1) = (values[:-1], values[1:]), (h * slopes[:-1], h * slopes[1:])
    middle, middle_slope = _of_table(table, grid[:-1] + 0.5 * h)
    rest = 16.0 * (middle - (0.5 * (f0 + f1) + 0.125 * (d0 - d1)))  # times t^2 (1 - t)^2
    c2, c3 = 3.0 * (f1 - f0) - 2.0 * d0 - d1 + rest, 2.0 * (f0 - f1) + d0 + d1 - 2.0 * rest
    found = torch.stack([f0, d0, c2, c3, rest], dim=1)

    t = WORST_VALUE
    value = f0 + t * (d0 + t * (c2 + t * (c3 + t * rest)))
    slope = (d0 + c2 + 0.75 * c3 + 0.5 * rest) / h  # in the middle
    off = value - _of_table(table, grid[:-1] + t * h)[0]
    added = TableError(
        filters=relative_error(off, values),
        slopes=relative_error(slope - middle_slope, slopes),
    )
    return found, added


def _of_table(table: FilterTable, distances: Tensor) -> tuple[Tensor, Tensor]:
    """Filters and slopes there; at the end the slope from the left."""
    inside = distances.clamp(max=table.last * (1.0 - 1e-15))
    with torch.no_grad():
        return table(inside)
