"""How often two atoms are a distance r apart: h(r) of a molecule, g(r) of what has a density.

A molecule has no volume to measure a density against. Its pair density h(r) is the histogram of
all interatomic distances over frames and beads, normalised so that

    integral h(r) dr = 1   (K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), Fig. 8).   (1)

The radial distribution function compares the neighbours of sort B around an atom of sort A, in a
shell of volume v(r) = 4 pi / 3 (r_upper^3 - r_lower^3), with those of an ideal gas in the volume V,

    g_AB(r) = < V n_AB(r) > / (N_pairs v(r)) + < V s_AB(r) > / (N_A N_B v(r)),   (2)

where n_AB counts ordered pairs of different atoms at all their images, s_AB an atom A with its own
images, if A is B, and V is that of each frame (M. P. Allen, D. J. Tildesley, "Computer Simulation
of Liquids", 2nd ed. (2017), sec. 2.6 and 8.2). N_pairs = N_A (N_B - 1 if A is B else N_B), so that
an ideal gas has g = 1 at every r, beyond half the cell too, wherever the histogram ends. Only at
distances that are lattice vectors of the cell does s_AB add peaks to that: they belong to the
periodic crystal, and are all there is of a cell with one atom. The running coordination number is
the sum of (n_AB + s_AB) / N_A up to r, and needs no volume.

Volume is that of the cell where all directions are periodic. In other cases it must be given: the
empty space around a molecule or a slab is a choice, and g(r) would scale with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.sampling.block_sums import BlockSums, Frames, Sums, sum_blocks, with_cells
from md_runs.analysis.sampling.histograms import histogram
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.structure.internal_coordinates import distances, every_pair
from md_runs.analysis.structure.neighbor_counts import NeighborCounts, chosen_pairs
from md_runs.analysis.structure.periodic_images import checked_cells, plane_spacings
from mlpotential.errors import ConfigError, DataError
from mlpotential.settings_checks import check_number

PERIODIC = (True, True, True)
SMALL_CELL = 3.0  # A; chosen: half the spacing of a cell that does not hold the first shell
REACH_OF_SMALL_CELLS = 6.0  # A; chosen: two shells of any crystal


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

    distances: Annotated[np.ndarray, "A"]
    density: Annotated[np.ndarray, "1/A"]
    standard_error: Annotated[np.ndarray, "1/A"]
    bin_width: Annotated[float, "A"]
    n_pairs: int
    n_beads: int
    n_frames: int
    n_blocks: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("distances", "density", "standard_error")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.distributions:plot_distribution"


@dataclass(frozen=True)
class RadialDistribution(AnalysisResult):
    """A partial radial distribution function and its coordination number.

    Attributes:
        label: "O-H" for the hydrogens around an oxygen.
        distances: centres of the bins, [n_bins] (A).
        g: 1 in an ideal gas, [n_bins].
        standard_error: of g, from blocks, [n_bins].
        upper_edges: of the bins, [n_bins] (A).
        coordination_number: mean number of second atoms around a first one, up to the upper edge of
            the bin, [n_bins].
        coordination_error: its standard error, from blocks, [n_bins].
        bin_width: (A).
        reference_volume: what density is measured against: the mean volume of the cell, or what
            was given (A^3).
        is_volume_of_cell: the volume was that of the cell, frame by frame.
        largest_unambiguous_distance: half the smallest cell; pairs farther apart have several
            images, and all were counted; infinite without a cell (A).
        n_first, n_second: atoms of each sort.
        n_beads: number of beads.
        n_frames: number of frames.
        n_blocks: number of blocks the standard errors come from.
    """

    label: str
    distances: Annotated[np.ndarray, "A"]
    g: Annotated[np.ndarray, "1"]
    standard_error: Annotated[np.ndarray, "1"]
    upper_edges: Annotated[np.ndarray, "A"]
    coordination_number: Annotated[np.ndarray, "1"]
    coordination_error: Annotated[np.ndarray, "1"]
    bin_width: Annotated[float, "A"]
    reference_volume: Annotated[float, "A^3"]
    is_volume_of_cell: bool
    largest_unambiguous_distance: Annotated[float, "A"]
    n_first: int
    n_second: int
    n_beads: int
    n_frames: int
    n_blocks: int

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "distances",
        "g",
        "standard_error",
        "upper_edges",
        "coordination_number",
        "coordination_error",
    )
    DRAWN_BY: ClassVar[str] = "md_runs.figures.distributions:plot_radial_distributions"

    def coordination_within(self, distance: float) -> Estimate:
        """Mean number of second atoms around a first one, up to the nearest edge of a bin.

        Raises:
            ConfigError: if the distance (A) is beyond the last bin.
        """
        place = round(distance / self.bin_width) - 1
        if not 0 <= place < len(self.upper_edges):
            raise ConfigError(
                f"neighbours within {distance} A are not counted: bins reach from "
                f"{self.upper_edges[0]:.4g} to {self.upper_edges[-1]:.4g} A"
            )
        value, error = self.coordination_number[place], self.coordination_error[place]
        return Estimate(float(value), float(error), self.n_blocks)


def pair_distribution(
    positions: Frames, bin_width: float = 0.01, n_blocks: int = 10
) -> PairDistribution:
    """h(r) of a molecule, over frames and beads.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A): whatever can be sliced by frame, or an
            iterable of chunks of frames.
        bin_width: (A).
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Raises:
        DataError: wrong shape, one atom, a frame that is not finite, fewer frames than blocks, or
            atoms so far apart that the molecule cannot be whole.
        ConfigError: if the bin width is not positive or `n_blocks` is below 1.
    """
    found = histogram(
        lambda chunk: distances(chunk, every_pair(chunk.shape[2])),
        {"positions": positions},
        bin_width,
        n_blocks,
        lambda shape: shape[0] * shape[1] ** 2 // 2,
    )
    n_beads, n_atoms, _ = found.blocks.frame_shape
    return PairDistribution(
        distances=found.centers,
        density=found.density.value,
        standard_error=found.density.standard_error,
        bin_width=bin_width,
        n_pairs=n_atoms * (n_atoms - 1) // 2,
        n_beads=n_beads,
        n_frames=found.blocks.n_frames,
        n_blocks=found.blocks.n_blocks,
    )


def radial_distributions(
    positions: Frames,
    atomic_numbers: np.ndarray,
    cells: Frames | None = None,
    pbc: tuple[bool, bool, bool] = PERIODIC,
    element_pairs: Sequence[tuple[str, str]] | None = None,
    max_distance: float | None = None,
    bin_width: float = 0.05,
    reference_volume: float | None = None,
    n_blocks: int = 10,
) -> tuple[RadialDistribution, ...]:
    """Partial g(r) and coordination numbers by equation (2), over frames and beads.

    Args:
        positions: wrapped or not, [n_frames, n_beads, n_atoms, 3] (A), or an iterable of chunks.
        atomic_numbers: [n_atoms].
        cells: lattice vectors as rows, of any shape, [3, 3], [n_frames, 3, 3] (A), or chunks;
            None without periodicity.
        pbc: periodic directions; without cells nothing is periodic.
        element_pairs: symbols, ("O", "H") for the hydrogens around oxygens; None for all pairs.
        max_distance: (A); None for half the smallest spacing of the cells, or 6 A where that is
            less than 3 A.
        bin_width: (A).
        reference_volume: what density is measured against (A^3); None for the volume of the cell
            in each frame.
        n_blocks: blocks of frames for the error bars; 1 goes without.

    Returns:
        One for each pair of elements, in their order.

    Raises:
        DataError: no volume to refer to; elements that are not there; wrong shapes; a frame that is
            not finite; fewer frames than blocks.
        ConfigError: no distance to go to; a bin width or a volume that is not positive.
        StructureError: for a cell that is flat or thin.
    """
    check_number("bin_width", bin_width)
    pbc = pbc if cells is not None else (False, False, False)
    if reference_volume is None and not all(pbc):
        raise DataError(
            "g(r) compares with the density of a volume, and there is no cell that is periodic in "
            "all directions: give reference_volume, or take h(r) (pair_distribution)"
        )
    if reference_volume is not None:
        check_number("reference_volume", reference_volume)
    n_bins = _number_of_bins(max_distance, bin_width, cells, pbc)
    pairs = chosen_pairs(atomic_numbers, element_pairs)
    count = NeighborCounts(
        np.asarray(atomic_numbers), pairs, n_bins, bin_width, pbc, reference_volume
    )
    sources, constant = with_cells(positions, cells)
    blocks = sum_blocks(
        lambda chunk, cell=constant: count(chunk, cell), sources, n_blocks, lambda s: s[0] * s[1]
    )
    # A single atom of its sort has no pairs but those with its own images.
    is_there = blocks.sums["counts"].any(axis=(0, 2)) | np.array([*map(count.n_pairs, pairs)]) > 0
    if not is_there.any() or (element_pairs is not None and not is_there.all()):
        lone = pairs[int(np.argmin(is_there))][0]
        raise DataError(
            f"the distribution of one atom about itself: there is one {chemical_symbols[lone]}, "
            f"and none of its images within {count.reach:g} A. Ask for more (--r-max)"
        )
    return tuple(_normalised(blocks, count, int(k)) for k in np.flatnonzero(is_there))


def _number_of_bins(
    max_distance: float | None, bin_width: float, cells: Frames | None, pbc: tuple[bool, bool, bool]
) -> int:
    """Whole bins up to the distance. Raises ConfigError if there is none."""
    if max_distance is None:
        if cells is None or not any(pbc) or not hasattr(cells, "shape"):
            raise ConfigError(
                "max_distance must be given where nothing is periodic, or where cells come in "
                "chunks and the smallest is not known"
            )
        whole = checked_cells(cells[...], pbc)
        max_distance = float(0.5 * plane_spacings(whole, pbc).min())
        if max_distance < SMALL_CELL:
            max_distance = REACH_OF_SMALL_CELLS
    if not np.isfinite(max_distance) or max_distance < bin_width:
        raise ConfigError(
            f"max_distance must be at least one bin of {bin_width}, not {max_distance}"
        )
    return int(max_distance / bin_width * (1 + 1e-12))


def _normalised(blocks: BlockSums, count: NeighborCounts, place: int) -> RadialDistribution:
    """Equation (2) and the running coordination number of one pair of elements."""
    pair = count.pairs[place]
    n_first, n_second = (int(np.sum(count.atomic_numbers == number)) for number in pair)
    edges = np.arange(count.n_bins + 1) * count.bin_width
    shells = 4 / 3 * np.pi * np.diff(edges**3)

    def statistic(sums: Sums) -> dict[str, np.ndarray]:
        n_frames = sums["frames"][..., None]
        neighbors = sums["counts"][..., place, :] / n_frames
        return {
            "g": sums["weighted_counts"][..., place, :] / (n_frames * shells),  # (2)
            "coordination": np.cumsum(neighbors, axis=-1) / n_first,
            "volume": sums["volume"] / sums["frames"],
        }

    found = blocks.estimates(statistic)
    return RadialDistribution(
        label="-".join(chemical_symbols[number] for number in pair),
        distances=0.5 * (edges[1:] + edges[:-1]),
        g=found["g"].value,
        standard_error=found["g"].standard_error,
        upper_edges=edges[1:],
        coordination_number=found["coordination"].value,
        coordination_error=found["coordination"].standard_error,
        bin_width=count.bin_width,
        reference_volume=float(found["volume"].value),
        is_volume_of_cell=count.reference_volume is None,
        largest_unambiguous_distance=count.smallest_limit,
        n_first=n_first,
        n_second=n_second,
        n_beads=blocks.frame_shape[0],
        n_frames=blocks.n_frames,
        n_blocks=blocks.n_blocks,
    )
