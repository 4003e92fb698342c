"""Files that ASE reads as a `Trajectory`.

Each file is read once, from its beginning to its end, and kept as numbers in a temporary file
(`frame_cache`). XYZ files are read in bulk (`extxyz_reader`). A run that was killed leaves a last
frame that is cut; it is dropped with a warning.
"""

from __future__ import annotations

import difflib
import itertools
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.formats import ioformats
from ase.io.trajectory import Trajectory as AseTrajectory
from tqdm import tqdm

from md_runs.analysis.spectra.dynamics import VelocityUnit
from md_runs.trajectories.extxyz_reader import (
    ANGSTROM_PER_FS,
    VELOCITY_COLUMNS,
    open_xyz,
)
from md_runs.trajectories.extxyz_writer import RESULTS, TIME_KEY
from md_runs.trajectories.frame_arrays import changed_frames
from md_runs.trajectories.frame_cache import Batch, FrameCache, warn_of_missing
from md_runs.trajectories.structure_file import (
    fixed_atoms,
    other_constraints,
    periodic_directions,
    with_masses_of_column,
)
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ConfigError, RunError
from mlpotential.messages import bar_hidden
from mlpotential.units import ASE_TIME_PER_FS

FRAMES_AT_ONCE = 256  # chosen: frames of ASE in memory
READ_RESULTS = RESULTS | {"polarizability": "polarizabilities"}
# Formats that ASE does not read, or not in time, by their suffix.
OF_MDANALYSIS = (".xtc", ".trr", ".dcd", ".nc", ".ncdf", ".mdcrd", ".tng", ".h5r", ".trz", ".crd")


def read_ase_output(
    path: Path,
    frame_interval_fs: float | None = None,
    progress: bool = True,
    format: str | None = None,
    has_structure: bool = False,
    velocity_unit: VelocityUnit | None = None,
) -> Trajectory:
    """Reads a whole file; velocities, forces, energies, ... where every frame has them.

    Args:
        path: any format of ASE, known by its content or its name.
        frame_interval_fs: time between frames, where they do not tell it: `time_fs` in their info,
            times of CP2K.
        progress: show a bar, if standard error is a terminal.
        format: ASE's name of it, where that is not known by content or name.
        has_structure: periodic directions and cell are given by a structure.
        velocity_unit: of velocities in a column.

    Raises:
        RunError: a file that is missing, damaged before its last frame or empty; frames of
            different structures or with numbers that are not finite; unknown times or elements.
        ConfigError: a format that ASE does not have.

    Warns:
        UserWarning: a last frame that is cut, quantities that only some frames have, or what looks
            as if it counted and is not used.
    """
    _check_format(format)
    first, batches = _opened(path, progress, format, has_structure, velocity_unit)
    recorded: dict[str, Any] = FrameCache().cached_frames(batches, path)
    times = recorded.pop("times_fs", None)
    if times is None and frame_interval_fs is not None:
        times = np.arange(len(recorded["positions"])) * frame_interval_fs
    if times is None:
        raise RunError(
            f"{path} tells no times ({TIME_KEY}): give frame_interval_fs (--frame-interval-fs)"
        )
    cells = recorded.pop("cells", None)
    if first.pbc.any() and cells is None:
        raise RunError(f"{path} is periodic, but not every frame has a cell (Lattice)")
    masses = with_masses_of_column(first).get_masses()
    momenta = recorded.pop("momenta", None)
    if momenta is not None:
        factors = ASE_TIME_PER_FS / masses[:, None]
        recorded["velocities_angstrom_per_fs"] = changed_frames(
            momenta, lambda frames: frames * factors, momenta.shape[1:]
        )
    if velocity_unit is not None and "velocities_angstrom_per_fs" not in recorded:
        raise RunError(f"{path} has no velocities that could be in {velocity_unit}: leave it out")
    fixed = fixed_atoms(first)
    if names := other_constraints(first):
        warnings.warn(
            f"constraints of {path} are not counted ({names}): numbers of modes and temperatures "
            "are those of atoms that move freely",
            stacklevel=3,
        )
    return Trajectory(
        atomic_numbers=first.get_atomic_numbers(),
        masses=masses,
        times_fs=np.array(times),
        cells=cells if first.pbc.any() else None,
        pbc=periodic_directions(first),
        fixed=fixed if fixed.any() else None,
        **recorded,
    )


