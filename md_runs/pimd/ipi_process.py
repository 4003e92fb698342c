"""A real i-PI process: it dies with its runner, is stopped softly, and is never awaited in vain."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlpotential.errors import RunError
from mlpotential.interruption import RunInterrupted, stop_on_signals

LOG_NAME = "i-pi.log"
POLL_S = 0.2  # chosen: how often outputs are looked at
GRACE_S = 20.0  # chosen: i-PI looks for signals once a second, then closes its files
LOG_TAIL_LINES = 15
DISK_FULL = ("No space left on device", "Disk quota exceeded")


def ipi_program() -> Path:
    """The script `i-pi` that belongs to the i-PI of this Python.

    Raises:
        RunError: if it is not there.
    """
    installed = importlib.metadata.files("ipi") or []
    candidates = [Path(str(file.locate())) for file in installed if file.name == "i-pi"]
    candidates.append(Path(sys.executable).with_name("i-pi"))
    for path in candidates:
        if path.is_file():
            return path.resolve()
    raise RunError("the program i-pi is missing: install it with pip install 'ipi>=3.3.1'")


@contextlib.contextmanager
def ipi_process(input_name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts i-PI in the folder, its words going to `LOG_NAME`; leaves none running."""
    launcher = Path(__file__).with_name("ipi_launcher.py")
    command = [sys.executable, "-P", str(launcher), str(os.getpid()), str(ipi_program())]
    with open(folder / LOG_NAME, "ab") as log:
        process = subprocess.Popen(
            [*command, input_name],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in a terminal reaches the runner only
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """One SIGTERM, at which i-PI writes a restart file (two would cut it short); then SIGKILL."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def follow(
    process: subprocess.Popen[bytes], newest_step: Callable[[], int], stall_limit_s: float
) -> float | None:
    """Waits for the end of i-PI.

    Args:
        process: running i-PI.
        newest_step: called often; the last step its outputs show.
        stall_limit_s: longest time without a new step (s).

    Returns:
        Steps per second after the start-up; None if too few steps were seen.

    Raises:
        RunError: if the run stands still.
        RunInterrupted: at SIGTERM, SIGINT or SIGHUP.
    """
    step, step_time = newest_step(), time.monotonic()
    first: tuple[int, float] | None = None  # the first new step, after the start-up
    finished = False
    with stop_on_signals() as request:
        while not finished:
            finished = _ended_within(process, POLL_S)
            newest, now = newest_step(), time.monotonic()
            if newest != step:
                step, step_time = newest, now
                first = first or (step, step_time)
            elif not finished and now - step_time > stall_limit_s:
                raise RunError(f"no new step within {stall_limit_s:g} s after step {step}")
            if request.signal_number and not finished:
                raise RunInterrupted(f"interrupted after step {step}", request.signal_number)
    if first is None or step == first[0]:
        return None
    return (step - first[0]) / (step_time - first[1])


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.poll() is not None


def log_tail(path: Path, start: int) -> str:
    """The end of what i-PI said from byte `start` on, led by the error if there was one."""
    with open(path, "rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    if any(words in line for line in lines for words in DISK_FULL):
        return f"the disk is full: make room, and the same command goes on. See {path}"
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    reason = errors[-1].removeprefix("mlpotential.errors.") if errors else "it gave no reason"
    return "\n".join([reason, f"The end of {path}:", *lines[-LOG_TAIL_LINES:]])
