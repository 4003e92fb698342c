"""Files of checkpoints: arrays and one text that are whole, or are refused.

A file is a SHA-256 digest (32 bytes) followed by a NumPy archive of the arrays and the text.
Reading it never runs code.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

DIGEST_SIZE = 32  # bytes of SHA-256


def write_archive(path: Path, text: str, **arrays: Any) -> None:
    """Replaces the file in one step. Raises RunError if the disk is full; the old one stays."""
    buffer = io.BytesIO()
    np.savez(buffer, text=np.array(text), **arrays)
    content = buffer.getvalue()
    write_atomically(path, hashlib.sha256(content).digest() + content)


def read_archive(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Text and arrays of a file. Raises RunError if it is missing, damaged or foreign."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    digest, packed = data[:DIGEST_SIZE], data[DIGEST_SIZE:]
    if hashlib.sha256(packed).digest() != digest:
        raise RunError(
            f"the checkpoint {path} is damaged or was written by something else: start again "
            "in another folder"
        )
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return str(arrays.pop("text")), arrays
