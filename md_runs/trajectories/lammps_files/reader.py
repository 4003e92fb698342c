"""Dumps of LAMMPS as a `Trajectory`: what they leave open is asked for, never guessed.

A dump has types of atoms, steps, and numbers in units that it tells only if it was asked to
(`dump_modify ID units yes`). Elements, times and units come from columns or items of the dump, from
the log and the data file beside it, or from options. A dump of style xyz is read like the others,
as far as it goes: it has no box, and its atoms are in the order that LAMMPS happens to have.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.analysis.spectra.dynamics import VelocityUnit
from md_runs.trajectories.compressed_files import opened_lines
from md_runs.trajectories.frame_cache import Batch, FrameCache
from md_runs.trajectories.lammps_files.dump_columns import DumpColumns, dump_batches
from md_runs.trajectories.lammps_files.dump_frames import dump_frames, is_dump
from md_runs.trajectories.lammps_files.elements import AtomKinds, kinds_resolved
from md_runs.trajectories.lammps_files.run_record import RunRecord, find_log, record_of
from md_runs.trajectories.lammps_files.units import UNITS, LammpsUnits
from md_runs.trajectories.trajectory import REPEATED, Trajectory, last_records, with_frames
from md_runs.trajectories.xyz_blocks import XyzHead, read_head, xyz_blocks
from mlpotential.errors import RunError
from mlpotential.settings_checks import check_choice

FORMAT = "lammps-dump-text"  # ASE's name
UNITS_OF_VELOCITY = {"A/fs": "real", "A/ps": "metal"}
_OF_XYZ = re.compile(r"\s*Atoms\. Timestep:\s*(\d+)(?:\.?\s+Time:\s*(\S+))?\s*$")


@dataclass(frozen=True)
class LammpsTold:
    """What was told of files of LAMMPS.

    Attributes:
        units: LAMMPS' name of a system of units.
        log: of the run.
        elements: of types 1, 2, ...
    """

    units: str | None = None
    log: Path | None = None
    elements: Sequence[str] | None = None

    @property
    def options(self) -> str:
        """Those that were given, by their names on the command line."""
        given = {"--units": self.units, "--lammps-log": self.log, "--elements": self.elements}
        return ", ".join(name for name, value in given.items() if value is not None)


@dataclass(frozen=True)
class _Opened:
    """A dump of any style whose first frame is known.

    Attributes:
        units: by their name; None where nobody tells them.
        record: the log.
        kinds: of atoms.
        pbc: periodic directions.
        batches: all frames, with "steps" and, where the dump has them, "times" in its units.
    """

    units: str | None
    record: RunRecord | None
    kinds: AtomKinds
    pbc: tuple[bool, bool, bool]
    batches: Iterator[Batch]


def read_lammps(
    path: Path,
    told: LammpsTold,
    frame_interval_fs: float | None = None,
    structure: Atoms | None = None,
    velocity_unit: VelocityUnit | None = None,
    progress: bool = True,
) -> Trajectory | None:
    """Reads a whole dump; None for a file that is none.

    Args:
        path: the file, plain or gzip-compressed.
        told: see there.
        frame_interval_fs: time between frames, where neither the dump nor a log tells it.
        structure: elements and masses, in the order of the atoms' ids.
        velocity_unit: A/fs is another word for units real, A/ps for metal.
        progress: show a bar, if standard error is a terminal.

    Raises:
        RunError: a dump that is damaged, or of atoms that change; elements, units or times that are
            not known or contradict each other.
        ConfigError: an unknown system of units.

    Warns:
        UserWarning: frames that are cut or repeated; numbers whose units are not known, and are
            left out; a log that is not used; constraints.
    """
    if is_dump(path):
        opened = _opened_dump(path, told, velocity_unit, progress)
    elif is_xyz_of_lammps(path):
        opened = _opened_xyz(path, told, velocity_unit, progress)
    else:
        return None
    masses_of_types = {} if opened.record is None else opened.record.masses()
    numbers, masses = kinds_resolved(opened.kinds, told.elements, structure, masses_of_types)
    recorded: dict[str, Any] = FrameCache().cached_frames(opened.batches, path)
    if velocity_unit is not None and "velocities_angstrom_per_fs" not in recorded:
        raise RunError(f"{path} has no velocities that could be in {velocity_unit}: leave it out")
    steps = np.asarray(recorded.pop("steps"))
    times, cells = recorded.pop("times", None), recorded.pop("cells", None)
    trajectory = Trajectory(
        atomic_numbers=numbers,
        masses=masses,
        times_fs=steps,
        cells=cells if any(opened.pbc) else None,
        pbc=opened.pbc,
        **recorded,
    )
    # A log knows nothing of what was recorded again, so that steps decide, here.
    kept = last_records(steps)
    if frame_interval_fs is not None and 2 * len(kept) < len(steps):
        kept = np.arange(len(steps))  # no steps of one run, whose times are told
    if len(kept) < len(steps):
        warnings.warn(REPEATED.format(len(steps) - len(kept)), stacklevel=4)
        trajectory, steps = with_frames(trajectory, kept), steps[kept]
        times = None if times is None else np.asarray(times)[kept]
    units = UNITS.get(opened.units or "")
    times_fs = _times_fs(path, steps, times, units, opened.record, frame_interval_fs)
    trajectory = replace(trajectory, times_fs=times_fs)
    return trajectory if opened.record is None else _with_record(trajectory, steps, opened.record)


def is_xyz_of_lammps(path: Path) -> bool:
    """Whether a file begins as a dump of style xyz, compressed or not."""
    try:
        with opened_lines(path) as lines:
            comment = next(islice(lines, 1, None), b"")
    except (OSError, RunError):
        return False
    return _OF_XYZ.match(comment.decode(errors="replace")) is not None


def _opened_dump(
    path: Path, told: LammpsTold, velocity_unit: VelocityUnit | None, progress: bool
) -> _Opened:
    frames = dump_frames(path, progress)
    first = next(frames, None)
    if first is None:
        raise RunError(f"{path} holds no complete frame")
    log = find_log(path, told.log)
    name = _units_of(path, first.units, told, velocity_unit, None if log is None else log.units)
    columns = DumpColumns.of(first, None if name is None else UNITS[name])
    return _Opened(
        name,
        record_of(log, name),
        columns.kinds(first),
        first.pbc,
        dump_batches(columns, first, itertools.chain([first], frames)),
    )


def _opened_xyz(
    path: Path, told: LammpsTold, velocity_unit: VelocityUnit | None, progress: bool
) -> _Opened:
    head = read_head(path)
    log = find_log(path, told.log)
    name = _units_of(path, None, told, velocity_unit, None if log is None else log.units)
    # Without dump_modify ID element ... the first column has numbers of types.
    are_types = all(symbol.isdigit() for symbol in head.symbols)
    types = np.array(head.symbols, int) if are_types else None
    kinds = AtomKinds(path, types, None if are_types else head.symbols, None)
    length = 1.0 if name is None else UNITS[name].length
    batches = _xyz_batches(path, head, length, progress)
    return _Opened(name, record_of(log, name), kinds, (False, False, False), batches)


def _xyz_batches(path: Path, head: XyzHead, length: float, progress: bool) -> Iterator[Batch]:
    """Some frames at a time. Raises RunError as `xyz_blocks`, or for a comment without a step."""
    for block in xyz_blocks(path, head, (1, 2, 3), progress):
        found = [_OF_XYZ.match(comment) for comment in block.comments]
        if not all(found):
            frame = block.first_frame + found.index(None)
            raise RunError(f"frame {frame} of {path} does not tell its step")
        rows = [match.groups() for match in found if match is not None]
        batch = {
            "positions": block.columns[:, None] * length,
            "steps": np.array([step for step, _ in rows], np.float64),
        }
        if all(time is not None for _, time in rows):
            batch["times"] = np.array([time for _, time in rows], np.float64)
        yield batch


def _units_of(
    path: Path,
    of_dump: str | None,
    told: LammpsTold,
    velocity_unit: VelocityUnit | None,
    of_log: str | None,
) -> str | None:
    """The system of units by its name; None where nobody tells it. Raises as `read_lammps`."""
    if told.units is not None:
        check_choice("the units", told.units, tuple(UNITS))
    by_velocity = UNITS_OF_VELOCITY.get(velocity_unit or "")
    if velocity_unit is not None and by_velocity is None:
        raise RunError(
            f"velocities in {velocity_unit} do not fit {path}: LAMMPS has them in A/fs (units "
            "real), A/ps (metal), or others (--units)"
        )
    names = {
        "the dump": of_dump,
        "--units": told.units,
        "--velocity-unit": by_velocity,
        "the log": of_log,
    }
    known = {who: name for who, name in names.items() if name is not None}
    if len(set(known.values())) > 1:
        said = ", ".join(f"{name} by {who}" for who, name in known.items())
        raise RunError(f"the units of {path} do not fit each other: {said}")
    name = next(iter(known.values()), None)
    if name is not None and name not in UNITS:
        raise RunError(
            f"{path} is in units {name}, which have no lengths in A: write it in real or metal"
        )
    return name


def _times_fs(
    path: Path,
    steps: np.ndarray,
    times: np.ndarray | None,
    units: LammpsUnits | None,
    record: RunRecord | None,
    frame_interval_fs: float | None,
) -> np.ndarray:
    """Of frames, [n_frames] (fs). Raises RunError where they are not known."""
    if frame_interval_fs is not None:
        usual = float(np.median(np.diff(steps))) if len(steps) > 1 else 1.0
        from_steps: np.ndarray = (steps - steps[0]) / (usual or 1.0) * frame_interval_fs
        return from_steps
    if times is not None and units is not None:
        told: np.ndarray = np.asarray(times) * units.time_fs
        return told
    if record is not None and record.log.runs:
        return record.times_fs(steps)
    raise RunError(
        f"{path} tells steps, but no times in units that are known: give frame_interval_fs "
        "(--frame-interval-fs), or the log of the run (--lammps-log; log.lammps beside it is found)"
    )


def _with_record(trajectory: Trajectory, steps: np.ndarray, record: RunRecord) -> Trajectory:
    """With what a log tells beside times.

    Warns:
        UserWarning: bonds or bodies that are held stiff.
    """
    if names := record.constraints(steps):
        warnings.warn(
            f"constraints of {record.log.path} are not counted ({names}): numbers of modes and "
            "temperatures are those of atoms that move freely",
            stacklevel=5,
        )
    energies = record.energies(steps)
    more: dict[str, Any] = {} if energies is None else {"energies": energies[:, None]}
    return replace(trajectory, **record.dynamics(steps), **more)
