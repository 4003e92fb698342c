"""Any run as a `Trajectory`: of this program, of i-PI, of ASE, H5MD files.

What a file is decides its content, not its name. Faults of a file that leave it usable (a last
frame that is cut, frames that a restart repeated) are warnings with their number; all others are
errors that say what to do.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.classical.checkpoint import ClassicalState
from md_runs.pimd.ipi_run import read_pimd_trajectory
from md_runs.pimd.record import read_record
from md_runs.run_folders import (
    CHECKPOINT_NAME,
    FRAMES_SUFFIX,
    RECORD_NAME,
    TRAJECTORY_NAME,
    is_single_run,
)
from md_runs.settings_checks import check_number
from md_runs.trajectories.ase_reader import read_ase_output
from md_runs.trajectories.frames_file import MAGIC, read_trajectory
from md_runs.trajectories.h5md_reader import read_h5md
from md_runs.trajectories.ipi_reader import find_ipi_files, read_ipi_files
from md_runs.trajectories.mdanalysis_reader import is_universe, read_universe
from md_runs.trajectories.trajectory import (
    REPEATED,
    Trajectory,
    centroid_of,
    last_records,
    with_frames,
)
from md_runs.trajectories.unit_checks import warn_of_wrong_units
from mlpotential.errors import RunError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
DYNAMICS = {"langevin": "Langevin", "bussi": "Bussi", "nve": "NVE"}


def read_run(
    run: Path | str | Any,
    frame_interval_fs: float | None = None,
    structure: Atoms | None = None,
    of_centroid: bool = False,
    extras_units: dict[str, str] | None = None,
    progress: bool = True,
) -> Trajectory:
    """Reads a run; large ones stay in their file until frames are taken.

    Args:
        run: the folder of a run; a `.frames` or H5MD file, or any that ASE reads; the folder, the
            prefix or a file of outputs of i-PI; a universe of MDAnalysis.
        frame_interval_fs: time between frames, where the file does not tell it or is wrong.
        structure: elements, masses and periodic directions, where the file does not tell them (i-PI
            never tells the last).
        of_centroid: of a ring polymer read the centroid, as the only bead.
        extras_units: of extras of i-PI, {"dipole": "debye"}; None for atomic units.
        progress: show a bar while a text file is read, if standard error is a terminal.

    Raises:
        RunError: if there is none, it is damaged, or lacks what must be known of it.
        ConfigError: an interval that is not positive.

    Warns:
        UserWarning: frames that were cut or repeated, and are left out; lengths or velocities that
            look like those of another unit.
    """
    if frame_interval_fs is not None:
        check_number("frame_interval_fs", frame_interval_fs)
    if is_universe(run):
        trajectory = read_universe(run, frame_interval_fs, structure)
    elif not is_single_run(Path(run)) and (files := find_ipi_files(Path(run))) is not None:
        trajectory = read_ipi_files(
            files, frame_interval_fs, structure, of_centroid, extras_units, progress
        )
    else:
        trajectory = _read_path(Path(run), frame_interval_fs, structure, progress)
    if frame_interval_fs is None:
        trajectory = _without_repeated(trajectory)
    if of_centroid:
        trajectory = centroid_of(trajectory)
    warn_of_wrong_units(trajectory)
    return trajectory


def _read_path(
    path: Path, interval_fs: float | None, structure: Atoms | None, progress: bool
) -> Trajectory:
    if path.is_dir():
        trajectory = _read_folder(path)
    elif path.suffix == ".h5" or _begins_with(path, HDF5_MAGIC):
        trajectory = read_h5md(path, interval_fs, structure)
    elif path.suffix == FRAMES_SUFFIX or _begins_with(path, MAGIC):
        trajectory = read_trajectory(path)
    else:
        trajectory = read_ase_output(path, interval_fs, progress)
    if interval_fs is not None:
        times = np.arange(trajectory.n_frames) * interval_fs
        trajectory = replace(trajectory, times_fs=times)
    return trajectory if structure is None else _with_structure(path, trajectory, structure)


def _with_structure(path: Path, trajectory: Trajectory, structure: Atoms) -> Trajectory:
    """Masses and periodic directions of the structure, whose atoms must be the same."""
    if not np.array_equal(trajectory.atomic_numbers, structure.numbers):
        raise RunError(f"{path} has other atoms than the structure, or in another order")
    cells, shape = trajectory.cells, (trajectory.n_frames, 3, 3)
    if structure.pbc.any() and cells is None:
        cells = np.broadcast_to(structure.cell.array, shape)
    pbc = (bool(structure.pbc[0]), bool(structure.pbc[1]), bool(structure.pbc[2]))
    return replace(
        trajectory, masses=structure.get_masses(), pbc=pbc, cells=cells if any(pbc) else None
    )


def _read_folder(folder: Path) -> Trajectory:
    if (folder / TRAJECTORY_NAME).exists():
        return replace(read_trajectory(folder / TRAJECTORY_NAME), **_classical_settings(folder))
    if (folder / RECORD_NAME).exists():
        settings = read_record(folder)[1]
        return replace(
            read_pimd_trajectory(folder),
            temperature_K=settings.temperature_K,
            dynamics=str(getattr(settings, "dynamics", "pimd")).upper(),
            integration_timestep_fs=settings.timestep_fs,
        )
    raise RunError(
        f"{folder} holds no run: expected {TRAJECTORY_NAME} (classical), {RECORD_NAME} (path "
        "integral) or outputs of i-PI. Give the folder of one run, or a file"
    )


def _classical_settings(folder: Path) -> dict[str, Any]:
    """Of the run in the folder; nothing where its checkpoint is not there."""
    if not (folder / CHECKPOINT_NAME).exists():
        return {}
    settings = ClassicalState.read(folder / CHECKPOINT_NAME).settings
    ensemble = settings["ensemble"]
    return {
        "dynamics": DYNAMICS[ensemble],
        "temperature_K": None if ensemble == "nve" else settings["temperature_K"],
        "friction_per_fs": settings["friction_per_fs"] if ensemble == "langevin" else None,
        "integration_timestep_fs": settings["timestep_fs"],
    }


def _without_repeated(trajectory: Trajectory) -> Trajectory:
    kept = last_records(trajectory.times_fs)
    if len(kept) == trajectory.n_frames:
        return trajectory
    warnings.warn(REPEATED.format(trajectory.n_frames - len(kept)), stacklevel=3)
    return with_frames(trajectory, kept)


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with open(path, "rb") as handle:
            return handle.read(len(magic)) == magic
    except OSError:
        return False
