"""What the log beside a dump tells of its frames: times, energies, what moved the atoms.

A step may be run several times: after a restart, or where the count was set back. The last one
counts, as with frames.
"""

from __future__ import annotations

import fnmatch
import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from md_runs.trajectories.lammps_files.elements import masses_of_data_file
from md_runs.trajectories.lammps_files.log_file import LammpsLog, LammpsRun, read_log
from md_runs.trajectories.lammps_files.units import UNITS, LammpsUnits
from mlpotential.errors import RunError

LOG_NAME = "log.lammps"
# Fixes that move atoms, or that change how they are moved.
_OF_PRESSURE = ("npt", "nph", "press/berendsen", "press/langevin", "box/relax")
_THERMOSTATS = {"nvt": "Nose-Hoover", "langevin": "Langevin", "temp/csvr": "Bussi", "gle": "GLE"}
_OTHER_MOTION = ("temp/", "nve/", "nvt/", "npt/", "nph/", "rigid", "pimd", "viscous", "deform")
_CONSTRAINTS = ("shake", "rattle", "rigid", "ilves")
_PLACES_OF_TEMPERATURES = {"langevin": 1, "temp/csvr": 1}  # behind the style


@dataclass(frozen=True)
class RunRecord:
    """A log and the units it is in.

    Attributes:
        log: as read.
        units: of the log.
    """

    log: LammpsLog
    units: LammpsUnits

    def times_fs(self, steps: np.ndarray) -> np.ndarray:
        """Of frames with these ascending steps, [n_frames] (fs).

        Raises:
            RunError: timesteps that change, or that are not known.

        Warns:
            UserWarning: frames before the first run of the log.
        """
        if self.log.has_varying_timestep:
            raise RunError(
                f"the timestep of {self.log.path} changes during runs (fix dt/reset): write times "
                "into the dump (dump_modify ID time yes)"
            )
        runs = [run for run in self.log.runs if run.timestep is not None]
        timesteps = {run.timestep for run in runs}
        if len(timesteps) == 1:
            ranges = _ranges(runs)
            if ranges and steps.min() < ranges[0][0]:
                warnings.warn(
                    f"frames before step {ranges[0][0]:.0f} are of a run that {self.log.path} does "
                    "not tell of: its timestep is taken to be the same (--frame-interval-fs sets "
                    "the time between frames)",
                    stacklevel=5,
                )
            return steps * (timesteps.pop() or 0.0) * self.units.time_fs
        return self._piecewise(steps, runs) * self.units.time_fs

    def energies(self, steps: np.ndarray) -> np.ndarray | None:
        """Potential energies of frames, [n_frames] (eV); None where one of them has none."""
        by_step: dict[float, float] = {}
        for run in self.log.runs:
            values = run.potential_energies()
            if len(run.steps) and values is not None:
                by_step = {s: e for s, e in by_step.items() if s < run.steps[0]}
                by_step |= dict(zip(run.steps.tolist(), values.tolist(), strict=True))
        if not by_step.keys() >= set(steps.tolist()):
            return None
        return np.array([by_step[step] for step in steps.tolist()]) * self.units.energy

    def dynamics(self, steps: np.ndarray) -> dict[str, Any]:
        """Fields of `Trajectory` on what moved the atoms of these frames, where it was one thing.

        A Langevin thermostat of LAMMPS has the damping time 1 / friction.
        """
        ranges = _ranges(self.log.runs)
        if not ranges or steps.min() < ranges[0][0]:
            return {}  # frames of a run that the log does not tell of
        runs = [run for run in self._runs_of(steps) if run.fixes]
        found = [_of_fixes(run.fixes, run.timestep, self.units) for run in runs]
        if not found or any(one != found[0] for one in found[1:]):
            return {}
        return found[0]

    def constraints(self, steps: np.ndarray) -> str:
        """Styles of fixes that hold bonds or bodies stiff in these frames; empty without any."""
        styles = [words[0] for run in self._runs_of(steps) for words in run.fixes]
        return ", ".join(dict.fromkeys(s for s in styles if s.startswith(_CONSTRAINTS)))

    def _runs_of(self, steps: np.ndarray) -> list[LammpsRun]:
        """Those that lie between the first and the last of these frames, or around them."""
        first, last = float(steps.min()), float(steps.max())
        return [run for begin, end, run in _ranges(self.log.runs) if begin < last and end > first]

    def _piecewise(self, steps: np.ndarray, runs: Sequence[LammpsRun]) -> np.ndarray:
        """Times where runs have timesteps of their own. Raises RunError as `times_fs`."""
        ranges = _ranges(runs)
        covered = ranges and all(
            end == begin for (_, end, _), (begin, _, _) in itertools.pairwise(ranges)
        )
        if not covered or steps.min() < ranges[0][0] or steps.max() > ranges[-1][1]:
            raise RunError(
                f"{self.log.path} does not tell the timestep of all frames: give "
                "frame_interval_fs (--frame-interval-fs), or write times into the dump "
                "(dump_modify ID time yes)"
            )
        ends = np.array([ranges[0][0], *(end for _, end, _ in ranges)])
        lengths = np.array([run.timestep for _, _, run in ranges]) * np.diff(ends)
        times: np.ndarray = np.interp(steps, ends, np.concatenate([[0.0], np.cumsum(lengths)]))
        return times

    def masses(self) -> dict[int, float]:
        """Of each type (amu), from the log or a data file that it names and that is there."""
        masses: dict[int, float] = {}
        for name in self.log.data_files:
            path = self.log.path.parent / name
            if path.is_file():
                masses |= masses_of_data_file(path)
        masses |= self.log.masses
        return {kind: mass * self.units.mass for kind, mass in masses.items()}


