"""Infrared and Raman intensities of harmonic modes, from first derivatives.

Double harmonic approximation (E. B. Wilson, J. C. Decius, P. C. Cross, "Molecular Vibrations",
McGraw-Hill 1955; D. Porezag, M. R. Pederson, Phys. Rev. B 54, 7830 (1996),
doi:10.1103/PhysRevB.54.7830). Along the mass-weighted coordinate Q of a mode, with displacements
u_i of unit length, d/dQ = sum_i u_i / sqrt(m_i) . d/dr_i, and

    A = N_A / (12 epsilon_0 c^2) |d mu / dQ|^2                            (1)
    S = 45 a^2 + 7 g^2,   rho = 3 g^2 / (45 a^2 + 4 g^2),
                          rho_n = 6 g^2 / (45 a^2 + 7 g^2)                (2)

with a the mean and g the anisotropy of alpha' = d alpha / dQ:

    a = tr alpha' / 3,   g^2 = (3 tr alpha'^2 - (tr alpha')^2) / 2        (3)

rho is that of light polarised perpendicular to the plane of scattering (a laser), rho_n that of
natural light (a lamp), rho_n = 2 rho / (1 + rho).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from scipy.constants import Avogadro, atomic_mass, elementary_charge, epsilon_0, speed_of_light

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.normal_modes import ModeSet
from md_runs.analysis.vibrations.stokes_scattering import CROSS_SECTION_UNIT, stokes_weights
from mlpotential.errors import DataError

KM_PER_MOL = (
    1e-3 * Avogadro * elementary_charge**2 / (12 * epsilon_0 * speed_of_light**2 * atomic_mass)
)  # (1) for |d mu / dQ|^2 of 1 e^2/amu
NO_SCATTERING = 1e-12  # of the strongest mode: its depolarisation is 0 / 0


@dataclass(frozen=True)
class InfraredIntensities(AnalysisResult):
    """Absorption of each mode.

    Attributes:
        wavenumbers_per_cm: [n_modes].
        intensities_km_per_mol: integrated molar absorption, [n_modes].
        dipole_derivatives: d mu / dQ, [n_modes, 3] (e/sqrt(amu)).
        model_errors_per_cm: of the wavenumbers, by a committee, [n_modes]; None of others.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    intensities_km_per_mol: Annotated[np.ndarray, "km/mol"]
    dipole_derivatives: Annotated[np.ndarray, "e/sqrt(amu)"]
    model_errors_per_cm: Annotated[np.ndarray | None, "1/cm"] = None

    COLUMNS: ClassVar[tuple[str, ...]] = ("wavenumbers_per_cm", "intensities_km_per_mol")
    DRAWN_BY: ClassVar[str] = "md_runs.figures.modes:plot_stick_spectrum"


@dataclass(frozen=True)
class RamanIntensities(AnalysisResult):
    """Scattering of each mode.

    Attributes:
        wavenumbers_per_cm: [n_modes].
        activities: S, [n_modes] (A^4/amu).
        depolarization_ratios: rho, 0 to 3/4, [n_modes]; NaN for a mode that does not scatter.
        natural_depolarization_ratios: rho_n, 0 to 6/7, [n_modes]; likewise.
    """

    wavenumbers_per_cm: Annotated[np.ndarray, "1/cm"]
    activities: Annotated[np.ndarray, "A^4/amu"]
    depolarization_ratios: Annotated[np.ndarray, "1"]
    natural_depolarization_ratios: Annotated[np.ndarray, "1"]

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "wavenumbers_per_cm",
        "activities",
        "depolarization_ratios",
        "natural_depolarization_ratios",
    )
    DRAWN_BY: ClassVar[str] = "md_runs.figures.modes:plot_stick_spectrum"


@dataclass(frozen=True)
class StokesIntensities(RamanIntensities):
    """Scattering of each mode by a laser, see `stokes_scattering`.

    Beside the attributes of `RamanIntensities`:

    Attributes:
        stokes_cross_sections: [n_modes]; NaN for imaginary modes.
        laser_nm: wavelength of the laser.
        temperature_K: of the molecules.
    """

    stokes_cross_sections: Annotated[np.ndarray, CROSS_SECTION_UNIT]
    laser_nm: Annotated[float, "nm"]
    temperature_K: Annotated[float, "K"]

    COLUMNS: ClassVar[tuple[str, ...]] = (*RamanIntensities.COLUMNS, "stokes_cross_sections")


