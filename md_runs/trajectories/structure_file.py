"""One structure from any file that ASE reads, and which of its atoms are fixed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from ase.data import atomic_numbers as number_of_symbol
from ase.io import read

from mlpotential.errors import StructureError
from mlpotential.input_files import unreadable

# amu; M. Wang et al. (AME2020), Chin. Phys. C 45, 030003 (2021), doi:10.1088/1674-1137/abddaf
ISOTOPES = {"D": 2.014101778, "T": 3.016049281}
MASS_COLUMN = "mass"  # as i-PI's and GPUMD's users write it; ASE's own is called masses
_AN_ISOTOPE = re.compile(r"^(\s*)([DT])(\s+[-+.\d])", re.MULTILINE)


def read_structure(path: Path) -> Atoms:
    """One structure, without a calculator. Raises StructureError for a file ASE cannot read."""
    try:
        atoms = _isotopes_of_xyz(path) or read(path)
    except OSError as error:
        raise StructureError(
            f"cannot read the structure {path}: {unreadable(path, error)}"
        ) from error
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        reason = unreadable(path, error)
        raise StructureError(f"{path} is no structure ASE can read: {reason}") from error
    assert isinstance(atoms, Atoms)
    atoms.calc = None
    return with_masses_of_column(atoms)


def atoms_of_xyz(text: str) -> Atoms:
    """The last frame of the text of an XYZ file, whose D and T are hydrogen of their mass.

    Errors are ASE's, whatever the text leads to.
    """
    atoms = read(io.StringIO(_AN_ISOTOPE.sub(r"\1H\3", text)), format="extxyz")
    assert isinstance(atoms, Atoms)
    if _AN_ISOTOPE.search(text):
        rows = text.rstrip().splitlines()[-len(atoms) :]
        masses = atoms.get_masses()
        for k, row in enumerate(rows):
            if (found := _AN_ISOTOPE.match(row)) is not None:
                masses[k] = ISOTOPES[found[2]]
        atoms.set_masses(masses)
    return atoms


def _isotopes_of_xyz(path: Path) -> Atoms | None:
    """Of an XYZ file with D or T, which ASE does not know; None for others."""
    if path.suffix not in (".xyz", ".extxyz"):
        return None
    text = path.read_text(errors="replace")
    return atoms_of_xyz(text) if _AN_ISOTOPE.search(text) else None


def with_masses_of_column(atoms: Atoms) -> Atoms:
    """The same atoms, whose column `mass` counts as ASE's `masses`."""
    if MASS_COLUMN in atoms.arrays and not atoms.has("masses"):
        atoms.set_masses(atoms.arrays[MASS_COLUMN])
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
