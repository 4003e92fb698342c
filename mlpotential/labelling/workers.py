"""Processes that each hold a calculator, evaluate structures, and can be killed while they hang.

    with CalculatorWorkers(NamedCalculator("emt"), n_processes=2, timeout_s=60) as workers:
        for number, outcome in workers.outcomes(enumerate(structures)):
            ...

An evaluation that takes too long costs its process, which is replaced; so does one that ends it.
All else that goes wrong is an outcome, too: nothing is lost by it but that one structure.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Any

from ase import Atoms

from mlpotential.errors import ConfigError
from mlpotential.labelling.evaluation import REQUIRED, Failure, Outcome
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.settings_checks import check_count, check_number

DEFAULT_TIMEOUT_S = 3600.0  # chosen: longer than one evaluation in dynamics ever is
STARTING_S = 300.0  # chosen: imports of large packages from a slow disk
LONGEST_LOG = 2**20  # bytes kept of what a calculator prints
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SCRIPT = Path(__file__).with_name("worker_process.py")


@dataclass(frozen=True)
class Abilities:
    """What a calculator says of itself.

    Attributes:
        known: its implemented properties.
        has_hessian: there is a `get_hessian`.
        charge_is_argument: it has an argument `charge`.
        kind: its class, with the module.
    """

    known: frozenset[str]
    has_hessian: bool
    charge_is_argument: bool
    kind: str


class CalculatorWorkers:
    """Some processes of one calculator, started when they are needed.

    Args:
        calculator: what each of them makes.
        n_processes: how many structures are evaluated at a time.
        timeout_s: longest time for one structure (s).

    Raises:
        ConfigError: for numbers that cannot be.
    """

    def __init__(
        self,
        calculator: NamedCalculator,
        n_processes: int = 1,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        check_count("number of processes", n_processes)
        check_number("calculator_timeout_s", timeout_s)
        self.calculator, self.n_processes, self.timeout_s = calculator, n_processes, timeout_s
        self._workers = [
            _Worker(calculator, k if n_processes > 1 else None, n_processes)
            for k in range(n_processes)
        ]

    def __enter__(self) -> CalculatorWorkers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Ends all processes; they are started again where they are needed."""
        for worker in getattr(self, "_workers", []):
            worker.kill()

    @property
    def abilities(self) -> Abilities:
        """Of the calculator. Raises ConfigError if it cannot be made."""
        first = self._workers[0]
        first.start()
        first.await_readiness()
        assert first.abilities is not None
        return first.abilities

    def evaluate(
        self,
        structures: Sequence[Atoms],
        required: Sequence[str] = REQUIRED,
        optional: Sequence[str] = (),
    ) -> list[Outcome]:
        """Of each structure, in their order. Raises ConfigError as `outcomes`."""
        outcomes = self.outcomes(enumerate(structures), required, optional)
        found = dict(outcome for outcome in outcomes if outcome is not None)
        return [found[k] for k in range(len(structures))]

    def outcomes(
        self,
        structures: Iterable[tuple[int, Atoms]],
        required: Sequence[str] = REQUIRED,
        optional: Sequence[str] = (),
        poll_s: float | None = None,
    ) -> Iterator[tuple[int, Outcome] | None]:
        """Of numbered structures, as they come.

        Args:
            structures: taken one by one, when a process has time for it.
            required: properties without which a structure has failed.
            optional: those that are asked for where the calculator has them.
            poll_s: give None whenever nothing came for so long (s), for whoever looks at signals.

        Raises:
            ConfigError: if the calculator cannot be made.
        """
        waiting = iter(structures)
        first = next(waiting, None)
        if first is None:
            return
        _ = self.abilities  # one process finds out whether there is such a calculator
        todo: list[tuple[int, Atoms]] = [first]
        properties = ([*required], [*optional])
        busy: list[_Worker] = []
        try:
            while True:
                for worker in self._workers:
                    if worker not in busy and (todo or _refill(todo, waiting)):
                        worker.ask(*todo.pop(), properties, self.timeout_s)
                        busy.append(worker)
                if not busy:
                    return
                found = _next_answers(busy, poll_s)
                if not found:
                    yield None
                for worker, outcome in found:
                    busy.remove(worker)
                    yield worker.number_of_structure, outcome
        finally:
            for worker in busy:  # whoever asked does not want to know any more
                worker.kill()


def _refill(todo: list[tuple[int, Atoms]], waiting: Iterator[tuple[int, Atoms]]) -> bool:
    todo.extend(item for item in [next(waiting, None)] if item is not None)
    return bool(todo)


def _next_answers(busy: Sequence[_Worker], poll_s: float | None) -> list[tuple[_Worker, Outcome]]:
    """Waits until at least one has answered, died or taken too long; none after `poll_s`."""
    end = None if poll_s is None else time.monotonic() + poll_s
    while True:
        now = time.monotonic()
        limits = [worker.deadline for worker in busy] + ([] if end is None else [end])
        ready = wait([w.connection for w in busy], max(0.0, min(limits) - now))
        found = []
        for worker in busy:
            if worker.connection in ready:
                outcome = worker.received()
            else:
                outcome = worker.too_late()
            if outcome is not None:
                found.append((worker, outcome))
        if found or (end is not None and time.monotonic() >= end):
            return found


