"""Files of ASE: `.traj` and extended XYZ read as a `Trajectory`, and extended XYZ written.

A run that was killed leaves a last frame that is cut; it is dropped with a warning. A run that was
restarted repeats times; the later frames replace the earlier ones, and their number is told.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, write
from ase.io.trajectory import Trajectory as AseTrajectory

from md_runs.settings_checks import check_number
from md_runs.trajectory import Trajectory
from mlpotential.errors import RunError
from mlpotential.units import ASE_TIME_PER_FS

TIME_KEY = "time_fs"


def read_ase_output(path: Path, frame_interval_fs: float | None = None) -> Trajectory:
    """Reads a whole file; velocities, forces and energies where every frame has them.

    Args:
        path: `.traj`, or extended XYZ by any other name.
        frame_interval_fs: time between frames; None where each frame has `time_fs` in its info.

    Raises:
        RunError: a file that is missing, damaged before its last frame or empty; frames of
            different structures; unknown times.
        ConfigError: an interval that is not positive.
    """
    try:
        frames = list(_traj_frames(path) if path.suffix == ".traj" else _xyz_frames(path))
    except OSError as error:
        raise RunError(f"cannot read the trajectory {path}: {error}") from error
    if not frames:
        raise RunError(f"{path} holds no complete frame")
    _check_same_structure(path, frames)
    times, frames = _times_and_frames(path, frames, frame_interval_fs)
    pbc = frames[0].get_pbc()
    return Trajectory(
        atomic_numbers=frames[0].get_atomic_numbers(),
        masses=frames[0].get_masses(),
        times_fs=times,
        positions=np.stack([atoms.get_positions()[None] for atoms in frames]),
        velocities_angstrom_per_fs=_velocities(frames),
        forces=_results(frames, "forces"),
        energies=_results(frames, "energy"),
        cells=np.stack([np.array(atoms.cell) for atoms in frames]) if pbc.any() else None,
        pbc=(bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
    )


def write_extended_xyz(trajectory: Trajectory, path: Path) -> list[Path]:
    """Writes each bead to a file of its own, with all that was recorded and `time_fs`.

    Args:
        trajectory: one frame is read at a time.
        path: of the only bead; where there are more, bead k is written to `NAME_bead_k.SUFFIX`.

    Returns:
        The files written, in the order of the beads. `read_ase_output` reads each.

    Raises:
        RunError: if a file cannot be written; an old one stays.
    """
    paths = [path]
    if trajectory.n_beads > 1:
        beads = range(trajectory.n_beads)
        paths = [path.with_name(f"{path.stem}_bead_{k}{path.suffix}") for k in beads]
    for bead_index, bead_path in enumerate(paths):
        partial = bead_path.with_name(bead_path.name + ".partial")
        try:
            with open(partial, "w") as handle:
                for frame in range(trajectory.n_frames):
                    write(handle, _frame_of(trajectory, frame, bead_index), format="extxyz")
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(partial, bead_path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RunError(f"cannot write {bead_path}: {error.strerror}") from error
    return paths


def _frame_of(trajectory: Trajectory, frame: int, bead_index: int) -> Atoms:
    cells, velocities = trajectory.cells, trajectory.velocities_angstrom_per_fs
    atoms = Atoms(
        trajectory.atomic_numbers,
        positions=trajectory.positions[frame, bead_index],
        masses=trajectory.masses,
        cell=None if cells is None else cells[frame],
        pbc=trajectory.pbc,
        info={TIME_KEY: float(trajectory.times_fs[frame])},
    )
    if velocities is not None:
        atoms.set_velocities(velocities[frame, bead_index] / ASE_TIME_PER_FS)
    results = {}
    if trajectory.energies is not None:
        results["energy"] = float(trajectory.energies[frame, bead_index])
    if trajectory.forces is not None:
        results["forces"] = trajectory.forces[frame, bead_index]
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _traj_frames(path: Path) -> Iterator[Atoms]:
    """Frame after frame; only the last one may be cut."""
    try:
        trajectory = AseTrajectory(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # ASE raises whatever the damaged bytes lead to
        raise RunError(f"{path} is not a readable ASE trajectory: {error!r}") from error
    with trajectory:
        for k in range(len(trajectory)):
            try:
                atoms = trajectory[k]
            except Exception as error:
                if k + 1 < len(trajectory):
                    raise RunError(f"frame {k} of {path} is damaged: {error!r}") from error
                _warn_cut(path, k)
                return
            yield atoms


def _xyz_frames(path: Path) -> Iterator[Atoms]:
    """Frame after frame; only the last one may be cut, be it inside its last number."""
    lines = path.read_text().splitlines(keepends=True)
    start, k = 0, 0
    while start < len(lines) and lines[start].strip():
        try:
            end = start + 2 + int(lines[start])
        except ValueError as error:
            raise RunError(
                f"frame {k} of {path} (line {start + 1}) should begin with the number of atoms, "
                f"not {lines[start].strip()[:60]!r}"
            ) from error
        if end > len(lines) or not lines[end - 1].endswith("\n"):
            _warn_cut(path, k)
            return
        try:
            atoms = next(iread(io.StringIO("".join(lines[start:end])), format="extxyz"))
        except Exception as error:  # ASE raises whatever the damaged text leads to
            raise RunError(f"frame {k} of {path} (line {start + 1}) is damaged: {error}") from error
        yield atoms
        start, k = end, k + 1


def _warn_cut(path: Path, n_frames: int) -> None:
    warnings.warn(
        f"the last frame of {path} is cut: the {n_frames} frames before it are used", stacklevel=4
    )


def _check_same_structure(path: Path, frames: Sequence[Atoms]) -> None:
    for k, atoms in enumerate(frames):
        same_numbers = np.array_equal(atoms.numbers, frames[0].numbers)
        if not (same_numbers and np.array_equal(atoms.pbc, frames[0].pbc)):
            raise RunError(f"frame {k} of {path} has other atoms or periodicity than frame 0")
        if not np.isfinite(atoms.positions).all():
            raise RunError(f"frame {k} of {path} has positions that are not finite")


def _times_and_frames(
    path: Path, frames: list[Atoms], frame_interval_fs: float | None
) -> tuple[np.ndarray, list[Atoms]]:
    """Ascending times [n_frames] (fs) and their frames."""
    if frame_interval_fs is not None:
        check_number("frame_interval_fs", frame_interval_fs)
        return np.arange(len(frames)) * frame_interval_fs, frames
    if any(TIME_KEY not in atoms.info for atoms in frames):
        raise RunError(f"{path} tells no times ({TIME_KEY}): give frame_interval_fs")
    kept: list[Atoms] = []
    for atoms in frames:
        while kept and kept[-1].info[TIME_KEY] >= atoms.info[TIME_KEY]:
            kept.pop()  # a restarted run computed this time again
        kept.append(atoms)
    if len(kept) < len(frames):
        warnings.warn(
            f"{path} repeats {len(frames) - len(kept)} frames after a restart: the later ones "
            "are used",
            stacklevel=3,
        )
    return np.array([float(atoms.info[TIME_KEY]) for atoms in kept]), kept


def _velocities(frames: Sequence[Atoms]) -> np.ndarray | None:
    """[n_frames, 1, n_atoms, 3] (A/fs)."""
    if not all(atoms.has("momenta") for atoms in frames):
        return None
    return np.stack([atoms.get_velocities()[None] for atoms in frames]) * ASE_TIME_PER_FS


def _results(frames: Sequence[Atoms], name: str) -> np.ndarray | None:
    """A stored result of each frame behind its bead, [n_frames, 1, ...]."""
    stored = [{} if atoms.calc is None else atoms.calc.results for atoms in frames]
    if not all(name in results for results in stored):
        return None
    return np.stack([np.asarray(results[name], np.float64)[None] for results in stored])
