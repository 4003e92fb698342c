"""The trainings of a study, one after another, each in a folder of its own.

A member is a training run like any other; beside its model it keeps how it ended, `outcome.json`,
so that a study that is begun again passes over what is finished without reading its data.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mlpotential.errors import InputError, RunError
from mlpotential.interruption import RunInterrupted
from mlpotential.run_folder import lock_folder, write_atomically
from mlpotential.training.config import RunConfig
from mlpotential.training.metrics import Errors
from mlpotential.training.optimization.processes import ALONE, Processes
from mlpotential.training.run import run_training
from mlpotential.training.training_log import log

OUTCOME_NAME = "outcome.json"


@dataclass(frozen=True)
class Member:
    """One training of a study.

    Attributes:
        values: what makes it another than the others, by name of the setting.
        config: its settings, the folder within that of the study included.
    """

    values: dict[str, Any]
    config: RunConfig

    @property
    def name(self) -> str:
        """That of its folder."""
        return Path(self.config.folder).name


@dataclass(frozen=True)
class Outcome:
    """How a member ended.

    Attributes:
        values: as of the `Member`.
        data_set: what the errors are over: `test` where there is one, else `validation`.
        errors: of the model.
        epochs, steps: that were made.
        wall_s, cpu_s: that they took, interruptions not counted, as of `TrainingResult`.
    """

    values: dict[str, Any]
    data_set: str
    errors: Errors
    epochs: int
    steps: int
    wall_s: float
    cpu_s: float


def run_members(
    members: Sequence[Member],
    folder: Path | None,
    after_each: Callable[[list[Outcome]], None],
    progress: bool = True,
    processes: Processes = ALONE,
) -> list[Outcome]:
    """Trains, or continues to train, one member after another.

    Args:
        members: of the study.
        folder: of the study, which nothing else may use meanwhile; None where studies share one, so
            that only the folders of members are locked.
        after_each: is shown all outcomes so far, by the first process alone.
        progress: show progress bars where standard error is a terminal.
        processes: that train together.

    Raises:
        RunError: if a member fails, which is named; the outcomes so far are kept.
        RunInterrupted: on SIGTERM, SIGINT or SIGHUP; the same call continues.
    """
    outcomes: list[Outcome] = []
    locked = folder if processes.is_first else None
    with contextlib.nullcontext() if locked is None else lock_folder(locked):
        for k, member in enumerate(members, start=1):
            outcome = _known_outcome(member) if processes.is_first else None
            outcome = processes.from_first(outcome)
            if outcome is None:
                log.info(f"{member.name}, {k} of {len(members)}")
                outcome = _trained(member, progress, processes)
            outcomes.append(outcome)
            if processes.is_first:
                after_each(outcomes)
    return outcomes


def _trained(member: Member, progress: bool, processes: Processes) -> Outcome:
    try:
        result = run_training(member.config, progress, processes)
    except RunInterrupted:
        raise
    except InputError as error:
        raise RunError(
            f"{member.name} failed: {error} (members that are finished are kept)"
        ) from error
    data_set = "test" if "test" in result.errors else "validation"
    errors = result.errors[data_set]
    times = (result.epochs, result.steps, result.wall_s, result.cpu_s)
    outcome = Outcome(member.values, data_set, errors, *times)
    if processes.is_first:
        kept = {"settings": _identity(member.config), "outcome": asdict(outcome)}
        path = Path(member.config.folder) / OUTCOME_NAME
        write_atomically(path, json.dumps(kept, indent=2) + "\n")
    return outcome


def _known_outcome(member: Member) -> Outcome | None:
    """Of an earlier run with the same settings and files; None where there was none."""
    path = Path(member.config.folder) / OUTCOME_NAME
    if not path.exists():
        return None
    settings, outcome = _read(path)
    if settings != json.loads(json.dumps(_identity(member.config))):
        return None
    return replace(outcome, values=member.values)


def read_outcome(path: Path) -> Outcome:
    """How a member ended, whatever its settings were.

    Raises:
        RunError: if the file cannot be read.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, Any], Outcome]:
    """The settings that were kept, and the outcome."""
    try:
        kept = json.loads(path.read_text())
        found = kept["outcome"]
        return kept["settings"], Outcome(**(found | {"errors": Errors(**found["errors"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error}): remove it") from error


def _identity(config: RunConfig) -> dict[str, Any]:
    """All settings but those that change no result, and what tells whether a file was changed."""
    settings = asdict(config) | {"architecture": config.model.architecture}
    del settings["folder"]
    for free in ("device", "checkpoint_interval_s"):
        del settings["training"][free]
    data = config.data
    candidates = (data.path, data.validation_path, data.test_path, data.atom_references)
    models = (config.training.start_from, config.training.curvature_from)
    paths = [path for path in (*candidates, *models) if path]
    states = {path: os.stat(path) for path in paths if Path(path).exists()}
    settings["files"] = {path: [s.st_size, s.st_mtime_ns] for path, s in states.items()}
    return settings
