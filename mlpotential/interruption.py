"""Signals as requests: the work finishes its step, saves, and then stops.

They are SIGTERM, SIGINT (Ctrl-C) and SIGHUP, which comes when a terminal closes or ssh is lost.
Under `nohup` the last is ignored, and stays so.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from mlpotential.errors import RunError

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class RunInterrupted(RunError):
    """The run was asked to stop and has saved itself; the same command continues it.

    Attributes:
        signal_number: the signal that asked; shells expect the exit code 128 + signal_number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@dataclass
class StopRequest:
    """The signal received so far; 0 while there is none."""

    signal_number: int = 0


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the signals into a request, as `at_first_signal`."""
    request = StopRequest()

    def note(number: int) -> None:
        request.signal_number = number

    with at_first_signal(note):
        yield request


@contextlib.contextmanager
def at_first_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Calls `act` with the number of the first signal; a second one acts as it did before.

    Outside the main thread signals cannot be caught, so there they keep their usual effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in STOPPING}
    if previous[signal.SIGHUP] is signal.SIG_IGN:
        del previous[signal.SIGHUP]

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        restore()
        act(number)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()
