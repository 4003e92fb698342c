"""One structure from any file that ASE reads, which of its atoms are fixed, and its cell."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms
from ase.data import atomic_masses
from ase.data import atomic_numbers as number_of_symbol
from ase.io import read

from md_runs.analysis.structure.periodic_images import plane_spacings
from mlpotential.errors import StructureError
from mlpotential.input_files import unreadable

# amu; M. Wang et al. (AME2020), Chin. Phys. C 45, 030003 (2021), doi:10.1088/1674-1137/abddaf
LARGEST_VOLUME_CHANGE = 0.2  # of the volume in one step; chosen: a liquid changes by 1e-4
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


def check_compressible(atoms: Atoms) -> None:
    """Raises StructureError for atoms whose cell cannot move, or without a stress."""
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise StructureError(
            "constant pressure needs a structure that is periodic in all three directions: leave "
            "the pressure out, or give the structure a cell"
        )
    if fixed_atoms(atoms).any():
        raise StructureError(
            "fixed atoms cannot follow a cell that moves: release them, or leave the pressure out"
        )
    try:
        atoms.get_stress()
    except (PropertyNotImplementedError, NotImplementedError) as error:
        raise StructureError(
            "constant pressure needs the stress, which the calculator of the structure does not "
            f"give ({error}): choose another model, or leave the pressure out"
        ) from error
    check_wider_than_cutoff(atoms)


def check_wider_than_cutoff(atoms: Atoms) -> None:
    """Raises StructureError where an atom would interact with its own image."""
    narrowest, cutoff = _narrowest(atoms), _cutoff(atoms)
    if narrowest < cutoff:
        raise StructureError(
            f"the faces of the cell are {narrowest:.3g} A apart, less than the cutoff of the model "
            f"({cutoff:g} A), so that atoms would see their own images: take a larger supercell"
        )


def check_volume_change(change: float) -> None:
    """Raises StructureError where a cell bursts or collapses: it changes by this part in a step."""
    if not abs(change) < LARGEST_VOLUME_CHANGE:
        raise StructureError(f"the volume changes by {change:.3g} of itself in one step")


def least_volume(atoms: Atoms) -> float:
    """To which a cell that keeps its shape can shrink until it has the cutoff (A^3)."""
    return float(atoms.get_volume() * (_cutoff(atoms) / _narrowest(atoms)) ** 3)


def _narrowest(atoms: Atoms) -> float:
    return float(plane_spacings(np.asarray(atoms.cell), (True, True, True)).min())


def _cutoff(atoms: Atoms) -> float:
    """Of the calculator, where it tells it (A)."""
    return float(getattr(atoms.calc, "cutoff", None) or 0.0)
