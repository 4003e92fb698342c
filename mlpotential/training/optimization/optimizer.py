"""Adam and, with weight decay, AdamW (I. Loshchilov, F. Hutter, arXiv:1711.05101)."""

from __future__ import annotations

import torch
from torch import nn


def make_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Of all parameters of a model.

    Args:
        model: to be trained.
        learning_rate: at the start.
        weight_decay: how fast weights of dense layers shrink, in units of the learning rate.
            Biases, and embeddings, of whose rows a batch holds few, never do.
    """
    if weight_decay == 0.0:
        return torch.optim.Adam(model.parameters(), lr=learning_rate)
    kept = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    shrinking = [p for p in model.parameters() if p.dim() > 1 and id(p) not in kept]
    kept |= {id(p) for p in model.parameters()} - {id(p) for p in shrinking}
    groups = [
        {"params": shrinking, "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if id(p) in kept], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate)
