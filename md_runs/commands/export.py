"""`md-runs export`: runs as files of other programs, H5MD or extended XYZ (one for each bead)."""

from __future__ import annotations

from pathlib import Path

from md_runs.reading import read_run
from md_runs.trajectories.extxyz_writer import write_extended_xyz
from md_runs.trajectories.h5md_writer import write_h5md
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.input_files import check_output_file

EXAMPLES = """  md-runs export nvt nvt.h5
  md-runs export pimd pimd.extxyz          (one file for each bead)
  md-runs export nve/segment_0.frames segment.extxyz"""


def command(run: Path, output: Path) -> int:
    """Writes a run and prints the names of the files.

    Args:
        run: run folder (classical or pimd), .frames or .h5.
        output: file to write, .h5 (H5MD) or .extxyz.
    """
    check_output_file(output)
    for path in export_run(run, output):
        print(path)
    return 0


def export_run(run: Path, output: Path, frame_interval_fs: float | None = None) -> list[Path]:
    """Writes a run to `output`, by its ending: `.h5` or `.extxyz`. Returns the files written.

    Raises:
        ConfigError: for another ending.
        RunError: if the run cannot be read or the output cannot be written.
    """
    if output.suffix not in (".h5", ".extxyz"):
        raise ConfigError(f"the output must end in .h5 or .extxyz, not {output.name!r}")
    trajectory = read_run(run, frame_interval_fs)
    if output.suffix == ".extxyz":
        return write_extended_xyz(trajectory, output)
    write_h5md(trajectory, output)
    return [output]


COMMAND = Command.of(command, EXAMPLES)
