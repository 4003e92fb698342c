"""Reads reference data from files, with declared units.

Units are declared by whoever reads a file, never guessed. A label that was asked for and is absent,
cut or not finite is an error that names its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits, angstrom_per_length
from mlpotential.data.plausibility import warn_if_suspicious
from mlpotential.data.raw_frame import LabelRequest, RawFrame
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.named import known_units, split_name
from mlpotential.data.stated import check_stated, is_marked_isolated
from mlpotential.errors import DataError, StructureError, nearest_name
from mlpotential.graph import AtomGraph, complete_cell
from mlpotential.properties import LABELS, OWN_LABELS, label_row

# Chosen: beyond them numbers are damaged bytes, not the outcome of a calculation.
LARGEST_POSITION = 1e8  # A
LARGEST_FORCE = 1e8  # eV/A: two uranium nuclei at 0.03 A
LARGEST_ENERGY = 1e10  # eV: a thousand uranium atoms have 1e9

_READERS = {  # module and function by the end of the name
    ".xyz": ("extended_xyz", "read_extended_xyz"),
    ".extxyz": ("extended_xyz", "read_extended_xyz"),
    ".npz": ("npz", "read_npz"),
    ".db": ("ase_database", "read_ase_database"),
    ".data": ("runner", "read_runner"),
    ".json": ("pymatgen_json", "read_pymatgen_json"),
    "type.raw": ("deepmd", "read_deepmd"),  # in a folder
}
_READER_OF_STRUCTURES = ("ase_structures", "read_ase_structures")  # of all other files
_PACKED = (".xyz", ".extxyz", ".data", ".json")  # these may end in .gz, too
_MODELS = {
    ".safetensors": "a model file",
    **dict.fromkeys((".pt", ".pth", ".ckpt"), "a model or checkpoint of PyTorch"),
    ".pt2": "a compiled model of PyTorch",
    ".pb": "a model of TensorFlow",
    ".model": "a model of MACE or another program",
}


def read_reference_data(
    path: Path | str,
    *,
    energy_unit: str | None = None,
    length_unit: str | None = None,
    force_unit: str | None = None,
    properties: Sequence[str] = ("energy", "forces"),
    index: slice | Sequence[int] | None = None,
    **of_labels: str | None,
) -> ReferenceData:
    """Reads the formats of `data.readers`, by the end of the name.

    Extended XYZ (`.xyz`, `.extxyz`), RuNNer and n2p2 (`.data`), pymatgen (`.json`), all also `.gz`;
    NumPy archives (`.npz`), ASE databases (`.db`), folders of DeePMD-kit.

    Args:
        path: the file or folder, or a published set: `qm9`, `md17:FILE` (`data.sets.named`).
        energy_unit: a name of `units.EV_PER_ENERGY_UNIT`; may be left out of published sets alone,
            and so may length_unit.
        length_unit: a name of `units.ANGSTROM_PER_LENGTH_UNIT`.
        force_unit: such as `Hartree/Bohr`; None for energy_unit per length_unit.
        properties: the labels to read: energy, forces, dipole and the others of
            `properties.LABELS`, and any other name, of a scalar; all else stays None.
        index: which frames to keep; None for all.
        of_labels: `NAME_key`, the file's name for a label: `energy_key`, `forces_key`, ...; None
            for the names the reader documents, which is its own for a scalar. `NAME_unit` of each
            label besides energy and forces, such as `dipole_unit="Debye"`, `gap_unit="Hartree"`:
            one of `units.E_ANGSTROM_PER_DIPOLE_UNIT` and its like or, of a scalar, any; those
            that `data.declared_units.scalar_unit` knows are converted.

    Raises:
        DataError: if the file is missing, damaged, of unknown kind or without frames; if a label is
            absent, ambiguous or not finite; if a unit is unknown or contradicts the file.

    Warns:
        SuspiciousDataWarning: if distances or forces look as if the units were others.
    """
    if not properties:
        raise DataError("no property was asked for: properties must name 'energy' or 'forces'")
    keys, declared = _keys_and_units(properties, of_labels)
    declared = _written_here(str(path), properties) | declared
    name, file = split_name(str(path))
    request = LabelRequest(tuple(properties), keys, tuple(declared))
    units = _declared_units(str(path), Path(file), energy_unit, length_unit, declared, force_unit)
    for label, row in OWN_LABELS.items():
        if label in properties and label not in units.labels:
            raise DataError(
                f"{path}: the {label} is read in a declared unit: give {label}_unit, one of "
                f"{', '.join(row.declared_units)}"
            )
    return _read(name, Path(file), request, units, index)


def read_structures(path: Path | str, *, length_unit: str | None = None) -> ReferenceData:
    """Reads structures alone, whether there are labels beside them or not.

    Every frame counts: none is set aside as an isolated atom. Files that `read_reference_data` does
    not know are read by ASE (`.cif`, `POSCAR`, `.traj`, ...), which gives lengths in Angstrom.

    Args:
        path: as of `read_reference_data`, or any file of structures that ASE reads.
        length_unit: a name of `units.ANGSTROM_PER_LENGTH_UNIT`; may be left out of published sets
            and of files that are read by ASE.

    Raises:
        DataError: as of `read_reference_data`, of what is no label.

    Warns:
        SuspiciousDataWarning: if distances look as if the unit were another.
    """
    name, file = split_name(str(path))
    if name is None and _ending(Path(file)) is None and not Path(file).is_dir():
        length_unit = length_unit or "Angstrom"
    _, length_unit = known_units(str(path), None, length_unit)
    if length_unit is None:
        raise _undeclared(Path(file), ["length_unit"])
    units = DeclaredUnits(None, length_unit)
    return _read(name, Path(file), LabelRequest(()), units, None)


def _read(
    name: str | None,
    path: Path,
    request: LabelRequest,
    units: DeclaredUnits,
    index: slice | Sequence[int] | None,
) -> ReferenceData:
    """The structures of a published set or a file, with what was asked for."""
    if name == "qm9":
        from mlpotential.data.sets.qm9_labels import read_qm9

        return read_qm9(request, units, index)
    try:
        frames = _reader(path, request)(path, request, units)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if not frames:
        raise DataError(f"{path} holds no structures")
    data = _data(path, frames, units, request.properties, index)
    warn_if_suspicious(data)
    return data


def _declared_units(
    text: str,
    file: Path,
    energy_unit: str | None,
    length_unit: str | None,
    declared: Mapping[str, str],
    force_unit: str | None,
) -> DeclaredUnits:
    """Those that were declared or, of a named set, are known; guessed are none."""
    energy_unit, length_unit = known_units(text, energy_unit, length_unit)
    given = {"energy_unit": energy_unit, "length_unit": length_unit}
    if missing := [name for name, unit in given.items() if unit is None]:
        raise _undeclared(file, missing)
    assert energy_unit is not None
    assert length_unit is not None
    return DeclaredUnits(energy_unit, length_unit, declared, force_unit)


def _written_here(text: str, properties: Sequence[str]) -> dict[str, str]:
    """Units of labels with a unit of their own, in a file that this program has labelled."""
    if not OWN_LABELS.keys() & set(properties):
        return {}
    from mlpotential.data.readers.units_in_file import known_from_file

    known = known_from_file(text)
    return {name: known[name] for name in OWN_LABELS if name in properties and name in known}


def _undeclared(file: Path, missing: Sequence[str]) -> DataError:
    """Of a file that was given without these units, or that is not there."""
    from mlpotential.data.readers.units_in_file import units_in_file

    if not file.exists():
        return DataError(f"there is no file {file}")
    return DataError(
        f"{file}: declare its units with {' and '.join(missing)}; {units_in_file(file)}"
    )


def _keys_and_units(
    properties: Sequence[str], of_labels: Mapping[str, str | None]
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Of `NAME_key` and `NAME_unit`, by the names of labels.

    Raises:
        DataError: for an option of no label.
    """
    names = {*LABELS, *properties}
    options = {f"{name}_key": name for name in names}
    options |= {f"{name}_unit": name for name in names - {"energy", "forces"}}
    if unknown := [option for option in of_labels if option not in options]:
        raise DataError(
            f"there is no option {unknown[0]!r} of the labels {', '.join(properties)}."
            f"{nearest_name(unknown[0], options)}"
        )
    given = {option: value for option, value in of_labels.items() if value is not None}
    keys = {name: given.get(f"{name}_key") for name in names}
    return keys, {name: given[f"{name}_unit"] for name in names if f"{name}_unit" in given}


