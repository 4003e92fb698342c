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
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}  # by whether they shrink
    for parameter in model.parameters():
        groups[parameter.dim() > 1 and id(parameter) not in embeddings].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=learning_rate,
    )
