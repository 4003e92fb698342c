"""Work that stands still is stopped: forces may come from programs that hang."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from mlpotential.errors import RunError

LOOKS = 4  # chosen: times within the limit


@contextlib.contextmanager
def stop_where_it_stands_still(step: Callable[[], int], limit_s: float) -> Iterator[None]:
    """Raises RunError inside the work when no new step was made within the limit.

    The alarm of the process looks; whoever else had set it gets it back. Outside the main thread,
    where Python hears no signals, nobody looks.

    Args:
        step: tells the number of steps done.
        limit_s: longest time without a new one (s).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen_step, n_in_vain = step(), 0

    def look(number: int, frame: FrameType | None) -> None:
        """Counts looks, not seconds: a process that was stopped and goes on is not at fault."""
        nonlocal seen_step, n_in_vain
        newest = step()
        n_in_vain = 0 if newest != seen_step else n_in_vain + 1
        seen_step = newest
        if n_in_vain == LOOKS:
            raise RunError(
                f"no new step within {limit_s:g} s after step {newest}: the forces do not come"
            )

    began = time.monotonic()
    previous = signal.signal(signal.SIGALRM, look)
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, limit_s / LOOKS, limit_s / LOOKS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)
        if left_s > 0.0:
            remaining = max(left_s - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, remaining, interval_s)
