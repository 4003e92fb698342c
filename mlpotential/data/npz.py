"""NumPy archives (`.npz`) in the layout of MD17, revised MD17 and sGDML: one molecule, many frames.

    atomic numbers  z or nuclear_charges   [n_atoms]
    positions       R or coords            [n_frames, n_atoms, 3]
    energies        E or energies          [n_frames] or [n_frames, 1]
    forces          F or forces            [n_frames, n_atoms, 3]
    dipoles         D or dipoles           [n_frames, 3]
    weights         weight, energy_weight, forces_weight...   [n_frames]

Units, as sGDML states them in `r_unit` and `e_unit`, total charges and the like are left to
`data.stated`. Of an array the header is read first and its shape checked, so that nothing is
decompressed that is not wanted. Python objects inside an archive are never loaded.
"""

from __future__ import annotations

import contextlib
import math
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import (
    LabelRequest,
    RawFrame,
    choose_key,
    is_weight,
    label_weights,
)
from mlpotential.data.stated import check_units, kind_of
from mlpotential.errors import DataError
from mlpotential.properties import label_row

_NUMBERS, _POSITIONS = ("z", "nuclear_charges"), ("R", "coords")
_SGDML_MODEL_KEYS = ("sig", "perms")  # in every model, in no data set
_LONGEST_HEADER = 10_000  # bytes, NumPy's own limit
_LARGE = 2**26  # bytes, chosen: what fits anywhere
_MOST_COMPRESSED = 200  # chosen: deflate makes 1000 of zeros, and less than 10 of measured numbers
_MOST_NUMBERS = 9  # of one frame: those of a cell
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,  # a compression nobody uses
    RuntimeError,  # an encrypted member
    MemoryError,  # a header that announces more than fits
)


