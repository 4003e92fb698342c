"""One number for each frame, the mean over beads: the series that error bars of means come from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from md_runs.analysis.structure.internal_coordinates import (
    NOT_PERIODIC,
    angles,
    distances,
    largest_distances,
    nearest_neighbor_distances,
    radii_of_gyration,
)

VALUES_PER_PIECE = 200_000  # chosen: temporaries of some MB

# From positions [n, n_beads, n_atoms, 3] (A), cells and periodic directions to [n, n_beads, ...].
Measure = Callable[..., np.ndarray]


def frame_series(
    measure: Measure,
    positions: Any,
    cells: Any = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> np.ndarray:
    """The mean of a measure over all that it gives of a frame, [n_frames].

    Args:
        measure: of `measures`, or another.
        positions: [n_frames, n_beads, n_atoms, 3] (A), read piece by piece.
        cells: lattice vectors as rows, [n_frames, 3, 3] (A); None for a molecule.
        pbc: periodic directions.
    """
    n_frames, n_beads, n_atoms, _ = positions.shape
    step = max(1, VALUES_PER_PIECE // (n_beads * n_atoms**2))
    series = np.empty(n_frames)
    for start in range(0, n_frames, step):
        piece = slice(start, min(start + step, n_frames))
        cell = None if cells is None else np.asarray(cells[piece])
        values = measure(np.asarray(positions[piece], np.float64), cell, pbc)
        series[piece] = values.reshape(len(values), -1).mean(axis=1)
    return series


def of_pairs(pairs: np.ndarray) -> Measure:
    """Distances of pairs, [n_pairs, 2], to the nearest image."""
    return lambda chunk, cell, pbc: distances(chunk, pairs, cell, pbc)


def of_triples(triples: np.ndarray) -> Measure:
    """Angles at the second atoms of triples, [n_triples, 3] (degree)."""
    return lambda chunk, cell, pbc: angles(chunk, triples, cell, pbc)


def of_neighbors(n_neighbors: int = 1) -> Measure:
    """Distances of atoms to their nearest, chosen anew in each frame."""
    return lambda chunk, cell, pbc: nearest_neighbor_distances(chunk, n_neighbors, cell, pbc)


def of_diameter() -> Measure:
    """The largest distance in a molecule."""
    return lambda chunk, cell, pbc: largest_distances(chunk)


def of_radius(masses: np.ndarray) -> Measure:
    """Its radius of gyration."""
    gyration = partial(radii_of_gyration, masses=np.asarray(masses, np.float64))
    return lambda chunk, cell, pbc: gyration(chunk)
