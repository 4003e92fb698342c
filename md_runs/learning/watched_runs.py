"""Fresh dynamics of a committee, each bead of every step looked at, stopped where it is in doubt.

A run is stopped where the calibrated disagreement of a bead's forces is above `STOP_FACTOR` times
the wanted error and `WORSE` times that of held-out structures, where many beads were outside the
training data for `PATIENCE_FS`, or where it breaks.
Classical dynamics is that of one bead.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.force_provider import STALL_LIMIT_S, ModelForces
from md_runs.learning.committee import Calibration
from md_runs.learning.folders import RoundFolder, read_json
from md_runs.learning.settings import MOST_RUNS, PROBE_RUNS, LearningRun
from md_runs.model_warnings import read_report
from md_runs.pimd.ring_polymer.bead_forces import BeadAnswer
from md_runs.pimd.ring_polymer.run import Forces, run_in_process
from md_runs.pimd.settings import PimdRun
from md_runs.run_folders import TRAJECTORY_NAME
from md_runs.trajectories.frames_file import count_records, read_trajectory
from mlpotential.errors import ExtrapolationError, ExtrapolationWarning, RunError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.run_folder import write_json

STOP_FACTOR = 10.0  # chosen: there the forces are no longer worth following
WORSE = 3.0  # chosen: a first committee is in doubt everywhere, and has to get about nevertheless
PATIENCE_FS = 20.0  # chosen: a good model leaves the data for a step or two, and returns
MANY_BEADS = 0.25  # share of them; chosen: the range of some hundred structures is soon left by one
STOPPED_NAME = "stopped.json"
EXPLODED = "exploded"  # in the words of the engine


@dataclass(frozen=True)
class FreshRuns:
    """What the dynamics of a round was.

    Attributes:
        frames: recorded beads of each run, [n_frames, n_beads, n_atoms, 3] (A).
        stopped: last beads of runs that were stopped, each [n_beads, n_atoms, 3] (A).
        reasons: why, in words.
        n_evaluated, n_outside: structures, and those outside the training data.
        longest_ps: of a run, whole or to where it was stopped (ps).
        total_ps: of all runs (ps).
    """

    frames: list[np.ndarray]
    stopped: list[np.ndarray]
    reasons: list[str]
    n_evaluated: int
    n_outside: int
    longest_ps: float
    total_ps: float

    @property
    def structures(self) -> np.ndarray:
        """All recorded beads, and those where runs were stopped, [n, n_atoms, 3] (A)."""
        parts = [*(f.reshape(-1, *f.shape[2:]) for f in self.frames), *self.stopped]
        return np.concatenate(parts)


class WatchedBeads:
    """Forces of a committee on all beads, which end the run where they are in doubt.

    Args:
        evaluator: of the committee.
        limit: of the disagreement of the forces on a bead, in the root mean square (eV/A).
        patience: evaluations in a row with `MANY_BEADS` outside the training data.
    """

    def __init__(self, evaluator: Evaluator, limit: float, patience: int) -> None:
        self._evaluator, self._limit, self._patience = evaluator, limit, patience
        self.guard = evaluator.guard
        self.reason = ""
        self.positions = np.zeros((0, 0, 3))
        self._n_outside = 0

    def evaluate(
        self, positions: np.ndarray, extras: tuple[str, ...] = (), scale: float | None = None
    ) -> BeadAnswer:
        """As of every `BeadForces`. Raises ExtrapolationError, which ends the run."""
        self.positions = positions.copy()
        before = self.guard.report.n_outside
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExtrapolationWarning)
            found = self._evaluator.evaluate(positions, None, ("energy", "forces", "forces_std"))
        spreads = np.asarray(found.forces_std).reshape(len(positions), -1)
        worst = float(np.sqrt((spreads**2).mean(axis=1)).max())
        if worst > self._limit:
            self._stop(f"disagreement of {worst / self._limit:.2f} times the limit")
        many = self.guard.report.n_outside - before >= max(1.0, MANY_BEADS * len(positions))
        self._n_outside = self._n_outside + 1 if many else 0
        if self._n_outside >= self._patience:
            self._stop(f"outside the training data for long: {self.guard.report.worst}")
        forces = np.asarray(found.forces).reshape(positions.shape)
        return BeadAnswer(np.asarray(found.energy), forces, {})

    def _stop(self, reason: str) -> None:
        self.reason = reason
        raise ExtrapolationError(reason)


def run_fresh(
    models: Sequence[Path],
    minimum: Atoms,
    calibration: Calibration,
    settings: LearningRun,
    round_: RoundFolder,
    progress: bool,
) -> FreshRuns:
    """Runs from the minimum until the wanted time is there, or enough runs were stopped."""
    with round_.timed("dynamics"):
        largest = max(STOP_FACTOR * settings.force_error_eV_A, WORSE * calibration.error)
        limit = largest / calibration.scale
        n_whole = number = 0
        while n_whole < PROBE_RUNS and number < MOST_RUNS:
            n_whole += not _stopped_run(models, minimum, limit, settings, round_, number, progress)
            number += 1
    return read_fresh(round_, number, settings)


def _stopped_run(
    models: Sequence[Path],
    minimum: Atoms,
    limit: float,
    settings: LearningRun,
    round_: RoundFolder,
    number: int,
    progress: bool,
) -> bool:
    """Makes one run, or the rest of it; whether it was stopped."""
    folder = round_.runs / f"run_{number}"
    if (folder / STOPPED_NAME).exists():
        return True
    execution = Execution(device="cpu", guard="warn")
    provider = ModelForces([str(m) for m in models], execution)
    evaluator = Evaluator(list(models), minimum.numbers, **asdict(execution))
    driver = provider.driver_of(evaluator)
    driver = replace(driver, parameters={**driver.parameters, "guard": "off"}, extras=())
    patience = max(2, round(PATIENCE_FS / settings.step_fs))
    beads = WatchedBeads(evaluator, limit, patience)
    run = PimdRun(
        n_steps=settings.run_steps,
        n_beads=settings.beads,
        temperature_K=settings.temperature_K,
        timestep_fs=settings.step_fs,
        stride=settings.stride,
        properties_stride=settings.stride,
        checkpoint_stride=50 * settings.stride,
        seed=10_000 * settings.seed + 100 * round_.number + number,
        engine="native",
    )
    title = f"round {round_.number}, run {number}"
    try:
        run_in_process(
            minimum, Forces(beads, driver), run, folder, progress, STALL_LIMIT_S, title=title
        )
    except RunError as error:
        if not beads.reason and EXPLODED not in str(error):
            raise
        content = {
            "reason": beads.reason or str(error),
            "n_evaluated": beads.guard.report.n_evaluated,
            "n_outside": beads.guard.report.n_outside,
            "positions": beads.positions.tolist(),
        }
        write_json(folder / STOPPED_NAME, content)
        return True
    return False


def read_fresh(round_: RoundFolder, n_runs: int, settings: LearningRun) -> FreshRuns:
    """What the runs left."""
    frames, stopped, reasons, lengths, evaluated, outside = [], [], [], [], 0, 0
    for number in range(n_runs):
        folder = round_.runs / f"run_{number}"
        end, report = read_json(folder / STOPPED_NAME), read_report(folder)
        if end is None or count_records(folder / TRAJECTORY_NAME):
            frames.append(np.asarray(read_trajectory(folder / TRAJECTORY_NAME).positions))
            lengths.append((len(frames[-1]) - 1) * settings.stride * settings.step_fs / 1000.0)
        else:  # it was stopped where it began
            frames.append(np.zeros((0, *np.shape(end["positions"]))))
            lengths.append(0.0)
        if end is not None:
            positions = np.array(end["positions"])
            if np.isfinite(positions).all():
                stopped.append(positions)
            reasons.append(end["reason"])
            evaluated, outside = evaluated + end["n_evaluated"], outside + end["n_outside"]
        elif report is not None:
            evaluated, outside = evaluated + report.n_evaluated, outside + report.n_outside
    return FreshRuns(
        frames, stopped, reasons, evaluated, outside, max(lengths), float(sum(lengths))
    )
