"""Distances in a molecule over time and beads: distributions, means and spreads with error bars.

The figures of K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779,
Fig. 8: nearest neighbours (the bonds) and diameter (distances of antipodal atoms) of C20. The pairs
are chosen once, on a reference structure, and kept.

Positions are read slice by slice: a NumPy array, a memory map or an HDF5 data set will do. One
frame is enough (a relaxed structure, say), with `n_blocks=1` and no error bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from md_runs.analysis.histograms import (
    BlockHistogram,
    BlockMoments,
    check_pairs,
    distance_chunks,
)
from md_runs.analysis.results import AnalysisResult
from md_runs.analysis.uncertainty import Estimate, block_average
from mlpotential.errors import ConfigError, DataError, StructureError


@dataclass(frozen=True)
class DistanceDistribution(AnalysisResult):
    """How often chosen pairs of atoms are a distance apart, over frames and beads.

    Attributes:
        label: what the distances are.
        distances: centres of the bins, [n_bins] (A).
        density: integral over distance 1, [n_bins] (1/A).
        standard_error: of the density, from blocks, [n_bins] (1/A).
        mean: over pairs, beads and frames (A).
        standard_deviation: of all distances pooled (A).
        bin_width: (A).
        n_pairs: number of pairs of atoms.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    label: str
    distances: np.ndarray
    density: np.ndarray
    standard_error: np.ndarray
    mean: Estimate
    standard_deviation: Estimate
    bin_width: float
    n_pairs: int
    n_beads: int
    n_frames: int

    UNITS: ClassVar[dict[str, str]] = {
        "distances": "A",
        "density": "1/A",
        "standard_error": "1/A",
        "mean": "A",
        "standard_deviation": "A",
        "bin_width": "A",
    }
    COLUMNS: ClassVar[tuple[str, ...]] = ("distances", "density", "standard_error")


