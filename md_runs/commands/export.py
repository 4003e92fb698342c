"""`md-runs export`: runs as files of other programs, H5MD or extended XYZ (one for each bead)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from md_runs.analysis.spectra.dynamics import VelocityUnit
from md_runs.trajectories.lammps_files.units import UnitName
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError
from mlpotential.input_files import check_output_file

EXAMPLES = """  md-runs export nvt nvt.h5
  md-runs export pimd pimd.extxyz          (one file for each bead)
  md-runs export nve/segment_0.frames segment.extxyz"""


def command(run: Path, output: Path, **reading: Any) -> int:
    """Writes a run and prints the names of the files.

    Args:
        run: run folder (classical or pimd), .frames, .h5, a dump of LAMMPS, or any that ASE reads.
        output: file to write, .h5 (H5MD) or .extxyz.
        reading: options of `export_run`.
    """
    check_output_file(output)
    for path in export_run(run, output, **reading):
        print(path)
    return 0


def export_run(
    run: Path,
    output: Path,
    *,
    frame_interval_fs: float | None = None,
    velocity_unit: VelocityUnit | None = None,
    units: UnitName | None = None,
    lammps_log: Path | None = None,
    elements: Sequence[str] | None = None,
    format: str | None = None,
) -> list[Path]:
    """Writes a run to `output`, by its ending: `.h5` or `.extxyz`. Returns the files written.

    Args:
        run: to read.
        output: to write.
        frame_interval_fs: time between frames, fs (as recorded).
        velocity_unit: of velocities in a column or a dump of LAMMPS.
        units: of a dump of LAMMPS, by its name of them (as the dump or its log tells).
        lammps_log: of the run that wrote a dump (log.lammps beside it, if it names the dump).
        elements: of types 1, 2, ... of a dump of LAMMPS: C H (by its column or masses).
        format: of a file, as ASE names it (by its content or name).

    Raises:
        ConfigError: for another ending.
        RunError: if the run cannot be read or the output cannot be written.
    """
    if output.suffix not in (".h5", ".extxyz"):
        raise ConfigError(f"the output must end in .h5 or .extxyz, not {output.name!r}")
    from md_runs.reading import read_run
    from md_runs.trajectories.extxyz_writer import write_extended_xyz
    from md_runs.trajectories.h5md_writer import write_h5md

    trajectory = read_run(
        run,
        frame_interval_fs,
        format=format,
        velocity_unit=velocity_unit,
        units=units,
        lammps_log=lammps_log,
        elements=elements,
    )
    if output.suffix == ".extxyz":
        return write_extended_xyz(trajectory, output)
    write_h5md(trajectory, output)
    return [output]


COMMAND = Command.of(command, EXAMPLES, more=[export_run])
