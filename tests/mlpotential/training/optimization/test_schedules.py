"""Learning rates: warm restarts as torch has them, warm-ups, and what an interruption changes."""

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

from mlpotential.errors import ConfigError
from mlpotential.training.checkpoint import load_checkpoint
from mlpotential.training.config import TrainingConfig
from mlpotential.training.config_file import read_config
from mlpotential.training.optimization.schedules import Schedule, rate_factor
from mlpotential.training.run import run_training

STEPS_PER_EPOCH = 5
WARM_UP = "--training.warmup_steps=20"


def optimizer_of(config):
    return torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=config.learning_rate)


def rates(config, n_steps, losses=None):
    """Those that the steps are made with."""
    optimizer = optimizer_of(config)
    schedule = Schedule(optimizer, config, STEPS_PER_EPOCH)
    found = []
    for step in range(n_steps):
        schedule.before_step(step)
        found.append(schedule.learning_rate)
        optimizer.step()
        schedule.after_step()
        if (step + 1) % STEPS_PER_EPOCH == 0:
            schedule.after_epoch(1.0 if losses is None else losses[step // STEPS_PER_EPOCH])
    return np.array(found)


@pytest.mark.parametrize("growth", [1, 2, 3])
def test_restarts_are_those_of_torch(growth):
    """Beyond three periods, whose beginnings are steps of the full rate."""
    config = TrainingConfig(
        schedule="warm_restarts", restart_period=2, restart_growth=growth, learning_rate=0.3
    )
    optimizer = optimizer_of(config)
    theirs = CosineAnnealingWarmRestarts(optimizer, T_0=2 * STEPS_PER_EPOCH, T_mult=growth)
    expected = []
    for _ in range(150):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    found = rates(config, 150)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    periods = [10 * growth**k for k in range(3)]
    beginnings = np.flatnonzero(found == 0.3)[:4]
    np.testing.assert_array_equal(beginnings, np.cumsum([0, *periods]))


def test_periods_do_not_depend_on_the_length_of_the_training():
    """So that a training may be prolonged."""
    factors = [
        rate_factor(77, TrainingConfig(schedule="warm_restarts", max_epochs=n, restart_period=3), 5)
        for n in (10, 1000)
    ]
    assert factors[0] == factors[1]


@pytest.mark.parametrize("schedule", ["exponential", "cosine", "warm_restarts", "plateau"])
def test_warm_up(schedule):
    """A straight line from the first step on, times the schedule; afterwards the schedule alone."""
    options = {"schedule": schedule, "learning_rate": 0.2, "decay_steps": 7, "max_epochs": 8}
    plain = rates(TrainingConfig(**options), 40)
    warmed = rates(TrainingConfig(**options, warmup_steps=12), 40)
    rise = np.minimum(np.arange(1, 41) / 12, 1.0)
    np.testing.assert_allclose(warmed, plain * rise, rtol=1e-12)


def test_a_plateau_after_the_warm_up_lowers_the_rate():
    config = TrainingConfig(
        schedule="plateau", plateau_patience=1, decay_factor=0.5, warmup_steps=7, learning_rate=1.0
    )
    found = rates(config, 30)
    np.testing.assert_allclose(found[:7], np.arange(1, 8) / 7)
    np.testing.assert_allclose(found[[14, 15, 25]], [1.0, 0.5, 0.25])


@pytest.mark.parametrize(
    "options",
    [
        ("--training.schedule=warm_restarts", "--training.restart_period=1", WARM_UP),
        ("--training.schedule=plateau", WARM_UP),
    ],
)
def test_a_run_in_parts_is_the_whole_run(config_file, tmp_path, options):
    for folder, ends in (("whole", (3,)), ("parts", (1, 3))):
        for end in ends:
            words = ["--folder", str(tmp_path / folder), f"--training.max_epochs={end}", *options]
            run_training(read_config(config_file, words), progress=False)
    texts = [(tmp_path / name / "history.csv").read_text() for name in ("whole", "parts")]
    assert texts[0] == texts[1]
    states = [load_checkpoint(tmp_path / name)["model"] for name in ("whole", "parts")]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


@pytest.mark.parametrize(
    "wrong", [{"restart_period": 0}, {"restart_growth": 0}, {"warmup_steps": -1}]
)
def test_numbers_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)
