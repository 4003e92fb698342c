"""Lists of pymatgen structures with results of calculations, `.json` or `.json.gz` (mlearn).

Each entry is a mapping with a `structure` (as pymatgen writes it, lengths in Angstrom) and
`outputs`: `energy` and `forces` in the order of the sites. Stresses are left alone.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import LabelRequest, RawFrame, checked_label, choose_key
from mlpotential.data.readers.extended_xyz import NUMBERS
from mlpotential.errors import DataError
from mlpotential.properties import label_row


def read_pymatgen_json(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every entry.

    Raises:
        DataError: if the file is damaged or something else; if a site has not one element, or a
            label is absent; if lengths are declared to be no Angstrom.
    """
    units.check_length("Angstrom", f"{path.name} (pymatgen)")
    entries = _loaded(path)
    if not isinstance(entries, list):
        raise DataError(f"{path.name}: expected a list of entries with 'structure' and 'outputs'")
    return [_frame(entry, f"{path.name}, frame {k}", request) for k, entry in enumerate(entries)]


def _loaded(path: Path) -> Any:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opened(path, "rb") as handle:
            return json.loads(handle.read())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut or not a gzip file: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged or no JSON: {error}") from error


def _frame(entry: object, place: str, request: LabelRequest) -> RawFrame:
    structure = entry.get("structure") if isinstance(entry, Mapping) else None
    outputs = entry.get("outputs") if isinstance(entry, Mapping) else None
    outputs = {} if outputs is None and not request.properties else outputs
    if not isinstance(structure, Mapping) or not isinstance(outputs, Mapping):
        raise DataError(f"{place}: expected a mapping with 'structure' and 'outputs'")
    sites = structure.get("sites")
    if not isinstance(sites, list) or not sites:
        raise DataError(f"{place} has no atoms: remove it")
    numbers = np.array([_atomic_number(site, k, place) for k, site in enumerate(sites)])
    labels = {}
    for label in request.properties:
        key = choose_key(label, request, label_row(label).keys, outputs, place)
        labels[label] = checked_label(label, outputs[key], len(sites), key, place)
    cell = _cell(structure.get("lattice"), place)
    charge = structure.get("charge")
    return RawFrame(
        numbers,
        _positions(sites, place),
        place,
        cell=None if cell is None else cell[0],
        pbc=False if cell is None else cell[1],
        labels=labels,
        stated={} if charge is None else {"charge": charge},
    )


def _atomic_number(site: object, k: int, place: str) -> int:
    species = site.get("species") if isinstance(site, Mapping) else None
    if isinstance(species, list) and len(species) == 1 and isinstance(species[0], Mapping):
        number = NUMBERS.get(str(species[0].get("element")).capitalize())
        if number is not None and species[0].get("occu") == 1:
            return number
    raise DataError(f"{place}: site {k} should be one whole atom, not {str(species)[:80]}")


def _positions(sites: list[Any], place: str) -> np.ndarray:
    try:
        positions = np.array([site["xyz"] for site in sites], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}: a site lacks its Cartesian coordinates 'xyz'") from error
    if positions.shape != (len(sites), 3):
        raise DataError(f"{place}: the coordinates 'xyz' of a site are not three numbers")
    return positions


def _cell(lattice: object, place: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Vectors as rows, [3, 3], and periodic directions, [3]; None for pymatgen's Molecule."""
    if lattice is None:
        return None
    if not isinstance(lattice, Mapping):
        raise DataError(f"{place}: the lattice is no mapping, but {str(lattice)[:60]!r}")
    try:
        cell = np.array(lattice["matrix"], np.float64)
        pbc = np.array(lattice.get("pbc", (True, True, True)), bool)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{place}: the lattice has no readable 'matrix'") from error
    if cell.shape != (3, 3) or pbc.shape != (3,):
        raise DataError(f"{place}: the matrix of the lattice is not 3 x 3 numbers")
    return cell, pbc
