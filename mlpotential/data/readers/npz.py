"""NumPy archives (`.npz`) in the layouts of MD17, revised MD17, sGDML, PhysNet and QM7-X.

    atomic numbers  z, Z or nuclear_charges   [n_atoms] or [n_frames, n_atoms]
    positions       R or coords               [n_frames, n_atoms, 3]
    energies        E or energies             [n_frames] or [n_frames, 1]
    forces          F or forces               [n_frames, n_atoms, 3]
    dipoles         D or dipoles              [n_frames, 3]
    numbers of atoms   N                      [n_frames]
    weights         weight, energy_weight, forces_weight...   [n_frames]

Atomic numbers of each frame are of molecules of different size, the rest of the row is zero.

Units, as sGDML states them in `r_unit` and `e_unit`, total charges and the like are left to
`data.stated`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from mlpotential.data.readers.npz_archive import array_header, open_archive, read_array
from mlpotential.data.stated import check_units, kind_of
from mlpotential.errors import DataError
from mlpotential.properties import label_row

_NUMBERS, _POSITIONS = ("z", "nuclear_charges", "Z"), ("R", "coords")
_N_ATOMS = "N"  # PhysNet
_SGDML_MODEL_KEYS = ("sig", "perms")  # in every model, in no data set
_MOST_NUMBERS = 9  # of one frame: those of a cell


def stated_units(path: Path) -> dict[str, Any]:
    """What stands under keys such as `e_unit`."""
    with open_archive(path) as archive:
        return _of_kind(_stated(archive, 0, path.name), "units")


@dataclass(frozen=True)
class _Rows:
    """The atoms of all frames in rows of equal length.

    Attributes:
        atomic_numbers: [n_frames, n_atoms], or [n_atoms] for the same ones in all of them.
        n_atoms: in each frame, [n_frames]; None where all are.
    """

    atomic_numbers: np.ndarray
    n_atoms: np.ndarray | None = None

    def numbers_of(self, frame: int) -> np.ndarray:
        return self.of_atoms(
            self.atomic_numbers[frame] if self.is_padded else self.atomic_numbers, frame
        )

    @property
    def is_padded(self) -> bool:
        return self.n_atoms is not None

    def of_atoms(self, row: np.ndarray, frame: int) -> np.ndarray:
        """The part of a row, [n_atoms, ...], that is of atoms."""
        return row if self.n_atoms is None else row[: self.n_atoms[frame]]


def read_npz(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every frame.

    Raises:
        DataError: if the file is damaged, a model, or holds Python objects; if an array is absent
            or has an unexpected shape; if it states other units than the declared ones.
    """
    place = path.name
    with open_archive(path) as archive:
        _refuse_models(archive, place)
        rows = _read_rows(archive, place)
        key = _one_of(_POSITIONS, "positions", archive, place)
        shape, dtype = array_header(archive, key, place)
        n_frames, n_atoms = (shape or (0,))[0], rows.atomic_numbers.shape[-1]
        _check_header(shape, dtype, "positions", [(n_frames, n_atoms, 3)], place)
        if rows.is_padded and len(rows.atomic_numbers) != n_frames:
            raise DataError(
                f"{place}: there are positions of {n_frames} frames, but atomic numbers of "
                f"{len(rows.atomic_numbers)}"
            )
        wanted = _label_arrays(archive, request, n_frames, n_atoms, place)
        stated = _stated(archive, n_frames, place)
        check_units(_of_kind(stated, "units"), units, request.properties, place)
        if all(map(np.any, _of_kind(stated, "periodicity").values())):
            _refuse_cells(_of_kind(stated, "cell"), place)
        positions = read_array(archive, key, place)
        _check_padding(rows, positions, "positions", place)
        labels = {
            label: read_array(archive, key, place).reshape(shape).astype(np.float64)
            for label, (key, shape) in wanted.items()
        }
        weights = _read_weights(archive, n_frames, place)
    of_atoms = {name for name in labels if label_row(name).per == "atom"}
    for name in of_atoms:
        _check_padding(rows, labels[name], name, place)
    return [
        RawFrame(
            rows.numbers_of(k),
            rows.of_atoms(positions[k], k),
            f"{place}, frame {k}",
            labels={
                name: rows.of_atoms(values[k], k) if name in of_atoms else values[k]
                for name, values in labels.items()
            },
            weights=label_weights({name: weights[name][k] for name in weights}, place),
            stated={
                key: value[k] if isinstance(value, np.ndarray) else value
                for key, value in stated.items()
                if kind_of(key) in ("charge", "spin")
            },
        )
        for k in range(n_frames)
    ]


