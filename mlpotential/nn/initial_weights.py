"""What the weights of layers are before training."""

from __future__ import annotations

from torch import nn


def xavier(module: nn.Module) -> None:
    """Uniform weights after Glorot and zero biases, as in the original SchNet program."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
