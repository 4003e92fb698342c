"""What every reader hands over: one structure with its labels, still in the units of the file."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from mlpotential.errors import DataError, nearest_name
from mlpotential.properties import LABELS, SCALARS, label_row

# The label that a weight is of, "" for all of them, by its key in the singular.
_WEIGHT_OF = {"weight": "", "force_weight": "forces"} | {f"{name}_weight": name for name in LABELS}


@dataclass(frozen=True)
class RawFrame:
    """One structure as the file has it.

    Attributes:
        atomic_numbers: [n_atoms].
        positions: [n_atoms, 3] (length unit of the file).
        place: where it stands, for error messages: `set.xyz, frame 3 (line 67)`.
        cell: lattice vectors as rows, [3, 3] (length unit of the file); None for a molecule.
        pbc: periodic directions, [3].
        labels: those that were asked for, each a number or an array of the shape that
            `properties.label_row` states (units of the file).
        weights: of its labels in a loss, by label; 1 for those that are absent.
        stated: what stands under keys that look like a cell, units, a charge, ... (`data.stated`).
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    place: str
    cell: np.ndarray | None = None
    pbc: np.ndarray | Sequence[bool] | bool = False
    labels: Mapping[str, float | np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    stated: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelRequest:
    """Which labels to read, and under which keys: none leaves it to the reader's documented names.

    Attributes:
        properties: names of labels and of named scalars; empty for structures alone.
        keys: under which they stand in the file.
        declared: names whose unit was declared: all named scalars have one.

    Raises:
        DataError: if `properties` names something that reference data do not have.
    """

    properties: tuple[str, ...] = ("energy", "forces")
    keys: Mapping[str, str | None] = field(default_factory=dict)
    declared: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in self.properties:
            if name not in LABELS and name not in self.declared:
                *others, last = map(repr, LABELS)
                raise DataError(
                    f"unknown property {name!r}: reference data have {', '.join(others)} and "
                    f"{last}, and other scalars in a declared unit: give {name}_unit."
                    f"{nearest_name(name, LABELS)}"
                )

    def names(self, label: str) -> set[str]:
        """Those under which a label is looked for."""
        asked = self.keys.get(label)
        return set(label_row(label).keys) if asked is None else {asked}


def choose_key(
    label: str, request: LabelRequest, known: Sequence[str], present: Collection[str], place: str
) -> str:
    """The key a label stands under.

    Args:
        label: a name of `properties.LABELS`.
        request: its explicit key counts alone, where there is one.
        known: the names looked for otherwise.
        present: the keys that exist.
        place: where, for the message.

    Raises:
        DataError: if the key, or every known name, is absent, or if several known names exist.
    """
    keys = ", ".join(sorted(present)) or "none"
    asked = request.keys.get(label)
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


def is_weight(key: str) -> bool:
    """Whether a key names a weight, as `label_weights` understands it."""
    return _singular(key) in _WEIGHT_OF


def _singular(key: str) -> str:
    return key.lower().removeprefix("config_").removesuffix("s")


def label_weights(values: Mapping[str, object], place: str) -> dict[str, float]:
    """Weights of the labels of one structure in a loss, by label; empty where none is given.

    `weight` counts for all labels, `energy_weight`, `forces_weight`... for one; both multiply.
    Names of other programs (`config_weight`, `config_energy_weight`, `force_weight`) and plurals
    are understood, too.

    Args:
        values: what stands beside the structure, by key.
        place: where, for the message.

    Raises:
        DataError: if a weight is no number, negative or given twice.
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        label = _WEIGHT_OF.get(_singular(key))
        if label is None:
            continue
        if label in found:
            raise DataError(f"{place}: {key} gives a second weight of the {label or 'structure'}")
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "iuf" or not 0.0 <= array.item() < math.inf:
            raise DataError(
                f"{place}: {key} should be a number, zero or positive, not {str(value)[:60]!r}"
            )
        found[label] = float(array.item())
    of_all = found.pop("", None)
    if of_all is None:
        return found
    return {label: of_all * found.get(label, 1.0) for label in (*LABELS, SCALARS)}


def checked_label(
    label: str, value: object, n_atoms: int, key: str, place: str
) -> float | np.ndarray:
    """One label of one structure in the shape that `properties.label_row` states.

    That of a structure may be wrapped in arrays of length one, or be a row of as many numbers; six
    numbers of a stress are xx, yy, zz, yz, xz, xy, as in ASE.

    Raises:
        DataError: if it is anything else.
    """
    row = label_row(label)
    shape = row.array_shape(n_atoms, n_graphs=1)
    if row.per == "atom":
        return _of_atoms(value, shape, key, place)
    array = np.asarray(value)
    if label == "stress" and array.size == 6 and array.dtype.kind in "iuf":
        array = voigt_6_to_full_3x3_stress(array.reshape(6).astype(np.float64))
    if array.size != math.prod(shape) or array.dtype.kind not in "iuf":
        n = math.prod(shape)
        expected = {1: "one number", 3: "three numbers"}.get(n, f"{n} numbers")
        raise DataError(f"{place}: {key} should be {expected}, not {str(value)[:60]!r}")
    array = array.reshape(shape[1:])
    return array.astype(np.float64) if array.ndim else float(array)


def _of_atoms(value: object, shape: tuple[int, ...], key: str, place: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"{place}: {key} is ragged; expected {shape} numbers") from error
    if array.shape != shape or array.dtype.kind not in "iuf":
        raise DataError(
            f"{place}: {key} has shape {array.shape} and type {array.dtype}; "
            f"expected {shape} numbers"
        )
    return array.astype(np.float64)
