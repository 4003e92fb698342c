"""Unit systems of LAMMPS by their names, and what one of each is here.

As its page on `units` defines them. A. P. Thompson et al., Comput. Phys. Commun. 271, 108171
(2022), doi:10.1016/j.cpc.2021.108171. Of `lj` nothing is known but ratios.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ase import units as ase_units

from mlpotential.units import (
    ANGSTROM_PER_BOHR,
    ANGSTROM_PER_NM,
    ASE_TIME_PER_FS,
    EV_PER_HARTREE,
    EV_PER_KCAL_PER_MOL,
)

UnitName = Literal["real", "metal", "si", "cgs", "electron", "micro", "nano"]

ANGSTROM_PER_M = 1e10
FS_PER_S = 1e15
FS_PER_PS = 1e3
AMU_PER_KG = ase_units.kg
EV_PER_J = ase_units.J
E_PER_COULOMB = ase_units.C
E_PER_STATCOULOMB = 1 / 4.8032044e-10  # as LAMMPS has it
# Velocities of `electron` are in bohr over an atomic time made with the mass unit, not the
# electron's mass: sqrt(amu bohr^2 / hartree), 1.03275 fs.
FS_PER_TIME_OF_AMU = ANGSTROM_PER_BOHR / EV_PER_HARTREE**0.5 / ASE_TIME_PER_FS


@dataclass(frozen=True)
class LammpsUnits:
    """One of each, in ours.

    Attributes:
        length: (A).
        time_fs: of steps and times.
        energy: (eV).
        mass: (amu).
        charge: (e).
        velocity_angstrom_per_fs: which `electron` has from another time than its steps.
        default_timestep_fs: of a run that sets none.
    """

    length: float
    time_fs: float
    energy: float
    mass: float
    charge: float
    velocity_angstrom_per_fs: float
    default_timestep_fs: float

    @property
    def force(self) -> float:
        """(eV/A)."""
        return self.energy / self.length


UNITS: dict[str, LammpsUnits] = {
    "real": LammpsUnits(1.0, 1.0, EV_PER_KCAL_PER_MOL, 1.0, 1.0, 1.0, 1.0),
    "metal": LammpsUnits(1.0, FS_PER_PS, 1.0, 1.0, 1.0, 1 / FS_PER_PS, 1.0),
    "si": LammpsUnits(
        ANGSTROM_PER_M,
        FS_PER_S,
        EV_PER_J,
        AMU_PER_KG,
        E_PER_COULOMB,
        ANGSTROM_PER_M / FS_PER_S,
        1e-8 * FS_PER_S,
    ),
    "cgs": LammpsUnits(
        1e-2 * ANGSTROM_PER_M,
        FS_PER_S,
        1e-7 * EV_PER_J,
        1e-3 * AMU_PER_KG,
        E_PER_STATCOULOMB,
        1e-2 * ANGSTROM_PER_M / FS_PER_S,
        1e-8 * FS_PER_S,
    ),
    "electron": LammpsUnits(
        ANGSTROM_PER_BOHR,
        1.0,
        EV_PER_HARTREE,
        1.0,
        1.0,
        ANGSTROM_PER_BOHR / FS_PER_TIME_OF_AMU,
        1e-3,
    ),
    # picogram-micrometre^2/microsecond^2 is 1e-15 J
    "micro": LammpsUnits(
        1e-6 * ANGSTROM_PER_M,
        1e-6 * FS_PER_S,
        1e-15 * EV_PER_J,
        1e-15 * AMU_PER_KG,
        1e-12 * E_PER_COULOMB,
        ANGSTROM_PER_M / FS_PER_S,
        2e-6 * FS_PER_S,
    ),
    # attogram-nanometre^2/nanosecond^2 is 1e-21 J
    "nano": LammpsUnits(
        ANGSTROM_PER_NM,
        1e-9 * FS_PER_S,
        1e-21 * EV_PER_J,
        1e-21 * AMU_PER_KG,
        1.0,
        ANGSTROM_PER_M / FS_PER_S,
        0.00045e-9 * FS_PER_S,
    ),
}
