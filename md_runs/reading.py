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

from md_runs.analysis.even_frames import REPEATED, last_records
from md_runs.classical import CHECKPOINT_NAME, TRAJECTORY_NAME
from md_runs.classical_checkpoint import ClassicalState
from md_runs.h5md_input import read_h5md
from md_runs.pimd import read_pimd_trajectory
from md_runs.pimd_record import RECORD_NAME, read_record
from md_runs.recorder import read_trajectory
from md_runs.settings_checks import check_number
from md_runs.trajectory import Trajectory, with_frames
from mlpotential.errors import RunError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
DYNAMICS = {"langevin": "Langevin", "bussi": "Bussi", "nve": "NVE"}


def read_run(
    run: Path | str,
    frame_interval_fs: float | None = None,
    structure: Atoms | None = None,
) -> Trajectory:
    """Reads a run; large ones stay in their file until frames are taken.

    Args:
        run: the folder of a run; a `.frames` or H5MD file.
        frame_interval_fs: time between frames, where the file does not tell it or is wrong.
        structure: elements, masses and periodicity, where the file does not tell them.

    Raises:
        RunError: if there is none, it is damaged, or lacks what must be known of it.
        ConfigError: an interval that is not positive.

    Warns:
        UserWarning: frames that were cut or repeated, and are left out.
    """
    if frame_interval_fs is not None:
        check_number("frame_interval_fs", frame_interval_fs)
    path = Path(run)
    trajectory = _opened(path, frame_interval_fs, structure)
    if frame_interval_fs is not None:
        times = np.arange(trajectory.n_frames) * frame_interval_fs
        return replace(trajectory, times_fs=times)
    return _without_repeated(trajectory)


def _opened(path: Path, interval_fs: float | None, structure: Atoms | None) -> Trajectory:
    if path.is_dir():
        return _read_folder(path)
    if path.suffix == ".h5" or _begins_with(path, HDF5_MAGIC):
        return read_h5md(path, interval_fs, structure)
    return read_trajectory(path)


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
        f"{folder} holds no run: expected {TRAJECTORY_NAME} (classical) or {RECORD_NAME} (path "
        "integral). Give the folder of one run"
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
