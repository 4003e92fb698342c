"""What every reader hands over: one structure with its labels, still in the units of the file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mlpotential.errors import DataError, nearest_name

# Where a label is looked for when no key is given; if both exist, the key must be given.
KNOWN_KEYS = {
    "energy": ("energy", "REF_energy"),
    "forces": ("forces", "REF_forces"),
    "dipole": ("dipole", "REF_dipole"),
}


@dataclass(frozen=True)
class RawFrame:
    """One structure as the file has it.

    Attributes:
        atomic_numbers: [n_atoms].
        positions: [n_atoms, 3] (length unit of the file).
        place: where it stands, for error messages: `set.xyz, frame 3 (line 67)`.
        cell: lattice vectors as rows, [3, 3] (length unit of the file); None for a molecule.
        pbc: periodic directions, [3].
        energy: (energy unit of the file); None where it was not asked for.
        forces: [n_atoms, 3] (energy unit / length unit); None where they were not asked for.
        dipole: [3] (dipole unit of the file); None where it was not asked for.
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    place: str
    cell: np.ndarray | None = None
    pbc: np.ndarray | Sequence[bool] | bool = False
    energy: float | None = None
    forces: np.ndarray | None = None
    dipole: np.ndarray | None = None


@dataclass(frozen=True)
class LabelRequest:
    """Which labels to read, and under which keys: None leaves it to the reader's documented names.

    Raises:
        DataError: if `properties` names something else than energy, forces and dipole, or nothing.
    """

    properties: tuple[str, ...] = ("energy", "forces")
    energy_key: str | None = None
    forces_key: str | None = None
    dipole_key: str | None = None

    def __post_init__(self) -> None:
        for name in self.properties:
            if name not in KNOWN_KEYS:
                raise DataError(
                    f"unknown property {name!r}: reference data have 'energy', 'forces' and "
                    "'dipole'." + nearest_name(name, KNOWN_KEYS)
                )
        if not self.properties:
            raise DataError("no property was asked for: properties must name 'energy' or 'forces'")

    def key(self, label: str) -> str | None:
        """The explicit key of a label, or None."""
        keys = {"energy": self.energy_key, "forces": self.forces_key, "dipole": self.dipole_key}
        return keys[label]


def choose_key(
    label: str, request: LabelRequest, known: Sequence[str], present: Collection[str], place: str
) -> str:
    """The key a label stands under.

    Args:
        label: `energy`, `forces` or `dipole`.
        request: its explicit key counts alone, where there is one.
        known: the names looked for otherwise.
        present: the keys that exist.
        place: where, for the message.

    Raises:
        DataError: if the key, or every known name, is absent, or if several known names exist.
    """
    keys = ", ".join(sorted(present)) or "none"
    asked = request.key(label)
    if asked is not None:
        if asked in present:
            return asked
        raise DataError(
            f"{place}: no {label} under the key {asked!r} that was asked for; keys there: {keys}."
            + nearest_name(asked, present)
        )
    found = [name for name in known if name in present]
    if len(found) > 1:
        raise DataError(
            f"{place}: {label} could be any of {', '.join(found)}: say which with {label}_key"
        )
    if not found:
        raise DataError(
            f"{place}: no {label} (looked for {', '.join(known)}); keys there: {keys}. "
            f"Name the right one with {label}_key, or leave {label!r} out of the properties"
        )
    return found[0]


def single_number(value: object, key: str, place: str) -> float:
    """A label of one number, also when it is wrapped in arrays of length one.

    Raises:
        DataError: if it is anything else.
    """
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        raise DataError(f"{place}: {key} should be one number, not {str(value)[:60]!r}")
    return float(array.reshape(()))


def vector(value: object, key: str, place: str) -> np.ndarray:
    """A label of one vector, [3], also as a row or column of a matrix.

    Raises:
        DataError: if it is anything else.
    """
    array = np.asarray(value)
    if array.size != 3 or array.dtype.kind not in "iuf":
        raise DataError(f"{place}: {key} should be three numbers, not {str(value)[:60]!r}")
    return array.reshape(3).astype(np.float64)


def vectors(value: object, n_atoms: int, key: str, place: str) -> np.ndarray:
    """A label of one vector per atom, [n_atoms, 3].

    Raises:
        DataError: if it is anything else.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"{place}: {key} is ragged; expected ({n_atoms}, 3) numbers") from error
    if array.shape != (n_atoms, 3) or array.dtype.kind not in "iuf":
        raise DataError(
            f"{place}: {key} has shape {array.shape} and type {array.dtype}; "
            f"expected ({n_atoms}, 3) numbers"
        )
    return array.astype(np.float64)
