"""The peaks of a spectrum with their error bars.

A peak is a maximum that stands out from the valleys beside it by several standard errors and is no
side lobe of the window. Its wavenumber and height are those of the parabola through the three
points around the maximum, its width is the full one at half this height, its area is taken within
three resolutions or widths to each side, but no further than the lowest point between it and the
next peak. Error bars are jackknife estimates over the blocks of the run (B. Efron, "The Jackknife,
the Bootstrap and Other Resampling Plans", SIAM 1982): with y_b from all blocks but b,

    standard error^2 = (n - 1) / n sum_b (y_b - mean y)^2,   n = n_blocks,   (1)

to which wavenumbers add what the parabola can be wrong by, a fiftieth of the distance of points.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import scipy

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.spectra.spectrum import Spectrum
from mlpotential.errors import ConfigError

SIGNIFICANT = 4.0  # chosen: standard errors that a peak must stand out; a difference of two points
SMALLEST_SHARE = 0.01  # chosen: of the highest point
SIDE_LOBE_SHARE = 0.04  # of a line: the Hann window has -2.7 % and then +0.8 % beside it,
SIDE_LOBE_REACH = 2.5  # within so many resolutions; those beyond stand out by 0.6 % and less
PARABOLA_SHARE = 0.02  # of the spacing: how far the top of a sharp line is missed, measured
AREA_WIDTHS = 3.0  # to each side; holds all of a line as wide as the resolution


@dataclass(frozen=True)
class PeakTable(AnalysisResult):
    """Peaks in the order of their wavenumbers, with standard errors (NaN for one block).

    Attributes:
        wavenumbers_per_cm: [n_peaks].
        wavenumber_errors_per_cm: [n_peaks].
        heights: in the unit of the spectrum, [n_peaks].
        height_errors: [n_peaks].
        widths_per_cm: full widths at half height, NaN where the next peak lies higher; a sharp line
            has that of the resolution, [n_peaks].
        width_errors_per_cm: [n_peaks].
        areas: [n_peaks].
        area_errors: [n_peaks].
        resolution_per_cm: of the spectrum.
        quantity: of the spectrum.
        height_unit, area_unit: units of heights and areas.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    wavenumber_errors_per_cm: Annotated[np.ndarray, "1/cm"]
    heights: Annotated[np.ndarray, "height_unit"]
    height_errors: Annotated[np.ndarray, "height_unit"]
    widths_per_cm: Annotated[np.ndarray, "1/cm"]
    width_errors_per_cm: Annotated[np.ndarray, "1/cm"]
    areas: Annotated[np.ndarray, "area_unit"]
    area_errors: Annotated[np.ndarray, "area_unit"]
    resolution_per_cm: Annotated[float, "1/cm"]
    quantity: str
    height_unit: str
    area_unit: str

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "wavenumbers_per_cm",
        "wavenumber_errors_per_cm",
        "heights",
        "height_errors",
        "widths_per_cm",
        "width_errors_per_cm",
        "areas",
        "area_errors",
    )

    def __len__(self) -> int:
        return len(self.wavenumbers_per_cm)


def find_spectrum_peaks(
    spectrum: Spectrum,
    low_per_cm: float = 0.0,
    high_per_cm: float = np.inf,
    smallest_share: float = SMALLEST_SHARE,
) -> PeakTable:
    """The peaks of a spectrum between two wavenumbers.

    Args:
        spectrum: with several blocks; with one, error bars are NaN.
        low_per_cm, high_per_cm: where to look.
        smallest_share: prominence of the lowest peak over the highest intensity.

    Raises:
        ConfigError: a share that is not between 0 and 1.
    """
    if not 0 < smallest_share < 1:
        raise ConfigError(f"smallest_share must be between 0 and 1, not {smallest_share}")
    k = spectrum.wavenumbers_per_cm
    inside = (k >= low_per_cm) & (k <= high_per_cm)
    k, blocks = k[inside], spectrum.blocks[:, inside]
    mean, error = spectrum.intensity[inside], np.nan_to_num(spectrum.standard_error[inside])
    prominence = smallest_share * mean.max(initial=np.finfo(float).tiny)
    tops, found = scipy.signal.find_peaks(mean, prominence=prominence)
    is_line = found["prominences"] > SIGNIFICANT * error[tops]
    is_line &= ~_side_lobes(k[tops], mean[tops], found["prominences"], spectrum.resolution_per_cm)
    tops = tops[is_line]
    regions = _regions(k, mean, tops, spectrum.resolution_per_cm)
    numbers = _measure(k, mean, regions)
    n_blocks = len(blocks)
    if n_blocks > 1:
        without_one = (blocks.sum(axis=0) - blocks) / (n_blocks - 1)
        jackknife = np.stack([_measure(k, some, regions) for some in without_one])
        errors = np.sqrt((n_blocks - 1) * jackknife.var(axis=0))  # (1)
        errors[0] = np.hypot(errors[0], PARABOLA_SHARE * spectrum.spacing_per_cm)
    else:
        errors = np.full_like(numbers, np.nan)
    columns = [column for pair in zip(numbers, errors, strict=True) for column in pair]
    return PeakTable(
        **dict(zip(PeakTable.COLUMNS, columns, strict=True)),
        resolution_per_cm=spectrum.resolution_per_cm,
        quantity=spectrum.quantity,
        height_unit=spectrum.UNITS["intensity"],
        area_unit=spectrum.UNITS["integral"],
    )


