"""The log of a training: what is said in the course of it, with times, machine and versions.

Lines are only appended, so that a training that was continued shows when it stopped and went on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from mlpotential import __version__
from mlpotential.errors import InputError, RunError

LOG_NAME = "training.log"
PROCESSOR = Path("/proc/cpuinfo")  # Linux

log = logging.getLogger("mlpotential")


@contextlib.contextmanager
def logged_in(folder: Path) -> Iterator[None]:
    """Whatever is logged in the meantime goes into `LOG_NAME`, and what ends it.

    Raises:
        RunError: if the file cannot be written.
    """
    handler, level = _LogFile(folder / LOG_NAME), log.level
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        log.debug(f"mlpotential {__version__}, torch {torch.__version__}, {machine()}")
        yield
    except InputError as error:
        log.debug(str(error))
        raise
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def machine() -> str:
    """Python, process and processor."""
    processor = platform.processor() or platform.machine()
    if PROCESSOR.exists():
        lines = [line.partition(": ") for line in PROCESSOR.read_text().splitlines()]
        processor = next((v for name, _, v in lines if name.startswith("model name")), processor)
    return (
        f"Python {platform.python_version()}, process {os.getpid()} on {platform.node()} "
        f"({processor}, {os.cpu_count()} processors)"
    )


class _LogFile(logging.Handler):
    """A line with the time for each line that is logged."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """As of every handler; raises RunError if the file cannot be written."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        lines = [f"{now}  {line}\n" for line in record.getMessage().splitlines()]
        try:
            with open(self._path, "a") as file:
                file.writelines(lines)
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror}") from error
