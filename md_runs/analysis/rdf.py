"""The pair density h(r) of a molecule: how often two of its atoms are a distance r apart.

A molecule has no volume to measure a density against, so h(r) is not the g(r) of a liquid: it is
the histogram of all interatomic distances over frames and beads, normalised so that

    integral h(r) dr = 1   (K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), Fig. 8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from md_runs.analysis.frames import check_trajectory_positions
from md_runs.analysis.histograms import BlockHistogram, distance_chunks
from md_runs.analysis.results import AnalysisResult
from mlpotential.errors import DataError


@dataclass(frozen=True)
class PairDistribution(AnalysisResult):
    """The pair density of a molecule.

    Attributes:
        distances: centres of the bins, [n_bins] (A).
        density: h(r), integral over r 1, [n_bins] (1/A).
        standard_error: of h(r), from blocks, [n_bins] (1/A).
        bin_width: (A).
        n_pairs: number of pairs of atoms.
        n_beads: number of beads.
        n_frames: number of frames.
        n_blocks: number of blocks the standard error comes from.
    """

    distances: np.ndarray
    density: np.ndarray
    standard_error: np.ndarray
    bin_width: float
    n_pairs: int
    n_beads: int
    n_frames: int
    n_blocks: int

    UNITS: ClassVar[dict[str, str]] = {
        "distances": "A",
        "density": "1/A",
        "standard_error": "1/A",
        "bin_width": "A",
    }
    COLUMNS: ClassVar[tuple[str, ...]] = ("distances", "density", "standard_error")


def pair_distribution(
    positions: np.ndarray, bin_width: float = 0.01, n_blocks: int = 10
) -> PairDistribution:
    """h(r) of a molecule, over frames and beads.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A); anything that can be sliced by frame.
        bin_width: (A).
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shape, one atom, a frame that is not finite, fewer frames than blocks, or
            atoms so far apart that the molecule cannot be whole.
        ConfigError: if the bin width is not positive or `n_blocks` is below 1.
    """
    check_trajectory_positions(positions)
    n_frames, n_beads, n_atoms, _ = positions.shape
    if n_atoms < 2:
        raise DataError("a pair density needs at least 2 atoms")
    pairs = np.stack(np.triu_indices(n_atoms, k=1), axis=1)
    histogram = BlockHistogram(bin_width, n_blocks)
    for block, distances in distance_chunks(positions, pairs, n_blocks):
        histogram.add(block, distances)
    distances, density, standard_error = histogram.density()
    return PairDistribution(
        distances=distances,
        density=density,
        standard_error=standard_error,
        bin_width=bin_width,
        n_pairs=len(pairs),
        n_beads=n_beads,
        n_frames=n_frames,
        n_blocks=n_blocks,
    )
