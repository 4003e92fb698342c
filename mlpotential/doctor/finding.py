"""What one check of an installation found, and how a check that fails itself is told.

Any installed package adds checks of its own by an entry point in the group `mlpotential.doctor`,
so that nothing here imports what is built upon it:

    [options.entry_points]            # setup.cfg of the other package
    mlpotential.doctor =
        dipoles = my_package.checks:CHECKS

    def check_program() -> Finding:   # my_package/checks.py
        path = shutil.which("dipoles")
        if path is None:
            return Finding("not found: install it with pip install dipoles", "broken")
        return Finding(path)

    CHECKS = {"dipoles": check_program}
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Literal

from mlpotential.errors import InputError

GROUP = "mlpotential.doctor"  # of entry points

# broken: a run needs it; slow: runs work without it, but take longer; absent: nothing needs it.
Health = Literal["good", "slow", "absent", "broken"]


@dataclass(frozen=True)
class Finding:
    """What there is, or what is wrong and what to do.

    Attributes:
        text: in one line.
        health: how much of a run works without it.
    """

    text: str
    health: Health = "good"


Check = Callable[[], Finding]


def examined(check: Check) -> Finding:
    """What a check finds; one that fails has found something broken."""
    try:
        return check()
    except InputError as error:  # says what to do
        return Finding(str(error), "broken")
    except Exception as error:  # whatever is broken raises whatever it likes: that is the finding
        reason = f"{type(error).__name__}: {error}"
        return Finding(f"{reason} (install the package again, or report this line)", "broken")


def contributed_checks() -> Iterator[tuple[str, Check]]:
    """Those of all installed packages, by name; of a package that cannot be loaded, why."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            checks: Mapping[str, Check] = point.load()
        except Exception as error:  # as above
            reason = f"{point.value} cannot be loaded ({type(error).__name__}: {error})"
            yield point.name, lambda reason=reason: Finding(reason, "broken")  # type: ignore[misc]
        else:
            yield from checks.items()


def program(name: str) -> Path | None:
    """A command of this installation: beside Python, or where the shell looks for it."""
    beside = Path(sys.executable).with_name(name)
    if beside.is_file():
        return beside
    found = shutil.which(name)
    return None if found is None else Path(found)


def check_of_program(name: str) -> Finding:
    """Of a command that comes with this package."""
    path = program(name)
    if path is None:
        return Finding(f"the command {name} is missing: install the package again", "broken")
    if shutil.which(name) is None:
        return Finding(f"{path}, which is not on PATH: call it so, or activate its environment")
    return Finding(str(path))
