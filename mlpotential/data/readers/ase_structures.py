"""Structures, without labels, of every other file that ASE reads: `.cif`, `POSCAR`, `.traj`, ...

ASE gives lengths in Angstrom whatever the file has. Files of LAMMPS are refused: they do not fix
their units, nor which elements their types are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.formats import UnknownFileTypeError, filetype

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import LabelRequest, RawFrame
from mlpotential.errors import DataError
from mlpotential.input_files import unreadable


def read_ase_structures(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every frame.

    Raises:
        DataError: if ASE cannot read the file, it is one of LAMMPS, or lengths are declared to be
            no Angstrom.
    """
    assert not request.properties, "labels of such files are not read"
    units.check_length("Angstrom", f"{path.name} (as ASE reads it)")
    try:
        kind = filetype(str(path))
    except UnknownFileTypeError as error:
        raise DataError(f"cannot read {path}: {unreadable(path, error)}") from error
    if kind.startswith("lammps"):
        raise DataError(
            f"{path.name} is a file of LAMMPS ({kind}), which fixes neither its units nor which "
            "elements its types are: write it as extended XYZ"
        )
    return [
        RawFrame(
            atoms.numbers,
            atoms.positions,
            f"{path.name}, frame {k}",
            cell=np.asarray(atoms.cell) if atoms.pbc.any() else None,
            pbc=atoms.pbc,
        )
        for k, atoms in enumerate(_frames(path, kind))
    ]


def _frames(path: Path, kind: str) -> Iterator[Atoms]:
    n_frames = 0
    try:
        for atoms in iread(str(path), slice(None), kind, do_not_split_by_at_sign=True):
            yield atoms
            n_frames += 1
    except OSError:
        raise  # told by whoever asked for the file
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        reason = unreadable(path, error)
        raise DataError(
            f"{path.name}, frame {n_frames}, cannot be read by ASE: {reason}"
        ) from error