def _side_lobes(
    k: np.ndarray, heights: np.ndarray, prominences: np.ndarray, resolution_per_cm: float
) -> np.ndarray:
    """Which maxima can be side lobes that the window gives to higher ones, [n_tops]."""
    near = np.abs(k[:, None] - k) < SIDE_LOBE_REACH * resolution_per_cm
    small = prominences[:, None] < SIDE_LOBE_SHARE * heights
    lobes: np.ndarray = (near & small).any(axis=1)
    return lobes


def _regions(
    k: np.ndarray, mean: np.ndarray, tops: np.ndarray, resolution_per_cm: float
) -> list[tuple[int, slice]]:
    """The index of each top, and the points that belong to its peak."""
    valleys = [left + int(np.argmin(mean[left:right])) for left, right in itertools.pairwise(tops)]
    edges = [0, *valleys, len(k) - 1] if len(tops) else []  # a spectrum may have no maximum
    regions = []
    for top, left, right in zip(tops, edges[:-1], edges[1:], strict=True):
        width = _width(k, mean, int(top), slice(left, right + 1))
        reach = AREA_WIDTHS * max(resolution_per_cm, np.nan_to_num(width))
        near = np.flatnonzero(np.abs(k[left : right + 1] - k[top]) <= reach) + left
        regions.append((int(top), slice(int(near[0]), int(near[-1]) + 1)))
    return regions


def _measure(k: np.ndarray, intensity: np.ndarray, regions: list[tuple[int, slice]]) -> np.ndarray:
    """Wavenumber, height, width and area of each peak, [4, n_peaks]."""
    numbers = np.empty((4, len(regions)))
    for peak, (_, region) in enumerate(regions):
        top = region.start + int(np.argmax(intensity[region]))
        shift, height = 0.0, float(intensity[top])
        if 0 < top < len(k) - 1:
            before, height, after = (float(y) for y in intensity[top - 1 : top + 2])
            curvature = before - 2 * height + after
            if curvature < 0 and before <= height >= after:
                shift = 0.5 * (before - after) / curvature
                height -= 0.25 * (before - after) * shift
        step = k[min(top + 1, len(k) - 1)] - k[min(top + 1, len(k) - 1) - 1]
        numbers[0, peak] = k[top] + shift * step
        numbers[1, peak] = height
        numbers[2, peak] = _width(k, intensity, top, region)
        numbers[3, peak] = np.trapezoid(intensity[region], k[region])
    return numbers


def _width(k: np.ndarray, intensity: np.ndarray, top: int, region: slice) -> float:
    """Full width at half height, by linear interpolation; NaN if a side stays above it."""
    half = 0.5 * intensity[top]
    crossings = []
    for side in (range(top, region.start, -1), range(top, region.stop - 1)):
        step = side.step
        for inner in side:
            outer = inner + step
            if intensity[outer] <= half:
                share = (intensity[inner] - half) / (intensity[inner] - intensity[outer])
                crossings.append(k[inner] + share * (k[outer] - k[inner]))
                break
    return float(crossings[1] - crossings[0]) if len(crossings) == 2 else float("nan")
