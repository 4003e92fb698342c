"""The files of a ring polymer: frames of all beads, energies, the checkpoint.

Frames and energies are two files of `trajectories.frames_file`, each with a stride of its own.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.analysis.path_integrals.energy_series import EnergySeries
from md_runs.analysis.spectra.dynamics import NAME_OF_SETTING
from md_runs.pimd.results import PimdProperties
from md_runs.pimd.settings import PimdRun
from md_runs.trajectories.frames_file import (
    FIELDS,
    SHAPES,
    FrameHeader,
    Shape,
    member_fields,
    read_header,
    read_records,
    with_calibration,
)

PROPERTIES_NAME = "properties.frames"
CHECKPOINT_NAME = "ring_polymer.checkpoint"
MADE_OF_STEPS = ("steps", "times_fs")
OF_MOVING_CELL = ("volume", "pressure_GPa")
NOT_RECORDED = (*MADE_OF_STEPS, *OF_MOVING_CELL)
COLUMNS = (
    *(field.name for field in fields(PimdProperties) if field.name not in NOT_RECORDED),
    "kinetic_primitive",
)


def frame_header(
    atoms: Atoms, settings: PimdRun, extras: tuple[str, ...], forces: Any = None
) -> FrameHeader:
    """Of the frames of all beads.

    Args:
        atoms: of the run.
        settings: of the run.
        extras: what comes beside forces, such as `dipole`.
        forces: of the run, which may be those of a committee.
    """
    n_beads, per_atom = settings.n_beads, (settings.n_beads, len(atoms), 3)
    recorded: dict[str, Shape] = {"positions": per_atom}
    if settings.records_velocities:
        recorded["velocities_angstrom_per_fs"] = per_atom
    if settings.record_forces:
        recorded |= {"forces": per_atom, "energies": (n_beads,)}
    recorded |= {FIELDS[name]: (n_beads, *SHAPES[name]) for name in extras}
    recorded |= member_fields(forces, n_beads)
    if settings.moves_cell:
        recorded["cells"] = (3, 3)
    header = _header(atoms, settings, settings.stride, recorded)
    return with_calibration(header, forces)


def properties_header(atoms: Atoms, settings: PimdRun) -> FrameHeader:
    """Of the energies."""
    columns = (*COLUMNS, *OF_MOVING_CELL) if settings.moves_cell else COLUMNS
    return _header(atoms, settings, settings.properties_stride, dict.fromkeys(columns, ()))


def _header(
    atoms: Atoms, settings: PimdRun, stride: int, recorded: dict[str, Shape]
) -> FrameHeader:
    header = FrameHeader.of_run(atoms, settings.timestep_fs, stride, recorded, settings.moves_cell)
    return replace(
        header,
        dynamics=NAME_OF_SETTING[settings.dynamics],
        temperature_K=float(settings.temperature_K),
    )


def read_properties(folder: Path) -> PimdProperties:
    """Energies and temperatures. Raises RunError if there are none."""
    path = folder / PROPERTIES_NAME
    header, records = read_header(path), read_records(path)
    steps = np.arange(len(records)) * header.stride
    columns = {
        name: np.array(records[name]) for name in header.fields if name != "kinetic_primitive"
    }
    return PimdProperties(steps=steps, times_fs=steps * header.timestep_fs, **columns)


def read_energies(folder: Path) -> EnergySeries:
    """Energies with both kinetic estimators. Raises RunError if there are none."""
    found = read_properties(folder)
    primitive = np.array(read_records(folder / PROPERTIES_NAME)["kinetic_primitive"])
    return EnergySeries(found.times_fs, found.kinetic_cv, found.potential, primitive)
