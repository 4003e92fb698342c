"""Any run as a `Trajectory`: of this program, of i-PI, of LAMMPS, of ASE, H5MD files.

What a file is decides its content, not its name. Faults of a file that leave it usable (a last
frame that is cut, frames that a restart repeated) are warnings with their number; all others are
errors that say what to do. Another format is another row in `READERS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.analysis.path_integrals.energy_series import EnergySeries
from md_runs.analysis.spectra.dynamics import VelocityUnit
from md_runs.classical.checkpoint import ClassicalState
from md_runs.classical.settings import ClassicalRun
from md_runs.pimd.stored_runs import read_pimd_energies, read_pimd_trajectory
from md_runs.run_folders import (
    CHECKPOINT_NAME,
    FRAMES_SUFFIX,
    RECORD_NAME,
    TRAJECTORY_NAME,
)
from md_runs.trajectories.ase_reader import read_ase_output
from md_runs.trajectories.frame_arrays import changed_frames
from md_runs.trajectories.frames_file import MAGIC, read_trajectory
from md_runs.trajectories.h5md_reader import read_h5md
from md_runs.trajectories.ipi_files.finding import find_ipi_files
from md_runs.trajectories.ipi_files.quantities import OF_EXTRAS, factor_of_quantity
from md_runs.trajectories.ipi_files.reader import read_ipi_energies, read_ipi_files
from md_runs.trajectories.lammps_files.reader import FORMAT as LAMMPS_DUMP
from md_runs.trajectories.lammps_files.reader import LammpsTold, read_lammps
from md_runs.trajectories.lammps_files.units import UnitName
from md_runs.trajectories.mdanalysis_reader import is_universe, read_universe
from md_runs.trajectories.structure_file import periodic_directions
from md_runs.trajectories.trajectory import (
    REPEATED,
    Trajectory,
    centroid_of,
    last_records,
    with_frames,
)
from md_runs.trajectories.unit_checks import warn_of_wrong_units
from mlpotential.errors import ConfigError, RunError
from mlpotential.settings_checks import check_number

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ReadOptions:
    """What `read_run` was told, by its names."""

    frame_interval_fs: float | None
    structure: Atoms | None
    of_centroid: bool
    extras_units: dict[str, str] | None
    progress: bool
    leading: Sequence[str]
    format: str | None
    velocity_unit: VelocityUnit | None
    lammps: LammpsTold


Reader = Callable[[Any, ReadOptions], Trajectory | None]


def read_run(
    run: Path | str | Any,
    frame_interval_fs: float | None = None,
    structure: Atoms | None = None,
    of_centroid: bool = False,
    extras_units: dict[str, str] | None = None,
    progress: bool = True,
    leading: Sequence[str] = (),
    format: str | None = None,
    velocity_unit: VelocityUnit | None = None,
    units: UnitName | None = None,
    lammps_log: Path | str | None = None,
    elements: Sequence[str] | None = None,
) -> Trajectory:
    """Reads a run; large ones stay in their file until frames are taken.

    Args:
        run: the folder of a run; a `.frames` or H5MD file, a dump of LAMMPS, or any that ASE reads;
            the folder, the prefix or a file of outputs of i-PI; a universe of MDAnalysis.
        frame_interval_fs: time between frames, where the file does not tell it or is wrong.
        structure: elements, masses and periodic directions, where the file does not tell them (i-PI
            never tells the last).
        of_centroid: of a ring polymer read the centroid, as the only bead.
        extras_units: i-PI's units by name, {"dipole": "debye"}: of its extras, in atomic units
            where none is given, or of what a file of ASE has in other units than ASE's.
        progress: show a bar while a text file is read, if standard error is a terminal.
        leading: of outputs of i-PI, whose quantities may be recorded at different steps: fields of
            `Trajectory`, the first of which that is there decides which frames are read. Without
            any, the frames that all have.
        format: ASE's name of the format of a file, where its content or name does not tell it.
        velocity_unit: of velocities in files that ASE reads and that do not tell it: a column of
            extended XYZ, a dump of LAMMPS (A/fs of units real, A/ps of metal).
        units: of a dump of LAMMPS, by its name of them, where neither the dump nor a log tells it.
        lammps_log: log of the run that wrote a dump, which tells units, times, energies, masses;
            `log.lammps` beside the dump is found if it names the dump.
        elements: of the types 1, 2, ... of a dump of LAMMPS.

    Raises:
        RunError: if there is none, it is damaged, or lacks what must be known of it.
        ConfigError: an interval that is not positive.

    Warns:
        UserWarning: frames that were cut or repeated, and are left out; lengths or velocities that
            look like those of another unit.
    """
    if frame_interval_fs is not None:
        check_number("frame_interval_fs", frame_interval_fs)
    options = ReadOptions(
        frame_interval_fs,
        structure,
        of_centroid,
        extras_units,
        progress,
        leading,
        format,
        velocity_unit,
        LammpsTold(units, None if lammps_log is None else Path(lammps_log), elements),
    )
    run = run if is_universe(run) else Path(run)
    readers: Sequence[Reader] = READERS
    if format is not None:
        readers = (_read_lammps, _read_ase) if format == LAMMPS_DUMP else (_read_ase,)
    found = ((read, read(run, options)) for read in readers)
    reader, trajectory = next((read, one) for read, one in found if one is not None)
    _check_told(run, reader, options)
    trajectory = _without_repeated(trajectory, frame_interval_fs)
    trajectory = _as_told(run, trajectory, options)
    if of_centroid:
        trajectory = centroid_of(trajectory)
    warn_of_wrong_units(trajectory, run)
    return trajectory


def read_energy_series(run: Path) -> EnergySeries | None:
    """Path-integral energies that were recorded beside frames; None for a run without.

    Args:
        run: a folder of a path-integral run, or outputs of i-PI with the columns `step`,
            `potential` and `kinetic_cv`.

    Raises:
        RunError: outputs that are damaged.
    """
    if (run / RECORD_NAME).exists():
        return read_pimd_energies(run)
    files = find_ipi_files(run)
    return None if files is None else read_ipi_energies(files)


def _check_told(run: Any, reader: Callable[..., Any], options: ReadOptions) -> None:
    """Raises ConfigError for what was told of a run that knows it by itself."""
    if options.extras_units and reader not in (_read_ipi, _read_ase):
        raise ConfigError(f"{run} tells the units of what it holds: leave out --extras-units")
    if options.velocity_unit is not None and reader not in (_read_lammps, _read_ase):
        raise ConfigError(f"{run} tells the unit of its velocities: leave out --velocity-unit")
    if options.lammps.options and reader is not _read_lammps:
        raise ConfigError(f"{run} is no dump of LAMMPS: leave out {options.lammps.options}")


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with open(path, "rb") as handle:
            return handle.read(len(magic)) == magic
    except OSError:
        return False


def _read_universe(run: Any, told: ReadOptions) -> Trajectory | None:
    return read_universe(run, told.frame_interval_fs, told.structure) if is_universe(run) else None


def _read_own_folder(path: Path, told: ReadOptions) -> Trajectory | None:
    if (path / TRAJECTORY_NAME).exists():
        trajectory = read_trajectory(path / TRAJECTORY_NAME)
        if trajectory.dynamics is None:
            trajectory = replace(trajectory, **_settings_of_checkpoint(path))
        return trajectory
    if (path / RECORD_NAME).exists():
        return read_pimd_trajectory(path, told.progress)
    return None


def _read_ipi(path: Path, told: ReadOptions) -> Trajectory | None:
    files = find_ipi_files(path)
    if files is None:
        return None
    return read_ipi_files(
        files,
        told.frame_interval_fs,
        told.structure,
        told.of_centroid,
        told.extras_units,
        told.progress,
        told.leading,
    )


def _refuse_folder(path: Path, told: ReadOptions) -> None:
    if path.is_dir():
        raise RunError(
            f"{path} holds no run: expected {TRAJECTORY_NAME} (classical), {RECORD_NAME} (path "
            "integral) or outputs of i-PI. Give the folder of one run, or a file"
        )


def _read_h5md(path: Path, told: ReadOptions) -> Trajectory | None:
    if path.suffix == ".h5" or _begins_with(path, HDF5_MAGIC):
        return read_h5md(path, told.frame_interval_fs, told.structure)
    return None


def _read_frames(path: Path, told: ReadOptions) -> Trajectory | None:
    if path.suffix == FRAMES_SUFFIX or _begins_with(path, MAGIC):
        return read_trajectory(path)
    return None


def _read_lammps(path: Path, told: ReadOptions) -> Trajectory | None:
    return read_lammps(
        path,
        told.lammps,
        told.frame_interval_fs,
        told.structure,
        told.velocity_unit,
        told.progress,
    )


def _read_ase(path: Path, told: ReadOptions) -> Trajectory | None:
    trajectory = read_ase_output(
        path,
        told.frame_interval_fs,
        told.progress,
        told.format,
        told.structure is not None,
        told.velocity_unit,
    )
    return _in_units(path, trajectory, told.extras_units or {})


def _in_units(path: Path, trajectory: Trajectory, units: Mapping[str, str]) -> Trajectory:
    """With quantities that the file has in other units than ASE's, by i-PI's name."""
    changed: dict[str, Any] = {}
    for name, unit in units.items():
        field = OF_EXTRAS.get(name, ("", ""))[0]
        values = getattr(trajectory, field, None)
        if values is None:
            raise RunError(f"{path} has no {name!r} that could be in {unit!r} (--extras-units)")
        factor = factor_of_quantity(name, unit, path)
        changed[field] = changed_frames(values, partial(np.multiply, factor), values.shape[1:])
    return replace(trajectory, **changed)


# Each gives None for a run of another kind; the first that does not has read it.
READERS: tuple[Reader, ...] = (
    _read_universe,
    _read_own_folder,
    _read_ipi,
    _refuse_folder,
    _read_h5md,
    _read_frames,
    _read_lammps,
    _read_ase,
)


def _as_told(run: Any, trajectory: Trajectory, options: ReadOptions) -> Trajectory:
    """With the times, and the masses and periodic directions of the same atoms, that were given."""
    structure = options.structure
    if options.frame_interval_fs is not None:
        times = np.arange(trajectory.n_frames) * options.frame_interval_fs
        trajectory = replace(trajectory, times_fs=times)
    if structure is None:
        return trajectory
    if not np.array_equal(trajectory.atomic_numbers, structure.numbers):
        raise RunError(f"{run} has other atoms than the structure, or in another order")
    cells, shape = trajectory.cells, (trajectory.n_frames, 3, 3)
    if structure.pbc.any() and cells is None:
        cells = np.broadcast_to(structure.cell.array, shape)
    return replace(
        trajectory,
        masses=structure.get_masses(),
        pbc=periodic_directions(structure),
        cells=cells if structure.pbc.any() else None,
    )


def _settings_of_checkpoint(folder: Path) -> dict[str, Any]:
    """Of a run of 0.1, whose frames do not tell; nothing where its checkpoint is not there."""
    if not (folder / CHECKPOINT_NAME).exists():
        return {}
    return ClassicalRun(**ClassicalState.read(folder / CHECKPOINT_NAME).settings).recorded


def _without_repeated(trajectory: Trajectory, interval_fs: float | None) -> Trajectory:
    """Without what a restart recorded again; where an interval is given, times may be wrong."""
    kept = last_records(trajectory.times_fs)
    if len(kept) == trajectory.n_frames:
        return trajectory
    steps = np.diff(trajectory.times_fs[kept])
    is_even = len(steps) > 0 and np.ptp(steps) < 1e-3 * steps.mean()
    if interval_fs is not None and not (is_even and 2 * len(kept) >= trajectory.n_frames):
        return trajectory
    warnings.warn(REPEATED.format(trajectory.n_frames - len(kept)), stacklevel=3)
    return with_frames(trajectory, kept)
