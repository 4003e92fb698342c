"""What a file says beside the labels, judged alike for every format.

Readers hand over what stands under the keys that `kind_of` knows by their looks. A cell that was
not read and a unit that contradicts the declared one are errors; charges and spins that differ are
a warning, as no model sees them; isolated atoms are known by their mark.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mlpotential.data.declared_units import (
    DeclaredUnits,
    SuspiciousDataWarning,
    energy_unit_meant,
    force_unit_meant,
    length_unit_meant,
)
from mlpotential.data.raw_frame import RawFrame
from mlpotential.errors import DataError
from mlpotential.properties import OWN_LABELS

Kind = Literal["cell", "periodicity", "units", "charge", "spin", "config_type"]

_NAMES: dict[str, Kind] = {
    **dict.fromkeys(("charge", "totalcharge", "netcharge", "molecularcharge"), "charge"),
    **dict.fromkeys(("spin", "totalspin", "multiplicity", "spinmultiplicity"), "spin"),
    **dict.fromkeys(("pbc", "periodic", "periodicity"), "periodicity"),
    **dict.fromkeys(("latvec", "latvecs", "latticevectors", "cellpar", "hmatrix"), "cell"),
    **dict.fromkeys(("cell", "cells", "unitcell", "box", "boxes", "lattice", "lattices"), "cell"),
    "configtype": "config_type",
}
_CELL_WORDS = {name for name, kind in _NAMES.items() if kind == "cell"}
_CELL_SIZES = {"length", "lengths", "size", "side", "edge", "constant", "constants", "parameter"}
_N_CELL_NUMBERS = (3, 6, 9)  # orthorhombic, lengths and angles, vectors
_QUANTITIES = {
    **dict.fromkeys(("energy", "energies", "e"), "energy"),
    **dict.fromkeys(("force", "forces", "f", "gradient", "gradients"), "forces"),
    **dict.fromkeys(("length", "distance", "position", "positions", "pos", "r"), "length"),
    **dict.fromkeys(("coord", "coords", "coordinates", "cell", "lattice", "box"), "length"),
    **dict.fromkeys(("dipole", "dipoles", "d", "mu"), "dipole"),
    **dict.fromkeys(("stress", "stresses"), "stress"),
}
_NEVER_READ = {"virial", "charge", "charges", "time", "velocity", "velocities", "mass"}
_STYLES = {  # of LAMMPS
    "metal": "eV,Angstrom",
    "real": "kcal/mol,Angstrom",
    "electron": "Hartree,Bohr",
    "atomic": "Hartree,Bohr",
}


@functools.lru_cache(maxsize=4096)
def kind_of(key: str) -> Kind | None:
    """What a key looks like: `box`, `unit_cell`, `energy-unit`, `total_charge`; None for others."""
    words = _words(key)
    if key == "Q":  # PhysNet
        return "charge"
    if words and (words[-1] in ("unit", "units") or words[0] == "units"):
        return "units"
    return _NAMES.get("".join(words)) or ("cell" if _CELL_WORDS & set(words) else None)


def _words(key: str) -> list[str]:
    """`energy-unit`, `energyUnit`, `ENERGY_UNIT` -> energy, unit."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", key)]


def is_marked_isolated(n_atoms: int, stated: Mapping[str, object]) -> bool:
    """Whether a frame is a lone atom marked `config_type=IsolatedAtom`, as for MACE."""
    marks = [str(value) for key, value in stated.items() if kind_of(key) == "config_type"]
    return n_atoms == 1 and any("".join(_words(mark)) == "isolatedatom" for mark in marks)


def may_lack_forces(
    n_atoms: int, pbc: np.ndarray | Sequence[bool] | bool, stated: Mapping[str, object]
) -> bool:
    """Whether a frame can be a reference energy alone: an atom that is marked or has no cell."""
    return n_atoms == 1 and (is_marked_isolated(n_atoms, stated) or not np.any(pbc))