def infrared_intensities(modes: ModeSet, dipole_derivatives: np.ndarray) -> InfraredIntensities:
    """Equation (1).

    Args:
        modes: of the molecule.
        dipole_derivatives: element [i, x, y] is the change of dipole component y with coordinate
            x of atom i (the atomic polar tensor), [n_atoms, 3, 3] (e).

    Raises:
        DataError: a wrong shape, or derivatives that are not finite.
    """
    derivatives = _along_modes(modes, dipole_derivatives, 1)
    return InfraredIntensities(
        wavenumbers_per_cm=modes.wavenumbers_per_cm,
        intensities_km_per_mol=KM_PER_MOL * np.sum(derivatives**2, axis=1),  # (1)
        dipole_derivatives=derivatives,
        model_errors_per_cm=getattr(modes, "model_errors_per_cm", None),
    )


def raman_intensities(modes: ModeSet, polarizability_derivatives: np.ndarray) -> RamanIntensities:
    """Equations (2) and (3).

    Args:
        modes: of the molecule.
        polarizability_derivatives: element [i, x, y, z] is the change of the polarizability volume
            yz with coordinate x of atom i, symmetric in y and z, [n_atoms, 3, 3, 3] (A^2).

    Raises:
        DataError: a wrong shape, derivatives that are not finite or not symmetric.
    """
    alpha = _along_modes(modes, polarizability_derivatives, 2)
    asymmetry = np.abs(alpha - alpha.swapaxes(1, 2)).max(initial=0.0)
    if asymmetry > 1e-2 * np.abs(alpha).max(initial=0.0):
        raise DataError(
            f"the polarizability derivatives are not symmetric: elements differ by {asymmetry:.3g}"
        )
    trace = np.trace(alpha, axis1=1, axis2=2)
    mean_square = (trace / 3) ** 2
    anisotropy = (3 * np.einsum("kxy,kyx->k", alpha, alpha) - trace**2) / 2  # (3)
    activities = 45 * mean_square + 7 * anisotropy  # (2)
    scatters = activities > NO_SCATTERING * activities.max(initial=0.0)
    mean_square, anisotropy = (np.where(scatters, x, np.nan) for x in (mean_square, anisotropy))
    return RamanIntensities(
        wavenumbers_per_cm=modes.wavenumbers_per_cm,
        activities=activities,
        depolarization_ratios=3 * anisotropy / (45 * mean_square + 4 * anisotropy),  # (2)
        natural_depolarization_ratios=6 * anisotropy / (45 * mean_square + 7 * anisotropy),  # (2)
    )


def stokes_intensities(
    raman: RamanIntensities, laser_nm: float, temperature_K: float
) -> StokesIntensities:
    """Cross sections of Stokes scattering at a right angle, by `stokes_scattering`.

    Args:
        raman: activities of the modes.
        laser_nm: wavelength of the laser.
        temperature_K: of the molecules.

    Raises:
        ConfigError: a wavelength or temperature that is not positive, or a laser too red.
    """
    weights = stokes_weights(raman.wavenumbers_per_cm, laser_nm, temperature_K)
    return StokesIntensities(
        **vars(raman),
        stokes_cross_sections=weights * raman.activities,
        laser_nm=float(laser_nm),
        temperature_K=float(temperature_K),
    )


def _along_modes(modes: ModeSet, derivatives: np.ndarray, rank: int) -> np.ndarray:
    """Derivatives along the coordinates Q, [n_modes, 3, ...]. Raises DataError for wrong shapes."""
    derivatives = np.asarray(derivatives, np.float64)
    expected = (len(modes.masses), 3) + (3,) * rank
    if derivatives.shape != expected:
        raise DataError(
            f"derivatives must have shape {list(expected)}, not {list(derivatives.shape)}"
        )
    if not np.isfinite(derivatives).all():
        raise DataError("the derivatives hold numbers that are not finite")
    coordinates = modes.modes / np.sqrt(modes.masses)[:, None]
    along: np.ndarray = np.tensordot(coordinates, derivatives, axes=2)
    return along
