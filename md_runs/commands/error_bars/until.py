"""Runs that go on, block by block, until the error bars of named means are small enough.

Each look at the error bars is a chance to stop at one that is small by luck. So the looks are few
(the run grows by a quarter to twice its length from one to the next), and each error bar is the
largest of several.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ase.units import kB

from md_runs.classical import ClassicalResult
from md_runs.commands.error_bars.quantities import (
    Goal,
    Reached,
    RunSeries,
    reached,
)
from md_runs.commands.prepared_run import equilibration_cut
from md_runs.pimd import PimdResult
from md_runs.run_folders import CHECKPOINT_NAME, RECORD_NAME
from md_runs.trajectories.frames_file import read_records, read_trajectory
from md_runs.trajectories.trajectory import Trajectory, with_frames
from mlpotential.run_folder import write_atomically

Settings = TypeVar("Settings", bound=Any)
Result = TypeVar("Result", bound=Any)

OUTCOME_NAME = "error_bars.json"
MOST_GROWTH, LEAST_GROWTH = 2.0, 1.25  # of the length from look to look; chosen: few looks


def run_until(
    goals: Sequence[Goal],
    at_most: int,
    settings: Settings,
    folder: Path,
    run: Callable[[Settings], Result],
    tell: Callable[[str], None] = print,
) -> tuple[Result, bool]:
    """Runs, or goes on, until all goals are reached; the last result, and whether they are.

    Args:
        goals: all of which have to be reached.
        at_most: time steps of the whole run.
        settings: whose n_steps is the length of a block.
        folder: of the run.
        run: runs to the n_steps of its settings, or goes on to them.
        tell: is told of each look in a line.
    """
    block = settings.n_steps
    n_steps = max(min(block, at_most), steps_begun(folder, block))
    earlier: list[Reached] = []
    while True:
        result = run(replace(settings, n_steps=n_steps))
        found = [reached(goal, series_of(result)) for goal in goals]
        holds = all(one.holds for one in found)
        tell(f"after {n_steps} steps: {'; '.join(map(str, found))}")
        last = _last(found, earlier) if holds else _farthest(found)
        if holds or n_steps >= at_most:
            _write_outcome(folder, found, n_steps, last if holds else None)
            tell(_verdict(found, n_steps, last, holds))
            return result, holds
        earlier = found
        n_steps = min(at_most, next_length(found, n_steps, block))


def next_length(found: Sequence[Reached], n_steps: int, block: int) -> int:
    """Of the run at the next look (time steps): whole blocks, as many more as are missing."""
    growth = min(max(max(one.missing for one in found), LEAST_GROWTH), MOST_GROWTH)
    return block * max(n_steps // block + 1, math.ceil(growth * n_steps / block))


def _last(found: Sequence[Reached], earlier: Sequence[Reached]) -> Reached:
    """Which goal was reached at last: of those that did not hold before the one nearest its limit.

    Args:
        found: all of which hold.
        earlier: at the look before; empty at the first one.
    """
    late = [now for now, before in zip(found, earlier, strict=bool(earlier)) if not before.holds]
    return max(late or found, key=_share_of_limit)


def _farthest(found: Sequence[Reached]) -> Reached:
    return max(found, key=lambda one: one.missing)


def _share_of_limit(one: Reached) -> float:
    return float(one.mean.standard_error) / one.goal.limit


def _verdict(found: Sequence[Reached], n_steps: int, last: Reached, holds: bool) -> str:
    name = last.goal.quantity.name
    if holds:
        which = "the error bar is" if len(found) == 1 else f"all {len(found)} error bars are"
        return f"{which} small enough after {n_steps} steps; the last to be was that of {name}"
    more = f"about {last.missing * n_steps:.2g}" if math.isfinite(last.missing) else "many more"
    return (
        f"not reached within {n_steps} steps: that of {name} needs {more} steps. The same command "
        "with a larger --at-most goes on"
    )


def _write_outcome(
    folder: Path, found: Sequence[Reached], n_steps: int, last: Reached | None
) -> None:
    rows = [
        {
            "quantity": one.goal.quantity.name,
            "unit": one.goal.quantity.unit,
            "mean": one.mean.value,
            "standard_error": _finite(one.mean.standard_error),
            "limit": one.goal.limit,
            "independent_frames": one.n_independent,
            "reached": one.holds,
        }
        for one in found
    ]
    name = None if last is None else last.goal.quantity.name
    content = {"n_steps": n_steps, "error_bars": rows, "last_reached": name}
    write_atomically(folder / OUTCOME_NAME, json.dumps(content, indent=1) + "\n")


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def steps_begun(folder: Path, block: int) -> int:
    """Time steps of the run in a folder, or that it was last told to make; 0 without one."""
    if (folder / RECORD_NAME).exists():
        from md_runs.pimd.record import read_record

        return read_record(folder)[1].n_steps
    if (folder / CHECKPOINT_NAME).exists():
        from md_runs.classical.checkpoint import ClassicalState

        return block * math.ceil(ClassicalState.read(folder / CHECKPOINT_NAME).step / block)
    return 0


def series_of(result: ClassicalResult | PimdResult) -> RunSeries:
    """All that was recorded after equilibration, as it is detected in frames."""
    if isinstance(result, PimdResult):
        found = result.properties
        energies = {
            "potential": found.potential,
            "kinetic": found.kinetic_cv,
            "temperature": found.temperature_K,
        }
        return _equilibrated(result.trajectory, energies, found.times_fs)
    trajectory = read_trajectory(result.trajectory_file)
    records = read_records(result.trajectory_file)
    temperatures_K = np.array(records["temperature_K"])
    energies = {
        "potential": np.array(records["energies"])[:, 0],
        "kinetic": 0.5 * result.n_degrees_of_freedom * kB * temperatures_K,
        "temperature": temperatures_K,
    }
    return _equilibrated(trajectory, energies, trajectory.times_fs)


def _equilibrated(
    trajectory: Trajectory, energies: Mapping[str, np.ndarray], times_fs: np.ndarray
) -> RunSeries:
    n_skipped = equilibration_cut(trajectory, None)[0]
    kept = with_frames(trajectory, np.arange(n_skipped, trajectory.n_frames))
    start = np.searchsorted(times_fs, kept.times_fs[0])
    return RunSeries(kept, {name: values[start:] for name, values in energies.items()})
