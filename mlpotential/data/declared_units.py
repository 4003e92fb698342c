"""Units of data files: always declared by the user, and compared with what the file itself says."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlpotential.errors import DataError, nearest_name
from mlpotential.properties import OWN_LABELS
from mlpotential.units import ANGSTROM_PER_LENGTH_UNIT, EV_PER_ENERGY_UNIT

# Spellings met in files (SchNetPack and sGDML write ASE's names), in lower case.
_ENERGY_SPELLINGS = {
    **{name.lower(): name for name in EV_PER_ENERGY_UNIT},
    "ha": "Hartree",
    "au": "Hartree",
    "ry": "Rydberg",
}
_LENGTH_SPELLINGS = {
    **{name.lower(): name for name in ANGSTROM_PER_LENGTH_UNIT},
    "ang": "Angstrom",
    "a": "Angstrom",
    "a0": "Bohr",
    "au": "Bohr",
}
_OWN_LABEL_SPELLINGS = {
    "dipole": {
        "e*ang": "e*Angstrom",
        "e*a": "e*Angstrom",
        "e ang": "e*Angstrom",
        "d": "Debye",
        "au": "a.u.",
        "e*bohr": "a.u.",
    }
}


class SuspiciousDataWarning(UserWarning):
    """Reference data that can be used, but look as if something were wrong with them."""


def ev_per_energy(unit: str) -> float:
    """Factor from a named energy unit to eV. Raises DataError if the name is unknown."""
    return _factor("energy", unit, EV_PER_ENERGY_UNIT)


def angstrom_per_length(unit: str) -> float:
    """Factor from a named length unit to A. Raises DataError if the name is unknown."""
    return _factor("length", unit, ANGSTROM_PER_LENGTH_UNIT)


def energy_unit_meant(text: object) -> str | None:
    """Our name of an energy unit as programs spell it, such as `kcal/mol`; None if unknown."""
    return _ENERGY_SPELLINGS.get(str(text).strip().lower())


def length_unit_meant(text: object) -> str | None:
    """Our name of a length unit as programs spell it, such as `Ang`; None if unknown."""
    return _LENGTH_SPELLINGS.get(str(text).strip().lower())


@dataclass(frozen=True)
class DeclaredUnits:
    """The units the user declares; forces are in energy unit / length unit.

    `labels` has those of `properties.OWN_LABELS` that are read.

    Raises:
        DataError: if a name is unknown.
    """

    energy: str
    length: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ev_per_energy(self.energy)
        angstrom_per_length(self.length)
        for label in self.labels:
            self.factor(label)

    def factor(self, label: str) -> float:
        """From the declared unit of a label to that of `properties.LABELS`."""
        if label in OWN_LABELS:
            return _factor(label, self.labels[label], OWN_LABELS[label].declared_units)
        energy = ev_per_energy(self.energy)
        return energy / angstrom_per_length(self.length) if label == "forces" else energy

    def check_energy(self, in_file: object, place: str) -> None:
        """Raises DataError if the file states another energy unit."""
        _compare("energy", self.energy, in_file, _ENERGY_SPELLINGS, place)

    def check_length(self, in_file: object, place: str) -> None:
        """Raises DataError if the file states another length unit."""
        _compare("length", self.length, in_file, _LENGTH_SPELLINGS, place)

    def check_force(self, in_file: object, place: str) -> None:
        """Raises DataError if the file states another force unit, such as `eV/Ang`."""
        energy, _, length = str(in_file).rpartition("/")
        self.check_energy(energy or in_file, place)
        self.check_length(length, place)

    def check_label(self, label: str, in_file: object, place: str) -> None:
        """Raises DataError if the file states another unit of this label."""
        if label in OWN_LABELS:
            spellings = {name.lower(): name for name in OWN_LABELS[label].declared_units}
            spellings |= _OWN_LABEL_SPELLINGS.get(label, {})
            _compare(label, self.labels[label], in_file, spellings, place)
        elif label == "forces":
            self.check_force(in_file, place)
        else:
            self.check_energy(in_file, place)


def _factor(kind: str, name: str, known: Mapping[str, float]) -> float:
    if name not in known:
        raise DataError(
            f"unknown {kind} unit {name!r}; known: {', '.join(known)}." + nearest_name(name, known)
        )
    return known[name]


def _compare(
    kind: str, declared: str, in_file: object, spellings: Mapping[str, str], place: str
) -> None:
    meant = spellings.get(str(in_file).strip().lower())
    if meant is None:
        warnings.warn(
            f"{place} states {in_file!r} as {kind} unit, which is not known here; "
            f"the declared {declared} is used",
            SuspiciousDataWarning,
            stacklevel=2,
        )
    elif meant != declared:
        raise DataError(
            f"{place} states the {kind} unit {in_file!r}, but {declared!r} was declared: "
            f"declare {meant!r}, or correct the file"
        )