def _one_of(known: Sequence[str], what: str, archive: NpzFile, place: str) -> str:
    found = [key for key in known if key in archive.files]
    if len(found) != 1:
        raise DataError(
            f"{place}: {what} are expected under exactly one of "
            f"{', '.join(known)}; keys there: {', '.join(archive.files) or 'none'}"
        )
    return found[0]


def _refuse_models(archive: NpzFile, place: str) -> None:
    if any(key.endswith("data.pkl") for key in archive.files):
        raise DataError(f"{place} was saved by PyTorch, a model or tensors: it is no data set")
    kind = ""
    if "type" in archive.files:
        shape, dtype = array_header(archive, "type", place)
        if shape or dtype.kind not in "US":
            raise DataError(f"{place}: type has shape {shape}, where a word is expected")
        kind = str(read_array(archive, "type", place).astype(str))
    if kind in ("m", "t") or all(key in archive.files for key in _SGDML_MODEL_KEYS):
        what = "task" if kind == "t" else "model"
        raise DataError(f"{place} is an sGDML {what}, not a data set: give the data it came from")


def _read_rows(archive: NpzFile, place: str) -> _Rows:
    """One molecule for all frames or, filled up with zeros, one for each."""
    key = _one_of(_NUMBERS, "atomic numbers", archive, place)
    shape, dtype = array_header(archive, key, place)
    if len(shape) not in (1, 2) or dtype.kind not in "iu":
        raise DataError(
            f"{place}: atomic numbers have shape {shape} and type {dtype}; expected whole numbers, "
            "one row for all frames or one for each"
        )
    numbers = read_array(archive, key, place)
    if numbers.ndim == 1:
        return _Rows(numbers)
    n_atoms = np.count_nonzero(numbers, axis=1)
    _refuse_first(
        (numbers != 0) != (np.arange(shape[1]) < n_atoms[:, None]),
        place,
        f"{key} has a zero between atoms, where zeros fill up the ends of rows",
    )
    _refuse_first(n_atoms == 0, place, "there are no atoms: remove it")
    if _N_ATOMS in archive.files:
        header = array_header(archive, _N_ATOMS, place)
        _check_header(*header, f"numbers of atoms ({_N_ATOMS})", [(len(numbers),)], place)
        announced = read_array(archive, _N_ATOMS, place)
        _refuse_first(
            announced != n_atoms, place, f"{_N_ATOMS} is not how many numbers in {key} are not zero"
        )
    return _Rows(numbers, n_atoms)


def _refuse_first(is_wrong: np.ndarray, place: str, reason: str) -> None:
    """Raises DataError naming the first frame of [n_frames, ...] with anything wrong."""
    if is_wrong.any():
        raise DataError(f"{place}, frame {int(np.argwhere(is_wrong)[0, 0])}: {reason}")


def _check_padding(rows: _Rows, array: np.ndarray, what: str, place: str) -> None:
    """What belongs to no atom, of [n_frames, n_atoms, ...], must be zero or NaN."""
    if rows.n_atoms is None:
        return
    beyond = np.arange(array.shape[1]) >= rows.n_atoms[:, None]
    used = (array.reshape(*array.shape[:2], -1) != 0.0) & ~np.isnan(
        array.reshape(*array.shape[:2], -1)
    )
    _refuse_first(
        beyond & used.any(axis=2),
        place,
        f"there are {what} behind the last atom: are the atomic numbers whole?",
    )


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
