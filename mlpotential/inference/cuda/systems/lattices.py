"""How space is cut into bins for a search of neighbours, structure by structure."""

from __future__ import annotations

import numpy as np

from mlpotential.errors import StructureError
from mlpotential.graph import cell_heights, reduction
from mlpotential.inference.cuda.systems.interface import LATTICE

FARTHEST = 2**30  # cells from the first; `cells.cu` counts them in 32 bits
MOST_IMAGES = 500  # of a cell along one vector, each way; `cells.h` has 10 bits for them
ROUNDING = 1e-9  # of bins; chosen: far above that of fractional coordinates


def lattices_of(
    positions: np.ndarray,
    graph_start: np.ndarray,
    cells: np.ndarray,
    pbc: np.ndarray,
    radius: float,
) -> np.ndarray:
    """Rows of `LATTICE`, [n_graphs].

    Bins are as high as the radius, or higher where there would be more bins than atoms; there is
    one bin along a periodic cell that is lower.

    Args:
        positions: [n_atoms, 3] (A).
        graph_start: [n_graphs + 1].
        cells: zeros for molecules, [n_graphs, 3, 3] (A).
        pbc: [n_graphs, 3], bool.
        radius: of the search (A); infinite for all pairs, without periodic directions.

    Raises:
        StructureError: for atoms too many cells away.
    """
    rows, first_bin = np.zeros(len(cells), LATTICE), 0
    for k, (row, cell, periodic) in enumerate(zip(rows, cells, pbc, strict=True)):
        own = positions[graph_start[k] : graph_start[k + 1]]
        row["change"] = reduction(cell, periodic) if periodic.any() else np.eye(3)
        row["box"] = row["change"] @ cell if periodic.any() else np.eye(3)
        row["inverse"] = np.linalg.inv(row["box"])
        row["periodic"], row["first_bin"] = periodic, first_bin
        fractional = own @ row["inverse"]
        if np.abs(fractional[:, periodic]).max(initial=0.0) > FARTHEST:
            raise StructureError(
                f"an atom is more than {FARTHEST:,} cells away from the first one: wrap positions"
            )
        low, high = fractional.min(axis=0), fractional.max(axis=0)
        low, extent = np.where(periodic, 0.0, low), np.where(periodic, 1.0, high - low)
        heights = extent * cell_heights(row["box"])
        bins = _bins(heights, radius, len(own))
        row["origin"], row["bins"] = low, bins
        row["scale"] = bins / np.where(extent > 0.0, extent, 1.0)
        row["reach"] = _reach(heights / bins, radius)
        row["reach"] = np.where(periodic, row["reach"], np.minimum(row["reach"], bins - 1))
        assert (row["reach"] <= MOST_IMAGES).all()  # by the thinnest cell and the longest table
        first_bin += int(bins.prod())
    return rows


def _bins(heights: np.ndarray, radius: float, n_atoms: int) -> np.ndarray:
    """Numbers of bins along heights (A), as many as atoms at most, [3]."""
    if np.isinf(radius):
        return np.ones(3, np.int64)
    bins = np.maximum(np.floor(heights / radius * (1.0 - ROUNDING)), 1.0)
    while bins.prod() > n_atoms:
        thinner = bins * (n_atoms / bins.prod()) ** (1.0 / np.count_nonzero(bins > 1.0))
        bins = np.where(bins > 1.0, np.maximum(np.floor(thinner), 1.0), 1.0)
    return bins.astype(np.int64)


def _reach(heights: np.ndarray, radius: float) -> np.ndarray:
    """How many bins of these heights (A) away a neighbour can be, [3]."""
    if np.isinf(radius):
        return np.zeros(3, np.int64)
    flattest = radius / (MOST_IMAGES + 1)  # where atoms have one height there is one bin
    return np.ceil(radius / np.maximum(heights, flattest) + ROUNDING).astype(np.int64)
