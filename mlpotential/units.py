"""Conversion factors, and nothing else: multiply by `TO_PER_FROM` to go from FROM to TO.

Values are those of ASE (`ase.units`, CODATA 2014), so that energies agree with every ASE program to
the last digit. i-PI uses rounded constants of its own; `calculators.ipi_units` converts with those.
"""

from __future__ import annotations

from ase import units as _ase
from scipy.constants import speed_of_light

EV_PER_HARTREE = _ase.Hartree
EV_PER_RYDBERG = _ase.Rydberg
EV_PER_KCAL_PER_MOL = _ase.kcal / _ase.mol
EV_PER_KJ_PER_MOL = _ase.kJ / _ase.mol
EV_PER_MEV = 1e-3
EV_PER_KELVIN = _ase.kB
G_PER_CM3_PER_AMU_PER_ANGSTROM3 = 1e24 / _ase.mol  # 1 amu is 1 g/mol
EV_PER_WAVENUMBER = _ase.invcm
ANGSTROM_PER_BOHR = _ase.Bohr
ANGSTROM_PER_NM = 10.0
E_ANGSTROM_PER_DEBYE = _ase.Debye
ASE_TIME_PER_FS = _ase.fs
FS_PER_ATOMIC_TIME = _ase.AUT / _ase.fs
WAVENUMBER_PER_INVERSE_FS = 1e13 / speed_of_light  # 1/cm for a frequency of 1/fs; c is exact (SI)

EV_PER_ENERGY_UNIT = {
    "eV": 1.0,
    "meV": EV_PER_MEV,
    "Hartree": EV_PER_HARTREE,
    "Rydberg": EV_PER_RYDBERG,
    "kcal/mol": EV_PER_KCAL_PER_MOL,
    "kJ/mol": EV_PER_KJ_PER_MOL,
}
ANGSTROM_PER_LENGTH_UNIT = {"Angstrom": 1.0, "Bohr": ANGSTROM_PER_BOHR, "nm": ANGSTROM_PER_NM}
EV_PER_ANGSTROM3_PER_PRESSURE_UNIT = {  # of stresses, positive under tension; -GPa: under pressure
    "eV/Angstrom^3": 1.0,
    "GPa": _ase.GPa,
    "kbar": 0.1 * _ase.GPa,
    "-eV/Angstrom^3": -1.0,
    "-GPa": -_ase.GPa,
    "-kbar": -0.1 * _ase.GPa,
}
ANGSTROM2_PER_AREA_UNIT = {"Angstrom^2": 1.0, "Bohr^2": ANGSTROM_PER_BOHR**2}
ANGSTROM3_PER_POLARIZABILITY_UNIT = {  # of polarizability volumes
    "Angstrom^3": 1.0,
    "Bohr^3": ANGSTROM_PER_BOHR**3,
    "a.u.": ANGSTROM_PER_BOHR**3,
}
E_ANGSTROM_PER_DIPOLE_UNIT = {
    "e*Angstrom": 1.0,
    "Debye": E_ANGSTROM_PER_DEBYE,
    "a.u.": ANGSTROM_PER_BOHR,  # e times bohr
}
