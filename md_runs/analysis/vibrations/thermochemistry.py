"""Thermodynamic functions from harmonic modes, by ASE: of a gas of molecules, of vibrations alone.

`ase.thermochemistry`: translation, rigid rotation (its entropy less k ln sigma, with the symmetry
number sigma of the point group), harmonic vibration, spin degeneracy (C. J. Cramer, "Essentials of
Computational Chemistry", 2nd ed., Wiley 2004, ch. 10).

A first-order saddle point has one imaginary mode, the motion across it, which is left out: that is
the free energy of transition-state theory (H. Eyring, J. Chem. Phys. 3, 107 (1935),
doi:10.1063/1.1749604).

The harmonic entropy of soft modes, k (1 + ln(kT / h nu)), knows no bound. Two remedies, both off
unless asked for, for modes around and below nu_0 = 100 1/cm:

    quasi-RRHO: S = w S_harmonic + (1 - w) S_rotor,   w = 1 / (1 + (nu_0 / nu)^4)            (1)
        S_rotor = k (1/2 + ln sqrt(8 pi^3 mu' kT / h^2)),   mu' = mu B / (mu + B)            (2)
        with mu = h / (8 pi^2 nu) and B = 1e-44 kg m^2: a free rotor's entropy; energies stay
        harmonic (S. Grimme, Chem. Eur. J. 18, 9955 (2012), doi:10.1002/chem.201200497)
    raised: softer modes count as of nu_0, in all functions (R. F. Ribeiro, A. V. Marenich,
        C. J. Cramer, D. G. Truhlar, J. Phys. Chem. B 115, 14556 (2011), doi:10.1021/jp205508z)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.degrees_of_freedom import n_vibrations
from md_runs.analysis.vibrations.normal_modes import NormalModes
from md_runs.analysis.vibrations.point_groups import PointGroup
from mlpotential.errors import ConfigError, DataError
from mlpotential.settings_checks import check_choice, check_number
from mlpotential.units import EV_PER_KELVIN, EV_PER_WAVENUMBER

if TYPE_CHECKING:
    from ase.thermochemistry import HarmonicMode

SoftModes = Literal["harmonic", "quasi-RRHO", "raised"]
KILOGRAM_PER_AMU = 1.66053906660e-27  # CODATA 2018
SOFT_PER_CM = 100.0  # nu_0 of both papers
ROTOR_INERTIA = 1e-44 / (1e-20 * KILOGRAM_PER_AMU)  # B of (2) (amu A^2)


@dataclass(frozen=True)
class VibrationalThermochemistry(AnalysisResult):
    """Energies of vibrations, potential energy included.

    Attributes:
        temperature_K: temperature.
        soft_modes: how they are treated.
        n_soft: number of real modes below 100 1/cm.
        imaginary_per_cm: of the mode that was left out at a saddle point, negative; NaN at a
            minimum.
        potential_energy: as given (eV).
        zero_point_energy: of the vibrations (eV).
        internal_energy: U (eV).
        entropy_eV_per_K: S.
        helmholtz_energy: F = U - TS (eV).
    """

    temperature_K: Annotated[float, "K"]
    soft_modes: SoftModes
    n_soft: int
    imaginary_per_cm: Annotated[float, "1/cm"]
    potential_energy: Annotated[float, "eV"]
    zero_point_energy: Annotated[float, "eV"]
    internal_energy: Annotated[float, "eV"]
    entropy_eV_per_K: Annotated[float, "eV/K"]
    helmholtz_energy: Annotated[float, "eV"]

    @property
    def treatment(self) -> str:
        """What was left out, and how soft modes are counted."""
        texts = []
        if np.isfinite(self.imaginary_per_cm):
            wavenumber = f"{-self.imaginary_per_cm:.1f}i 1/cm"
            texts.append(f"a saddle point: its imaginary mode of {wavenumber} is left out")
        if self.n_soft or self.soft_modes != "harmonic":
            texts.append(f"soft modes {self.soft_modes} ({self.n_soft} below {SOFT_PER_CM:g} 1/cm)")
        return "; ".join(texts)

    def __str__(self) -> str:
        return (
            f"{self.temperature_K:g} K, vibrations alone: E {self.potential_energy:.4f} eV, "
            f"ZPE {self.zero_point_energy:.4f} eV, U {self.internal_energy:.4f} eV, TS "
            f"{self.temperature_K * self.entropy_eV_per_K:.4f} eV, F {self.helmholtz_energy:.4f} eV"
            + f"; {self.treatment}"
            * bool(self.treatment)
        )


@dataclass(frozen=True)
class Thermochemistry(VibrationalThermochemistry):
    """Energies of one molecule in the gas, potential energy, translation and rotation included.

    Beside the attributes of `VibrationalThermochemistry`:

    Attributes:
        pressure_Pa: pressure.
        symmetry_number: of the point group.
        spin: total electronic spin S.
        enthalpy: H = U + kT (eV).
        gibbs_energy: G = H - TS (eV).
    """

    pressure_Pa: Annotated[float, "Pa"]
    symmetry_number: int
    spin: Annotated[float, "1"]
    enthalpy: Annotated[float, "eV"]
    gibbs_energy: Annotated[float, "eV"]

    def __str__(self) -> str:
        return (
            f"{self.temperature_K:g} K, {self.pressure_Pa:g} Pa, symmetry number "
            f"{self.symmetry_number}: E {self.potential_energy:.4f} eV, "
            f"ZPE {self.zero_point_energy:.4f} eV, H {self.enthalpy:.4f} eV, "
            f"TS {self.temperature_K * self.entropy_eV_per_K:.4f} eV, "
            f"G {self.gibbs_energy:.4f} eV" + f"; {self.treatment}" * bool(self.treatment)
        )


def ideal_gas_thermochemistry(
    modes: NormalModes,
    group: PointGroup,
    potential_energy: float = 0.0,
    temperature_K: float = 298.15,
    pressure_Pa: float = 100_000.0,
    spin: float = 0.0,
    soft_modes: SoftModes = "harmonic",
) -> Thermochemistry:
    """The ideal-gas functions of a molecule at a minimum or a first-order saddle point.

    Args:
        modes: of the stationary point; the imaginary one of a saddle point is left out.
        group: of the same structure.
        potential_energy: of the stationary point (eV); 0 gives the thermal corrections alone.
        temperature_K: temperature.
        pressure_Pa: 1 bar is the standard state.
        spin: total electronic spin S, 0 for closed shells, 0.5 for a radical.
        soft_modes: harmonic, or one of the remedies.

    Raises:
        DataError: several imaginary modes, modes of zero, fixed atoms, a crystal, or a point group
            of another molecule.
        ConfigError: a temperature or pressure that is not positive, a spin that is no multiple of
            one half, or an unknown treatment.
    """
    from ase import Atoms
    from ase.thermochemistry import IdealGasThermo  # it takes its time, which a help has not

    check_number("pressure_Pa", pressure_Pa)
    if not (spin >= 0 and float(2 * spin).is_integer()):
        raise ConfigError(f"spin must be 0, 0.5, 1, ..., not {spin!r}")
    _check_group(modes, group)
    alone = vibrational_thermochemistry(modes, potential_energy, temperature_K, soft_modes)
    n_atoms = len(modes.masses)
    rigid = IdealGasThermo(
        vib_energies=[],
        geometry="monatomic" if n_atoms == 1 else "linear" if group.is_linear else "nonlinear",
        atoms=Atoms(positions=modes.positions, numbers=np.zeros(n_atoms), masses=modes.masses),
        symmetrynumber=group.symmetry_number,
        spin=spin,
        vib_selection="all",
    )
    internal = alone.internal_energy + rigid.get_internal_energy(temperature_K, verbose=False)
    entropy = alone.entropy_eV_per_K + rigid.get_entropy(temperature_K, pressure_Pa, verbose=False)
    enthalpy = internal + EV_PER_KELVIN * temperature_K
    changed = {
        "internal_energy": float(internal),
        "entropy_eV_per_K": float(entropy),
        "helmholtz_energy": float(internal - temperature_K * entropy),
    }
    return Thermochemistry(
        **(vars(alone) | changed),
        pressure_Pa=pressure_Pa,
        symmetry_number=group.symmetry_number,
        spin=spin,
        enthalpy=float(enthalpy),
        gibbs_energy=float(enthalpy - temperature_K * entropy),
    )


def vibrational_thermochemistry(
    modes: NormalModes,
    potential_energy: float = 0.0,
    temperature_K: float = 298.15,
    soft_modes: SoftModes = "harmonic",
) -> VibrationalThermochemistry:
    """The functions of the vibrations alone: of an adsorbate beside fixed atoms, of a crystal.

    Of a crystal they are those of its modes at Gamma: take a supercell until they converge.

    Args:
        modes: of a minimum or a first-order saddle point.
        potential_energy, temperature_K, soft_modes: as of `ideal_gas_thermochemistry`.

    Raises:
        DataError: several imaginary modes, or a mode of zero.
        ConfigError: a temperature that is not positive, or an unknown treatment.
    """
    check_number("temperature_K", temperature_K)
    check_choice("soft_modes", soft_modes, get_args(SoftModes))
    real, imaginary_per_cm = _real_modes(modes)
    counted = [_counted(float(wavenumber), soft_modes) for wavenumber in real]
    energies: list[Any] = [
        mode.get_internal_energy(temperature_K, contributions=False) for mode in counted
    ]
    entropies: list[Any] = [
        mode.get_entropy(temperature_K, contributions=False) for mode in counted
    ]
    internal, entropy = potential_energy + float(np.sum(energies)), float(np.sum(entropies))
    return VibrationalThermochemistry(
        temperature_K=temperature_K,
        soft_modes=soft_modes,
        n_soft=int(np.sum(real < SOFT_PER_CM)),
        imaginary_per_cm=imaginary_per_cm,
        potential_energy=potential_energy,
        zero_point_energy=sum(float(mode.get_ZPE_correction()) for mode in counted),
        internal_energy=internal,
        entropy_eV_per_K=entropy,
        helmholtz_energy=internal - temperature_K * entropy,
    )


def _counted(wavenumber_per_cm: float, soft_modes: SoftModes) -> HarmonicMode:
    """One mode as ASE counts it."""
    from ase.thermochemistry import HarmonicMode, RRHOMode

    if soft_modes == "quasi-RRHO":  # (1) and (2)
        energy = EV_PER_WAVENUMBER * wavenumber_per_cm
        return RRHOMode(energy, ROTOR_INERTIA, tau=SOFT_PER_CM, treat_int_energy=False)
    if soft_modes == "raised":
        wavenumber_per_cm = max(wavenumber_per_cm, SOFT_PER_CM)
    return HarmonicMode(EV_PER_WAVENUMBER * wavenumber_per_cm)


def _real_modes(modes: NormalModes) -> tuple[np.ndarray, float]:
    """Wavenumbers that count, and the imaginary one of a saddle point. Raises DataError."""
    wavenumbers = modes.wavenumbers_per_cm
    if modes.n_imaginary > 1:
        raise DataError(
            f"{modes.n_imaginary} modes are imaginary (softest {wavenumbers[0]:.1f} 1/cm), but a "
            "minimum has none and the saddle point of a reaction one: relax the structure further, "
            "or along those modes"
        )
    if (wavenumbers == 0).any():
        raise DataError("a mode of 0 1/cm has no harmonic entropy: is something unbound?")
    imaginary_per_cm = float(wavenumbers[0]) if modes.n_imaginary else np.nan
    return wavenumbers[wavenumbers > 0], imaginary_per_cm


def _check_group(modes: NormalModes, group: PointGroup) -> None:
    """Raises DataError as `ideal_gas_thermochemistry` says."""
    if not modes.is_free:
        raise DataError(
            "these are modes of a crystal or beside fixed atoms, which neither travel nor turn as "
            "a gas: take vibrational_thermochemistry"
        )
    n_atoms = len(modes.masses)
    n_modes = n_vibrations(n_atoms, group.is_linear)
    if group.permutations.shape[1] != n_atoms or modes.n_modes != n_modes:
        raise DataError(
            f"{n_atoms} atoms with {modes.n_modes} modes do not fit the point group "
            f"{group.schoenflies} of {group.permutations.shape[1]} atoms: find it for "
            "modes.positions, and straighten a molecule that is only almost linear, or take a "
            "larger tolerance of the symmetry"
        )
