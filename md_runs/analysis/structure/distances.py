"""Distances in a molecule over time and beads: distributions, means and spreads with error bars.

The figures of K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779,
Fig. 8: nearest neighbours (the bonds) and diameter (distances of antipodal atoms) of C20. Pairs are
chosen once, on a reference structure, and kept; `nearest_neighbor_distribution` and
`size_distributions` ask each frame anew.

Positions are read slice by slice: a NumPy array, a memory map, an HDF5 data set, or an iterable of
chunks of frames. One frame is enough (a relaxed structure, say), with `n_blocks=1` and no error
bars. Error bars are those of the block bootstrap (`md_runs.analysis.sampling.block_sums`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np

from md_runs.analysis.sampling.block_sums import Frames, Sums, sum_blocks, with_cells
from md_runs.analysis.sampling.histograms import histogram
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.structure.internal_coordinates import (
    NOT_PERIODIC,
    check_atoms,
    distances,
    every_pair,
    largest_distances,
    nearest_neighbor_distances,
    radii_of_gyration,
)
from mlpotential.errors import ConfigError, DataError, StructureError


@dataclass(frozen=True)
class DistanceDistribution(AnalysisResult):
    """How often distances in a molecule have a length, over frames and beads.

    Attributes:
        label: what the distances are.
        distances: centres of the bins, [n_bins] (A).
        density: integral over distance 1, [n_bins] (1/A).
        standard_error: of the density, from blocks, [n_bins] (1/A).
        mean: over pairs, beads and frames (A).
        standard_deviation: of all distances pooled (A).
        bin_width: (A).
        n_pairs: number of distances in one bead of one frame.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    label: str
    distances: Annotated[np.ndarray, "A"]
    density: Annotated[np.ndarray, "1/A"]
    standard_error: Annotated[np.ndarray, "1/A"]
    mean: Annotated[Estimate, "A"]
    standard_deviation: Annotated[Estimate, "A"]
    bin_width: Annotated[float, "A"]
    n_pairs: int
    n_beads: int
    n_frames: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("distances", "density", "standard_error")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.distributions:plot_distribution"


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

    mean_bond: Annotated[Estimate, "A"]
    closest_neighbour: Annotated[Estimate, "A"]
    antipodal_distance: Annotated[Estimate, "A"]
    largest_distance: Annotated[Estimate, "A"]
    bond_standard_deviation: Annotated[Estimate, "A"]
    n_beads: int
    n_frames: int


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
    positions: Frames,
    pairs: np.ndarray,
    label: str,
    bin_width: float = 0.01,
    n_blocks: int = 10,
    cells: Frames | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> DistanceDistribution:
    """The distribution of the distances of chosen pairs.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A), or an iterable of such chunks.
        pairs: atoms i, j, [n_pairs, 2].
        label: what the distances are.
        bin_width: (A).
        n_blocks: blocks of frames for the error bars; 1 goes without.
        cells: [3, 3], [n_frames, 3, 3] (A) or chunks of it; None for a molecule.
        pbc: periodic directions, in which distances are those to the nearest image.

    Raises:
        DataError: wrong shapes, pairs of atoms that are not there, a frame that is not finite,
            fewer frames than blocks, distances that need more than `MAX_BINS` bins, or that are
            beyond half the cell.
        ConfigError: if the bin width is not positive.
        StructureError: for a cell that is flat or thin.
    """
    pairs = np.asarray(pairs)
    return _distribution(
        lambda chunk, cell: distances(chunk, pairs, cell, pbc),
        positions,
        cells,
        label,
        (bin_width, n_blocks),
        lambda shape: shape[0] * len(pairs),
    )


