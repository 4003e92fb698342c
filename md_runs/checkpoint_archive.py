"""Files of checkpoints: arrays and JSON of a format version that are whole, or are refused.

A file is a SHA-256 digest (32 bytes) followed by a NumPy archive of the arrays and the JSON text.
Reading it never runs code.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

DIGEST_SIZE = 32  # bytes of SHA-256
LONGEST_UNSAVED_S = 20.0  # chosen: a thousand times what a checkpoint costs


class CheckpointClock:
    """Tells when a run of slow steps should save itself, between the checkpoints it makes anyway.

    Args:
        longest_s: of a run that is not saved (s).
    """

    def __init__(self, longest_s: float = LONGEST_UNSAVED_S) -> None:
        self._longest_s, self._saved_at = longest_s, time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether so much time has gone."""
        return time.monotonic() - self._saved_at > self._longest_s

    def saved(self) -> None:
        """From now on."""
        self._saved_at = time.monotonic()


def write_archive(path: Path, version: int, content: Mapping[str, Any], **arrays: Any) -> None:
    """Replaces the file in one step. Raises RunError if the disk is full; the old one stays.

    Args:
        path: of the file.
        version: of the format.
        content: what JSON can hold.
        arrays: by name.
    """
    text = json.dumps({"format_version": version, **content})
    buffer = io.BytesIO()
    np.savez(buffer, text=np.array(text), **arrays)
    packed = buffer.getvalue()
    write_atomically(path, hashlib.sha256(packed).digest() + packed)


def read_archive(path: Path, newest: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Content, `format_version` with it, and arrays of a file.

    Args:
        path: of the file.
        newest: version of the format that can be read.

    Raises:
        RunError: if it is missing, damaged, foreign or of a newer version.
    """
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
    content = json.loads(str(arrays.pop("text")))
    if content["format_version"] > newest:
        raise RunError(
            f"{path} has format version {content['format_version']}; this program reads up to "
            f"{newest}: install a newer one"
        )
    return content, arrays