def read_npz(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every frame.

    Raises:
        DataError: if the file is damaged, a model, or holds Python objects; if an array is absent
            or has an unexpected shape; if it states other units than the declared ones.
    """
    place = path.name
    with open_archive(path) as archive:
        _refuse_models(archive, place)
        numbers = _read_numbers(archive, place)
        key = _one_of(_POSITIONS, "positions", archive, place)
        shape, dtype = array_header(archive, key, place)
        n_frames, n_atoms = (shape or (0,))[0], len(numbers)
        _check_header(shape, dtype, "positions", [(n_frames, n_atoms, 3)], place)
        wanted = _label_arrays(archive, request, n_frames, n_atoms, place)
        stated = _stated(archive, n_frames, place)
        check_units(_of_kind(stated, "units"), units, request.properties, place)
        if all(map(np.any, _of_kind(stated, "periodicity").values())):
            _refuse_cells(_of_kind(stated, "cell"), place)
        positions = read_array(archive, key, place)
        labels = {
            label: read_array(archive, key, place).reshape(shape).astype(np.float64)
            for label, (key, shape) in wanted.items()
        }
        weights = _read_weights(archive, n_frames, place)
    return [
        RawFrame(
            numbers,
            positions[k],
            f"{place}, frame {k}",
            labels={name: labels[name][k] for name in labels},
            weights=label_weights({name: weights[name][k] for name in weights}, place),
            stated={
                key: value[k] if isinstance(value, np.ndarray) else value
                for key, value in stated.items()
                if kind_of(key) in ("charge", "spin")
            },
        )
        for k in range(n_frames)
    ]


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[NpzFile]:
    """Opens an archive in a way that cannot run code.

    Raises:
        DataError: if it is damaged or something else.
    """
    with path.open("rb") as handle:
        if handle.read(2) != b"PK":  # every zip file begins so; NumPy would take it for a pickle
            raise DataError(f"{path} is not a NumPy archive of named arrays (.npz)")
        handle.seek(0)
        try:
            archive: NpzFile = np.load(handle, allow_pickle=False)
        except _DAMAGE as error:
            raise DataError(f"{path} is damaged or not a NumPy archive: {error}") from error
        with archive:
            twice = [key for key, n in Counter(archive.files).items() if n > 1]
            if twice:
                raise DataError(f"{path} holds {twice[0]!r} twice: keep the right one")
            yield archive


def array_header(archive: NpzFile, key: str, place: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, without its numbers.

    Raises:
        DataError: if it is damaged, holds Python objects, or one number again and again.
    """
    assert archive.zip is not None  # it is open
    member = f"{key}.npy" if f"{key}.npy" in archive.zip.namelist() else key
    with _damage_of(key, place), archive.zip.open(member) as stream:
        if stream.read(6) != b"\x93NUMPY":
            raise DataError(f"{place}: {key!r} is not a NumPy array")
        major, minor = stream.read(2)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, _, dtype = readers[major, minor](stream)
    if dtype.hasobject:
        raise DataError(
            f"{place}: {key!r} holds Python objects, which could run code and are not loaded; "
            "save it again as an array of numbers"
        )
    n_bytes = math.prod(shape) * dtype.itemsize
    info = archive.zip.getinfo(member)
    if not 0 <= info.file_size - n_bytes < _LONGEST_HEADER:
        raise DataError(
            f"{place}: the array {key!r} is damaged: shape {shape} needs {n_bytes} bytes, the file "
            f"has {info.file_size}"
        )
    if n_bytes > _LARGE and n_bytes > _MOST_COMPRESSED * info.compress_size:
        raise DataError(
            f"{place}: {key!r} has shape {shape}, but {info.compress_size} bytes of content: that "
            "is one number again and again"
        )
    return shape, dtype


def read_array(archive: NpzFile, key: str, place: str) -> np.ndarray:
    """One array of an archive, in the byte order of this machine.

    Raises:
        DataError: if it is damaged or holds Python objects.
    """
    _, dtype = array_header(archive, key, place)
    with _damage_of(key, place):
        array: np.ndarray = archive[key]
    return array.astype(dtype.newbyteorder("="), copy=False)


@contextlib.contextmanager
def _damage_of(key: str, place: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{place}: the array {key!r} is damaged: {error}") from error


def _one_of(known: Sequence[str], what: str, archive: NpzFile, place: str) -> str:
    found = [key for key in known if key in archive.files]
    if len(found) != 1:
        raise DataError(
            f"{place}: {what} are expected under exactly one of "
            f"{', '.join(known)}; keys there: {', '.join(archive.files) or 'none'}"
        )
    return found[0]


def _refuse_models(archive: NpzFile, place: str) -> None:
    kind = ""
    if "type" in archive.files:
        shape, dtype = array_header(archive, "type", place)
        if shape or dtype.kind not in "US":
            raise DataError(f"{place}: type has shape {shape}, where a word is expected")
        kind = str(read_array(archive, "type", place).astype(str))
    if kind in ("m", "t") or all(key in archive.files for key in _SGDML_MODEL_KEYS):
        what = "task" if kind == "t" else "model"
        raise DataError(f"{place} is an sGDML {what}, not a data set: give the data it came from")


def _read_numbers(archive: NpzFile, place: str) -> np.ndarray:
    """[n_atoms]: one molecule for all frames."""
    key = _one_of(_NUMBERS, "atomic numbers", archive, place)
    shape, dtype = array_header(archive, key, place)
    if len(shape) != 1 or dtype.kind not in "iu":
        raise DataError(
            f"{place}: atomic numbers have shape {shape} and type {dtype}; expected one row of "
            "whole numbers for all frames"
        )
    return read_array(archive, key, place)


def _stated(archive: NpzFile, n_frames: int, place: str) -> dict[str, Any]:
    """What `data.stated` judges: one value for all frames, or an array [n_frames, n_numbers].

    True stands for an array of another shape.
    """
    stated: dict[str, Any] = {}
    for key in filter(kind_of, archive.files):
        shape, _ = array_header(archive, key, place)
        of_frames = shape[:1] == (n_frames,) and math.prod(shape[1:]) <= _MOST_NUMBERS
        if not of_frames and math.prod(shape) > _MOST_NUMBERS:
            stated[key] = True
            continue
        array = read_array(archive, key, place)
        array = array.astype(str) if array.dtype.kind == "S" else array
        if of_frames and n_frames > 1:
            stated[key] = array.reshape(n_frames, -1)
        else:
            stated[key] = array.item() if array.size == 1 else array.tolist()
    return stated


def _of_kind(stated: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {key: value for key, value in stated.items() if kind_of(key) == kind}


def _refuse_cells(cells: Mapping[str, Any], place: str) -> None:
    for key, value in cells.items():
        if np.any(value):
            raise DataError(
                f"{place} holds a cell under {key!r}, and the format does not fix whether its rows "
                "or its columns are the vectors: convert the data to extended XYZ"
            )


def _label_arrays(
    archive: NpzFile, request: LabelRequest, n_frames: int, n_atoms: int, place: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Key and shape, [n_frames, ...] or [n_frames, n_atoms, ...], of those asked for."""
    wanted = {}
    for label in request.properties:
        key = choose_key(label, request, label_row(label).npz_keys, archive.files, place)
        shape = label_row(label).array_shape(n_atoms, n_graphs=n_frames)
        shape = (n_frames, *shape) if label_row(label).per == "atom" else shape
        also = [(n_frames, 1)] if shape == (n_frames,) else []
        header = array_header(archive, key, place)
        _check_header(*header, f"{label} ({key})", [shape, *also], place)
        wanted[label] = (key, shape)
    return wanted


def _read_weights(archive: NpzFile, n_frames: int, place: str) -> dict[str, np.ndarray]:
    """Arrays of weights in a loss by their keys, each [n_frames]."""
    weights = {}
    for key in archive.files:
        if is_weight(key):
            header = array_header(archive, key, place)
            _check_header(*header, key, [(n_frames,), (n_frames, 1)], place)
            weights[key] = read_array(archive, key, place).reshape(n_frames)
    return weights


def _check_header(
    shape: tuple[int, ...],
    dtype: np.dtype,
    what: str,
    expected: Sequence[tuple[int, ...]],
    place: str,
) -> None:
    if shape not in expected or dtype.kind not in "iuf":
        raise DataError(
            f"{place}: {what} have shape {shape} and type {dtype}; "
            f"expected numbers of shape {' or '.join(map(str, expected))}"
        )