def nearest_neighbor_distribution(
    positions: Frames,
    n_neighbors: int = 1,
    bin_width: float = 0.01,
    n_blocks: int = 10,
    cells: Frames | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> DistanceDistribution:
    """The distribution of the distances of atoms to their n nearest, chosen anew in each frame.

    Arguments and errors are those of `distance_distribution`; `n_neighbors` must leave an atom.
    """
    return _distribution(
        lambda chunk, cell: nearest_neighbor_distances(chunk, n_neighbors, cell, pbc),
        positions,
        cells,
        "nearest neighbour" if n_neighbors == 1 else f"{n_neighbors} nearest neighbours",
        (bin_width, n_blocks),
        lambda shape: shape[0] * shape[1] ** 2,
    )


def size_distributions(
    positions: Frames, masses: np.ndarray, bin_width: float = 0.01, n_blocks: int = 10
) -> tuple[DistanceDistribution, DistanceDistribution]:
    """The largest distance in a molecule (its diameter), and its radius of gyration.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A); an array, as it is read twice.
        masses: [n_atoms] (amu).
        bin_width: (A).
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError, ConfigError: as `distance_distribution`; masses that are not those of the atoms.
    """
    options = (bin_width, n_blocks)
    diameter = _distribution(
        lambda chunk, _: largest_distances(chunk),
        positions,
        None,
        "largest distance",
        options,
        lambda shape: shape[0] * shape[1] ** 2 // 2,
    )
    radius = _distribution(
        lambda chunk, _: radii_of_gyration(chunk, masses),
        positions,
        None,
        "radius of gyration",
        options,
        lambda shape: 3 * shape[0] * shape[1],
    )
    return diameter, radius


def _distribution(
    lengths: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    positions: Frames,
    cells: Frames | None,
    label: str,
    options: tuple[float, int],
    values_per_frame: Callable[[tuple[int, ...]], int],
) -> DistanceDistribution:
    """Of lengths [n_frames, n_beads, ...] of some positions in their cells."""
    bin_width, n_blocks = options
    sources, constant = with_cells(positions, cells)
    found = histogram(
        lambda chunk, cell=constant: lengths(chunk, cell),
        sources,
        bin_width,
        n_blocks,
        values_per_frame,
    )
    n_frames, n_beads = found.blocks.n_frames, found.blocks.frame_shape[0]
    return DistanceDistribution(
        label=label,
        distances=found.centers,
        density=found.density.value,
        standard_error=found.density.standard_error,
        mean=found.mean,
        standard_deviation=found.standard_deviation,
        bin_width=bin_width,
        n_pairs=int(found.blocks.sums["number"].sum()) // (n_frames * n_beads),
        n_beads=n_beads,
        n_frames=n_frames,
    )


def cage_geometry(
    positions: Frames, bonds: np.ndarray, antipodes: np.ndarray, n_blocks: int = 10
) -> CageGeometry:
    """The sizes of a cage molecule with error bars.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A), or an iterable of such chunks.
        bonds: of `bonded_pairs`, [n_bonds, 2].
        antipodes: of `antipodal_pairs`, [n_atoms / 2, 2].
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: as `distance_distribution`.
        ConfigError: if `n_blocks` is below 1.
    """
    reference: list[float] = []

    def measure(chunk: np.ndarray) -> dict[str, Any]:
        n_atoms = chunk.shape[2]
        place = _places(n_atoms)
        lengths = distances(chunk, every_pair(n_atoms))
        bond_lengths = lengths[..., place[tuple(check_atoms(bonds, 2, n_atoms).T)]]
        diameters = lengths[..., place[tuple(check_atoms(antipodes, 2, n_atoms).T)]]
        partners = place[~np.eye(n_atoms, dtype=bool)].reshape(n_atoms, n_atoms - 1)
        if not reference:  # sums of bonds about the first mean keep their digits
            reference.append(float(bond_lengths.mean()))
        stretch = bond_lengths - reference[0]
        return {
            "beads": chunk.shape[0] * chunk.shape[1],
            "stretch": stretch.mean(axis=-1).sum(),
            "squares": (stretch**2).mean(axis=-1).sum(),
            "closest": lengths[..., partners].min(axis=-1).mean(axis=-1).sum(),
            "antipodal": diameters.mean(axis=-1).sum(),
            "largest": lengths.max(axis=-1).sum(),
        }

    def statistic(sums: Sums) -> dict[str, np.ndarray]:
        mean = {name: total / sums["beads"] for name, total in sums.items()}
        variance = np.maximum(0.0, mean["squares"] - mean["stretch"] ** 2)
        return {
            "mean_bond": reference[0] + mean["stretch"],
            "closest_neighbour": mean["closest"],
            "antipodal_distance": mean["antipodal"],
            "largest_distance": mean["largest"],
            "bond_standard_deviation": np.sqrt(variance),
        }

    sources = {"positions": positions}
    blocks = sum_blocks(measure, sources, n_blocks, lambda shape: shape[0] * shape[1] ** 2)
    return CageGeometry(
        n_beads=blocks.frame_shape[0], n_frames=blocks.n_frames, **blocks.estimates(statistic)
    )


def _places(n_atoms: int) -> np.ndarray:
    """Where the pair i, j stands in the list of all pairs, [n_atoms, n_atoms]."""
    pairs = every_pair(n_atoms)
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