def check_stated(
    frames: Sequence[RawFrame], units: DeclaredUnits, properties: Sequence[str]
) -> None:
    """Judges what the frames of a file state.

    Raises:
        DataError: if a frame has a cell under a key that was not read, or states another unit.

    Warns:
        SuspiciousDataWarning: if charges or spins differ, or a unit cannot be understood.
    """
    done: set[tuple[str, str]] = set()
    for frame in frames:
        for key, value in frame.stated.items():
            if kind_of(key) == "cell" and frame.cell is None:
                _refuse_cell(key, value, frame)
            elif kind_of(key) == "units" and (key, str(value)) not in done:
                check_units({key: value}, units, properties, frame.place)
                done.add((key, str(value)))
    _warn_of_mixture("charge", frames)
    _warn_of_mixture("spin", frames)


def _refuse_cell(key: str, value: object, frame: RawFrame) -> None:
    """A key named as a cell, or with a word of it and as many numbers, where nothing says F F F."""
    numbers, words = np.asarray(value), _words(key)
    of_cube = "".join(words) in _NAMES or _CELL_SIZES & set(words)
    n_allowed = (1, *_N_CELL_NUMBERS) if of_cube else _N_CELL_NUMBERS
    if numbers.dtype.kind not in "iuf" or numbers.size not in n_allowed or not numbers.any():
        return
    periodicity = [v for k, v in frame.stated.items() if kind_of(k) == "periodicity"]
    if all(np.any(np.asarray(directions)) for directions in periodicity):
        raise DataError(
            f'{frame.place}: {key!r} looks like a cell, which is read from Lattice="..." of an '
            "extended XYZ file or from an ASE database alone: rename or convert it or, for a "
            'molecule, state pbc="F F F"'
        )


def check_units(
    stated: Mapping[str, object], units: DeclaredUnits, properties: Sequence[str], place: str
) -> None:
    """Compares units under keys such as `energy_unit` with the declared ones.

    Raises:
        DataError: if one contradicts.

    Warns:
        SuspiciousDataWarning: if it cannot be understood which unit is meant.
    """
    for key, value in stated.items():
        words = [word for word in _words(key) if word not in ("unit", "units")]
        quantity = next((_QUANTITIES[word] for word in words if word in _QUANTITIES), None)
        where = f"{place} ({key})"
        if isinstance(value, Mapping):
            each = {"_".join((*words, str(name), "unit")): unit for name, unit in value.items()}
            check_units(each, units, properties, place)
        elif not isinstance(value, str):
            continue  # `formula_units=4`
        elif quantity == "length":
            units.check_length(value, where)
        elif quantity == "energy":
            units.check_energy(value, where)
        elif quantity in ("forces", *OWN_LABELS):
            if quantity in properties:
                units.check_label(quantity, value, where)
        elif not _NEVER_READ & set(words):
            _check_whole_set(value, units, where)


def _check_whole_set(text: str, units: DeclaredUnits, where: str) -> None:
    """`units=metal`, `units="Hartree, Bohr"`."""
    text = text.strip()
    for word in re.split(r"[,;\s]+", _STYLES.get(text.lower(), text)):
        if energy_unit_meant(word):
            units.check_energy(word, where)
        elif length_unit_meant(word):
            units.check_length(word, where)
        elif force_unit_meant(word):
            units.check_force(word, where)
        else:
            _warn(f"{where} states {text[:60]!r}, of which the unit is not known here")


def _warn_of_mixture(kind: Kind, frames: Sequence[RawFrame]) -> None:
    """A charge that is not stated is 0; of a spin nothing is known then."""
    first_with: dict[float, str] = {}
    for frame in frames:
        values = [value for key, value in frame.stated.items() if kind_of(key) == kind]
        for value in values or ([0.0] if kind == "charge" else []):
            number = np.asarray(value)
            if number.size == 1 and number.dtype.kind in "iuf":
                first_with.setdefault(float(number.reshape(())), frame.place)
    if len(first_with) > 1:
        each = ", ".join(f"{value:g} (first in {place})" for value, place in first_with.items())
        _warn(
            f"the structures differ in {kind}: {each[:300]}. The model cannot see it: train on "
            f"those of one {kind} alone"
        )


def _warn(message: str) -> None:
    warnings.warn(message, SuspiciousDataWarning, stacklevel=5)
