"""Which units a file states, for a message to those who declared none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlpotential.data.stated import kind_of
from mlpotential.errors import DataError


def units_in_file(path: Path) -> str:
    """`it states energy Ha, length Ang`, or that it states none; also of damaged files."""
    try:
        found = {key: value for key, value in _stated(path).items() if value}
    except (OSError, DataError):
        found = {}
    if not found:
        return "it states none"
    return "it states " + ", ".join(f"{key}: {value}" for key, value in found.items())


def _stated(path: Path) -> Mapping[str, Any]:
    name = path.name.lower().removesuffix(".gz")
    if path.is_dir():
        return {"energy": "eV", "length": "Angstrom"} if (path / "type.raw").exists() else {}
    if name.endswith(".json"):
        return {"length": "Angstrom"}
    if name.endswith(".db"):
        from mlpotential.data.readers.ase_database import stated_units

        return stated_units(path)
    if name.endswith(".npz"):
        from mlpotential.data.readers.npz import stated_units

        return stated_units(path)
    if name.endswith((".xyz", ".extxyz")):
        from mlpotential.data.readers.extended_xyz import first_comment

        return {k: v for k, v in first_comment(path).items() if kind_of(k) == "units"}
    return {}
