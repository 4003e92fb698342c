"""What an importer says of a source that it does not use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlpotential.errors import ModelFileError


class Refusal(Exception):
    """Why a source is not used, as the end of a sentence that begins with its path."""


def shown(value: Any) -> str:
    """A value of a source for a message: on one line and short, whatever it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= 100 else f"{value[:100]}...")
    if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
        return repr(value)
    return f"a {type(value).__name__}"


def plain_number(name: str, value: Any) -> float:
    """A number of a source. Raises Refusal if it is none."""
    if isinstance(value, int | float) and abs(value) < 1e300:
        return float(value)
    raise Refusal(f"has a {name} that is no number: {shown(value)}")


@contextlib.contextmanager
def refusals_of(source: str | Path) -> Iterator[None]:
    """Turns a Refusal into a ModelFileError that names the source."""
    try:
        yield
    except Refusal as refusal:
        raise ModelFileError(f"{source} {refusal}") from None