def _data(
    path: Path,
    frames: Sequence[RawFrame],
    units: DeclaredUnits,
    properties: Sequence[str],
    index: slice | Sequence[int] | None,
) -> ReferenceData:
    """The chosen frames in eV and A; isolated atoms beside others are set aside."""
    numbers = _chosen(path, len(frames), index)
    check_stated([frames[k] for k in numbers], units, properties)
    aside = {
        k
        for k in numbers
        if properties  # else all are meant
        and (
            is_marked_isolated(len(frames[k].atomic_numbers), frames[k].stated)
            or not frames[k].labels.keys() >= set(properties)
        )
    }
    weighted = any(frames[k].weights for k in numbers)
    graphs = {k: _to_graph(frames[k], units, weighted) for k in numbers}
    atoms = _isolated_atoms(path.name, {k: graphs[k] for k in sorted(aside)})
    if len(aside) < len(set(numbers)):
        numbers = [k for k in numbers if k not in aside]
    elif "forces" in properties and any(graphs[k].forces is None for k in aside):
        raise DataError(
            f"{path} holds isolated atoms without forces alone: such a file is a source of "
            "reference energies (data.atom_references), not of training data"
        )
    return ReferenceData(tuple(graphs[k] for k in numbers), path.name, tuple(numbers), atoms)


def _chosen(path: Path, n_frames: int, index: slice | Sequence[int] | None) -> list[int]:
    numbers = list(range(n_frames))
    if isinstance(index, slice):
        numbers = numbers[index]
    elif index is not None:
        numbers = [int(k) for k in index]
        for k in numbers:
            if not 0 <= k < n_frames:
                raise DataError(f"{path.name} has no frame {k}: there are {n_frames}, from 0")
    if not numbers:
        raise DataError(f"{path}: the index {index} selects none of the {n_frames} frames")
    return numbers


