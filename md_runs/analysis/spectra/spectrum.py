"""From time correlation functions to spectra, and what every spectrum carries.

Of a correlation function C, known to T, and the Hann window w(t) = (1 + cos(pi t / T)) / 2,

    S(k) = 2 c integral w(t) C(t) cos(2 pi c k t) dt,   t from -T to T,   (1)

k being the wavenumber, so that the integral of S over k > 0 is C(0). (P. H. Berens, K. R. Wilson,
J. Chem. Phys. 74, 4872 (1981), doi:10.1063/1.441739.)

The resolution stated is that of the window, the full width at half maximum that (1) gives a pure
oscillation: 1 / (c T). Zero padding draws the curve at more points; it resolves nothing. The window
has side lobes of -2.7 % next to a line, and the correlation functions are unbiased, so that S can
be slightly negative; nothing is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import scipy

from md_runs.analysis.sampling.correlation_stream import BlockedCorrelation
from md_runs.analysis.sampling.frame_pieces import check_timestep
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.spectrum_checks import Check
from mlpotential.errors import DataError
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

CURVE_FIELDS = ("intensity", "standard_error", "blocks")  # of one unit


@dataclass(frozen=True)
class Spectrum(AnalysisResult):
    """A spectrum of a run; subclasses know its unit.

    Attributes:
        quantity: what the intensity is.
        wavenumbers_per_cm: [n_points].
        intensity: in the unit of the subclass, [n_points].
        standard_error: of the intensity, from blocks, [n_points]; NaN for one block.
        integral: of the intensity over the wavenumbers.
        resolution_per_cm: physical resolution, full width at half maximum of a sharp line.
        spacing_per_cm: distance of the first points, narrower than the resolution by zero padding.
        window: name of the lag window.
        n_lags: length of the window in frames.
        timestep_fs: time between frames.
        n_segments: number of independent segments.
        n_frames: number of frames in all segments.
        n_blocks: number of blocks the error bars come from.
        dynamics: what moved the atoms.
        quantum_correction: name of the factor, see `quantum_corrections`.
        corrections: what else was corrected, see `spectrum_corrections`.
        checks: what the spectrum was held against.
        blocks: spectra whose mean is the intensity and whose scatter is its error, of blocks of
            the run, [n_blocks, n_points]; for error bars of what is derived. Not saved.
    """

    quantity: str
    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    intensity: np.ndarray
    standard_error: np.ndarray
    integral: Estimate
    resolution_per_cm: Annotated[float, "1/cm"]
    spacing_per_cm: Annotated[float, "1/cm"]
    window: str
    n_lags: int
    timestep_fs: Annotated[float, "fs"]
    n_segments: int
    n_frames: int
    n_blocks: int
    dynamics: str
    quantum_correction: str
    corrections: tuple[str, ...]
    checks: tuple[Check, ...]
    blocks: np.ndarray

    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm", "intensity", "standard_error")
    UNSAVED: ClassVar[tuple[str, ...]] = ("blocks",)
    DRAWN_BY: ClassVar[str] = "md_runs.figures.spectra:plot_spectrum"

    @property
    def failed_checks(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def area(self, low_per_cm: float, high_per_cm: float) -> Estimate:
        """The integral between two wavenumbers, with the error of the blocks.

        Raises:
            DataError: if fewer than two points lie between them.
        """
        k = self.wavenumbers_per_cm
        inside = (k >= low_per_cm) & (k <= high_per_cm)
        if inside.sum() < 2:
            raise DataError(
                f"the spectrum has no two points from {low_per_cm:g} to {high_per_cm:g} 1/cm"
            )
        return mean_of_blocks(np.trapezoid(self.blocks[:, inside], k[inside], axis=1))

    def changed(self, wavenumbers_per_cm: np.ndarray, blocks: np.ndarray, **changes: Any) -> Self:
        """A copy with other points, [n_points], and blocks, [n_blocks, n_points]."""
        return replace(self, **curve_fields(wavenumbers_per_cm, blocks), **changes)


def curve_fields(wavenumbers_per_cm: np.ndarray, blocks: np.ndarray) -> dict[str, Any]:
    """The fields of a `Spectrum` that follow from points and blocks, [n_blocks, n_points]."""
    mean = mean_of_blocks(blocks)
    return {
        "wavenumbers_per_cm": wavenumbers_per_cm,
        "intensity": mean.value,
        "standard_error": mean.standard_error,
        "integral": mean_of_blocks(np.trapezoid(blocks, wavenumbers_per_cm, axis=1)),
        "spacing_per_cm": float(wavenumbers_per_cm[1] - wavenumbers_per_cm[0]),
        "blocks": blocks,
    }


def sampling_fields(
    correlation: BlockedCorrelation, timestep_fs: float, dynamics: Dynamics
) -> dict[str, Any]:
    """The fields of a `Spectrum` that tell how it was sampled, not yet corrected or checked."""
    return {
        "resolution_per_cm": WAVENUMBER_PER_INVERSE_FS / (correlation.n_lags * timestep_fs),
        "window": "Hann",
        "n_lags": correlation.n_lags,
        "timestep_fs": timestep_fs,
        "n_segments": correlation.n_segments,
        "n_frames": correlation.n_frames,
        "n_blocks": correlation.n_blocks,
        "dynamics": str(dynamics),
        "quantum_correction": dynamics.quantum_correction,
        "corrections": (),
        "checks": (),
    }


def cosine_transform(correlations: np.ndarray, timestep_fs: float) -> tuple[np.ndarray, np.ndarray]:
    """Equation (1) as a sum over lags.

    Args:
        correlations: [..., n_lags].
        timestep_fs: time between lags.

    Returns:
        Wavenumbers, [n_points] (1/cm), and S, [..., n_points] (unit of the correlations times cm).
    """
    n_lags = correlations.shape[-1]
    window = 0.5 * (1 + np.cos(np.pi * np.arange(n_lags) / n_lags))
    half = scipy.fft.next_fast_len(2 * n_lags, real=True)
    one_sided = np.zeros((*correlations.shape[:-1], half + 1))
    one_sided[..., :n_lags] = window * correlations
    wavenumbers = scipy.fft.rfftfreq(2 * half, timestep_fs) * WAVENUMBER_PER_INVERSE_FS
    both_sides = scipy.fft.dct(one_sided, type=1, axis=-1)  # x_0 + 2 sum x_t cos: the even function
    return wavenumbers, both_sides * 2 * timestep_fs / WAVENUMBER_PER_INVERSE_FS


def lags_for_resolution(resolution_per_cm: float, timestep_fs: float) -> int:
    """The length of the lag window, in frames, that resolves lines this far apart (1/cm).

    Raises:
        DataError: unless both are positive.
    """
    check_timestep(timestep_fs)
    if not resolution_per_cm > 0:
        raise DataError(f"the resolution must be positive, not {resolution_per_cm} 1/cm")
    return max(2, int(np.ceil(WAVENUMBER_PER_INVERSE_FS / (resolution_per_cm * timestep_fs))))
