"""What nuclear quantum effects change: one distribution minus another, with the errors of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.structure.angle_distributions import AngleDistribution
from md_runs.analysis.structure.distances import DistanceDistribution
from md_runs.analysis.structure.rdf import PairDistribution, RadialDistribution
from mlpotential.errors import ConfigError

Distribution = DistanceDistribution | PairDistribution | RadialDistribution | AngleDistribution


@dataclass(frozen=True)
class DistributionDifference(AnalysisResult):
    """The difference of two densities of distances; of others, see the subclasses.

    Attributes:
        label: what the distributions are of.
        places: centres of the bins, [n_bins] (A).
        difference: [n_bins] (1/A).
        standard_error: root of the sum of the squares of both, as independent runs have,
            [n_bins] (1/A).
        bin_width: (A).
    """

    label: str
    places: Annotated[np.ndarray, "A"]
    difference: Annotated[np.ndarray, "1/A"]
    standard_error: Annotated[np.ndarray, "1/A"]
    bin_width: Annotated[float, "A"]

    COLUMNS: ClassVar[tuple[str, ...]] = ("places", "difference", "standard_error")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.distributions:plot_difference"


class RadialDifference(DistributionDifference):
    """The difference of two g(r), a pure number."""

    UNITS: ClassVar[dict[str, str]] = {"difference": "1", "standard_error": "1"}


class AngleDifference(DistributionDifference):
    """The difference of two densities of angles; places in degrees, the rest per degree."""

    UNITS: ClassVar[dict[str, str]] = {
        "places": "degree",
        "difference": "1/degree",
        "standard_error": "1/degree",
        "bin_width": "degree",
    }


def distribution_difference(
    quantum: Distribution, classical: Distribution
) -> DistributionDifference:
    """The first distribution minus the second.

    Densities are zero in bins that only the other run has; g(r) is compared where both reach.

    Args:
        quantum: of one run.
        classical: of the same kind and bin width, of an independent run.

    Raises:
        ConfigError: if they are of different kinds or bin widths.
    """
    if type(quantum) is not type(classical):
        raise ConfigError(
            f"a {type(quantum).__name__} and a {type(classical).__name__} have no difference"
        )
    if quantum.bin_width != classical.bin_width:
        raise ConfigError(
            f"the bins differ: {quantum.bin_width} and {classical.bin_width}; analyse both runs "
            "with the same bin_width"
        )
    bins = [_numbers_of_bins(d) for d in (quantum, classical)]
    if isinstance(quantum, RadialDistribution):
        kept = np.intersect1d(bins[0], bins[1])
    else:
        kept = np.arange(min(b[0] for b in bins), max(b[-1] for b in bins) + 1)
    heights, errors = np.zeros((2, 2, len(kept)))
    for k, (one, numbers) in enumerate(zip((quantum, classical), bins, strict=True)):
        is_shared = np.isin(numbers, kept)
        place = np.searchsorted(kept, numbers[is_shared])
        _, height, error = (getattr(one, name)[is_shared] for name in one.COLUMNS[:3])
        heights[k, place], errors[k, place] = height, error
    return _kind(quantum)(
        label=axis_label(quantum),
        places=(kept + 0.5) * quantum.bin_width,
        difference=heights[0] - heights[1],
        standard_error=np.hypot(*errors),
        bin_width=quantum.bin_width,
    )


def axis_label(distribution: Distribution) -> str:
    """What the places of a distribution are."""
    if isinstance(distribution, PairDistribution):
        return "distance r"
    is_radial = isinstance(distribution, RadialDistribution)
    return distribution.label + (" distance" if is_radial else "")


def _kind(distribution: Distribution) -> type[DistributionDifference]:
    if isinstance(distribution, RadialDistribution):
        return RadialDifference
    if isinstance(distribution, AngleDistribution):
        return AngleDifference
    return DistributionDifference


def _numbers_of_bins(distribution: Distribution) -> np.ndarray:
    """Bins are multiples of their width; the first column of a distribution are their centres."""
    centers = getattr(distribution, distribution.COLUMNS[0])
    return np.rint(centers / distribution.bin_width - 0.5).astype(np.int64)
