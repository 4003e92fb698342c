"""Thermodynamic functions of an ideal gas of molecules, by ASE from the harmonic modes.

`ase.thermochemistry.IdealGasThermo`: translation, rigid rotation (its entropy less k ln sigma, with
the symmetry number sigma of the point group), harmonic vibration, spin degeneracy (C. J. Cramer,
"Essentials of Computational Chemistry", 2nd ed., Wiley 2004, ch. 10).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.degrees_of_freedom import n_vibrations
from md_runs.analysis.vibrations.normal_modes import NormalModes
from md_runs.analysis.vibrations.point_groups import PointGroup
from mlpotential.errors import ConfigError, DataError
from mlpotential.units import EV_PER_WAVENUMBER


@dataclass(frozen=True)
class Thermochemistry(AnalysisResult):
    """Energies of one molecule in the gas, potential energy included.

    Attributes:
        temperature_K: temperature.
        pressure_Pa: pressure.
        symmetry_number: of the point group.
        spin: total electronic spin S.
        potential_energy: as given (eV).
        zero_point_energy: of the vibrations (eV).
        internal_energy: U (eV).
        enthalpy: H = U + kT (eV).
        entropy_eV_per_K: S.
        gibbs_energy: G = H - TS (eV).
    """

    temperature_K: Annotated[float, "K"]
    pressure_Pa: Annotated[float, "Pa"]
    symmetry_number: int
    spin: Annotated[float, "1"]
    potential_energy: Annotated[float, "eV"]
    zero_point_energy: Annotated[float, "eV"]
    internal_energy: Annotated[float, "eV"]
    enthalpy: Annotated[float, "eV"]
    entropy_eV_per_K: Annotated[float, "eV/K"]
    gibbs_energy: Annotated[float, "eV"]

    def __str__(self) -> str:
        return (
            f"{self.temperature_K:g} K, {self.pressure_Pa:g} Pa, symmetry number "
            f"{self.symmetry_number}: ZPE {self.zero_point_energy:.4f} eV, "
            f"H {self.enthalpy:.4f} eV, TS {self.temperature_K * self.entropy_eV_per_K:.4f} eV, "
            f"G {self.gibbs_energy:.4f} eV"
        )


def ideal_gas_thermochemistry(
    modes: NormalModes,
    group: PointGroup,
    potential_energy: float = 0.0,
    temperature_K: float = 298.15,
    pressure_Pa: float = 100_000.0,
    spin: float = 0.0,
) -> Thermochemistry:
    """The ideal-gas functions of a molecule at its minimum.

    Args:
        modes: of the minimum.
        group: of the same structure.
        potential_energy: of the minimum (eV); 0 gives the thermal corrections alone.
        temperature_K: temperature.
        pressure_Pa: 1 bar is the standard state.
        spin: total electronic spin S, 0 for closed shells, 0.5 for a radical.

    Raises:
        DataError: an imaginary mode, or a point group of another molecule.
        ConfigError: a temperature or pressure that is not positive, or a spin that is no multiple
            of one half.
    """
    from ase import Atoms
    from ase.thermochemistry import IdealGasThermo  # it takes its time, which a help has not

    _check(modes, group, temperature_K, pressure_Pa, spin)
    n_atoms = len(modes.masses)
    gas = IdealGasThermo(
        vib_energies=list(EV_PER_WAVENUMBER * modes.wavenumbers_per_cm),
        geometry="monatomic" if n_atoms == 1 else "linear" if group.is_linear else "nonlinear",
        potentialenergy=potential_energy,
        atoms=Atoms(positions=modes.positions, numbers=np.zeros(n_atoms), masses=modes.masses),
        symmetrynumber=group.symmetry_number,
        spin=spin,
        vib_selection="exact",
    )
    return Thermochemistry(
        temperature_K=temperature_K,
        pressure_Pa=pressure_Pa,
        symmetry_number=group.symmetry_number,
        spin=spin,
        potential_energy=potential_energy,
        zero_point_energy=float(gas.get_ZPE_correction()),
        internal_energy=float(gas.get_internal_energy(temperature_K, verbose=False)),
        enthalpy=float(gas.get_enthalpy(temperature_K, verbose=False)),
        entropy_eV_per_K=float(gas.get_entropy(temperature_K, pressure_Pa, verbose=False)),
        gibbs_energy=float(gas.get_gibbs_energy(temperature_K, pressure_Pa, verbose=False)),
    )


def _check(
    modes: NormalModes, group: PointGroup, temperature_K: float, pressure_Pa: float, spin: float
) -> None:
    """Raises as `ideal_gas_thermochemistry` says."""
    for name, value in (("temperature_K", temperature_K), ("pressure_Pa", pressure_Pa)):
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be a positive number, not {value!r}")
    if not (spin >= 0 and float(2 * spin).is_integer()):
        raise ConfigError(f"spin must be 0, 0.5, 1, ..., not {spin!r}")
    n_atoms = len(modes.masses)
    n_modes = n_vibrations(n_atoms, group.is_linear)
    if group.permutations.shape[1] != n_atoms or modes.n_modes != n_modes:
        raise DataError(
            f"{n_atoms} atoms with {modes.n_modes} modes do not fit the point group "
            f"{group.schoenflies} of {group.permutations.shape[1]} atoms: find it for "
            "modes.positions, and straighten a molecule that is only almost linear"
        )
    if modes.n_imaginary:
        raise DataError(
            f"{modes.n_imaginary} modes are imaginary (softest {modes.wavenumbers_per_cm[0]:.1f} "
            "1/cm), so the structure is no minimum: relax it further, or along that mode"
        )
