"""ASE databases (`.db`, SQLite), opened read-only.

A label is looked for, under its key, among

- the row's `data`: SchNetPack 2 (units in the metadata `_property_unit_dict`, `_distance_unit`) and
  SchNetPack 0.x (base64 text with `_shape_*` and `_dtype_*` beside it);
- the row's key-value pairs: the original SchNet;
- the results of the row's calculator: everybody else.

Energies are looked for under `energy`, then `REF_energy`; forces under `forces`, then `REF_forces`;
dipoles under `dipole`, then `REF_dipole`.
Units that the metadata state are compared with the declared ones.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from ase.db.row import AtomsRow
from ase.db.sqlite import SQLite3Database

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import (
    LabelRequest,
    RawFrame,
    checked_label,
    choose_key,
    label_weights,
)
from mlpotential.data.stated import check_units, kind_of, may_lack_forces
from mlpotential.errors import DataError
from mlpotential.properties import LABELS, label_row

_DAMAGE = (
    sqlite3.Error,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AssertionError,
    OverflowError,
    RecursionError,  # JSON nested deeper than anybody writes
)


class _ReadOnlyDatabase(SQLite3Database):
    """ASE's reader, without the creation of missing files and tables."""

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{quote(str(self.filename))}?mode=ro", uri=True)


def read_ase_database(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every row, in the order of their ids.

    Raises:
        DataError: if the file is damaged or no ASE database; if a label is absent, ambiguous or of
            the wrong shape; if the metadata state other units than the declared ones.
    """
    metadata, rows = _read(path)
    try:
        labels = [_labels_of(row) for row in rows]
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    places = [f"{path.name}, frame {k} (row {row.id})" for k, row in enumerate(rows)]
    keys = _choose_keys(request, rows, labels, places)
    _check_units(metadata, keys, units, path.name)
    check_units(_other_units(metadata), units, request.properties, path.name)
    return [_frame(*one, keys) for one in zip(rows, labels, places, strict=True)]


def stated_units(path: Path) -> dict[str, str]:
    """Of the metadata: `length`, and each property that has one. Raises DataError if damaged."""
    metadata, _ = _read(path, n_rows=0)
    units = metadata.get("_property_unit_dict", {})
    length = {"length": metadata["_distance_unit"]} if "_distance_unit" in metadata else {}
    others = {key: str(unit) for key, unit in _other_units(metadata).items()}
    return length | {key: unit for key, unit in units.items() if isinstance(unit, str)} | others


def atom_references(path: Path, key: str) -> tuple[dict[int, float], str | None]:
    """Energies of free atoms that SchNetPack 2 keeps beside a label, and the unit it states.

    By atomic number, without zeros; empty where there are none. Raises DataError if damaged.
    """
    metadata, _ = _read(path, n_rows=0)
    try:
        energies = [float(energy) for energy in metadata.get("atomrefs", {}).get(key, [])]
        unit = metadata.get("_property_unit_dict", {}).get(key)
    except _DAMAGE as error:
        raise _damaged(path, error) from error
    return {z: energy for z, energy in enumerate(energies) if energy != 0.0}, unit


def _read(path: Path, n_rows: int | None = None) -> tuple[dict[str, Any], list[AtomsRow]]:
    """Metadata and rows, all for None, in the order of their ids."""
    database = _ReadOnlyDatabase(str(path.absolute()), create_indices=False, use_lock_file=False)
    try:
        with database:
            rows = [] if n_rows == 0 else list(database.select(sort="id", limit=n_rows))
            return dict(database.metadata), rows
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged or not an ASE database: {error}")


def _labels_of(row: AtomsRow) -> dict[str, list[Any]]:
    """Every value of a row by its key; most keys have one value."""
    results = {name: row.get(name) for name in LABELS if row.get(name) is not None}
    values: dict[str, list[Any]] = {}
    for source in (_decoded(row.data), row.key_value_pairs, results):
        for key, value in source.items():
            values.setdefault(key, []).append(value)
    return values


def _decoded(data: Mapping[str, Any]) -> dict[str, Any]:
    """Row data with SchNetPack 0.x's base64 text turned into arrays, its private keys left out."""
    decoded = {}
    for key, value in data.items():
        if key.startswith("_"):
            continue
        if f"_shape_{key}" in data and f"_dtype_{key}" in data:
            flat = np.frombuffer(base64.b64decode(value), np.dtype(data[f"_dtype_{key}"]))
            value = flat.reshape(data[f"_shape_{key}"])
        decoded[key] = value
    return decoded


def _choose_keys(
    request: LabelRequest,
    rows: list[AtomsRow],
    labels: list[dict[str, list[Any]]],
    places: list[str],
) -> dict[str, str]:
    """The key of each label, the same in all rows."""
    keys: dict[str, str] = {}
    for row, values, place in zip(rows, labels, places, strict=True):
        for label in request.properties:
            absent = label_row(label).per == "atom" and not request.names(label) & values.keys()
            if absent and may_lack_forces(row.natoms, row["pbc"], _stated(values)):
                continue
            key = choose_key(label, request, label_row(label).keys, values, place)
            if keys.setdefault(label, key) != key:
                raise DataError(
                    f"{place}: {label} stands under {key!r}, but under {keys[label]!r} in the rows "
                    "before"
                )
    return keys


def _check_units(
    metadata: Mapping[str, Any], keys: Mapping[str, str], units: DeclaredUnits, place: str
) -> None:
    if "_distance_unit" in metadata:
        units.check_length(metadata["_distance_unit"], f"{place} (_distance_unit)")
    stated = metadata.get("_property_unit_dict", {})
    for label, key in keys.items():
        if key in stated:
            units.check_label(label, stated[key], f"{place} (_property_unit_dict, {key})")


def _other_units(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What else the metadata state, such as `units` or `force_unit`."""
    known = ("_distance_unit", "_property_unit_dict")
    return {k: v for k, v in metadata.items() if kind_of(k) == "units" and k not in known}


def _stated(values: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What `data.stated` judges; the cell of a row is always read."""
    kinds = ("units", "charge", "spin", "config_type")
    return {key: found[0] for key, found in values.items() if kind_of(key) in kinds}


def _frame(
    row: AtomsRow, values: Mapping[str, list[Any]], place: str, keys: Mapping[str, str]
) -> RawFrame:
    labels: dict[str, float | np.ndarray] = {}
    for label, key in keys.items():
        if key not in values:
            continue  # of an isolated atom
        first, *others = (
            checked_label(label, value, row.natoms, key, place) for value in values[key]
        )
        if not all(np.array_equal(first, other, equal_nan=True) for other in others):
            raise DataError(
                f"{place}: {key!r} stands in the row {len(values[key])} times, "
                "with different values"
            )
        labels[label] = first
    weights = label_weights({key: found[0] for key, found in values.items()}, place)
    return RawFrame(
        row["numbers"],
        row.positions,
        place,
        row["cell"],
        row["pbc"],
        labels,
        weights,
        _stated(values),
    )
