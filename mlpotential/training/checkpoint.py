"""The state of a training run on disk: replaced in one step, read without running code.

Its fingerprint says which run it is of.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

import torch

from mlpotential.errors import RunError
from mlpotential.models.outputs import Output, separated
from mlpotential.models.registry import ARCHITECTURES, DEFAULT_ARCHITECTURE
from mlpotential.run_folder import write_atomically
from mlpotential.training.config import TrainingConfig

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


def run_fingerprint(config: TrainingConfig, **others: Any) -> dict[str, Any]:
    """What two runs must share for one to continue the other's checkpoint."""
    settings = asdict(config)
    # the last two by their content
    for free in ("device", "checkpoint_interval_s", "start_from", "curvature_from"):
        del settings[free]
    if config.schedule != "cosine":  # a cosine ends at max_epochs; the others can be prolonged
        del settings["max_epochs"]
    return {f"training.{name}": value for name, value in settings.items()} | others


def require_same_run(stored: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Raises RunError, which names what differs, unless the fingerprints are of the same run."""
    stored = _with_later_settings(stored, wanted)
    names = sorted(set(stored) | set(wanted))
    differing = [n for n in names if stored.get(n) != wanted.get(n)]
    if differing:
        changes = "; ".join(f"{n}: {stored.get(n)!r} -> {wanted.get(n)!r}" for n in differing)
        raise RunError(
            f"{folder} holds a run with other settings ({changes}): "
            "choose another folder, or remove it to start again"
        )


def _with_later_settings(stored: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Settings that an older checkpoint does not know had what is their default now."""
    if "outputs" not in stored and "model" in stored:  # of version 0.1 or 0.2
        model, outputs = separated(stored["model"])
        weight = stored.pop("training.dipole_weight", 0.0)
        stored = stored | {
            "model": model,
            "outputs": {name: asdict(Output(**output)) for name, output in outputs.items()},
            "output_weights": {"dipole": weight} if "dipole" in outputs else {},
            "terms": {},
        }
    defaults = {f"training.{name}": value for name, value in _defaults(TrainingConfig).items()}
    defaults["architecture"] = DEFAULT_ARCHITECTURE
    completed = {name: defaults[name] for name in defaults.keys() & wanted.keys()} | stored
    architecture = ARCHITECTURES.get(completed.get("architecture", ""))
    if "model" in completed and architecture is not None:
        completed["model"] = _defaults(architecture.config_class) | completed["model"]
    return completed


def _defaults(settings: type[Any]) -> dict[str, Any]:
    """Of the settings of a dataclass that have one."""
    return {f.name: f.default for f in fields(settings) if f.default is not MISSING}