def find_log(dump_path: Path, told: Path | None) -> LammpsLog | None:
    """The log of a dump: the one that was told, or `log.lammps` beside it if it names the dump.

    Raises:
        RunError: as `read_log`.

    Warns:
        UserWarning: a log beside it that is of other runs, and is not used.
    """
    if told is not None:
        return read_log(Path(told))
    beside = dump_path.parent / LOG_NAME
    if not beside.is_file():
        return None
    try:
        log = read_log(beside)
    except RunError as error:
        warnings.warn(f"{error}: it is not used", stacklevel=2)
        return None
    names = [Path(name).name for name in log.dump_files]
    if not any(fnmatch.fnmatchcase(dump_path.name, name) for name in names):
        warnings.warn(
            f"{beside} does not write {dump_path.name} and is not used: if it is the log of that "
            "run, give it (--lammps-log)",
            stacklevel=2,
        )
        return None
    return log


def record_of(log: LammpsLog | None, units: str | None) -> RunRecord | None:
    """A log with its units: those of the dump where it does not tell them itself."""
    known = None if log is None else UNITS.get(log.units or units or "")
    return None if log is None or known is None else RunRecord(log, known)


def _ranges(runs: Sequence[LammpsRun]) -> list[tuple[float, float, LammpsRun]]:
    """First and last step of each run, shortened to where the next ones begin."""
    found: list[tuple[float, float, LammpsRun]] = []
    for run in runs:
        if len(run.steps) == 0:
            continue
        begin, end = float(run.steps[0]), float(run.steps[-1])
        found = [(first, min(last, begin), old) for first, last, old in found if first < begin]
        found.append((begin, end, run))
    return found


def _of_fixes(
    fixes: Sequence[tuple[str, ...]], timestep: float | None, units: LammpsUnits
) -> dict[str, Any]:
    """`dynamics`, `temperature_K`, ... of a run; empty where something else moves atoms, too."""
    styles = [words[0] for words in fixes]
    known = {} if timestep is None else {"integration_timestep_fs": timestep * units.time_fs}
    thermostats = [words for words in fixes if words[0] in (*_THERMOSTATS, "npt")]
    others = [s for s in styles if s.startswith(_OTHER_MOTION) and s not in _THERMOSTATS]
    if others or len(thermostats) > 1:
        return known
    temperature_K = _temperature_K(thermostats[0]) if thermostats else None
    found = known | {"temperature_K": temperature_K}
    if any(style in _OF_PRESSURE for style in styles):
        return found | {"dynamics": "NPT"}
    if thermostats:
        method = _THERMOSTATS[thermostats[0][0]]
        if method == "Langevin" and len(thermostats[0]) > 3:
            damping_fs = float(thermostats[0][3]) * units.time_fs
            found["friction_per_fs"] = 1.0 / damping_fs
        return found | {"dynamics": method}
    return found | {"dynamics": "NVE"} if "nve" in styles else known


def _temperature_K(words: tuple[str, ...]) -> float | None:
    """Of a thermostat that holds one; None where it changes, or is a variable."""
    place = _PLACES_OF_TEMPERATURES.get(words[0])
    if place is None and "temp" in words:
        place = words.index("temp") + 1
    try:
        start, stop = (float(word) for word in words[place : place + 2])  # type: ignore[operator]
    except (TypeError, ValueError):
        return None
    return start if start == stop else None
