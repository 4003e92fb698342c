"""Raman activities from the polarizabilities of a run.

With the mean a = tr alpha / 3 and the anisotropy of beta = alpha - a 1 (D. A. Long, "The Raman
Effect", Wiley 2002; the activities are those of `mode_intensities`),

    isotropic    45 I[da/dt]                                  (1)
    anisotropic   7 I[sqrt(3/2) dbeta/dt], all nine elements  (2)

I being the response of `response_spectra`, so that a harmonic mode adds 45 a'^2 and 7 g'^2. Light
polarised perpendicular to the plane of scattering at a right angle is scattered as

    parallel       45 a'^2 + 4 g'^2     (3)
    perpendicular   3 g'^2              (4)

which add up to the activity of unpolarised detection, 45 a'^2 + 7 g'^2. Natural light is scattered
with the depolarisation ratio 6 g'^2 / (45 a'^2 + 7 g'^2). Activities do not depend on the laser; a
measured Stokes spectrum has the factor (k_0 - k)^4 / (k (1 - exp(-x))) besides, see
`vibrations.stokes_scattering`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar

import numpy as np

from md_runs.analysis.sampling.frame_pieces import Segments
from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.quantum_corrections import QuantumCorrection
from md_runs.analysis.spectra.response_spectra import ResponseSpectrum, response
from md_runs.analysis.spectra.spectrum import CURVE_FIELDS, curve_fields, sampling_fields
from md_runs.analysis.spectra.spectrum_checks import absorption_check, thermostat_check
from md_runs.analysis.spectra.spectrum_corrections import without_difference_damping
from md_runs.analysis.vibrations.stokes_scattering import (
    CROSS_SECTION_UNIT,
    NM_TIMES_PER_CM,
    stokes_weights,
)
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_number

UNIT = "A^4/amu cm"
ASYMMETRY_TOLERANCE = 1e-2  # chosen: of the largest element; finite differences stay below 1e-3
SQUARES = {  # what each spectrum takes of a'^2 and g'^2
    "unpolarised": (45.0, 7.0),
    "parallel": (45.0, 4.0),
    "perpendicular": (0.0, 3.0),
    "isotropic": (45.0, 0.0),
    "anisotropic": (0.0, 7.0),
}


@dataclass(frozen=True)
class RamanSpectrum(ResponseSpectrum):
    """A Raman activity in A^4/amu per 1/cm; the integral over a band is its activity."""

    UNITS: ClassVar[dict[str, str]] = {**dict.fromkeys(CURVE_FIELDS, UNIT), "integral": "A^4/amu"}


@dataclass(frozen=True)
class RamanSpectra(AnalysisResult):
    """The combinations (1) to (4) of one run.

    Attributes:
        unpolarised: all scattered light, parallel and perpendicular.
        parallel: light polarised as the laser.
        perpendicular: light polarised across it, the depolarised spectrum.
        isotropic: what the mean polarizability scatters.
        anisotropic: what its anisotropy scatters.
    """

    unpolarised: RamanSpectrum
    parallel: RamanSpectrum
    perpendicular: RamanSpectrum
    isotropic: RamanSpectrum
    anisotropic: RamanSpectrum

    def depolarization_ratio(self, low_per_cm: float, high_per_cm: float) -> Estimate:
        """Of a band: perpendicular over parallel, 0 to 3/4, with the error of the blocks.

        Raises:
            DataError: if fewer than two points lie between the wavenumbers.
        """
        return _ratio_of_areas(self.perpendicular, self.parallel, low_per_cm, high_per_cm)

    def natural_depolarization_ratio(self, low_per_cm: float, high_per_cm: float) -> Estimate:
        """Of a band in natural light, 0 to 6/7; as `depolarization_ratio`."""
        found = _ratio_of_areas(self.anisotropic, self.unpolarised, low_per_cm, high_per_cm)
        return Estimate(6 / 7 * found.value, 6 / 7 * found.standard_error, found.n_blocks)

    def with_quantum_correction(self, name: QuantumCorrection) -> RamanSpectra:
        """All of them with another factor, see `ResponseSpectrum.with_quantum_correction`."""
        return self.changed(lambda spectrum: spectrum.with_quantum_correction(name))

    def changed(self, change: Callable[[RamanSpectrum], RamanSpectrum]) -> RamanSpectra:
        """All of them changed alike."""
        return RamanSpectra(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


def _ratio_of_areas(
    part: RamanSpectrum, whole: RamanSpectrum, low_per_cm: float, high_per_cm: float
) -> Estimate:
    """Of two spectra over a band, with the error of the blocks."""
    area = whole.area(low_per_cm, high_per_cm).value
    ratio = part.area(low_per_cm, high_per_cm).value / area
    k = whole.wavenumbers_per_cm
    inside = (k >= low_per_cm) & (k <= high_per_cm)
    # A ratio of means: to first order its error is that of numerator - ratio * denominator.
    difference = part.blocks - ratio * whole.blocks
    areas = np.trapezoid(difference[:, inside], k[inside], axis=1) / area
    return Estimate(ratio, mean_of_blocks(areas).standard_error, whole.n_blocks)


@dataclass(frozen=True)
class StokesSpectrum(ResponseSpectrum):
    """What a laser is scattered by; the integral over a band is its cross section.

    Attributes:
        laser_nm: wavelength of the laser.
    """

    laser_nm: Annotated[float, "nm"]

    UNITS: ClassVar[dict[str, str]] = {
        **dict.fromkeys(CURVE_FIELDS, f"{CROSS_SECTION_UNIT} cm"),
        "integral": CROSS_SECTION_UNIT,
    }


def stokes_spectrum(
    spectrum: RamanSpectrum, laser_nm: float, temperature_K: float | None = None
) -> StokesSpectrum:
    """Cross sections per 1/cm, by `vibrations.stokes_scattering`.

    It begins one resolution above 0, where any broadening of the elastic line would be divided
    by nothing, and ends below the laser.

    Args:
        spectrum: activities; of unpolarised detection for all light.
        laser_nm: wavelength of the laser.
        temperature_K: of what scatters; None for that of the run.

    Raises:
        ConfigError: a wavelength or temperature that is not positive.
        DataError: a spectrum with nothing in between.
    """
    check_number("laser_nm", laser_nm)
    k = spectrum.wavenumbers_per_cm
    inside = (k >= spectrum.resolution_per_cm) & (k < NM_TIMES_PER_CM / laser_nm)
    if inside.sum() < 2:
        raise DataError("the spectrum has no points between its resolution and the laser")
    temperature_K = spectrum.temperature_K if temperature_K is None else temperature_K
    weights = stokes_weights(k[inside], laser_nm, temperature_K)
    remark = f"Stokes scattering of {laser_nm:g} nm at {temperature_K:g} K"
    changes = {
        "quantity": spectrum.quantity.replace("Raman activity", "Stokes cross section"),
        "corrections": (*spectrum.corrections, remark),
        **curve_fields(k[inside], spectrum.blocks[:, inside] * weights),
    }
    return StokesSpectrum(**(vars(spectrum) | changes), laser_nm=float(laser_nm))


def raman_spectra(
    polarizabilities: Segments,
    timestep_fs: float,
    temperature_K: float,
    n_lags: int | None = None,
    *,
    dynamics: Dynamics = Dynamics(),  # noqa: B008
    activities: np.ndarray | None = None,
    contiguous: bool = False,
) -> RamanSpectra:
    """The activities (1) to (4), by differences from frame to frame, their damping undone.

    Args:
        polarizabilities: polarizability volumes, segments [n_frames, 3, 3] (A^3): a sequence, an
            array or an iterator. Of path integrals, the mean over beads.
        timestep_fs: time between frames, see `frames.uniform_timestep_fs`.
        temperature_K: of the run.
        n_lags: length of the window in frames, which sets the resolution (see
            `spectrum.lags_for_resolution`); None for half of the shortest segment.
        dynamics: what moved the atoms.
        activities: of the normal modes, to check the harmonic limit, [n_modes] (A^4/amu).
        contiguous: the items are pieces of one trajectory, in order, not segments of their own.

    Raises:
        DataError: no segment, wrong shapes, polarizabilities that are not symmetric, a frame that
            is not finite, a time step or temperature that is not positive.
        ConfigError: a window longer than the segments or shorter than 2 frames.

    Warns:
        UserWarning: if the polarizability jumps.
    """
    found = response(
        polarizabilities,
        "polarizabilities",
        _mean_and_anisotropy,
        np.repeat([0, 1], [1, 6]),
        timestep_fs,
        temperature_K,
        n_lags,
        contiguous,
    )
    spectra = {}
    for name, (mean_share, anisotropic_share) in SQUARES.items():
        blocks = mean_share * found.blocks[0] + anisotropic_share * found.blocks[1]
        spectra[name] = RamanSpectrum(
            quantity=f"Raman activity, {name}",
            **curve_fields(found.wavenumbers_per_cm, blocks),
            **sampling_fields(found.correlation, timestep_fs, dynamics),
            temperature_K=temperature_K,
        )
    result = RamanSpectra(**spectra).changed(lambda s: without_difference_damping(s, 1))
    checks = [thermostat_check(dynamics, result.parallel.resolution_per_cm)]
    if found.continuity is not None:
        checks.append(found.continuity)
    if activities is not None:
        checks.append(absorption_check(result.unpolarised.integral, activities, "A^4/amu"))
    return result.changed(
        lambda s: replace(s, checks=tuple(checks if s is result.unpolarised else checks[:2]))
    )


def _mean_and_anisotropy(alpha: np.ndarray) -> np.ndarray:
    """Columns a and sqrt(3/2) beta, off-diagonal elements counting twice, [n, 7] (A^3)."""
    if alpha.ndim != 3 or alpha.shape[1:] != (3, 3):
        raise DataError(
            f"a segment of polarizabilities must have the shape [n_frames, 3, 3], not "
            f"{list(alpha.shape)}"
        )
    asymmetry = np.abs(alpha - alpha.swapaxes(1, 2)).max(initial=0.0)
    if asymmetry > ASYMMETRY_TOLERANCE * np.abs(alpha).max(initial=0.0):
        raise DataError(f"polarizabilities are not symmetric: elements differ by {asymmetry:.3g}")
    mean = np.trace(alpha, axis1=1, axis2=2) / 3
    beta = 0.5 * (alpha + alpha.swapaxes(1, 2)) - mean[:, None, None] * np.eye(3)
    diagonal = np.einsum("fxx->fx", beta)
    off_diagonal = np.sqrt(2.0) * beta[:, [0, 0, 1], [1, 2, 2]]
    return np.column_stack([mean, np.sqrt(1.5) * diagonal, np.sqrt(1.5) * off_diagonal])
