"""Short runs without a thermostat from thermalised frames, for vibrational spectra."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.md.verlet import VelocityVerlet
from tqdm import tqdm

from md_runs.classical.steps import (
    advance,
    check_dynamic,
    frame_header,
    moving_copy,
    progress_bar,
    record_frame,
)
from md_runs.model_warnings import RunGuard, refuse_departure, warn_of_hard_cutoff
from md_runs.run_folders import FRAMES_SUFFIX, SEGMENT_NAME
from md_runs.thermal_velocities import (
    LINEAR_KEY,
    n_degrees_of_freedom,
    thermal_motion,
    without_rigid_motion,
)
from md_runs.trajectories.frames_file import (
    FrameHeader,
    FrameRecorder,
    read_header,
    read_trajectory,
)
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ConfigError, RunError, StructureError
from mlpotential.interruption import RunInterrupted, StopRequest, stop_on_signals
from mlpotential.run_folder import lock_folder
from mlpotential.settings_checks import check_count, check_number
from mlpotential.units import ASE_TIME_PER_FS

START_TOLERANCE = 1e-9  # A; frames of a resumed run are those of the first one to the last bits


def run_nve_segments(
    atoms: Atoms,
    start_frames: Sequence[tuple[np.ndarray, np.ndarray]],
    segment_steps: int,
    timestep_fs: float,
    stride: int,
    folder: Path,
    progress: bool = True,
) -> list[Trajectory]:
    """One NVE trajectory from each start frame; finished segments in the folder are kept.

    Args:
        atoms: elements, masses, cell, fixed atoms and calculator; of its positions (a relaxed
            structure, or that of the run the frames are of) only whether it is linear matters.
        start_frames: positions [n_atoms, 3] (A) and velocities [n_atoms, 3] (A/fs) of each segment.
            The motion of the centre of mass and, for a molecule, its rotation are taken out.
        segment_steps: steps of each segment, a multiple of `stride`.
        timestep_fs: integration step.
        stride: steps between recorded frames.
        folder: made where needed; segment k is `segment_k.frames`.
        progress: a progress bar, if the output is a terminal.

    Raises:
        ConfigError: steps, stride or time step that cannot be used.
        StructureError: frames or atoms that dynamics cannot use.
        RunError: the folder is in use or holds other segments, the disk is full, or the dynamics
            exploded or was outside the training data for long.
        RunInterrupted: after SIGTERM, SIGINT or SIGHUP; finished segments are kept.

    Warns:
        UserWarning: if the calculator's model has a hard cutoff.
    """
    check_number("timestep_fs", timestep_fs)
    check_count("stride", stride)
    check_count("segment_steps", segment_steps)
    if segment_steps % stride:
        raise ConfigError(
            f"segment_steps ({segment_steps}) must be a multiple of stride ({stride})"
        )
    warn_of_hard_cutoff(getattr(atoms.calc, "traits", None))
    folder = Path(folder)
    starts = [_start(atoms, positions, velocities) for positions, velocities in start_frames]
    header = frame_header(starts[0] if starts else atoms, timestep_fs, stride)
    header = replace(header, dynamics="NVE")
    paths = [folder / (SEGMENT_NAME.format(k) + FRAMES_SUFFIX) for k in range(len(starts))]
    with (
        lock_folder(folder),
        progress_bar(len(starts) * segment_steps, 0, progress) as bar,
        stop_on_signals() as request,
    ):
        guard = RunGuard(atoms.calc, folder, continues=any(path.exists() for path in paths))
        for start, path in zip(starts, paths, strict=True):
            if path.exists():
                _check_finished(path, header, start, segment_steps // stride + 1)
                bar.update(segment_steps)
            else:
                _run_segment(start, path, header, segment_steps, bar, request)
                guard.save()
    if getattr(atoms.calc, "guard_mode", None) != "off":
        refuse_departure(guard.report, folder)
    return [read_trajectory(path) for path in paths]


def _start(atoms: Atoms, positions: np.ndarray, velocities: np.ndarray) -> Atoms:
    """Atoms in one start frame, without rigid motion, checked."""
    if np.shape(positions) != (len(atoms), 3) or np.shape(velocities) != (len(atoms), 3):
        raise StructureError(
            f"a start frame of {len(atoms)} atoms needs positions and velocities of shape "
            f"({len(atoms)}, 3), not {np.shape(positions)} and {np.shape(velocities)}"
        )
    momenta = atoms.get_masses()[:, None] * velocities / ASE_TIME_PER_FS
    start = moving_copy(atoms, np.array(positions, np.float64), momenta)
    start.info[LINEAR_KEY] = thermal_motion(atoms, rotates=False).is_linear
    check_dynamic(start, rotates=False)
    start.set_momenta(without_rigid_motion(start, momenta, rotates=False))
    return start


def _run_segment(
    start: Atoms,
    path: Path,
    header: FrameHeader,
    n_steps: int,
    bar: tqdm,
    request: StopRequest,
) -> None:
    """Writes one segment beside its place and moves it there when it is complete."""
    n_dof = n_degrees_of_freedom(start, rotates=False)
    partial = path.with_suffix(".partial")
    integrator = VelocityVerlet(start, header.timestep_fs * ASE_TIME_PER_FS)
    forces = start.get_forces(apply_constraint=False)
    with FrameRecorder(partial, header) as recorder:
        record_frame(recorder, start, forces, n_dof, 0)
        for step in range(1, n_steps + 1):
            forces = advance(integrator, forces, step, n_dof)
            if step % header.stride == 0:
                record_frame(recorder, start, forces, n_dof, step)
            bar.update()
            if request.signal_number:
                raise RunInterrupted(
                    f"interrupted in {path.stem}: the segments before it are kept, the same "
                    "command goes on",
                    request.signal_number,
                )
        recorder.flush()
    os.replace(partial, path)


def _check_finished(path: Path, header: FrameHeader, start: Atoms, n_frames: int) -> None:
    """Raises RunError unless the file is the segment that would be run from this start."""
    same = not header.differences(read_header(path))
    if same:
        first = read_trajectory(path)
        velocities = start.get_velocities() * ASE_TIME_PER_FS
        assert first.velocities_angstrom_per_fs is not None
        same = (
            first.n_frames == n_frames
            and np.allclose(first.positions[0, 0], start.positions, atol=START_TOLERANCE)
            and np.allclose(
                first.velocities_angstrom_per_fs[0, 0], velocities, atol=START_TOLERANCE
            )
        )
    if not same:
        raise RunError(
            f"{path} is a segment of another run (start frame, length, time step or structure "
            "differ): choose another folder"
        )
