"""Functions of space averaged over the structures of a run.

With f_kb the function that belongs to bead b of frame k, at a point r that does not move,

    mean f(r) = sum_kb f_kb(r) / (K P),  spread(r)^2 = sum_kb [f_kb(r) - mean f(r)]^2 / (K P),  (1)

with K frames and P beads. Each bead alone is distributed as quantum nuclei are, so the spread holds
their thermal and quantum motion; of a classical run, P = 1, it is thermal. Standard errors of the
mean come from blocks of frames, equation (1) of `uncertainty`: beads of one frame are no
independent samples, and are averaged first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from md_runs.analysis.sampling.frames import block_slices
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, standard_error_of_blocks


@dataclass(frozen=True)
class FieldAverage:
    """A function of space over a run, at points.

    Attributes:
        mean, spread: equation (1), [n_points].
        block_means: over the frames of each block and all beads, [n_blocks, n_points].
    """

    mean: np.ndarray
    spread: np.ndarray
    block_means: np.ndarray

    @property
    def standard_error(self) -> np.ndarray:
        """Of the mean, [n_points]; NaN where there is one block."""
        return np.asarray(standard_error_of_blocks(self.block_means))

    def part(self, points: slice) -> FieldAverage:
        """At some of the points."""
        return FieldAverage(self.mean[points], self.spread[points], self.block_means[:, points])

    def over_points(self, weights: np.ndarray) -> Estimate:
        """The mean over points, whose errors are not independent.

        Args:
            weights: of the points, [n_points]; their sum does not matter.
        """
        shares = weights / weights.sum()
        error = standard_error_of_blocks(self.block_means @ shares)
        return Estimate(float(self.mean @ shares), float(error), len(self.block_means))


def average_of_fields(
    frames: Iterable[np.ndarray], n_frames: int, n_blocks: int, near: np.ndarray
) -> FieldAverage:
    """Equation (1), frame by frame, so that not all values are kept.

    Args:
        frames: values of each frame, [n_beads, n_points].
        n_frames: how many there are.
        n_blocks: contiguous blocks for the error bars.
        near: values near those of the frames, [n_points], from which these are counted: squares of
            small numbers lose no digits.

    Raises:
        ConfigError, DataError: as `block_slices`.
    """
    blocks = block_slices(n_frames, n_blocks)
    block_of = np.repeat(np.arange(n_blocks), [block.stop - block.start for block in blocks])
    near = np.where(np.isfinite(near), near, 0.0)  # a point may lie on a charge
    sums, squares = np.zeros((n_blocks, len(near))), np.zeros(len(near))
    for block, values in zip(block_of, frames, strict=True):
        beyond = values - near
        sums[block] += beyond.mean(axis=0)
        squares += (beyond**2).mean(axis=0)
    beyond = sums.sum(axis=0) / n_frames
    with np.errstate(invalid="ignore"):  # infinite less infinite, on a charge
        spread = np.sqrt(np.maximum(squares / n_frames - beyond**2, 0.0))
    block_means = sums / np.bincount(block_of)[:, None] + near
    return FieldAverage(beyond + near, spread, block_means)


@dataclass(frozen=True)
class SurfaceAverages(AnalysisResult):
    """Means over parts of a surface; the first row is all of it, the others are nearest an atom.

    Attributes:
        parts: which part.
        area_share: of the surface.
        reference: of the reference structure.
        mean: over the run.
        standard_error: of the mean, as it is of the difference from the reference.
        spread: mean over the part of the spread of each point.
    """

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "parts",
        "area_share",
        "reference",
        "mean",
        "standard_error",
        "spread",
    )
    UNITS: ClassVar[dict[str, str]] = {"parts": "1", "area_share": "1"}

    parts: tuple[str, ...]
    area_share: np.ndarray
    reference: np.ndarray
    mean: np.ndarray
    standard_error: np.ndarray
    spread: np.ndarray


FIELD_COLUMNS = ("reference", "mean", "standard_error", "spread")


class EnergySurfaceAverages(SurfaceAverages):
    """Of a function in eV."""

    UNITS: ClassVar[dict[str, str]] = dict.fromkeys(FIELD_COLUMNS, "eV")


class VoltageSurfaceAverages(SurfaceAverages):
    """Of a function in V."""

    UNITS: ClassVar[dict[str, str]] = dict.fromkeys(FIELD_COLUMNS, "V")


OF_UNIT: dict[str, type[SurfaceAverages]] = {
    "eV": EnergySurfaceAverages,
    "V": VoltageSurfaceAverages,
}


def surface_averages(
    average: FieldAverage,
    reference: np.ndarray,
    areas: np.ndarray,
    nearest: np.ndarray,
    names: tuple[str, ...],
    unit: str,
) -> SurfaceAverages:
    """All of a surface, and the parts of it that are nearest each atom; atoms without any are left.

    Args:
        average: at points of the surface.
        reference: values of the reference structure there, [n_points].
        areas: of the points, [n_points] (A^2).
        nearest: number of the atom nearest each point, [n_points].
        names: of the atoms.
        unit: of the values, eV or V.
    """
    atoms = [k for k in range(len(names)) if (nearest == k).any()]
    weights = np.array([areas, *(np.where(nearest == k, areas, 0.0) for k in atoms)])
    shares = weights / weights.sum(axis=1, keepdims=True)
    estimates = [average.over_points(row) for row in weights]
    return OF_UNIT[unit](
        parts=("all", *(names[k] for k in atoms)),
        area_share=weights.sum(axis=1) / areas.sum(),
        reference=shares @ reference,
        mean=np.array([estimate.value for estimate in estimates]),
        standard_error=np.array([estimate.standard_error for estimate in estimates]),
        spread=shares @ average.spread,
    )
