"""Mistakes a user can mend: each says what was expected, what came, and what to do.

Commands print these as one line and end with a non-zero code; everything else is a defect of ours
and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used; its words may come from a file, so they are shown."""

    def __str__(self) -> str:
        return printable(super().__str__())


class StructureError(InputError):
    """Positions, elements, cell or periodicity that no energy can be computed for."""


class ExtrapolationError(StructureError):
    """A structure outside the data that its model was trained on, refused at the user's wish."""


class ExtrapolationWarning(UserWarning):
    """A structure is outside the data that its model was trained on."""


class DataError(InputError):
    """A reference data file that is missing, damaged, or lacks what was asked for."""


class ModelFileError(InputError):
    """A model file that is missing, damaged, or made by something else."""


class ConfigError(InputError):
    """A setting that is unknown, of the wrong type or out of range."""


class RunError(InputError):
    """A run that cannot start, go on, or be trusted."""


def printable(text: str) -> str:
    """Text for a terminal: what could steer it is written as Python writes it, `\\x1b` for ESC."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The end of an error message: ` Did you mean 'cutoff'?`, or nothing where no name is near."""
    by_lower_case = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return f" Did you mean {by_lower_case[matches[0]]!r}?" if matches else ""
