"""Reference data: structures with quantum-chemistry labels, read with declared units.

Units are declared by whoever reads a file, never guessed. A label that was asked for and is absent,
cut or not finite is an error that names its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from mlpotential.data.declared_units import (
    DeclaredUnits,
    angstrom_per_length,
    e_angstrom_per_dipole,
    ev_per_energy,
)
from mlpotential.data.raw_frame import KNOWN_KEYS, LabelRequest, RawFrame
from mlpotential.data.sanity import warn_if_suspicious
from mlpotential.errors import DataError, StructureError
from mlpotential.graph import AtomGraph, complete_cell
from mlpotential.units import E_ANGSTROM_PER_DIPOLE_UNIT

_HASH_VERSION = b"mlpotential reference data 1"
_HASHED = ("atomic_numbers", "positions", "pbc", "cell", "energy", "forces", "dipole")


@dataclass(frozen=True, eq=False)
class ReferenceData(Sequence[AtomGraph]):
    """An immutable sequence of labelled structures.

    A label is present in all structures or, where it was not asked for, in none.

    Attributes:
        graphs: one structure each, labels in eV, eV/A and e A.
        source: where they come from, for messages and model files.
    """

    graphs: tuple[AtomGraph, ...]
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "graphs", tuple(self.graphs))
        for label in KNOWN_KEYS:
            present = [getattr(graph, label) is not None for graph in self.graphs]
            if any(present) and not all(present):
                raise DataError(
                    f"{self.source}: {label} is known for {sum(present)} of {len(present)} "
                    f"structures; the first without is frame {present.index(False)}"
                )

    def __len__(self) -> int:
        return len(self.graphs)

    @overload
    def __getitem__(self, index: int) -> AtomGraph: ...
    @overload
    def __getitem__(self, index: slice) -> ReferenceData: ...
    def __getitem__(self, index: int | slice) -> AtomGraph | ReferenceData:
        if isinstance(index, slice):
            return ReferenceData(self.graphs[index], self.source)
        return self.graphs[index]

    def __repr__(self) -> str:
        return f"ReferenceData({len(self)} structures from {self.source})"

    def select(self, indices: Iterable[int]) -> ReferenceData:
        """The structures at these indices, in this order.

        Raises:
            DataError: if an index is negative or too large.
        """
        chosen = [int(i) for i in indices]
        for i in chosen:
            if not 0 <= i < len(self):
                raise DataError(f"{self.source} has no frame {i}: there are {len(self)}, from 0")
        return ReferenceData(tuple(self.graphs[i] for i in chosen), self.source)

    @property
    def has_energies(self) -> bool:
        """Whether energies were read."""
        return any(graph.energy is not None for graph in self.graphs)

    @property
    def has_forces(self) -> bool:
        """Whether forces were read."""
        return any(graph.forces is not None for graph in self.graphs)

    @cached_property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers that occur, ascending."""
        return tuple(sorted({int(z) for g in self.graphs for z in g.atomic_numbers.unique()}))

    @cached_property
    def energies(self) -> np.ndarray:
        """[n_frames] (eV).

        Raises:
            DataError: if energies were not asked for.
        """
        if not self.has_energies:
            raise DataError(f"{self.source} was read without energies, but they are needed here")
        return np.array([graph.energy.item() for graph in self.graphs if graph.energy is not None])

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: numbers, positions, cells and labels, in order, whatever the file.

        Each array enters as its name, its shape and its little-endian bytes (-0.0 as 0.0).
        """
        digest = hashlib.sha256(_HASH_VERSION)
        for graph in self.graphs:
            for name in _HASHED:
                tensor = getattr(graph, name)
                if tensor is not None:
                    array = tensor.numpy()
                    array = array.astype("<f8") + 0.0 if array.dtype.kind == "f" else array
                    array = array.astype("<i8") if array.dtype.kind == "i" else array
                    digest.update(f"{name}{array.shape}".encode())
                    digest.update(array.tobytes())
        return digest.hexdigest()


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
    path, units = Path(path), DeclaredUnits(energy_unit, length_unit, dipole_unit)
    request = LabelRequest(tuple(properties), energy_key, forces_key, dipole_key)
    if "dipole" in properties and dipole_unit is None:
        raise DataError(
            f"{path}: dipoles are read in a declared unit: give dipole_unit, one of "
            f"{', '.join(E_ANGSTROM_PER_DIPOLE_UNIT)}"
        )
    try:
        frames = _reader(path)(path, request, units)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if not frames:
        raise DataError(f"{path} holds no structures")
    graphs = tuple(_to_graph(frame, units) for frame in frames)
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


def _to_graph(frame: RawFrame, units: DeclaredUnits) -> AtomGraph:
    """Converts to eV and A, and refuses what is not finite."""
    if frame.energy is not None and not np.isfinite(frame.energy):
        raise DataError(f"{frame.place}: the energy is {frame.energy}: mend or remove this frame")
    if frame.forces is not None and not np.isfinite(frame.forces).all():
        atom = int(np.argmax(~np.isfinite(frame.forces).all(axis=1)))
        raise DataError(
            f"{frame.place}: the force on atom {atom} is {frame.forces[atom].tolist()}: "
            "mend or remove this frame"
        )
    if frame.dipole is not None and not np.isfinite(frame.dipole).all():
        raise DataError(
            f"{frame.place}: the dipole is {frame.dipole.tolist()}: mend or remove this frame"
        )
    length, pbc = angstrom_per_length(units.length), np.broadcast_to(np.asarray(frame.pbc, bool), 3)
    cell = None if frame.cell is None else complete_cell(frame.cell * length, pbc)
    energy = None if frame.energy is None else frame.energy * ev_per_energy(units.energy)
    forces = None if frame.forces is None else frame.forces * (ev_per_energy(units.energy) / length)
    dipole = None
    if frame.dipole is not None and units.dipole is not None:
        dipole = frame.dipole * e_angstrom_per_dipole(units.dipole)
    try:
        return AtomGraph.from_arrays(
            frame.atomic_numbers, frame.positions * length, cell, pbc, energy, forces, dipole
        )
    except StructureError as error:
        raise DataError(f"{frame.place}: {error}") from error
