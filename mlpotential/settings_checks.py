"""What a setting must be, with errors that name it. Free of torch and of ASE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

from mlpotential.errors import ConfigError, nearest_name


def check_number(name: str, value: object, zero_allowed: bool = False) -> None:
    """Raises ConfigError unless the value is a positive finite number, or zero where allowed."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    good = is_number and 0 <= value < math.inf  # type: ignore[operator]
    if not good or (value == 0 and not zero_allowed):
        expected = "zero or positive" if zero_allowed else "positive"
        raise ConfigError(f"{name} must be a {expected} number, not {value!r}")


def is_finite_number(value: object) -> bool:
    """Whether the value is a number of any sign."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_count(name: str, value: object, smallest: int = 1) -> None:
    """Raises ConfigError unless the value is a whole number of at least `smallest`."""
    is_count = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_count or value < smallest:  # type: ignore[operator]
        raise ConfigError(f"{name} must be a whole number of at least {smallest}, not {value!r}")


def require(holds: bool, name: str, expected: str, value: object) -> None:
    """Raises ConfigError saying what was expected of a setting, unless that holds."""
    if not holds:
        raise ConfigError(f"{name} must be {expected}, not {value!r}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises ConfigError, which names the nearest, unless the value is one of the choices."""
    if value not in choices:
        raise ConfigError(
            f"{name} must be one of {', '.join(choices)}, not {value!r}."
            + nearest_name(str(value), choices)
        )


def named_values(words: Sequence[str], expected: str) -> dict[str, str]:
    """`dipole=debye gap=eV` by name.

    Args:
        words: one for each name.
        expected: what to write instead, for messages.

    Raises:
        ConfigError: for a word that is no such pair, or a name that comes twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if not (name and value):
            raise ConfigError(f"{word!r} names no value: {expected}")
        if name in found:
            raise ConfigError(f"{name} is given twice, {found[name]!r} and {value!r}")
        found[name] = value
    return found
