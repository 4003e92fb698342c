"""A process that holds a calculator: `worker_process.py DESCRIPTOR PARENT_PID`.

Its parent tells it, over a pipe, what to make and then one structure after the other. It is a
process so that it can be killed while it hangs. It dies with its parent (Linux), and it imports
nothing of this program before it knows where that is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _main(descriptor: int, parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the parent has ended")
    with Connection(descriptor) as connection:
        try:
            order = connection.recv()
            os.chdir(order["directory"])
            sys.path[:] = [*order["path"], order["directory"]]
            _serve(connection, order)
        except (EOFError, BrokenPipeError):  # the parent has no more to ask
            pass


def _serve(connection: Connection, order: dict[str, Any]) -> None:
    from mlpotential.errors import InputError
    from mlpotential.labelling.charges import ChargedCalculator
    from mlpotential.labelling.evaluation import Answer, Failure, UnusableError, evaluated
    from mlpotential.labelling.named_calculator import NamedCalculator

    named = NamedCalculator(order["name"], order["arguments"], Path(order["directory"]))
    try:
        calculator = named.make()
        _separate_files(calculator, order["number"])
        known = sorted(getattr(calculator, "implemented_properties", ()))
        charged = ChargedCalculator(calculator)
        ready = {
            "known": known,
            "has_hessian": hasattr(calculator, "get_hessian"),
            "charge_is_argument": charged.takes_charge,
            "kind": f"{type(calculator).__module__}.{type(calculator).__name__}",
        }
    except InputError as error:
        connection.send(("cannot", str(error)))
        return
    connection.send(("ready", ready))
    while True:
        atoms, required, optional = connection.recv()
        start = time.monotonic()
        outcome: Answer | Failure
        try:
            charged.prepare(atoms)
            values = evaluated(calculator, atoms, required, optional)
            outcome = Answer(values, time.monotonic() - start)
        except UnusableError as error:
            outcome = Failure(error.reason, error.detail, time.monotonic() - start)
        connection.send(("outcome", outcome))


def _separate_files(calculator: Any, number: int | None) -> None:
    """Programs that write files get a folder for each process."""
    if number is not None and isinstance(getattr(calculator, "directory", None), str | Path):
        calculator.directory = str(Path(calculator.directory) / f"calculator_{number}")


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
