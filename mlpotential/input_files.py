"""Files that a command was given: whether they are there, asked before torch and all the work.

A misspelt name is then told in a tenth of a second, and a result is not lost at the end. What is in
the files is for their readers to judge, and so is a file that goes away in between.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mlpotential.errors import ConfigError, DataError, ModelFileError

PICTURES = ("png", "pdf", "svg", "svgz", "eps", "ps", "jpg", "jpeg", "tif", "tiff", "webp", "pgf")


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


def check_output_file(path: str | Path | None, what: str = "") -> None:
    """Raises ConfigError for a file that could not be written after the work.

    Args:
        path: None is none.
        what: it is, with a blank behind it, for the message.
    """
    if path is None:
        return
    path = Path(path)
    reason = None
    if path.is_dir():
        reason = f"the output {path} is a folder: name a file"
    elif not path.parent.is_dir():
        reason = (
            f"No such folder (the folder {path.parent} of the output does not exist: make it first)"
        )
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = "no permission"
    if reason is not None:
        raise ConfigError(f"cannot write {what}{path}: {reason}")


def check_picture_file(path: str | Path | None, what: str = "the figure ") -> None:
    """`check_output_file`, and its ending names a kind of picture that matplotlib draws."""
    check_output_file(path, what)
    if path is None:
        return
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in PICTURES:
        raise ConfigError(
            f"cannot write {what}{path}: Format {ending!r} is no picture: end it in .png, .pdf or "
            ".svg"
        )


def unreadable(path: str | Path, error: Exception) -> str:
    """Why ASE could not read a structure file, as the end of a sentence.

    Args:
        path: of the file.
        error: whatever a reader of ASE has met.
    """
    from ase.io.formats import UnknownFileTypeError

    if isinstance(error, OSError):
        return error.strerror or str(error)
    if Path(path).is_file() and not Path(path).stat().st_size:
        return "it is empty"
    if Path(path).suffix == ".safetensors":
        return "it is a model file; the structure comes first, the model after --model"
    if isinstance(error, UnknownFileTypeError):
        return f"ASE knows no format of files like {Path(path).name!r}, such as .xyz or .cif"
    words = str(error).strip()
    if isinstance(error, LookupError | AssertionError | StopIteration) or not words:
        return f"its content is not what its ending says ({type(error).__name__} {words})"
    return words


def _reason_of_absence(path: str | Path) -> str | None:
    try:
        Path(path).stat()
    except OSError as error:
        return error.strerror
    return None
