"""One structure from any file that ASE reads, and which of its atoms are fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from ase.data import atomic_numbers as number_of_symbol
from ase.io import read

from mlpotential.errors import StructureError

# amu; M. Wang et al. (AME2020), Chin. Phys. C 45, 030003 (2021), doi:10.1088/1674-1137/abddaf
ISOTOPES = {"D": 2.014101778, "T": 3.016049281}


def read_structure(path: Path) -> Atoms:
    """One structure, without a calculator. Raises StructureError for a file ASE cannot read."""
    try:
        atoms = read(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StructureError(f"cannot read the structure {path}: {reason}") from error
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        raise StructureError(f"{path} is no structure ASE can read: {error}") from error
    assert isinstance(atoms, Atoms)
    atoms.calc = None
    return atoms


def element_of(symbol: str) -> str:
    """The element that a symbol names: deuterium and tritium are hydrogen."""
    return "H" if symbol in ISOTOPES else symbol.capitalize()


def mass_of(symbol: str) -> float:
    """Of an element, or of deuterium or tritium (amu); 0 of what is neither."""
    return ISOTOPES.get(symbol, float(atomic_masses[number_of_symbol.get(element_of(symbol), 0)]))


def periodic_directions(atoms: Atoms) -> tuple[bool, bool, bool]:
    """`atoms.pbc` as of `Trajectory`."""
    a, b, c = (bool(is_periodic) for is_periodic in atoms.pbc)
    return a, b, c


def fixed_atoms(atoms: Atoms) -> np.ndarray:
    """Which atoms `ase.constraints.FixAtoms` holds where they are, [n_atoms] of bool."""
    fixed = np.zeros(len(atoms), bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.index] = True
    return fixed


def other_constraints(atoms: Atoms) -> str:
    """Names of all constraints but `FixAtoms`; empty without any."""
    names = (type(c).__name__ for c in atoms.constraints if not isinstance(c, FixAtoms))
    return ", ".join(dict.fromkeys(names))