def _isolated_atoms(source: str, atoms: Mapping[int, AtomGraph]) -> dict[int, float]:
    """Energy (eV) of each element; atoms by their frames."""
    first: dict[int, tuple[int, float]] = {}
    for k, atom in atoms.items():
        if atom.energy is None:
            continue
        z, energy = int(atom.atomic_numbers[0]), float(atom.energy)
        before, other = first.setdefault(z, (k, energy))
        if energy != other:
            raise DataError(
                f"{source}: the isolated atom of frame {k} has {energy:.6g} eV, that of frame "
                f"{before}, of the same element, {other:.6g} eV: keep the right one"
            )
    return {z: energy for z, (_, energy) in sorted(first.items())}


def _reader(
    path: Path, request: LabelRequest
) -> Callable[[Path, LabelRequest, DeclaredUnits], list[RawFrame]]:
    """The function that reads files of this kind; its module is imported here alone."""
    if not path.exists():
        raise DataError(f"there is no file {path}")
    ending = _ending(path)
    if path.is_dir() and ending is None:
        raise DataError(
            f"{path} is a folder, but a data file is needed (or a system of DeePMD-kit, which "
            "has a type.raw)"
        )
    for model_ending, what in _MODELS.items():
        if path.name.lower().endswith(model_ending):
            raise DataError(f"{path.name} is {what}, not data: give the data to be read")
    if ending is None and request.properties:
        raise DataError(
            f"{path.name}: unknown kind of file; known: .xyz, .extxyz, .data (RuNNer, n2p2), .json "
            "(pymatgen), these also .gz, .npz, .db (ASE), and folders of DeePMD-kit"
        )
    module, function = _READERS[ending] if ending else _READER_OF_STRUCTURES
    reader = getattr(import_module(f"mlpotential.data.readers.{module}"), function)
    return cast("Callable[[Path, LabelRequest, DeclaredUnits], list[RawFrame]]", reader)


def _ending(path: Path) -> str | None:
    """The key in `_READERS` of a file or folder; None where none reads it."""
    if path.is_dir():
        return "type.raw" if (path / "type.raw").exists() else None
    name = path.name.lower()
    found = next((e for e in _READERS if name.removesuffix(".gz").endswith(e)), None)
    return None if name.endswith(".gz") and found not in _PACKED else found


def _to_graph(frame: RawFrame, units: DeclaredUnits, weighted: bool) -> AtomGraph:
    """Converts to eV and A, and refuses what is not finite."""
    length, pbc = angstrom_per_length(units.length), np.broadcast_to(np.asarray(frame.pbc, bool), 3)
    cell = None if frame.cell is None else complete_cell(frame.cell * length, pbc)
    for name, value in frame.labels.items():
        _check_finite(name, np.asarray(value), frame.place)
    labels = {name: value * units.factor(name) for name, value in frame.labels.items()}
    _check_magnitude("position", frame.positions * length, LARGEST_POSITION, "A", frame.place)
    if "forces" in labels:
        forces = np.asarray(labels["forces"])
        _check_magnitude("force", forces, LARGEST_FORCE, "eV/A", frame.place)
    if "stress" in labels and cell is None:
        raise DataError(
            f"{frame.place}: a molecule has no stress: train on stresses of periodic structures, "
            "or leave out training.stress_weight"
        )
    if "energy" in labels:
        energy = np.asarray(labels["energy"]).reshape(1, 1)
        _check_magnitude("energy", energy, LARGEST_ENERGY, "eV", frame.place)
    try:
        graph = AtomGraph.from_arrays(
            frame.atomic_numbers,
            frame.positions * length,
            cell,
            pbc,
            {k: float(v) for k, v in labels.items() if k not in LABELS},
            **{k: v for k, v in labels.items() if k in LABELS},
        )
    except StructureError as error:
        raise DataError(f"{frame.place}: {error}") from error
    return graph.with_weights(frame.weights) if weighted else graph


def _check_finite(label: str, value: np.ndarray, place: str) -> None:
    if np.isfinite(value).all():
        return
    what = f"the {label} is"
    if label_row(label).per == "atom":
        atom = int(np.argmax(~np.isfinite(value).reshape(len(value), -1).all(axis=1)))
        what, value = f"the {label.removesuffix('s')} on atom {atom} is", value[atom]
    raise DataError(f"{place}: {what} {value.tolist()}: mend or remove this frame")


def _check_magnitude(what: str, values: np.ndarray, largest: float, unit: str, place: str) -> None:
    if np.all(np.abs(values) <= largest) or not np.isfinite(values).all():
        return
    atom = int(np.argmax((np.abs(values) > largest).any(axis=1)))
    of_atom = "" if what == "energy" else f" of atom {atom}"
    raise DataError(
        f"{place}: the {what}{of_atom} is {np.abs(values[atom]).max():.3g} {unit}, which no "
        "calculation gives: mend or remove this frame"
    )
