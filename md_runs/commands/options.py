"""What several sub-commands of `md-runs` share: settings, checks of what is named, isotopes."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ase.data import chemical_symbols

from mlpotential.errors import ConfigError, ExtrapolationWarning
from mlpotential.input_files import require_model_files

Settings = TypeVar("Settings")

# amu: M. Wang et al., Chin. Phys. C 45, 030003 (2021), doi:10.1088/1674-1137/abddaf (AME2020)
HYDROGENS = {"D": 2.014101778, "T": 3.016049281}


def taken(options: dict[str, Any], settings: type[Settings]) -> Settings:
    """Settings from the options of their names, which are taken out of `options`."""
    names = [field.name for field in fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: options.pop(name) for name in names})


@contextmanager
def printed_extrapolation() -> Iterator[None]:
    """For commands that print what a path-integral run says of it at its end: once is enough."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "extrapolation: ", ExtrapolationWarning)
        yield


def check_model(model: Path) -> None:
    """Raises ModelFileError, before torch is imported, for a file that cannot be read."""
    if glob.escape(str(model)) == str(model):  # no pattern of a committee
        require_model_files([str(model)])


def check_folder(path: Path, option: str) -> None:
    """Raises ConfigError, before the work, for a folder that is a file."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file: name a folder")


def parse_isotopes(texts: Sequence[str]) -> dict[str, float]:
    """Masses (amu) by element or number of the atom. Raises ConfigError for others.

    Args:
        texts: C=13.003 (an element), 4=2.014 (an atom, from 0), with D or T for the mass where that
            is meant; D alone is H=D.
    """
    masses = {}
    for text in texts:
        who, _, mass = f"H={text}".partition("=") if text in HYDROGENS else text.partition("=")
        try:
            masses[who] = HYDROGENS[mass] if mass in HYDROGENS else float(mass)
        except ValueError:
            masses[who] = float("nan")
        if not (who.isalnum() and np.isfinite(masses[who]) and masses[who] > 0):
            raise ConfigError(
                f"{text!r} is no isotope: write element or number of the atom and its new mass "
                "(amu, or D or T), C=13.003, 4=2.014 or H=D"
            )
    return masses


def isotope_masses(
    masses: np.ndarray, atomic_numbers: np.ndarray, isotopes: Mapping[str, float], what: object
) -> np.ndarray:
    """The masses with those of isotopes in their place, [n_atoms] (amu).

    Atoms that are named by their number keep what that says, whatever is said of their element.

    Args:
        masses: [n_atoms] (amu).
        atomic_numbers: [n_atoms].
        isotopes: of `parse_isotopes`.
        what: has these atoms, for messages.

    Raises:
        ConfigError: for atoms that are not there.
    """
    new_masses = masses.copy()
    symbols = np.array([chemical_symbols[int(z)] for z in atomic_numbers])
    for who, mass in sorted(isotopes.items(), key=lambda item: item[0].isdecimal()):
        chosen = np.arange(len(masses)) == int(who) if who.isdecimal() else symbols == who
        if not chosen.any():
            raise ConfigError(f"{what} has no atom {who!r} to give the mass {mass:g} amu")
        new_masses[chosen] = mass
    return new_masses