@dataclass(frozen=True)
class CageGeometry(AnalysisResult):
    """The sizes of a cage molecule, averaged over frames and beads (A).

    Attributes:
        mean_bond: mean length of the bonds.
        closest_neighbour: mean over atoms of the distance to the nearest atom.
        antipodal_distance: mean distance of antipodal atoms, the diameter.
        largest_distance: mean of the largest distance in the molecule.
        bond_standard_deviation: of all bond lengths pooled.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    mean_bond: Estimate
    closest_neighbour: Estimate
    antipodal_distance: Estimate
    largest_distance: Estimate
    bond_standard_deviation: Estimate
    n_beads: int
    n_frames: int

    UNITS: ClassVar[dict[str, str]] = {
        "mean_bond": "A",
        "closest_neighbour": "A",
        "antipodal_distance": "A",
        "largest_distance": "A",
        "bond_standard_deviation": "A",
    }


def bonded_pairs(positions: np.ndarray, n_bonds_per_atom: int) -> np.ndarray:
    """The bonds of a structure in which each atom is bound to its n nearest: C20 has 3, 30 bonds.

    Args:
        positions: a reference structure, [n_atoms, 3] (A).
        n_bonds_per_atom: neighbours of each atom.

    Returns:
        Pairs i < j, [n_atoms * n_bonds_per_atom / 2, 2].

    Raises:
        StructureError: if an atom counts another among its nearest but not the other way round.
        ConfigError: if there are not so many neighbours.
    """
    matrix = _distance_matrix(positions)
    n_atoms = len(matrix)
    if not 1 <= n_bonds_per_atom < n_atoms:
        raise ConfigError(f"{n_atoms} atoms cannot have {n_bonds_per_atom} bonds each")
    np.fill_diagonal(matrix, np.inf)
    is_near = np.zeros((n_atoms, n_atoms), bool)
    nearest = np.argsort(matrix, axis=1)[:, :n_bonds_per_atom]
    np.put_along_axis(is_near, nearest, True, axis=1)
    return _mutual_pairs(is_near, f"the {n_bonds_per_atom} nearest")


def antipodal_pairs(positions: np.ndarray) -> np.ndarray:
    """The pairs of mutually farthest atoms of a closed cage: C20 has 10.

    Args:
        positions: a reference structure, [n_atoms, 3] (A).

    Returns:
        Pairs i < j, each atom in one of them, [n_atoms / 2, 2].

    Raises:
        StructureError: if an atom is not the farthest of its own farthest atom.
    """
    matrix = _distance_matrix(positions)
    is_far = np.zeros(matrix.shape, bool)
    is_far[np.arange(len(matrix)), np.argmax(matrix, axis=1)] = True
    return _mutual_pairs(is_far, "the farthest")


def distance_distribution(
    positions: np.ndarray,
    pairs: np.ndarray,
    label: str,
    bin_width: float = 0.01,
    n_blocks: int = 10,
) -> DistanceDistribution:
    """The distribution of the distances of chosen pairs.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        pairs: atoms i, j, [n_pairs, 2].
        label: what the distances are.
        bin_width: (A).
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shapes, pairs of atoms that are not there, a frame that is not finite,
            fewer frames than blocks, or distances that need more than `MAX_BINS` bins.
        ConfigError: if the bin width is not positive.
    """
    histogram, moments = BlockHistogram(bin_width, n_blocks), BlockMoments(n_blocks)
    for block, chunk in distance_chunks(positions, pairs, n_blocks):
        histogram.add(block, chunk)
        moments.add(block, chunk)
    distances, density, standard_error = histogram.density()
    return DistanceDistribution(
        label=label,
        distances=distances,
        density=density,
        standard_error=standard_error,
        mean=moments.mean(),
        standard_deviation=moments.standard_deviation(),
        bin_width=bin_width,
        n_pairs=len(pairs),
        n_beads=positions.shape[1],
        n_frames=positions.shape[0],
    )


def cage_geometry(
    positions: np.ndarray, bonds: np.ndarray, antipodes: np.ndarray, n_blocks: int = 10
) -> CageGeometry:
    """The sizes of a cage molecule with error bars.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A).
        bonds: of `bonded_pairs`, [n_bonds, 2].
        antipodes: of `antipodal_pairs`, [n_atoms / 2, 2].
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: as `distance_distribution`.
        ConfigError: if `n_blocks` is below 1.
    """
    check_pairs(positions, bonds)
    check_pairs(positions, antipodes)
    n_frames, n_beads, n_atoms, _ = positions.shape
    all_pairs = np.stack(np.triu_indices(n_atoms, k=1), axis=1)
    place = _places(all_pairs, n_atoms)
    bond_place, antipode_place = place[tuple(bonds.T)], place[tuple(antipodes.T)]
    partners = place[~np.eye(n_atoms, dtype=bool)].reshape(n_atoms, n_atoms - 1)
    bond_moments = BlockMoments(n_blocks)
    closest, antipodal, largest = [], [], []
    for block, distances in distance_chunks(positions, all_pairs, n_blocks):
        bond_moments.add(block, distances[..., bond_place])
        closest.append(distances[..., partners].min(axis=-1).mean(axis=(1, 2)))
        antipodal.append(distances[..., antipode_place].mean(axis=(1, 2)))
        largest.append(distances.max(axis=-1).mean(axis=1))
    return CageGeometry(
        mean_bond=bond_moments.mean(),
        closest_neighbour=block_average(np.concatenate(closest), n_blocks),
        antipodal_distance=block_average(np.concatenate(antipodal), n_blocks),
        largest_distance=block_average(np.concatenate(largest), n_blocks),
        bond_standard_deviation=bond_moments.standard_deviation(),
        n_beads=n_beads,
        n_frames=n_frames,
    )


def _places(pairs: np.ndarray, n_atoms: int) -> np.ndarray:
    """Where the pair i, j stands in a list of all pairs, [n_atoms, n_atoms]."""
    place = np.zeros((n_atoms, n_atoms), np.int64)
    place[pairs[:, 0], pairs[:, 1]] = place[pairs[:, 1], pairs[:, 0]] = np.arange(len(pairs))
    return place


def _distance_matrix(positions: np.ndarray) -> np.ndarray:
    """[n_atoms, 3] -> [n_atoms, n_atoms] (A). Raises DataError unless it is a structure."""
    positions = np.asarray(positions, np.float64)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) < 2:
        raise DataError(f"a structure of shape [n_atoms, 3] is needed, not {positions.shape}")
    if not np.isfinite(positions).all():
        raise DataError("the positions of the structure are not finite")
    return np.linalg.norm(positions[:, None] - positions[None], axis=-1)


def _mutual_pairs(chosen: np.ndarray, relation: str) -> np.ndarray:
    """Pairs i < j of a symmetric relation [n_atoms, n_atoms], bool, as [n_pairs, 2]."""
    one_sided = chosen & ~chosen.T
    if one_sided.any():
        i, j = np.argwhere(one_sided)[0]
        raise StructureError(
            f"atom {j} is among {relation} of atom {i}, but atom {i} is not among {relation} of "
            f"atom {j}: take a relaxed structure, or give the pairs yourself"
        )
    return np.argwhere(np.triu(chosen))
