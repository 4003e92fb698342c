"""What a program has to say besides its results: one line each on standard error, every text once.

Warnings of this package come without Python's file and line, messages of its log as they are;
warnings of other packages keep the form that Python gives them.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TextIO

PACKAGES = ("mlpotential", "calculators", "md_runs")


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of words as lines of text: columns, each as wide as its longest word, to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True))
        for line in lines
    ]


def bar_hidden(hidden: bool = False) -> bool | None:
    """What tqdm's `disable` is for a bar on standard error; None shows it on terminals alone.

    A notebook's standard error is none, yet draws bars. They are the plain ones of text: those of
    `tqdm.auto` need another package, and go elsewhere.

    Args:
        hidden: on any standard error.
    """
    if hidden:
        return True
    return False if type(sys.stderr).__module__.startswith("ipykernel.") else None


@contextlib.contextmanager
def told_in_lines(program: str) -> Iterator[None]:
    """While it lasts, warnings and log messages are lines on standard error.

    Args:
        program: name that the lines of warnings begin with.
    """
    others, log = warnings.showwarning, logging.getLogger("mlpotential")

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if _is_ours():
            log.warning(" ".join(str(message).split()))
        else:
            others(message, category, filename, lineno, file, line)

    handler, level = _Lines(program), log.level
    with warnings.catch_warnings():
        warnings.showwarning = show
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(level)


class _Lines(logging.Handler):
    """Says information as it is, and what is worse as a warning."""

    def __init__(self, program: str) -> None:
        super().__init__(logging.INFO)
        self._program, self._said = program, set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        """As of every handler."""
        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            text = f"{self._program}: warning: {' '.join(text.split())}"
        if text not in self._said:
            self._said.add(text)
            _write(text)


def _is_ours() -> bool:
    """Whether the warning that is being shown was given by this package, whoever it names."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals["__name__"] in ("warnings", "_py_warnings"):
        frame = frame.f_back
    return frame.f_globals["__name__"].split(".")[0] in PACKAGES


def _write(text: str) -> None:
    """On standard error, above the progress bars that are there."""
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)
