"""Units of data files: always declared by the user, and compared with what the file itself says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlpotential.errors import DataError, nearest_name
from mlpotential.properties import OWN_LABELS
from mlpotential.units import (
    ANGSTROM2_PER_AREA_UNIT,
    ANGSTROM3_PER_POLARIZABILITY_UNIT,
    ANGSTROM_PER_LENGTH_UNIT,
    E_ANGSTROM_PER_DIPOLE_UNIT,
    EV_PER_ENERGY_UNIT,
)

# Spellings met in files (SchNetPack and sGDML write ASE's names), as `_squeezed` leaves them.
_ENERGY_SPELLINGS = {
    **{name.lower(): name for name in EV_PER_ENERGY_UNIT},
    **dict.fromkeys(("ha", "eh", "au", "a.u."), "Hartree"),
    "ry": "Rydberg",
    "electronvolt": "eV",
    "kcalmol-1": "kcal/mol",
    "kjmol-1": "kJ/mol",
}
_LENGTH_SPELLINGS = {
    **{name.lower(): name for name in ANGSTROM_PER_LENGTH_UNIT},
    **dict.fromkeys(("ang", "a"), "Angstrom"),
    **dict.fromkeys(("a0", "au", "a.u."), "Bohr"),
    "nanometer": "nm",
}
_FORCE_SPELLINGS = {
    spelling: f"{energy}/{length}"
    for e, energy in _ENERGY_SPELLINGS.items()
    for a, length in _LENGTH_SPELLINGS.items()
    for spelling in (f"{e}/{a}", f"{e}{a}-1", f"{e}{a}" if "/" in e else f"{e}/{a}")
} | dict.fromkeys(("au", "a.u."), "Hartree/Bohr")
_DIPOLE_SPELLINGS = {
    "eang": "e*Angstrom",
    "ea": "e*Angstrom",
    "d": "Debye",
    "ebohr": "a.u.",
    "ea0": "a.u.",
}
_POWER_SPELLINGS = {  # as `_squeezed` leaves `a0^3` and `Ang^2`
    f"{spelling}{power}": f"{name}^{power}"
    for spelling, name in _LENGTH_SPELLINGS.items()
    if name in ("Angstrom", "Bohr") and spelling not in ("au", "a.u.")
    for power in (2, 3)
}
_OWN_LABEL_SPELLINGS = {
    "dipole": _DIPOLE_SPELLINGS | {"au": "a.u."},
    "dipole_magnitude": _DIPOLE_SPELLINGS | {"au": "a.u."},
    "polarizability": _POWER_SPELLINGS | {"au": "a.u."},
    "spatial_extent": _POWER_SPELLINGS,
}
_SCALAR_SPELLINGS = _ENERGY_SPELLINGS | _DIPOLE_SPELLINGS | _POWER_SPELLINGS


_UNITS_OF_SCALARS = {  # name: (unit in this program, factor to it)
    **{name: ("eV", factor) for name, factor in EV_PER_ENERGY_UNIT.items()},
    **{name: ("e A", factor) for name, factor in E_ANGSTROM_PER_DIPOLE_UNIT.items()},
    **{name: ("A", factor) for name, factor in ANGSTROM_PER_LENGTH_UNIT.items()},
    **{name: ("A^2", factor) for name, factor in ANGSTROM2_PER_AREA_UNIT.items()},
    **{name: ("A^3", factor) for name, factor in ANGSTROM3_PER_POLARIZABILITY_UNIT.items()},
}
del _UNITS_OF_SCALARS["a.u."]  # of which quantity?


class SuspiciousDataWarning(UserWarning):
    """Reference data that can be used, but look as if something were wrong with them."""


def ev_per_energy(unit: str) -> float:
    """Factor from a named energy unit to eV. Raises DataError if the name is unknown."""
    return _factor("energy", unit, EV_PER_ENERGY_UNIT)


def angstrom_per_length(unit: str) -> float:
    """Factor from a named length unit to A. Raises DataError if the name is unknown."""
    return _factor("length", unit, ANGSTROM_PER_LENGTH_UNIT)


def ev_per_angstrom(unit: str) -> float:
    """Factor from a force unit such as `Hartree/Bohr` to eV/A. Raises DataError if unknown."""
    energy, slash, length = unit.rpartition("/")
    if not slash or energy not in EV_PER_ENERGY_UNIT or length not in ANGSTROM_PER_LENGTH_UNIT:
        meant = force_unit_meant(unit)
        raise DataError(
            f"unknown force unit {unit!r}: give an energy unit per length unit, such as "
            "'Hartree/Bohr' or 'kcal/mol/Angstrom'."
            + (f" Did you mean {meant!r}?" if meant else "")
        )
    return ev_per_energy(energy) / angstrom_per_length(length)


def energy_unit_meant(text: object) -> str | None:
    """Our name of an energy unit as programs spell it, such as `kcal/mol`; None if unknown."""
    return _meant(text, _ENERGY_SPELLINGS)


def length_unit_meant(text: object) -> str | None:
    """Our name of a length unit as programs spell it, such as `Ang`; None if unknown."""
    return _meant(text, _LENGTH_SPELLINGS)


def force_unit_meant(text: object) -> str | None:
    """Our name of a force unit as programs spell it, such as `Ha/a0`; None if unknown."""
    return _meant(text, _FORCE_SPELLINGS)


def scalar_unit(unit: str) -> tuple[str, float]:
    """The unit that a named scalar has in this program, and the factor to it.

    Energies are in eV, dipoles in e A, lengths, areas and volumes in powers of A; what is none of
    these stays in the unit it was declared in.

    Raises:
        DataError: if the name is almost, but not quite, that of a known unit.
    """
    if unit in _UNITS_OF_SCALARS:
        return _UNITS_OF_SCALARS[unit]
    spelt = {_squeezed(name): name for name in _UNITS_OF_SCALARS} | _ENERGY_SPELLINGS
    meant = spelt.get(_squeezed(unit))
    if meant or not unit.strip():
        hint = f" Did you mean {meant!r}?" if meant else ""
        raise DataError(f"unknown unit {unit!r} of a scalar.{hint}")
    return unit, 1.0


def _meant(text: object, spellings: Mapping[str, str]) -> str | None:
    squeezed = _squeezed(text)
    return spellings.get(squeezed, spellings.get(squeezed.removesuffix("s")))


def _squeezed(text: object) -> str:
    """`kcal / (mol * \u00c5)` -> `kcal/mola`, `Hartree per bohr` -> `hartree/bohr`."""
    words = str(text).strip().lower().replace("\u00e5", "a")
    return re.sub(r"[\s()\[\]*^_\u00b7]", "", re.sub(r"[\s_]per[\s_]", "/", words))


@dataclass(frozen=True)
class DeclaredUnits:
    """The units the user declares; forces are in energy unit / length unit unless `force` is given.

    `labels` has those of labels with a unit of their own and of named scalars that are read. The
    energy unit is None where structures are read without labels: what a file states of it and of
    forces is passed over.

    Raises:
        DataError: if a name is unknown.
    """

    energy: str | None
    length: str
    labels: Mapping[str, str] = field(default_factory=dict)
    force: str | None = None

    def __post_init__(self) -> None:
        angstrom_per_length(self.length)
        for label in (*(("energy", "forces") if self.energy is not None else ()), *self.labels):
            self.factor(label)

    def factor(self, label: str) -> float:
        """From the declared unit of a label to that of this program."""
        if label in OWN_LABELS:
            return _factor(label, self.labels[label], OWN_LABELS[label].declared_units)
        if label in self.labels:
            return scalar_unit(self.labels[label])[1]
        if label == "forces":
            return ev_per_angstrom(self.force or f"{self.energy}/{self.length}")
        assert self.energy is not None, "energies are not read without it"
        return ev_per_energy(self.energy)

    def check_energy(self, in_file: object, place: str) -> None:
        """Raises DataError if the file states another energy unit."""
        if self.energy is None:
            return
        _compare("energy", self.energy, in_file, _ENERGY_SPELLINGS, place)

    def check_length(self, in_file: object, place: str) -> None:
        """Raises DataError if the file states another length unit."""
        _compare("length", self.length, in_file, _LENGTH_SPELLINGS, place)

    def check_force(self, in_file: object, place: str) -> None:
        """Raises DataError if the file states another force unit, such as `eV/Ang`."""
        if self.energy is None:
            return
        declared = self.force or f"{self.energy}/{self.length}"
        how = "was declared" if self.force else "follows from the declared units"
        _compare("force", declared, in_file, _FORCE_SPELLINGS, place, how)

    def check_label(self, label: str, in_file: object, place: str) -> None:
        """Raises DataError if the file states another unit of this label."""
        if label in OWN_LABELS:
            spellings = {_squeezed(name): name for name in OWN_LABELS[label].declared_units}
            spellings |= _OWN_LABEL_SPELLINGS.get(label, {})
            declared = self.labels[label].removeprefix("-")  # the sign of a stress is not stated
            _compare(label, declared, in_file, spellings, place)
        elif label in self.labels:
            known = {_squeezed(name): name for name in (*_UNITS_OF_SCALARS, self.labels[label])}
            _compare(label, self.labels[label], in_file, _SCALAR_SPELLINGS | known, place)
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
    kind: str,
    declared: str,
    in_file: object,
    spellings: Mapping[str, str],
    place: str,
    how: str = "was declared",
) -> None:
    meant = _meant(in_file, spellings)
    if meant is None:
        warnings.warn(
            f"{place} states {in_file!r} as {kind} unit, which is not known here; "
            f"the declared {declared} is used",
            SuspiciousDataWarning,
            stacklevel=2,
        )
    elif meant != declared:
        raise DataError(
            f"{place} states the {kind} unit {in_file!r}, but {declared!r} {how}: "
            f"declare {kind}_unit {meant!r}, or correct the file"
        )
