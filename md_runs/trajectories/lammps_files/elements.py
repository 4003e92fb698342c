"""Which elements the types of LAMMPS are: as told, or by their masses."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, chemical_symbols
from ase.data import atomic_numbers as number_of_symbol

from md_runs.trajectories.compressed_files import opened_lines
from md_runs.trajectories.structure_file import ISOTOPES, element_of, mass_of
from mlpotential.errors import RunError

MASS_TOLERANCE = 0.1  # amu; chosen: 12 for 12.011 is carbon, nickel is 0.24 from cobalt
NOT_FOUND_IN_NATURE = {43, 61, *range(84, 90), 91, *range(93, 119)}
_SECTION = re.compile(r"^[A-Z][A-Za-z ]*$")


@dataclass(frozen=True)
class AtomKinds:
    """What a dump tells of its atoms, in the order of their ids. None where it does not.

    Attributes:
        path: the file.
        types: [n_atoms].
        symbols: [n_atoms].
        masses: [n_atoms] (amu).
    """

    path: Path
    types: np.ndarray | None
    symbols: Sequence[str] | None
    masses: np.ndarray | None


def kinds_resolved(
    kinds: AtomKinds,
    elements: Sequence[str] | None,
    structure: Atoms | None,
    mass_of_type: Mapping[int, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers [n_atoms] and masses [n_atoms] (amu): those of the run, where they are known.

    Elements are those told of types, of the dump, of a structure, or by masses, in this order.

    Args:
        kinds: of a dump.
        elements: of types 1, 2, ...
        structure: the same atoms, in the order of their ids.
        mass_of_type: of the run (amu); empty where they are not known.

    Raises:
        RunError: elements that are not known, or contradict each other.

    Warns:
        UserWarning: an element whose mass is that of another.
    """
    masses = kinds.masses
    if masses is None and kinds.types is not None and mass_of_type.keys() >= set(kinds.types):
        masses = np.array([mass_of_type[int(kind)] for kind in kinds.types])
    if elements is not None:
        symbols = _of_types(kinds, elements)
    elif kinds.symbols is not None:
        symbols = list(kinds.symbols)
    elif structure is not None:
        _check_types(kinds, structure)
        return structure.get_atomic_numbers(), structure.get_masses()
    elif masses is not None:
        symbols = _by_mass(kinds, masses)
    else:
        raise RunError(
            f"{kinds.path} tells types of its atoms, but no elements: give them (--elements, of "
            "types 1, 2, ...), or a structure (--structure, atoms in the order of their ids), or "
            "the log or data file with masses beside it, or dump a column 'element'"
        )
    numbers = np.array([number_of_symbol.get(element_of(symbol), 0) for symbol in symbols])
    if 0 in numbers:
        atom = int(np.argmin(numbers))
        raise RunError(
            f"{kinds.path} has an atom of the element {symbols[atom]!r}, which is none: dump a "
            "column 'element' after dump_modify ID element ..., or give --elements"
        )
    if masses is None:
        return numbers, np.array([mass_of(symbol) for symbol in symbols])
    _warn_of_other_masses(kinds.path, numbers, masses)
    return numbers, masses


def masses_of_data_file(path: Path) -> dict[int, float]:
    """Of each type, from the section Masses, in its own units; empty where there is none.

    Raises:
        RunError: a file that cannot be read, or numbers that are none.
    """
    masses: dict[int, float] = {}
    is_inside = False
    try:
        with opened_lines(path) as lines:
            for line in lines:
                text = line.decode(errors="replace").partition("#")[0].strip()
                if _SECTION.match(text):
                    if is_inside:
                        break
                    is_inside = text == "Masses"
                elif is_inside and text:
                    kind, mass = text.split()[:2]
                    masses[int(kind)] = float(mass)
    except OSError as error:
        raise RunError(f"cannot read the data file {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise RunError(f"the masses of {path} cannot be read: {error}") from error
    return masses


def _of_types(kinds: AtomKinds, elements: Sequence[str]) -> list[str]:
    """The symbol of each atom. Raises RunError for types without one, or a dump without types."""
    if kinds.types is None:
        raise RunError(f"{kinds.path} has no column 'type': leave out --elements, or dump it")
    highest = int(kinds.types.max())
    if highest > len(elements) or kinds.types.min() < 1:
        raise RunError(
            f"{kinds.path} has atoms of type {highest}, but --elements names {len(elements)}: name "
            "one for each type, in their order"
        )
    return [elements[int(kind) - 1] for kind in kinds.types]


def _by_mass(kinds: AtomKinds, masses: np.ndarray) -> list[str]:
    """The symbol of each atom. Raises RunError for a mass that is of no element, or of several."""
    found = {mass: _symbols_of_mass(mass) for mass in set(masses.tolist())}
    for mass, symbols in found.items():
        if len(symbols) != 1:
            is_what = f"of {' or '.join(symbols)}" if symbols else "of no element"
            raise RunError(
                f"{kinds.path} tells no elements, and a mass of {mass:g} is {is_what}: give them "
                "(--elements, of types 1, 2, ...)"
            )
    return [found[mass][0] for mass in masses.tolist()]


def _symbols_of_mass(mass: float) -> list[str]:
    """Elements whose standard mass it nearly is, deuterium and tritium among them."""
    natural = [z for z in range(1, 119) if z not in NOT_FOUND_IN_NATURE]
    known = {chemical_symbols[z]: float(atomic_masses[z]) for z in natural} | ISOTOPES
    return [symbol for symbol, one in known.items() if abs(one - mass) < MASS_TOLERANCE]


def _warn_of_other_masses(path: Path, numbers: np.ndarray, masses: np.ndarray) -> None:
    """Of an element by name that is another by its mass: LAMMPS' own name for all types is C."""
    for number, mass in sorted(set(zip(numbers.tolist(), masses.tolist(), strict=True))):
        others = {element_of(symbol) for symbol in _symbols_of_mass(mass)}
        if others and chemical_symbols[number] not in others:
            warnings.warn(
                f"atoms of {path} are called {chemical_symbols[number]}, but have the mass of "
                f"{' or '.join(sorted(others))} ({mass:g}): without dump_modify ID element ... "
                "LAMMPS calls all of them C. Give --elements if the names are wrong",
                stacklevel=4,
            )


def _check_types(kinds: AtomKinds, structure: Atoms) -> None:
    """Raises RunError unless each type is one element, in the same order."""
    types = kinds.types
    if types is None:
        return
    if len(types) != len(structure):
        raise RunError(
            f"{kinds.path} has {len(types)} atoms, but the structure has {len(structure)}"
        )
    pairs = set(zip(types.tolist(), structure.symbols, strict=True))
    kinds_of_pairs = [kind for kind, _ in pairs]
    twice = next((kind for kind in kinds_of_pairs if kinds_of_pairs.count(kind) > 1), None)
    if twice is not None:
        elements = ", ".join(sorted(symbol for kind, symbol in pairs if kind == twice))
        raise RunError(
            f"atoms of type {twice} in {kinds.path} would be {elements} by the structure: its "
            "atoms must be in the order of their ids"
        )
