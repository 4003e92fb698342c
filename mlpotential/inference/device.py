"""Which device to use."""

from __future__ import annotations

import torch

from mlpotential.errors import ConfigError


def resolve_device(name: str | torch.device) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; a device of torch goes by its name.

    Raises:
        ConfigError: if the device is unknown or not there.
    """
    if isinstance(name, torch.device):
        name = str(name)
    if not isinstance(name, str):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:N, not {name!r}")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:N, not {name!r}")
    if kind == "cuda" and torch.cuda.device_count() <= int(index or 0):
        raise ConfigError(
            f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices): use cpu"
        )
    return torch.device(name)
