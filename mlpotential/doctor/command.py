"""`mlpotential doctor`: one line for each thing that a run needs or may use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mlpotential.command_line import Command
from mlpotential.doctor.finding import Check, Finding, contributed_checks, examined
from mlpotential.doctor.installation import installation_checks, later_checks

MARKS = {"good": "ok", "slow": "slow", "absent": "-", "broken": "BROKEN"}
EXAMPLES = """  mlpotential doctor
  mlpotential doctor --model model.safetensors
  mlpotential doctor > report.txt"""


def run(*, model: str | None = None) -> int:
    """Says what this installation has, and tests it; 1 where something that a run needs is broken.

    Marks: ok; slow, works at less than full speed; -, optional and not there; BROKEN.

    Args:
        model: a model file (.safetensors) to check, too.
    """
    n_broken = 0
    for name, check in _checks(model):
        found = examined(check)
        n_broken += found.health == "broken"
        print(line(name, found), flush=True)
    if n_broken:
        things = "1 thing that runs need is" if n_broken == 1 else f"{n_broken} things are"
        print(f"{things} broken: see the lines with BROKEN")
    else:
        print("everything that a run needs works")
    return 1 if n_broken else 0


def line(name: str, found: Finding) -> str:
    """What was found, in a line that can be searched for its mark."""
    return f"{MARKS[found.health]:<7}{name}: {' '.join(found.text.split())}"


def _checks(model: str | None) -> Iterator[tuple[str, Check]]:
    yield from installation_checks()
    yield from contributed_checks()
    yield from later_checks()
    if model is not None:
        from mlpotential.doctor.model_files import check_model_file

        yield f"model file {model}", partial(check_model_file, model)


DOCTOR = Command.of(run, EXAMPLES)
