"""The learning rate in the course of a training.

With a rate eta at the start, a period T and the time t since its beginning,

    exponential     eta_t = eta f^(step / n),                                               (1)
    cosine          eta_t = eta/2 [1 + cos(pi t / T)],  T the whole training,               (2)
    warm restarts   the same, each period `restart_growth` times as long as the one before.

Warm restarts (SGDR) are those of I. Loshchilov, F. Hutter, "SGDR: Stochastic gradient descent with
warm restarts", ICLR 2017, arXiv:1608.03983, Eq. (5) with eta_min = 0; the time goes on with each
step. A warm-up multiplies all of them by (step + 1) / `warmup_steps` until that is 1: the first
steps of Adam are as long as its rate whatever the gradients, which a network that is already
trained does not bear (fine-tuning).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from mlpotential.training.config import TrainingConfig


class Schedule:
    """Sets the rate of an optimizer; its state and the optimizer's are all it goes on from.

    Args:
        optimizer: with the rate at the start.
        config: of the training.
        steps_per_epoch: what periods in epochs are counted in.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int
    ) -> None:
        self._optimizer, self._config = optimizer, config
        self._scheduler: LambdaLR | ReduceLROnPlateau
        if config.schedule == "plateau":
            self._scheduler = ReduceLROnPlateau(
                optimizer, factor=config.decay_factor, patience=config.plateau_patience
            )
        else:
            self._scheduler = LambdaLR(
                optimizer, lambda step: rate_factor(step, config, steps_per_epoch)
            )

    @property
    def learning_rate(self) -> float:
        """Of the next step; during the warm-up of a plateau schedule, of the last one."""
        return float(self._optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> None:
        """The warm-up of a plateau schedule, which keeps its rate in the optimizer."""
        if isinstance(self._scheduler, ReduceLROnPlateau) and step < self._config.warmup_steps:
            for group in self._optimizer.param_groups:
                group["lr"] = self._config.learning_rate * warmup_factor(step, self._config)

    def after_step(self) -> None:
        """A step was made."""
        if isinstance(self._scheduler, LambdaLR):
            self._scheduler.step()

    def after_epoch(self, validation_loss: float) -> None:
        """An epoch was made."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(validation_loss)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Of a checkpoint."""
        self._scheduler.load_state_dict(state)


def rate_factor(step: int, config: TrainingConfig, steps_per_epoch: int) -> float:
    """The rate of a step, counted from 0, by that at the start; of all but the plateau schedule."""
    if config.schedule == "exponential":
        decay = float(config.decay_factor ** (step / config.decay_steps))  # Eq. (1)
    elif config.schedule == "cosine":
        decay = _cosine(step / (config.max_epochs * steps_per_epoch))
    else:
        first = config.restart_period * steps_per_epoch
        decay = _cosine(share_of_period(step, first, config.restart_growth))
    return decay * warmup_factor(step, config)


def _cosine(share: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))  # Eq. (2)


def share_of_period(step: int, first: int, growth: int) -> float:
    """t / T of a step: how much of its period is over, in whole numbers up to the division.

    Args:
        step: counted from 0.
        first: length of the first period (steps).
        growth: factor from each period to the next.
    """
    if growth == 1:
        return step % first / first
    since, period = step, first
    while since >= period:
        since, period = since - period, period * growth
    return since / period


def warmup_factor(step: int, config: TrainingConfig) -> float:
    """(step + 1) / `warmup_steps`, at most 1."""
    return min((step + 1) / config.warmup_steps, 1.0) if config.warmup_steps else 1.0
