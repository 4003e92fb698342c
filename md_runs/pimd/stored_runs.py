"""Path-integral runs as they lie in their folders, whichever engine made them."""

from __future__ import annotations

from pathlib import Path

from md_runs.analysis.path_integrals.energy_series import EnergySeries
from md_runs.pimd.ipi_run import read_ipi_run_energies, read_ipi_trajectory
from md_runs.pimd.record import read_record
from md_runs.pimd.ring_polymer.files import read_energies
from md_runs.run_folders import TRAJECTORY_NAME
from md_runs.trajectories.frames_file import read_trajectory
from md_runs.trajectories.trajectory import Trajectory


def read_pimd_trajectory(folder: Path, progress: bool = True) -> Trajectory:
    """The beads of a run, finished or not; of segments, give one.

    Args:
        folder: of the run. What i-PI wrote is read up to its latest checkpoint.
        progress: show bars, if standard error is a terminal.

    Raises:
        RunError: if the folder holds no such run, it has no frame or, of i-PI, no checkpoint yet,
            or its outputs are damaged.
    """
    if read_record(folder)[1].is_in_process:
        return read_trajectory(folder / TRAJECTORY_NAME)
    return read_ipi_trajectory(folder, progress)


def read_pimd_energies(folder: Path) -> EnergySeries:
    """Energies of a run, as often as they were recorded.

    Raises:
        RunError: as `read_pimd_trajectory`.
    """
    if read_record(folder)[1].is_in_process:
        return read_energies(folder)
    return read_ipi_run_energies(folder)
