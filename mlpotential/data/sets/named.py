"""Published sets by name: `qm9`, or `NAME:PATH` with a file, whose units the name says. No torch.

A path that has such a form is meant as a path when it begins with `./`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mlpotential.errors import DataError


@dataclass(frozen=True)
class NamedSet:
    """Where the structures come from, and the units that are known without being declared."""

    energy_unit: str
    length_unit: str
    has_path: bool = True


NAMED_SETS = {
    "qm9": NamedSet("eV", "Angstrom", has_path=False),  # converted from Hartree when read
    "md17": NamedSet("kcal/mol", "Angstrom"),
    "rmd17": NamedSet("kcal/mol", "Angstrom"),
    "qm7x": NamedSet("eV", "Angstrom"),
    "c20": NamedSet("eV", "Angstrom"),
    "crystals": NamedSet("eV", "Angstrom"),
}


def split_name(text: str) -> tuple[str | None, str]:
    """`md17:x.npz` -> md17, x.npz; `qm9` -> qm9, nothing; a path alone has no name.

    Raises:
        DataError: for the name of a set that comes from a file, alone.
    """
    name, colon, path = text.partition(":")
    named = NAMED_SETS.get(name)
    if named is None or (colon and not named.has_path):
        return None, text
    if named.has_path and not path:
        raise DataError(f"{name} is read from a file: give {name}:PATH")
    return name, path


def is_without_file(text: str) -> bool:
    """Whether this is a set that comes as it is, such as `qm9`."""
    name, path = split_name(text)
    return name is not None and not path


def joined_name(name: str, path: str) -> str:
    """The text that `split_name` takes apart."""
    return f"{name}:{path}" if path else name


def files_of(texts: Iterable[str | None]) -> list[str]:
    """The files that paths and names of sets mean; None and sets without a file have none.

    Raises:
        DataError: for the name of a set that comes from a file, alone.
    """
    return [path for text in texts if text and (path := split_name(text)[1])]


def known_units(
    text: str, energy_unit: str | None, length_unit: str | None
) -> tuple[str | None, str | None]:
    """The declared units or, of a named set, those that its name says.

    Those that this program has itself written into a file need not be declared either.

    Raises:
        DataError: if others are declared.
    """
    name, _ = split_name(text)
    if name is None and None in (energy_unit, length_unit):
        from mlpotential.data.readers.units_in_file import known_from_file

        written = known_from_file(text)
        return energy_unit or written.get("energy"), length_unit or written.get("length")
    if name is None:
        return energy_unit, length_unit
    named = NAMED_SETS[name]
    for kind, known, declared in (
        ("energy", named.energy_unit, energy_unit),
        ("length", named.length_unit, length_unit),
    ):
        if declared not in (None, known):
            raise DataError(
                f"{name} has the {kind} unit {known!r}, but {declared!r} was declared: leave out "
                f"{kind}_unit, or give the path alone where the file is another"
            )
    return named.energy_unit, named.length_unit
