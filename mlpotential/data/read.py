"""Reads reference data from files, with declared units.

Units are declared by whoever reads a file, never guessed. A label that was asked for and is absent,
cut or not finite is an error that names its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits, angstrom_per_length
from mlpotential.data.plausibility import warn_if_suspicious
from mlpotential.data.raw_frame import LabelRequest, RawFrame
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError, StructureError
from mlpotential.graph import AtomGraph, complete_cell
from mlpotential.properties import LABELS, OWN_LABELS


def read_reference_data(
    path: Path | str,
    *,
    energy_unit: str,
    length_unit: str,
    energy_key: str | None = None,
    forces_key: str | None = None,
    dipole_unit: str | None = None,
    dipole_key: str | None = None,
    properties: Sequence[str] = ("energy", "forces"),
    index: slice | Sequence[int] | None = None,
) -> ReferenceData:
    """Reads extended XYZ (`.xyz`, `.extxyz`, also `.gz`), `.npz` or an ASE database (`.db`).

    Args:
        path: the file.
        energy_unit: a name of `units.EV_PER_ENERGY_UNIT`.
        length_unit: a name of `units.ANGSTROM_PER_LENGTH_UNIT`; forces are in energy_unit per
            length_unit.
        energy_key: the file's name for energies; None for the names the reader documents.
        forces_key, dipole_key: the same for forces and dipoles.
        dipole_unit: a name of `units.E_ANGSTROM_PER_DIPOLE_UNIT`; needed where dipoles are read.
        properties: the labels to read, energy, forces, dipole; the others stay None.
        index: which frames to keep; None for all.

    Raises:
        DataError: if the file is missing, damaged, of unknown kind or without frames; if a label is
            absent, ambiguous or not finite; if a unit is unknown or contradicts the file.

    Warns:
        SuspiciousDataWarning: if distances or forces look as if the units were others.
    """
    keys = {"energy": energy_key, "forces": forces_key, "dipole": dipole_key}
    declared = {"dipole": dipole_unit}
    path, request = Path(path), LabelRequest(tuple(properties), keys)
    units = DeclaredUnits(
        energy_unit, length_unit, {k: unit for k, unit in declared.items() if unit is not None}
    )
    for label, row in OWN_LABELS.items():
        if label in properties and label not in units.labels:
            raise DataError(
                f"{path}: the {label} is read in a declared unit: give {label}_unit, one of "
                f"{', '.join(row.declared_units)}"
            )
    try:
        frames = _reader(path)(path, request, units)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if not frames:
        raise DataError(f"{path} holds no structures")
    weighted = any(frame.weights for frame in frames)
    graphs = tuple(_to_graph(frame, units, weighted) for frame in frames)
    data = ReferenceData(graphs, path.name)
    if index is not None:
        data = data[index] if isinstance(index, slice) else data.select(index)
        if not len(data):
            raise DataError(f"{path}: the index {index} selects none of the {len(frames)} frames")
    warn_if_suspicious(data)
    return data


def _reader(path: Path) -> Callable[[Path, LabelRequest, DeclaredUnits], list[RawFrame]]:
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if path.is_dir():
        raise DataError(f"{path} is a folder, but a data file is needed")
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".xyz", ".extxyz")):
        from mlpotential.data.extended_xyz import read_extended_xyz

        return read_extended_xyz
    if path.suffix.lower() == ".npz":
        from mlpotential.data.npz import read_npz

        return read_npz
    if path.suffix.lower() == ".db":
        from mlpotential.data.ase_database import read_ase_database

        return read_ase_database
    raise DataError(
        f"{path.name}: unknown kind of file; known: .xyz, .extxyz (also .gz), .npz, .db (ASE)"
    )


def _to_graph(frame: RawFrame, units: DeclaredUnits, weighted: bool) -> AtomGraph:
    """Converts to eV and A, and refuses what is not finite."""
    length, pbc = angstrom_per_length(units.length), np.broadcast_to(np.asarray(frame.pbc, bool), 3)
    cell = None if frame.cell is None else complete_cell(frame.cell * length, pbc)
    for name, value in frame.labels.items():
        _check_finite(name, np.asarray(value), frame.place)
    labels = {name: value * units.factor(name) for name, value in frame.labels.items()}
    try:
        graph = AtomGraph.from_arrays(
            frame.atomic_numbers, frame.positions * length, cell, pbc, **labels
        )
    except StructureError as error:
        raise DataError(f"{frame.place}: {error}") from error
    return graph.with_weights(frame.weights) if weighted else graph


def _check_finite(label: str, value: np.ndarray, place: str) -> None:
    if np.isfinite(value).all():
        return
    what = f"the {label} is"
    if LABELS[label].per == "atom":
        atom = int(np.argmax(~np.isfinite(value).reshape(len(value), -1).all(axis=1)))
        what, value = f"the {label.removesuffix('s')} on atom {atom} is", value[atom]
    raise DataError(f"{place}: {what} {value.tolist()}: mend or remove this frame")
