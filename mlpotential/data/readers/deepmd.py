"""A system of DeePMD-kit: a folder of NumPy arrays, in eV and Angstrom as the format fixes them.

    type.raw                  for each atom, its row in type_map.raw
    type_map.raw              chemical symbols
    nopbc                     where it exists, molecules without a cell
    set.*/coord.npy           [n_frames, 3 n_atoms]
    set.*/box.npy             [n_frames, 9]
    set.*/energy.npy          [n_frames] or [n_frames, 1]
    set.*/force.npy           [n_frames, 3 n_atoms]

Sets are read in the order of their names. Virials and other arrays are left alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import LabelRequest, RawFrame, choose_key
from mlpotential.data.readers.extended_xyz import NUMBERS
from mlpotential.errors import DataError
from mlpotential.properties import label_row

TYPES = "type.raw"
_LABEL_FILES = {"forces": ("force",)}  # the others have their own names


def read_deepmd(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every frame of all sets.

    Raises:
        DataError: if a file is damaged or absent, a label too, or other units are declared.
    """
    place = path.name
    units.check_energy("eV", f"{place} (DeePMD)")
    units.check_length("Angstrom", f"{place} (DeePMD)")
    if "forces" in request.properties:
        units.check_force("eV/Angstrom", f"{place} (DeePMD)")
    numbers = _atomic_numbers(path)
    is_molecule = (path / "nopbc").exists()
    frames: list[RawFrame] = []
    sets = sorted(path.glob("set.*"))
    if not sets:
        raise DataError(f"{path} has no folder set.000 with coord.npy")
    for folder in sets:
        frames += _frames(place, folder, numbers, is_molecule, request, len(frames))
    return frames


def _frames(
    source: str,
    folder: Path,
    numbers: np.ndarray,
    is_molecule: bool,
    request: LabelRequest,
    n_before: int,
) -> list[RawFrame]:
    """Those of one set."""
    if (folder / "real_atom_types.npy").exists():
        raise DataError(
            f"{source}/{folder.name} mixes systems (real_atom_types.npy): write each as a folder "
            "of its own"
        )
    n_atoms = len(numbers)
    coordinates = _array(source, folder / "coord.npy", None, 3 * n_atoms)
    n_frames = len(coordinates)
    boxes = None if is_molecule else _array(source, folder / "box.npy", n_frames, 9)
    present = [
        file.stem for file in sorted(folder.glob("*.npy")) if file.stem not in ("coord", "box")
    ]
    labels = {}
    for label in request.properties:
        known = _LABEL_FILES.get(label, label_row(label).keys)
        key = choose_key(label, request, known, present, f"{source}/{folder.name}")
        shape = label_row(label).array_shape(n_atoms, n_graphs=1)
        shape = shape if label_row(label).per == "atom" else shape[1:]
        values = _array(source, folder / f"{key}.npy", n_frames, int(np.prod(shape)))
        labels[label] = values.reshape(n_frames, *shape)
    return [
        RawFrame(
            numbers,
            coordinates[k].reshape(n_atoms, 3),
            f"{source}, frame {n_before + k} ({folder.name}, row {k})",
            cell=None if boxes is None else boxes[k].reshape(3, 3),
            pbc=boxes is not None,
            labels={name: values[k] for name, values in labels.items()},
        )
        for k in range(n_frames)
    ]


def _array(source: str, path: Path, n_frames: int | None, n_numbers: int) -> np.ndarray:
    """[n_frames, n_numbers], float64; any number of frames for None."""
    place = f"{source}/{path.parent.name}/{path.name}"
    if not path.exists():
        raise DataError(f"{place} does not exist")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise DataError(f"{place} is damaged or not a NumPy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf" or not array.ndim:
        raise DataError(f"{place} is not an array of numbers, one row for each frame")
    expected = (len(array) if n_frames is None else n_frames, n_numbers)
    if len(array) != expected[0] or array[0:1].size != (n_numbers if len(array) else 0):
        raise DataError(f"{place} has shape {array.shape}; expected {expected}")
    return array.reshape(expected).astype(np.float64)


def _atomic_numbers(path: Path) -> np.ndarray:
    """[n_atoms], from the types and what they are called."""
    types = _words(path / TYPES)
    if not (path / "type_map.raw").exists():
        raise DataError(
            f"{path.name} has no type_map.raw, so nobody knows which elements its types are: write "
            "it, one symbol for each type"
        )
    symbols = _words(path / "type_map.raw")
    unknown = [symbol for symbol in symbols if symbol.capitalize() not in NUMBERS]
    if unknown:
        raise DataError(f"{path.name}/type_map.raw: unknown element {unknown[0][:60]!r}")
    known = {str(k): NUMBERS[symbol.capitalize()] for k, symbol in enumerate(symbols)}
    for atom, word in enumerate(types):
        if word not in known:
            raise DataError(
                f"{path.name}/{TYPES}: atom {atom} has the type {word[:60]!r}, but type_map.raw "
                f"names those from 0 to {len(symbols) - 1}"
            )
    if not types:
        raise DataError(f"{path.name}/{TYPES} names no atoms")
    return np.array([known[word] for word in types])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file") from error