class _Worker:
    """One process and what it is doing."""

    def __init__(self, calculator: NamedCalculator, number: int | None, n_processes: int) -> None:
        self._calculator, self._number, self._n_processes = calculator, number, n_processes
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._log: Any = None
        self.abilities: Abilities | None = None
        self._is_ready = False
        self._pending: tuple[Any, float] | None = None  # asked for before it was ready
        self._limit_s = self._asked_at = 0.0
        self.deadline = 0.0
        self.number_of_structure = -1

    @property
    def connection(self) -> Connection:
        """To the process, which runs."""
        assert self._connection is not None
        return self._connection

    def start(self) -> None:
        """Unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        self.kill()
        ours, theirs = Pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)  # so that it can be emptied
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(SCRIPT), str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for whoever asks; and it is killed as a whole
                env={**_threads(self._n_processes), **os.environ},
            )
        except OSError as error:
            ours.close()
            raise ConfigError(f"cannot start a process: {error.strerror}") from error
        finally:
            theirs.close()
        self._connection, self._is_ready = ours, False
        self.deadline = time.monotonic() + STARTING_S
        with contextlib.suppress(OSError):  # it has died already, which is found out later
            ours.send(
                {
                    "path": sys.path,
                    "directory": str(self._calculator.directory),
                    "name": self._calculator.name,
                    "arguments": dict(self._calculator.arguments),
                    "number": self._number,
                }
            )

    def await_readiness(self) -> None:
        """Raises ConfigError if there is no such calculator."""
        if self._is_ready:
            return
        if not self.connection.poll(max(0.0, self.deadline - time.monotonic())):
            self.kill()
            raise ConfigError(
                f"the calculator {self._calculator.text} was not made within {STARTING_S:g} s"
            )
        self._receive_readiness()

    def _receive_readiness(self) -> None:
        try:
            word, content = self.connection.recv()
        except (EOFError, OSError):
            reason = self._how_it_ended()
            raise ConfigError(
                f"making the calculator {self._calculator.text} ended its process: {reason}"
            ) from None
        if word == "cannot":
            self.kill()
            raise ConfigError(content)
        content["known"] = frozenset(content["known"])
        self.abilities, self._is_ready = Abilities(**content), True

    def ask(
        self, number: int, atoms: Atoms, properties: tuple[list[str], list[str]], limit_s: float
    ) -> None:
        """Sends a structure, now or when the calculator is made."""
        self.start()
        bare = atoms.copy()
        bare.set_constraint()
        self.number_of_structure, self._limit_s = number, limit_s
        self._pending = ((bare, *properties), limit_s)
        if self._is_ready:
            self._send()

    def _send(self) -> None:
        assert self._pending is not None
        (order, limit_s), self._pending = self._pending, None
        self._asked_at = time.monotonic()
        self.deadline = self._asked_at + limit_s
        with contextlib.suppress(OSError):  # it has died, which `received` finds out
            self.connection.send(order)

    def received(self) -> Outcome | None:
        """What came; None if it only became ready."""
        if self._pending is not None:
            self._receive_readiness()
            self._send()
            return None
        try:
            _, outcome = self.connection.recv()
        except (EOFError, OSError):
            seconds = time.monotonic() - self._asked_at
            return Failure("died", self._how_it_ended(), seconds)
        self._empty_log()
        found: Outcome = outcome
        return found

    def too_late(self) -> Outcome | None:
        """Kills the process if its time is over."""
        if time.monotonic() < self.deadline:
            return None
        was_ready = self._is_ready
        self.kill()
        if not was_ready:
            raise ConfigError(
                f"the calculator {self._calculator.text} was not made within {STARTING_S:g} s"
            )
        return Failure("timed out", f"no answer within {self._limit_s:g} s", self._limit_s)

    def kill(self) -> None:
        """The process and what it has started."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._log is not None:
            self._log.close()
            self._log = None
        self._is_ready, self._pending = False, None

    def _how_it_ended(self) -> str:
        """Of a process whose connection has ended, with the last line that it printed."""
        assert self._process is not None
        try:
            code = self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            code = 0
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"its process ended ({code})"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        self.kill()
        return f"{how}: {lines[-1].strip()}" if lines else how

    def _empty_log(self) -> None:
        if os.fstat(self._log.fileno()).st_size > LONGEST_LOG:
            os.ftruncate(self._log.fileno(), 0)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _threads(n_processes: int) -> dict[str, str]:
    """Of each process, where nobody has said how many: the cores are shared."""
    if n_processes == 1 or any(name in os.environ for name in THREADS):
        return {}
    each = max(1, len(os.sched_getaffinity(0)) // n_processes)
    return dict.fromkeys(THREADS, str(each))
