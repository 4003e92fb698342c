"""Infrared absorption from the dipoles of a run, or from Born charges and velocities.

The integrated molar absorption of classical mechanics (M.-P. Gaigeot, M. Sprik, J. Phys. Chem. B
107, 10344 (2003), doi:10.1021/jp034788u; with the prefactor of `mode_intensities`) is

    A(k) = N_A / (12 epsilon_0 c^2) S(k) / (k_B T),   (1)

S being the cosine transform of the correlation function of the flux d mu / dt, so that a harmonic
mode adds its intensity in km/mol. The dipole vector is transformed, never its length. Rotation is
part of the spectrum, as it is of the molecule; a charged molecule must not drift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from md_runs.analysis.sampling.frame_pieces import Segments
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.response_spectra import Response, ResponseSpectrum, response
from md_runs.analysis.spectra.spectrum import CURVE_FIELDS, curve_fields, sampling_fields
from md_runs.analysis.spectra.spectrum_checks import absorption_check, thermostat_check
from md_runs.analysis.spectra.spectrum_corrections import without_difference_damping
from md_runs.analysis.vibrations.mode_intensities import KM_PER_MOL
from mlpotential.errors import DataError

UNIT = "km/mol cm"


@dataclass(frozen=True)
class InfraredSpectrum(ResponseSpectrum):
    """Infrared absorption in km/mol per 1/cm; the integral over a band is its intensity."""

    UNITS: ClassVar[dict[str, str]] = {**dict.fromkeys(CURVE_FIELDS, UNIT), "integral": "km/mol"}


def infrared_spectrum(
    dipoles: Segments,
    timestep_fs: float,
    temperature_K: float,
    n_lags: int | None = None,
    *,
    dynamics: Dynamics = Dynamics(),  # noqa: B008
    intensities_km_per_mol: np.ndarray | None = None,
    contiguous: bool = False,
    are_fluxes: bool = False,
) -> InfraredSpectrum:
    """The absorption (1) from dipoles, by differences from frame to frame, their damping undone.

    Args:
        dipoles: segments [n_frames, 3] (e A): a sequence, an array or an iterator. Of path
            integrals, the mean over beads.
        timestep_fs: time between frames, see `frames.uniform_timestep_fs`.
        temperature_K: of the run.
        n_lags: length of the window in frames, which sets the resolution (see
            `spectrum.lags_for_resolution`); None for half of the shortest segment.
        dynamics: what moved the atoms.
        intensities_km_per_mol: of the normal modes, to check the harmonic limit, [n_modes].
        contiguous: the items are pieces of one trajectory, in order, not segments of their own.
        are_fluxes: as `infrared_spectrum_of_flux` takes them.

    Raises:
        DataError: no segment, wrong shapes, a frame that is not finite, a time step or temperature
            that is not positive.
        ConfigError: a window longer than the segments or shorter than 2 frames.

    Warns:
        UserWarning: if the dipole jumps, as it does in periodic systems.
    """
    found = response(
        dipoles,
        "fluxes" if are_fluxes else "dipoles",
        _vectors,
        np.zeros(3, int),
        timestep_fs,
        temperature_K,
        n_lags,
        contiguous,
        are_rates=are_fluxes,
    )
    spectrum = spectrum_of_response(found, timestep_fs, temperature_K, dynamics)
    if not are_fluxes:
        spectrum = without_difference_damping(spectrum, 1)
    checks = [thermostat_check(dynamics, spectrum.resolution_per_cm)]
    if found.continuity is not None:
        checks.append(found.continuity)
    if intensities_km_per_mol is not None:
        checks.append(absorption_check(spectrum.integral, intensities_km_per_mol, "km/mol"))
    return replace(spectrum, checks=tuple(checks))


def infrared_spectrum_of_flux(
    fluxes: Segments,
    timestep_fs: float,
    temperature_K: float,
    n_lags: int | None = None,
    **options: Any,
) -> InfraredSpectrum:
    """The absorption (1) from the flux d mu / dt, which nothing damps.

    Args:
        fluxes: segments [n_frames, 3] (e A/fs), see `dipole_flux`.
        timestep_fs, temperature_K, n_lags, options: as of `infrared_spectrum`, and so are the
            errors.
    """
    return infrared_spectrum(fluxes, timestep_fs, temperature_K, n_lags, are_fluxes=True, **options)


def dipole_flux(velocities: np.ndarray, born_charges: np.ndarray) -> np.ndarray:
    """The flux d mu_y / dt = sum_i v_ix Z_ixy of one segment, [n_frames, 3] (e A/fs).

    Arguments and errors are those of `dipole_flux_of_atoms`.
    """
    return dipole_flux_of_atoms(velocities, born_charges).sum(axis=1)


def dipole_flux_of_atoms(velocities: np.ndarray, born_charges: np.ndarray) -> np.ndarray:
    """What each atom adds to the flux, v_ix Z_ixy, of one segment.

    Args:
        velocities: [n_frames, n_atoms, 3] (A/fs).
        born_charges: element [i, x, y] is the change of dipole component y with coordinate x of
            atom i; of each frame, [n_frames, n_atoms, 3, 3], or always the same,
            [n_atoms, 3, 3] (e).

    Returns:
        [n_frames, n_atoms, 3] (e A/fs).

    Raises:
        DataError: shapes that do not belong together.
    """
    v, z = np.asarray(velocities, np.float64), np.asarray(born_charges, np.float64)
    if v.ndim != 3 or z.shape not in ((*v.shape, 3), (*v.shape[1:], 3)):
        raise DataError(
            f"velocities [n_frames, n_atoms, 3] and Born charges [n_frames, n_atoms, 3, 3] or "
            f"[n_atoms, 3, 3] are needed, not {list(v.shape)} and {list(z.shape)}"
        )
    flux: np.ndarray = np.einsum("fix,ixy->fiy" if z.ndim == 3 else "fix,fixy->fiy", v, z)
    return flux


def _vectors(samples: np.ndarray) -> np.ndarray:
    if samples.ndim != 2 or samples.shape[1] != 3:
        raise DataError(f"a segment must have the shape [n_frames, 3], not {list(samples.shape)}")
    return samples


def spectrum_of_response(
    found: Response, timestep_fs: float, temperature_K: float, dynamics: Dynamics
) -> InfraredSpectrum:
    """The absorption (1) of the first channel, not yet corrected or checked."""
    return InfraredSpectrum(
        quantity="infrared absorption",
        **curve_fields(found.wavenumbers_per_cm, KM_PER_MOL * found.blocks[0]),  # (1)
        **sampling_fields(found.correlation, timestep_fs, dynamics),
        temperature_K=temperature_K,
    )
