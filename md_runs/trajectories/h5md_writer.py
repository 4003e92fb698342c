"""Trajectories as H5MD 1.1 files, which other programs read.

P. de Buyl, P. H. Colberg, F. Hoefling, Comput. Phys. Commun. 185, 1546 (2014),
doi:10.1016/j.cpc.2014.01.018; https://nongnu.org/h5md.

    h5md                        version 1.1, creator, module "units"
    particles/bead_k            one group for each bead, as H5MD knows none; bead_0 if classical
        box                     boundary; edges where there is a cell
        species, mass           atomic numbers; amu
        position, velocity, force, charge
    observables/bead_k          potential_energy, dipole, polarizability
    parameters/mlpotential      temperature, dynamics and time step, where they are known

A time-dependent element is a group of `value`, `step` and `time`; all share one `step` (the number
of the frame: a `Trajectory` counts no integration steps) and one `time`. Each value has its `unit`,
of `h5md_schema`.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import h5py
import numpy as np

from md_runs.trajectories.frame_arrays import FrameArray, of_bead
from md_runs.trajectories.h5md_schema import OWN_UNITS, QUANTITIES
from md_runs.trajectories.trajectory import Trajectory
from mlpotential import __version__
from mlpotential.errors import RunError

VERSION = (1, 1)
UNITS_VERSION = (1, 0)
CLOCK = "particles/bead_0/position"  # the element whose step and time all others link to
CHUNK_BYTES = 1 << 20  # chosen: one chunk of frames is read or written at a time

PARAMETERS = ("temperature_K", "dynamics", "friction_per_fs", "integration_timestep_fs")


def write_h5md(trajectory: Trajectory, path: Path) -> None:
    """Writes beside the place and moves the file there when it is complete.

    Args:
        trajectory: may be larger than the memory: some frames are read at a time.
        path: replaced where it exists.

    Raises:
        RunError: if the file cannot be written; an old one stays.

    Warns:
        UserWarning: fixed atoms, which H5MD cannot tell from others.
    """
    if trajectory.fixed is not None:
        warnings.warn(
            f"H5MD does not tell that {int(trajectory.fixed.sum())} atoms are fixed: {path.name} "
            "is analysed as if all could move; export to .extxyz keeps them",
            stacklevel=2,
        )
    partial = path.with_name(path.name + ".partial")
    try:
        _check_space(trajectory, partial)
        with h5py.File(partial, "w") as file:
            _write_metadata(file, trajectory)
            _write_clock(file, trajectory)
            for bead_index in range(trajectory.n_beads):
                _write_bead(file, trajectory, bead_index)
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _check_space(trajectory: Trajectory, partial: Path) -> None:
    """Raises OSError where there is no room: HDF5 crashes on a file that it cannot finish."""
    recorded = [getattr(trajectory, quantity.field) for quantity in QUANTITIES]
    n_bytes = sum(values.nbytes for values in recorded if values is not None)
    if trajectory.cells is not None:
        n_bytes += trajectory.n_beads * trajectory.cells.nbytes
    n_chunks = (len(QUANTITIES) + 2) * trajectory.n_beads  # the last of each partly filled
    with open(partial, "wb") as handle:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, n_bytes + n_chunks * CHUNK_BYTES)


def _write_metadata(file: h5py.File, trajectory: Trajectory) -> None:
    root = file.create_group("h5md")
    root.attrs["version"] = VERSION
    root.create_group("author").attrs["name"] = np.bytes_("unknown")  # the specification wants one
    creator = root.create_group("creator")
    creator.attrs["name"] = np.bytes_("mlpotential")
    creator.attrs["version"] = np.bytes_(__version__)
    units = root.create_group("modules/units")
    units.attrs["version"] = UNITS_VERSION
    units.attrs["system"] = " ".join(OWN_UNITS[k] for k in ("length", "time", "energy", "mass"))
    parameters = file.create_group("parameters/mlpotential")
    for name in PARAMETERS:
        if (value := getattr(trajectory, name)) is not None:
            parameters.attrs[name] = value


def _write_clock(file: h5py.File, trajectory: Trajectory) -> None:
    clock = file.create_group(CLOCK)
    clock["step"] = np.arange(trajectory.n_frames)
    clock["time"] = np.asarray(trajectory.times_fs, np.float64)
    clock["time"].attrs["unit"] = OWN_UNITS["time"]


def _write_bead(file: h5py.File, trajectory: Trajectory, bead_index: int) -> None:
    bead = f"bead_{bead_index}"
    particles = file.require_group(f"particles/{bead}")
    box = particles.create_group("box")
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = np.array([b"periodic" if p else b"none" for p in trajectory.pbc])
    if trajectory.cells is not None:
        _write_element(file, f"particles/{bead}/box/edges", trajectory.cells, OWN_UNITS["length"])
    particles["species"] = np.asarray(trajectory.atomic_numbers, np.int32)
    particles["mass"] = trajectory.masses
    particles["mass"].attrs["unit"] = OWN_UNITS["mass"]
    for quantity in QUANTITIES:
        values = getattr(trajectory, quantity.field)
        if values is not None:
            place, unit = quantity.place.format(bead=bead), OWN_UNITS[quantity.kind]
            _write_element(file, place, of_bead(values, bead_index), unit)


def _write_element(file: h5py.File, place: str, values: FrameArray, unit: str) -> None:
    """One time-dependent element, some frames at a time; all share `step` and `time`."""
    group = file.require_group(place)
    frame_bytes = 8 * int(np.prod(values.shape[1:]))
    n_frames = max(1, min(len(values), CHUNK_BYTES // frame_bytes))
    dataset = group.create_dataset(
        "value", values.shape, np.float64, chunks=(n_frames, *values.shape[1:])
    )
    dataset.attrs["unit"] = unit
    for start in range(0, len(values), n_frames):
        dataset[start : start + n_frames] = values[start : start + n_frames]
    for name in ("step", "time"):
        if name not in group:
            group[name] = file[CLOCK][name]  # a hard link
