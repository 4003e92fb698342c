"""What this program keeps in H5MD files, where and in which unit; and the units of other programs.

The module "units" 1.0 of H5MD (https://nongnu.org/h5md/modules/units.html) writes a unit as factors
with a space between them, each a symbol and perhaps an integer exponent. Energy and amount of
substance count as dimensions of their own here, so that `kJ mol-1 nm-1` is a force in this
program's units and `u nm ps-2` is refused: convert it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ase import units

from mlpotential.errors import RunError
from mlpotential.units import ANGSTROM_PER_BOHR, ANGSTROM_PER_NM, EV_PER_HARTREE, EV_PER_MEV

# Of each symbol: its dimension and its value in A, fs, amu, eV, e, K or single entities.
SYMBOLS = {
    "Angstrom": ("length", 1.0),
    "nm": ("length", ANGSTROM_PER_NM),
    "pm": ("length", 0.01),
    "bohr": ("length", ANGSTROM_PER_BOHR),
    "fs": ("time", 1.0),
    "ps": ("time", 1e3),
    "ns": ("time", 1e6),
    "u": ("mass", 1.0),
    "g": ("mass", units.kg / 1e3),
    "eV": ("energy", 1.0),
    "meV": ("energy", EV_PER_MEV),
    "Hartree": ("energy", EV_PER_HARTREE),
    "kJ": ("energy", units.kJ),
    "kcal": ("energy", units.kcal),
    "J": ("energy", units.kJ / 1e3),
    "e": ("charge", 1.0),
    "Debye": ("dipole", units.Debye),
    "mol": ("amount", units.mol),
    "K": ("temperature", 1.0),
}
SPELLINGS = {
    "angstrom": "Angstrom",
    "ang": "Angstrom",
    "Ang": "Angstrom",
    "\u00c5": "Angstrom",
    "\u212b": "Angstrom",
    "A": "Angstrom",
    "Bohr": "bohr",
    "a0": "bohr",
    "amu": "u",
    "Da": "u",
    "dalton": "u",
    "hartree": "Hartree",
    "Ha": "Hartree",
    "ev": "eV",
}
DIMENSIONS = {
    "length": {"length": 1},
    "time": {"time": 1},
    "mass": {"mass": 1},
    "velocity": {"length": 1, "time": -1},
    "force": {"energy": 1, "length": -1},
    "energy": {"energy": 1},
    "charge": {"charge": 1},
    "dipole": {"charge": 1, "length": 1},
    "polarizability": {"length": 3},
    "temperature": {"temperature": 1},
}
# In which this program writes; readers expect "Angstrom", where the module says Ang.
OWN_UNITS = {
    "length": "Angstrom",
    "time": "fs",
    "mass": "u",
    "velocity": "Angstrom fs-1",
    "force": "eV Angstrom-1",
    "energy": "eV",
    "charge": "e",
    "dipole": "e Angstrom",
    "polarizability": "Angstrom3",
}


@dataclass(frozen=True)
class Quantity:
    """What is recorded of each bead.

    Attributes:
        field: of `Trajectory`.
        place: in the file.
        kind: one of `DIMENSIONS`.
        frame_shape: of one frame of one bead; -1 for the atoms.
    """

    field: str
    place: str
    kind: str
    frame_shape: tuple[int, ...]


QUANTITIES = (
    Quantity("positions", "particles/{bead}/position", "length", (-1, 3)),
    Quantity("velocities_angstrom_per_fs", "particles/{bead}/velocity", "velocity", (-1, 3)),
    Quantity("forces", "particles/{bead}/force", "force", (-1, 3)),
    Quantity("charges", "particles/{bead}/charge", "charge", (-1,)),
    Quantity("energies", "observables/{bead}/potential_energy", "energy", ()),
    Quantity("dipoles", "observables/{bead}/dipole", "dipole", (3,)),
    Quantity("polarizabilities", "observables/{bead}/polarizability", "polarizability", (3, 3)),
)
_FACTOR = re.compile(r"(?P<symbol>[^\d\s*/^+-]+)\^?(?P<exponent>[+-]?\d+)?")


def factor_of(unit: str, quantity: str) -> float:
    """What a value in this unit is multiplied with to be in A, fs, amu, eV, e and K.

    Args:
        unit: `nm ps-1`.
        quantity: one of `DIMENSIONS`.

    Raises:
        RunError: a symbol that is not known, or a unit of something else.
    """
    value, found = 1.0, dict[str, int]()
    for word in unit.replace("*", " ").split():
        match = _FACTOR.fullmatch(word)
        symbol = "" if match is None else SPELLINGS.get(match["symbol"], match["symbol"])
        if match is None or symbol not in SYMBOLS:
            raise RunError(f"the unit {unit!r} has {word!r}, which is none of {', '.join(SYMBOLS)}")
        exponent = int(match["exponent"] or 1)
        dimension, size = SYMBOLS[symbol]
        parts = {"charge": 1, "length": 1} if dimension == "dipole" else {dimension: 1}
        for name, power in parts.items():
            found[name] = found.get(name, 0) + power * exponent
        value *= size**exponent
    if found.get("amount") == -1 and found.get("mass", found.get("energy")) == 1:
        del found["amount"]  # per mole and per entity are the same quantity
    if {name: power for name, power in found.items() if power} != DIMENSIONS[quantity]:
        raise RunError(f"{unit!r} is no unit of {quantity}")
    return value
