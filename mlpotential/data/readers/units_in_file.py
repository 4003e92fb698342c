"""Which units a file states, for a message to those who declared none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlpotential.data.stated import kind_of
from mlpotential.errors import DataError

LABELLED_BY, OURS = "labelled_by", "mlpotential"  # a mark of files with known units, and its value


def units_in_file(path: Path) -> str:
    """`it states energy Ha, length Ang`, or that it states none; also of damaged files."""
    try:
        found = {key: value for key, value in _stated(path).items() if value}
    except (OSError, DataError):
        found = {}
    if not found:
        return "it states none"
    return "it states " + ", ".join(f"{key}: {value}" for key, value in found.items())


def known_from_file(text: str) -> dict[str, str]:
    """Units that `mlpotential label` wrote into a file, by what they are of; none of other files.

    Nobody has to declare what this program has written itself: energy, length, dipole, ...
    """
    path = Path(text)
    if not path.name.lower().removesuffix(".gz").endswith((".xyz", ".extxyz")):
        return {}
    try:
        found = _stated(path, all_keys=True)
    except (OSError, DataError, StopIteration):
        return {}
    if not str(found.get(LABELLED_BY, "")).startswith(OURS):
        return {}
    ending = "_unit"
    return {k.removesuffix(ending): str(v) for k, v in found.items() if k.endswith(ending)}


def _stated(path: Path, all_keys: bool = False) -> Mapping[str, Any]:
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

        return {k: v for k, v in first_comment(path).items() if all_keys or kind_of(k) == "units"}
    return {}