def _check_format(format: str | None) -> None:
    """Raises ConfigError for a name that is not one of ASE's."""
    if format is not None and format not in ioformats:
        near = difflib.get_close_matches(format, ioformats, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else "`ase info --formats` lists them"
        raise ConfigError(f"ASE has no format {format!r}: {hint}")


def _opened(
    path: Path,
    progress: bool,
    format: str | None,
    has_structure: bool,
    velocity_unit: VelocityUnit | None,
) -> tuple[Atoms, Iterator[Batch]]:
    """The first frame, and all frames."""
    if format in ("xyz", "extxyz") or (format is None and path.suffix in (".xyz", ".extxyz")):
        in_bulk = open_xyz(path, velocity_unit, has_structure)
        if in_bulk is not None:
            return in_bulk.first, in_bulk.batches(progress)
    if format is None and path.suffix == ".traj":
        frames: Iterator[Atoms] = _traj_frames(path)
    else:
        frames = iread(path, format=format)
    if path.suffix != ".traj":
        frames = _named_faults(path, frames)
    shown: tqdm[Any] = tqdm(
        frames, desc=f"reading {path.name}", unit="frame", disable=bar_hidden(not progress)
    )
    iterator = iter(shown)
    begin = next(iterator, None)
    if begin is None:
        raise RunError(f"{path} holds no complete frame")
    return begin, _atoms_batches(path, begin, iterator, velocity_unit)


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


def _named_faults(path: Path, frames: Iterator[Atoms]) -> Iterator[Atoms]:
    """Frame after frame; what ASE makes of a damaged one says which it is."""
    if not path.exists():
        raise RunError(f"cannot read the trajectory {path}: No such file or directory")
    for k in itertools.count():
        try:
            atoms = next(frames, None)
        except (OSError, RunError):
            raise
        except Exception as error:  # ASE raises whatever the damaged text leads to
            what = f"frame {k} of {path} is damaged"
            if k == 0:
                what = f"{path} is not a trajectory of this program, of i-PI or of ASE"
            if k == 0 and path.suffix.lower() in OF_MDANALYSIS:
                what += (
                    ". MDAnalysis may read it: read_run(MDAnalysis.Universe(TOPOLOGY, FILE)) in "
                    "Python, or write it as extended XYZ with it"
                )
            raise RunError(f"{what}: {error!r}") from error
        if atoms is None:
            return
        yield atoms


def _atoms_batches(
    path: Path, first: Atoms, others: Iterator[Atoms], velocity_unit: VelocityUnit | None
) -> Iterator[Batch]:
    frames = itertools.chain([first], others)
    n_before = 0
    while some := list(islice(frames, FRAMES_AT_ONCE)):
        for k, atoms in enumerate(some):
            same_numbers = np.array_equal(atoms.numbers, first.numbers)
            if not (same_numbers and np.array_equal(atoms.pbc, first.pbc)):
                raise RunError(
                    f"frame {n_before + k} of {path} has other atoms or periodicity than frame 0"
                )
        values = [_of_atoms(atoms, velocity_unit) for atoms in some]
        shared = set(values[0]).intersection(*values)
        for name in set().union(*values) - shared:
            warn_of_missing(path, name, n_before)
        yield {name: np.stack([frame[name] for frame in values]) for name in shared}
        n_before += len(some)


def _of_atoms(atoms: Atoms, velocity_unit: VelocityUnit | None) -> Batch:
    """Everything of one frame, quantities of the bead behind an axis for it."""
    results = dict(atoms.info) if atoms.calc is None else {**atoms.info, **atoms.calc.results}
    values = {"positions": atoms.get_positions()[None]}
    if atoms.cell.any():
        values["cells"] = np.array(atoms.cell)
    if atoms.has("momenta"):
        values["momenta"] = atoms.get_momenta()[None]
    velocities = next((name for name in VELOCITY_COLUMNS if atoms.has(name)), None)
    if velocities is not None and velocity_unit is not None:
        values.pop("momenta", None)
        in_unit = np.asarray(atoms.arrays[velocities], np.float64)
        values["velocities_angstrom_per_fs"] = in_unit[None] * ANGSTROM_PER_FS[velocity_unit]
    if TIME_KEY in atoms.info:
        values["times_fs"] = np.asarray(atoms.info[TIME_KEY], np.float64)
    for key, name in READ_RESULTS.items():
        if key in results:
            value = np.asarray(results[key], np.float64)
            values[name] = value.reshape(3, 3)[None] if key == "polarizability" else value[None]
    return values


def _warn_cut(path: Path, n_frames: int) -> None:
    warnings.warn(
        f"the last frame of {path} is cut: the {n_frames} frames before it are used", stacklevel=4
    )
