"""A committee: the same training from several seeds."""

from __future__ import annotations

import glob
from dataclasses import replace
from pathlib import Path

from mlpotential.errors import ConfigError
from mlpotential.training.config import RunConfig
from mlpotential.training.optimization.processes import ALONE, Processes
from mlpotential.training.run import MODEL_NAME, TrainingResult, run_training


def run_committee(
    config: RunConfig, n_members: int, progress: bool = True, processes: Processes = ALONE
) -> list[TrainingResult]:
    """Trains, or continues to train, members of seeds seed, seed + 1, ... one after another.

    All have the same data, split by `data.split_seed`. The member of seed s is in the folder
    `seed_s` of `config.folder`, and is a training run like any other.

    Raises:
        ConfigError: for less than two members.
        InputError, RunInterrupted: as `run_training`.
    """
    members = member_configs(config, n_members)
    return [run_training(member, progress, processes) for member in members]


def member_configs(config: RunConfig, n_members: int) -> list[RunConfig]:
    """The settings of each member. Raises ConfigError for less than two."""
    if n_members < 2:
        raise ConfigError(f"a committee has at least two members, not {n_members}")
    first = config.training.seed
    return [
        replace(
            config,
            training=replace(config.training, seed=seed),
            folder=str(Path(config.folder) / f"seed_{seed}"),
        )
        for seed in range(first, first + n_members)
    ]


def committee_pattern(config: RunConfig) -> str:
    """What names all models of a committee where one model file is expected."""
    return str(Path(glob.escape(config.folder)) / "seed_*" / MODEL_NAME)
