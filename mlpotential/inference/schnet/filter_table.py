"""Filters of a SchNet as functions of one distance, tabulated once with a measured error.

A trained filter W(r) depends on the distance alone, so the network that makes it is replaced by
quintic Hermite interpolation on a uniform grid: value, slope and curvature of every interaction at
each knot, taken from the network in float64, cutoff function included. The slope that forces need
is that of the interpolant, so forces remain exact derivatives of the energy.

Below the first knot there is no distance (it lies at 0). Beyond the last one W is constant: zero
behind a cutoff; without one, the Gaussians have died away there and the network itself is constant.
"""

from __future__ import annotations

import copy
import hashlib
import math
import threading

import torch
from torch import Tensor, nn

from mlpotential.inference.backend import Obstacle, TableError
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.nn.hermite import interpolation_weights, knots_of
from mlpotential.nn.jets import Jet
from mlpotential.nn.radial_basis import DEAD_EXPONENT

# Of filters and slopes; chosen: forces are then within 2e-5 of the largest in float32, where
# rounding alone gives up to 1e-5, and within 3e-8 in float64 (216 random models).
TABLE_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-8}

COARSEST_SPACING = 0.1  # A
FINEST_SPACING = 0.1 / 2**8  # A; chosen: 240 MB at most for 5 A, T = 6, F = 128, float64
LONGEST_TABLE = 100.0  # A; chosen: 20 MB at the coarsest, T = 6, F = 128, float64
REMEMBERED_BYTES = 64 * 2**20  # of all tables together; chosen: three of T = 6, F = 128, float64
WORST_SLOPE = 0.5 * (1.0 - 5.0**-0.5)

_remembered: dict[bytes, FilterTable] = {}
_lock = threading.Lock()


class FilterTable(nn.Module):
    """Filters of all interactions on a uniform grid from 0.

    Attributes:
        spacing: distance of knots (A).
        last: position of the last knot (A).
        knots: f, h f', h^2 f'' of each knot, [n_knots, 3, n_interactions * n_features].
        error: measured when the table was made.
    """

    knots: Tensor

    def __init__(self, knots: Tensor, spacing: float, error: TableError) -> None:
        super().__init__()
        self.spacing, self.error = spacing, error
        self.last = spacing * (len(knots) - 1)
        self.register_buffer("knots", knots)

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Filters and their slopes, each [n_pairs, n_interactions * n_features].

        Args:
            distances: [n_pairs], float64 (A).
        """
        first, weights, slope_weights = interpolation_weights(
            distances, self.spacing, len(self.knots)
        )
        slope_weights = slope_weights * (distances < self.last)[:, None]
        both = torch.stack([weights, slope_weights], dim=1).to(self.knots.dtype)
        rows = self.knots[torch.stack([first, first + 1], dim=1)].flatten(1, 2)
        filters, slopes = torch.bmm(both, rows).unbind(dim=1)
        return filters, slopes


def obstacle_to_tables(potential: Potential) -> Obstacle | None:
    """Why the filters of a potential cannot stand in for its network here; None where they can."""
    name = type(potential).__name__
    if not potential.traits.radial_filters:
        return Obstacle(
            error=f"{name} has no filters to tabulate: use backend='reference'",
            notice=f"{name} has no filters to tabulate: it is evaluated by the {{backend}} backend",
        )
    if not potential.has_energy:
        return Obstacle("the model gives no energies, which this backend is for: use 'reference'")
    if type(potential) is not SchNet:  # what a subclass does between its filters is not known here
        return Obstacle(
            error=f"tabulated filters are evaluated as in SchNet, not as in {name}: use "
            "backend='reference'",
            notice=f"{name} is not SchNet itself, so its filters are not tabulated: it is "
            "evaluated by the {backend} backend",
        )
    if (reach := _range(potential)) > LONGEST_TABLE:
        return Obstacle(
            error=f"the filters reach {reach:.0f} A, and tables at most {LONGEST_TABLE:.0f} A: use "
            "backend='reference'",
            notice=f"the filters reach {reach:.0f} A, too far to tabulate them: the model is "
            "evaluated by the {backend} backend",
        )
    return None


def table_of(model: SchNet) -> FilterTable:
    """As exact as the dtype of the model deserves."""
    return tabulate_filters(model, TABLE_TOLERANCE[model.dtype])


def tabulate_filters(model: SchNet, tolerance: float) -> FilterTable:
    """The coarsest table, by halving the spacing, whose measured error is within the tolerance.

    The latest tables are remembered: evaluators of the same filters share knots and time.

    Args:
        model: the network; a float64 copy of it is tabulated.
        tolerance: for both figures of `TableError`.

    Returns:
        A float64 table, not to be written to. Its `error` exceeds the tolerance only where
        `FINEST_SPACING` was reached, or where it is not finite: the network is lost, and no
        spacing helps.
    """
    digest = _digest(model, tolerance)
    with _lock:
        table = _remembered.pop(digest, None)
    if table is None:
        table = _tabulated(model, tolerance)
    with _lock:
        _remembered[digest] = table  # the one used last stands last
        while sum(kept.knots.nbytes for kept in _remembered.values()) > REMEMBERED_BYTES:
            del _remembered[next(iter(_remembered))]
    return FilterTable(table.knots, table.spacing, table.error)  # a module is moved in place


def _digest(model: SchNet, tolerance: float) -> bytes:
    """Of everything that a table depends on: two that are equal have the same bits."""
    sha = hashlib.sha256(f"{model.config} {model.cutoff} {tolerance!r}".encode())
    parts = [model.radial_basis, *(block.filter_network for block in model.blocks)]
    for part in parts:
        for name, values in part.state_dict().items():
            sha.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            sha.update(values.detach().cpu().contiguous().numpy().data)
    return sha.digest()


def _tabulated(model: SchNet, tolerance: float) -> FilterTable:
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
    exact = _filter_jet(model, grid)
    table = FilterTable(knots_of(exact, spacing), spacing, TableError(0.0, 0.0))
    middle, flank = grid[:-1] + 0.5 * spacing, grid[:-1] + WORST_SLOPE * spacing
    filters_off = table(middle)[0] - _filter_jet(model, middle).value
    slopes_off = table(flank)[1] - _filter_jet(model, flank).slope
    table.error = TableError(
        filters=relative_error(filters_off, exact.value),
        slopes=relative_error(slopes_off, exact.slope),
    )
    return table


def relative_error(deviations: Tensor, values: Tensor) -> float:
    """The largest deviation over the largest value; none is 0 even where all values are."""
    largest = deviations.abs().max()
    return float(largest / values.abs().max()) if largest != 0.0 else 0.0


@torch.no_grad()
def _filter_jet(model: SchNet, distances: Tensor) -> Jet:
    return model.filter_jet(distances)
