"""One structure from any file that ASE reads, and which of its atoms are fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.io import read

from mlpotential.errors import StructureError
from mlpotential.input_files import unreadable


def read_structure(path: Path) -> Atoms:
    """One structure, without a calculator. Raises StructureError for a file ASE cannot read."""
    try:
        atoms = read(path)
    except OSError as error:
        raise StructureError(
            f"cannot read the structure {path}: {unreadable(path, error)}"
        ) from error
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        reason = unreadable(path, error)
        raise StructureError(f"{path} is no structure ASE can read: {reason}") from error
    assert isinstance(atoms, Atoms)
    atoms.calc = None
    return atoms


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
