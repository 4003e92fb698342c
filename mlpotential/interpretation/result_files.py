"""Arrays of results, written in one step. No torch."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.run_folder import write_atomically


def save_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """A compressed archive of NumPy. Raises RunError as `write_atomically`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())
