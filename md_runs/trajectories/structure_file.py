"""One structure from any file that ASE reads."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import read

from mlpotential.errors import StructureError


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
