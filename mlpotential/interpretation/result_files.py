"""Folders of results: arrays and tables, written in one step. No torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically


def made_folder(folder: str | Path) -> Path:
    """The folder, made where it is not there. Raises RunError if that cannot be."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write in the folder {folder}: {error.strerror}") from error
    return path


def save_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """A compressed archive of NumPy. Raises RunError as `write_atomically`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
