"""Runs as files of other programs: H5MD, or extended XYZ (one file for each bead)."""

from __future__ import annotations

from pathlib import Path

from md_runs.ase_output import write_extended_xyz
from md_runs.classical import TRAJECTORY_NAME
from md_runs.h5md import read_h5md, write_h5md
from md_runs.pimd import read_pimd_trajectory
from md_runs.pimd_record import RECORD_NAME
from md_runs.recorder import read_trajectory
from md_runs.trajectory import Trajectory
from mlpotential.errors import ConfigError, RunError


def read_run(run: Path) -> Trajectory:
    """The trajectory of a run folder, a `.frames` file or an H5MD file.

    Raises:
        RunError: if there is none, or it is damaged.
    """
    if run.suffix == ".h5" and not run.is_dir():
        return read_h5md(run)
    if not run.is_dir():
        return read_trajectory(run)
    if (run / TRAJECTORY_NAME).exists():
        return read_trajectory(run / TRAJECTORY_NAME)
    if (run / RECORD_NAME).exists():
        return read_pimd_trajectory(run)
    raise RunError(
        f"{run} holds no run: expected {TRAJECTORY_NAME} (classical) or {RECORD_NAME} (path "
        "integral). Give the folder of one run"
    )


def export_run(run: Path, output: Path) -> list[Path]:
    """Writes a run to `output`, by its ending: `.h5` or `.extxyz`. Returns the files written.

    Raises:
        ConfigError: for another ending.
        RunError: if the run cannot be read or the output cannot be written.
    """
    if output.suffix not in (".h5", ".extxyz"):
        raise ConfigError(f"the output must end in .h5 or .extxyz, not {output.name!r}")
    trajectory = read_run(run)
    if output.suffix == ".extxyz":
        return write_extended_xyz(trajectory, output)
    write_h5md(trajectory, output)
    return [output]
