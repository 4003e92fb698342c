"""Spectra of normal modes: sticks broadened to Lorentzians, to stand beside those of a run.

    S(k) = sum_j A_j (w / 2 pi) / ((k - k_j)^2 + (w / 2)^2)   (1)

for modes at k_j with the intensities A_j and the full width w at half maximum: the area of each
line is its intensity, so that infrared intensities in km/mol (or ones, for a density of states)
give the units of the dynamic spectra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_number

POINTS_PER_WIDTH = 8  # chosen: the top of a Lorentzian is met to 2 %
MARGIN_WIDTHS = 20.0  # chosen: beyond the last line


@dataclass(frozen=True)
class StickSpectrum(AnalysisResult):
    """Normal modes as a spectrum.

    Attributes:
        wavenumbers_per_cm: [n_points].
        intensity: unit of the intensities per 1/cm, [n_points].
        mode_wavenumbers_per_cm: of the real modes, [n_modes].
        mode_intensities: [n_modes].
        width_per_cm: full width of the lines at half maximum.
        n_imaginary: number of modes left out, whose wavenumber is negative.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    intensity: Annotated[np.ndarray, "unit of the intensities times cm"]
    mode_wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    mode_intensities: Annotated[np.ndarray, "unit of the intensities"]
    width_per_cm: Annotated[float, "1/cm"]
    n_imaginary: int

    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm", "intensity")


def stick_spectrum(
    wavenumbers_per_cm: np.ndarray,
    intensities: np.ndarray,
    width_per_cm: float,
    axis_per_cm: np.ndarray | None = None,
) -> StickSpectrum:
    """The spectrum (1).

    Args:
        wavenumbers_per_cm: of the modes, imaginary ones negative, [n_modes].
        intensities: areas of the lines, [n_modes].
        width_per_cm: full width at half maximum; the resolution of a dynamic spectrum, say.
        axis_per_cm: where to evaluate, [n_points]; None from 0 to beyond the last line.

    Raises:
        DataError: arrays that do not fit together, or numbers that are not finite.
        ConfigError: a width that is not positive.
    """
    k = np.asarray(wavenumbers_per_cm, np.float64)
    a = np.asarray(intensities, np.float64)
    if k.ndim != 1 or k.shape != a.shape or not len(k):
        raise DataError(f"as many intensities as modes are needed, not {a.shape} and {k.shape}")
    if not (np.isfinite(k).all() and np.isfinite(a).all()):
        raise DataError("there are wavenumbers or intensities that are not finite")
    check_number("width_per_cm", width_per_cm)
    real = k >= 0
    k, a = k[real], a[real]
    if axis_per_cm is None:
        end = k.max(initial=0.0) + MARGIN_WIDTHS * width_per_cm
        axis_per_cm = np.linspace(0.0, end, int(np.ceil(end / width_per_cm * POINTS_PER_WIDTH)))
    half = width_per_cm / 2
    lines = half / np.pi / ((axis_per_cm[:, None] - k) ** 2 + half**2)
    return StickSpectrum(
        axis_per_cm, lines @ a, k, a, float(width_per_cm), int((~real).sum())
    )  # (1)
