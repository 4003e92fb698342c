"""The state of a training run on disk: replaced in one step, read without running code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

CHECKPOINT_NAME = "checkpoint.pt"
_DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)  # whatever torch.load happens to meet in bytes of another kind


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Writes tensors, numbers and plain containers. Raises RunError where the disk refuses."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(folder / CHECKPOINT_NAME, buffer.getvalue())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The last checkpoint of a folder, or None where there is none.

    Raises:
        RunError: if the file is damaged or holds anything but tensors and plain containers.
    """
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or "fingerprint" not in state:
            raise ValueError("it is of another program")
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"the checkpoint {path} cannot be read ({reason}): remove it to start again"
        ) from error
    return state
