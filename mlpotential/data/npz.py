"""NumPy archives (`.npz`) in the layout of MD17, revised MD17 and sGDML: one molecule, many frames.

    atomic numbers  z or nuclear_charges   [n_atoms]
    positions       R or coords            [n_frames, n_atoms, 3]
    energies        E or energies          [n_frames] or [n_frames, 1]
    forces          F or forces            [n_frames, n_atoms, 3]
    dipoles         D or dipoles           [n_frames, 3]
    weights         weight, energy_weight, forces_weight...   [n_frames]

sGDML may state its units in `r_unit` and `e_unit`; they are compared with the declared ones. Python
objects inside an archive are never loaded.
"""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import (
    LabelRequest,
    RawFrame,
    choose_key,
    is_weight,
    label_weights,
)
from mlpotential.errors import DataError
from mlpotential.properties import LABELS

_NUMBERS, _POSITIONS = ("z", "nuclear_charges"), ("R", "coords")
_SGDML_MODEL_KEYS = ("sig", "perms")  # in every model, in no data set
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
        _check_units(archive, units, place)
        if "lattice" in archive.files:
            raise DataError(
                f"{place} holds a lattice, and the format does not fix whether its rows or its "
                "columns are the vectors: convert the data to extended XYZ"
            )
        numbers = read_array(archive, _one_of(_NUMBERS, "atomic numbers", archive, place), place)
        positions = read_array(archive, _one_of(_POSITIONS, "positions", archive, place), place)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(
                f"{place}: atomic numbers have shape {numbers.shape} and type {numbers.dtype}; "
                "expected one row of whole numbers for all frames"
            )
        n_frames, n_atoms = len(np.atleast_1d(positions)), len(numbers)
        _check_numbers(positions, "positions", [(n_frames, n_atoms, 3)], place)
        labels = _read_labels(archive, request, n_frames, n_atoms, place)
        weights = _read_weights(archive, n_frames, place)
    return [
        RawFrame(
            numbers,
            positions[k],
            f"{place}, frame {k}",
            labels={name: labels[name][k] for name in labels},
            weights=label_weights({name: weights[name][k] for name in weights}, place),
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
            yield archive


def read_array(archive: NpzFile, key: str, place: str) -> np.ndarray:
    """One array of an archive.

    Raises:
        DataError: if it is damaged or holds Python objects.
    """
    try:
        array = archive[key]
    except _DAMAGE as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{place}: {key!r} holds Python objects, which could run code and are not loaded; "
                "save it again as an array of numbers"
            ) from error
        raise DataError(f"{place}: the array {key!r} is damaged: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{place}: {key!r} is not a NumPy array")
    return array


def _one_of(known: Sequence[str], what: str, archive: NpzFile, place: str) -> str:
    found = [key for key in known if key in archive.files]
    if len(found) != 1:
        raise DataError(
            f"{place}: {what} are expected under exactly one of "
            f"{', '.join(known)}; keys there: {', '.join(archive.files) or 'none'}"
        )
    return found[0]


def _refuse_models(archive: NpzFile, place: str) -> None:
    kind = str(read_array(archive, "type", place).astype(str)) if "type" in archive.files else ""
    if kind in ("m", "t") or all(key in archive.files for key in _SGDML_MODEL_KEYS):
        what = "task" if kind == "t" else "model"
        raise DataError(f"{place} is an sGDML {what}, not a data set: give the data it came from")


def _check_units(archive: NpzFile, units: DeclaredUnits, place: str) -> None:
    for key, check in (("r_unit", units.check_length), ("e_unit", units.check_energy)):
        if key in archive.files:
            check(str(read_array(archive, key, place).astype(str)), f"{place} ({key})")


def _read_labels(
    archive: NpzFile, request: LabelRequest, n_frames: int, n_atoms: int, place: str
) -> dict[str, Any]:
    """Those asked for, each [n_frames, ...] or [n_frames, n_atoms, ...]."""
    labels = {}
    for label in request.properties:
        key = choose_key(label, request, LABELS[label].npz_keys, archive.files, place)
        array = read_array(archive, key, place)
        shape = LABELS[label].array_shape(n_atoms, n_graphs=n_frames)
        shape = (n_frames, *shape) if LABELS[label].per == "atom" else shape
        also = [(n_frames, 1)] if shape == (n_frames,) else []
        _check_numbers(array, f"{label} ({key})", [shape, *also], place)
        labels[label] = array.reshape(shape).astype(np.float64)
    return labels


def _read_weights(archive: NpzFile, n_frames: int, place: str) -> dict[str, np.ndarray]:
    """Arrays of weights in a loss by their keys, each [n_frames]."""
    weights = {}
    for key in archive.files:
        if is_weight(key):
            array = read_array(archive, key, place)
            _check_numbers(array, key, [(n_frames,), (n_frames, 1)], place)
            weights[key] = array.reshape(n_frames)
    return weights


def _check_numbers(
    array: np.ndarray, what: str, shapes: Sequence[tuple[int, ...]], place: str
) -> None:
    if array.shape not in shapes or array.dtype.kind not in "iuf":
        raise DataError(
            f"{place}: {what} have shape {array.shape} and type {array.dtype}; "
            f"expected numbers of shape {' or '.join(map(str, shapes))}"
        )
