"""Whether files that a command was given are there: asked before torch, and with it their readers.

A misspelt name is then told in a tenth of a second instead of two. What is in the files is for
their readers to judge, and so is a file that goes away in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlpotential.errors import DataError, ModelFileError


def require_model_files(paths: Iterable[str | Path]) -> None:
    """Raises ModelFileError, in the words of their reader, if one of them is not there."""
    for path in paths:
        if reason := _reason_of_absence(path):
            raise ModelFileError(f"cannot read the model file {path}: {reason}")


def require_data_files(paths: Iterable[str | Path]) -> None:
    """Raises DataError if one of them is not there."""
    for path in paths:
        if reason := _reason_of_absence(path):
            raise DataError(f"cannot read {path}: {reason}")


def _reason_of_absence(path: str | Path) -> str | None:
    try:
        Path(path).stat()
    except OSError as error:
        return error.strerror
    return None
