"""Bond angles and dihedrals over time and beads: distributions, means and spreads with error bars.

The density is per degree, without the factor 1 / sin(angle) that random directions would suggest.
Dihedrals are periodic: their mean direction and spread are the circular ones (K. V. Mardia, P. E.
Jupp, "Directional Statistics" (2000), sec. 2.3), with z = < exp(i phi) >,

    mean = arg z,   standard deviation = sqrt(-2 ln |z|).   (1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import numpy as np

from md_runs.analysis.sampling.block_sums import Frames, Sums, sum_blocks, with_cells
from md_runs.analysis.sampling.histograms import filled_bins
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.structure.internal_coordinates import NOT_PERIODIC, angles, dihedrals
from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_number


@dataclass(frozen=True)
class AngleDistribution(AnalysisResult):
    """How often angles between chosen atoms have a size, over frames and beads.

    Attributes:
        label: what the angles are.
        angles: centres of the bins, from one before the smallest angle to one after the largest;
            of dihedrals all from -180 to 180, [n_bins] (degree).
        density: integral over angle 1, [n_bins] (1/degree).
        standard_error: of the density, from blocks, [n_bins] (1/degree).
        mean: over angles, beads and frames; of dihedrals the mean direction (degree).
        standard_deviation: of all angles pooled; of dihedrals the circular one (degree).
        bin_width: (degree).
        is_periodic: dihedrals, for which -180 and 180 are the same.
        n_angles: number of angles in one bead of one frame.
        n_beads: number of beads.
        n_frames: number of frames.
    """

    label: str
    angles: Annotated[np.ndarray, "degree"]
    density: Annotated[np.ndarray, "1/degree"]
    standard_error: Annotated[np.ndarray, "1/degree"]
    mean: Annotated[Estimate, "degree"]
    standard_deviation: Annotated[Estimate, "degree"]
    bin_width: Annotated[float, "degree"]
    is_periodic: bool
    n_angles: int
    n_beads: int
    n_frames: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("angles", "density", "standard_error")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.distributions:plot_distribution"


def angle_distribution(
    positions: Frames,
    triples: np.ndarray,
    label: str,
    bin_width: float = 1.0,
    n_blocks: int = 10,
    cells: Frames | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> AngleDistribution:
    """The distribution of the angles at the second atoms of triples.

    Args:
        positions: [n_frames, n_beads, n_atoms, 3] (A), or an iterable of such chunks.
        triples: atoms, the second at the vertex, [n_triples, 3].
        label: what the angles are.
        bin_width: a whole number of bins must make up 180 degrees (degree).
        n_blocks: blocks of frames for the error bars; 1 goes without.
        cells: [3, 3], [n_frames, 3, 3] (A) or chunks of it; None for a molecule.
        pbc: periodic directions.

    Raises:
        DataError: as `internal_coordinates.angles`; fewer frames than blocks, or one that is not
            finite.
        ConfigError: for a bin width that does not fit.
        StructureError: for a cell that is flat or thin.
    """
    return _distribution(
        lambda chunk, cell: angles(chunk, triples, cell, pbc),
        positions,
        cells,
        label,
        (bin_width, n_blocks),
        lambda shape: 9 * shape[0] * len(triples),
        is_periodic=False,
    )


def dihedral_distribution(
    positions: Frames,
    quadruples: np.ndarray,
    label: str,
    bin_width: float = 2.0,
    n_blocks: int = 10,
    cells: Frames | None = None,
    pbc: tuple[bool, bool, bool] = NOT_PERIODIC,
) -> AngleDistribution:
    """The distribution of dihedral angles, [n_quadruples, 4].

    Arguments and errors are those of `angle_distribution`.
    """
    return _distribution(
        lambda chunk, cell: dihedrals(chunk, quadruples, cell, pbc),
        positions,
        cells,
        label,
        (bin_width, n_blocks),
        lambda shape: 18 * shape[0] * len(quadruples),
        is_periodic=True,
    )


def _distribution(
    measured: Callable[[np.ndarray, np.ndarray | None], np.ndarray],
    positions: Frames,
    cells: Frames | None,
    label: str,
    options: tuple[float, int],
    values_per_frame: Callable[[tuple[int, ...]], int],
    is_periodic: bool,
) -> AngleDistribution:
    """Of angles [n_frames, n_beads, n_angles] (degree) of some positions in their cells."""
    bin_width, n_blocks = options
    lowest = -180.0 if is_periodic else 0.0
    edges = _edges(lowest, bin_width)
    sources, constant = with_cells(positions, cells)

    def measure(chunk: np.ndarray, cell: np.ndarray | None = constant) -> dict[str, Any]:
        values = measured(chunk, cell)
        bins = ((values - lowest) / bin_width).astype(np.intp).ravel(order="K")
        bins = np.minimum(bins, len(edges) - 2)  # 180 degrees themselves
        z = np.exp(1j * np.radians(values)).sum()
        return {
            "counts": np.bincount(bins, minlength=len(edges) - 1),
            "number": values.size,
            "sum": values.sum(),
            "squares": np.sum(values**2),
            "cosine": z.real,
            "sine": z.imag,
        }

    def statistic(sums: Sums) -> dict[str, Any]:
        moments = _circular_moments(sums) if is_periodic else _moments(sums)
        return {"density": sums["counts"] / (sums["number"][..., None] * bin_width), **moments}

    blocks = sum_blocks(measure, sources, n_blocks, values_per_frame)
    kept = slice(None) if is_periodic else filled_bins(blocks.sums["counts"])
    counts = blocks.sums["counts"][:, kept]
    found = replace(blocks, sums=blocks.sums | {"counts": counts}).estimates(statistic)
    n_beads = blocks.frame_shape[0]
    return AngleDistribution(
        label=label,
        angles=0.5 * (edges[1:] + edges[:-1])[kept],
        density=found["density"].value,
        standard_error=found["density"].standard_error,
        mean=found["mean"],
        standard_deviation=found["standard_deviation"],
        bin_width=bin_width,
        is_periodic=is_periodic,
        n_angles=int(blocks.sums["number"].sum()) // (blocks.n_frames * n_beads),
        n_beads=n_beads,
        n_frames=blocks.n_frames,
    )


def _edges(lowest: float, bin_width: float) -> np.ndarray:
    """Of all bins up to 180 degrees. Raises ConfigError for a width that does not fit."""
    check_number("bin_width", bin_width)
    n_half = 180.0 / bin_width
    if abs(n_half - round(n_half)) > 1e-9 * n_half or n_half < 1:
        raise ConfigError(
            f"bin_width must divide 180 degrees into whole bins, and {bin_width} does not"
        )
    return np.linspace(lowest, 180.0, round((180.0 - lowest) / bin_width) + 1)


def _moments(sums: Sums) -> dict[str, Any]:
    mean = sums["sum"] / sums["number"]
    variance = np.maximum(0.0, sums["squares"] / sums["number"] - mean**2)
    return {"mean": mean, "standard_deviation": np.sqrt(variance)}


def _circular_moments(sums: Sums) -> dict[str, Any]:
    """Equation (1); resampled means are unwrapped to within half a turn of each other."""
    z = (sums["cosine"] + 1j * sums["sine"]) / sums["number"]
    mean = np.degrees(np.angle(z))
    if np.ndim(mean):
        middle = np.degrees(np.angle(np.sum(z)))
        mean = middle + (mean - middle + 180.0) % 360.0 - 180.0
    spread = np.degrees(np.sqrt(-2 * np.log(np.minimum(1.0, np.abs(z)))))  # (1)
    return {"mean": mean, "standard_deviation": spread}
