"""Files that ASE reads as a `Trajectory`.

Each file is read once, from its beginning to its end, and kept as numbers in a temporary file
(`frame_cache`). Extended XYZ, which is most used and longest, is read here in bulk, five times as
fast as ASE does it; a test compares the two. A run that was killed leaves a last frame that is cut;
it is dropped with a warning.
"""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import iread
from ase.io.trajectory import Trajectory as AseTrajectory
from tqdm import tqdm

from md_runs.trajectories.extxyz_writer import RESULTS, TIME_KEY
from md_runs.trajectories.frame_arrays import changed_frames
from md_runs.trajectories.frame_cache import Batch, FrameCache, warn_of_missing
from md_runs.trajectories.structure_file import fixed_atoms, other_constraints, periodic_directions
from md_runs.trajectories.trajectory import Trajectory
from md_runs.trajectories.xyz_blocks import XyzBlock, XyzHead, read_head, xyz_blocks
from mlpotential.data.extended_xyz import DEFAULT_COLUMNS, column_layout
from mlpotential.errors import RunError
from mlpotential.units import ASE_TIME_PER_FS

FRAMES_AT_ONCE = 256  # chosen: frames of ASE in memory
# Columns of extended XYZ by the quantity they hold; velocities are made of momenta.
COLUMNS = {"pos": "positions", "momenta": "momenta", "forces": "forces", "charge": "charges"}
COLUMNS |= {"force": "forces", "charges": "charges"}
COMMENT_SHAPES: dict[str, tuple[int, ...]] = {
    "energy": (),
    "dipole": (3,),
    "polarizability": (3, 3),
    "Lattice": (3, 3),
    TIME_KEY: (),
}
COMMENT_FIELDS = {"energy": "energies", "dipole": "dipoles", "polarizability": "polarizabilities"}
COMMENT_FIELDS |= {"Lattice": "cells", TIME_KEY: "times_fs"}
READ_RESULTS = RESULTS | {"polarizability": "polarizabilities"}
_KEYS = {
    key: re.compile(rf'(?:^|\s){key}=(?:"([^"]*)"|\{{([^}}]*)\}}|(\S+))')
    for key in (*COMMENT_SHAPES, "pbc", "Properties")
}
_NO_BRACKETS = str.maketrans("[],", "   ")


def read_ase_output(
    path: Path, frame_interval_fs: float | None = None, progress: bool = True
) -> Trajectory:
    """Reads a whole file; velocities, forces, energies, ... where every frame has them.

    Args:
        path: any format of ASE, known by its content or its name.
        frame_interval_fs: time between frames; None where each frame has `time_fs` in its info.
        progress: show a bar, if standard error is a terminal.

    Raises:
        RunError: a file that is missing, damaged before its last frame or empty; frames of
            different structures or with numbers that are not finite; unknown times.

    Warns:
        UserWarning: a last frame that is cut, or quantities that only some frames have.
    """
    first, batches = _opened(path, progress)
    recorded: dict[str, Any] = FrameCache().cached_frames(batches, path)
    times = recorded.pop("times_fs", None)
    if frame_interval_fs is not None:
        times = np.arange(len(recorded["positions"])) * frame_interval_fs
    if times is None:
        raise RunError(
            f"{path} tells no times ({TIME_KEY}): give frame_interval_fs (--frame-interval-fs)"
        )
    cells = recorded.pop("cells", None)
    if first.pbc.any() and cells is None:
        raise RunError(f"{path} is periodic, but not every frame has a cell (Lattice)")
    masses = first.get_masses()
    momenta = recorded.pop("momenta", None)
    if momenta is not None:
        factors = ASE_TIME_PER_FS / masses[:, None]
        recorded["velocities_angstrom_per_fs"] = changed_frames(
            momenta, lambda frames: frames * factors, momenta.shape[1:]
        )
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


def _opened(path: Path, progress: bool) -> tuple[Atoms, Iterator[Batch]]:
    """The first frame, and all frames."""
    if path.suffix in (".xyz", ".extxyz"):
        head = read_head(path)
        first = _first_xyz_frame(path, head)
        columns = _columns(path, head)
        if columns is not None:
            return first, _xyz_batches(path, head, columns, progress)
    frames = _traj_frames(path) if path.suffix == ".traj" else _ase_frames(path)
    shown: tqdm[Any] = tqdm(
        frames, desc=f"reading {path.name}", unit="frame", disable=None if progress else True
    )
    iterator = iter(shown)
    begin = next(iterator, None)
    if begin is None:
        raise RunError(f"{path} holds no complete frame")
    return begin, _atoms_batches(path, begin, iterator)


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


def _ase_frames(path: Path) -> Iterator[Atoms]:
    """Frame after frame of any other format."""
    if not path.exists():
        raise RunError(f"cannot read the trajectory {path}: No such file or directory")
    frames = iread(path)
    for k in itertools.count():
        try:
            atoms = next(frames, None)
        except OSError:
            raise
        except Exception as error:  # ASE raises whatever the damaged text leads to
            what = f"frame {k} of {path} is damaged"
            if k == 0:
                what = f"{path} is not a trajectory of this program, of i-PI or of ASE"
            raise RunError(f"{what}: {error!r}") from error
        if atoms is None:
            return
        yield atoms


def _atoms_batches(path: Path, first: Atoms, others: Iterator[Atoms]) -> Iterator[Batch]:
    frames = itertools.chain([first], others)
    n_before = 0
    while some := list(islice(frames, FRAMES_AT_ONCE)):
        for k, atoms in enumerate(some):
            same_numbers = np.array_equal(atoms.numbers, first.numbers)
            if not (same_numbers and np.array_equal(atoms.pbc, first.pbc)):
                raise RunError(
                    f"frame {n_before + k} of {path} has other atoms or periodicity than frame 0"
                )
        values = [_of_atoms(atoms) for atoms in some]
        shared = set(values[0]).intersection(*values)
        for name in set().union(*values) - shared:
            warn_of_missing(path, name, n_before)
        yield {name: np.stack([frame[name] for frame in values]) for name in shared}
        n_before += len(some)


def _of_atoms(atoms: Atoms) -> Batch:
    """Everything of one frame, quantities of the bead behind an axis for it."""
    results = dict(atoms.info) if atoms.calc is None else {**atoms.info, **atoms.calc.results}
    values = {"positions": atoms.get_positions()[None]}
    if atoms.cell.any():
        values["cells"] = np.array(atoms.cell)
    if atoms.has("momenta"):
        values["momenta"] = atoms.get_momenta()[None]
    if TIME_KEY in atoms.info:
        values["times_fs"] = np.asarray(atoms.info[TIME_KEY], np.float64)
    for key, name in READ_RESULTS.items():
        if key in results:
            value = np.asarray(results[key], np.float64)
            values[name] = value.reshape(3, 3)[None] if key == "polarizability" else value[None]
    return values


def _first_xyz_frame(path: Path, head: XyzHead) -> Atoms:
    try:
        return next(iread(io.StringIO(head.text), format="extxyz"))
    except Exception as error:  # ASE raises whatever the damaged text leads to
        raise RunError(f"frame 0 of {path} is damaged: {error}") from error


def _columns(path: Path, head: XyzHead) -> dict[str, list[int]] | None:
    """Columns of each quantity; None for an order of columns that is left to ASE."""
    properties = _value(head.comment, "Properties") or DEFAULT_COLUMNS
    layout = column_layout(properties, f"{path}, frame 0")
    columns = {
        COLUMNS[name]: list(range(place.start, place.stop))
        for name, (_, place) in layout.items()
        if name in COLUMNS
    }
    begins_with_element = next(iter(layout)) in ("species", "Z")
    return columns if begins_with_element and "positions" in columns else None


def _xyz_batches(
    path: Path, head: XyzHead, columns: dict[str, list[int]], progress: bool
) -> Iterator[Batch]:
    same = {key: _value(head.comment, key) for key in ("Properties", "pbc")}
    keys = [key for key in COMMENT_SHAPES if _value(head.comment, key) is not None]
    places = [place for some in columns.values() for place in some]
    for block in xyz_blocks(path, head, places, progress):
        for k, comment in enumerate(block.comments):
            if any(_value(comment, key) != value for key, value in same.items()):
                raise RunError(
                    f"frame {block.first_frame + k} of {path} has other columns (Properties) or "
                    "periodicity than frame 0"
                )
        batch, start = {}, 0
        for name, some in columns.items():
            values = block.columns[:, :, start : start + len(some)]
            batch[name] = values[:, None, :, 0] if name == "charges" else values[:, None]
            start += len(some)
        for key in keys:
            numbers = _numbers(path, block, key)
            if numbers is not None:
                in_bead = key not in ("Lattice", TIME_KEY)
                batch[COMMENT_FIELDS[key]] = numbers[:, None] if in_bead else numbers
        yield batch


def _value(comment: str, key: str) -> str | None:
    """The text behind `key=` in a comment."""
    match = _KEYS[key].search(comment)
    return None if match is None else next(text for text in match.groups() if text is not None)


def _numbers(path: Path, block: XyzBlock, key: str) -> np.ndarray | None:
    """Of each comment, [n, ...]; None where one has none."""
    texts = [_value(comment, key) for comment in block.comments]
    if any(text is None for text in texts):
        return None
    try:
        rows = [str(text).removeprefix("_JSON").translate(_NO_BRACKETS).split() for text in texts]
        return np.array(rows, np.float64).reshape(len(rows), *COMMENT_SHAPES[key])
    except ValueError as error:
        raise RunError(
            f"{key} of a frame from {block.first_frame} on of {path} is damaged: {error}"
        ) from error


def _warn_cut(path: Path, n_frames: int) -> None:
    warnings.warn(
        f"the last frame of {path} is cut: the {n_frames} frames before it are used", stacklevel=4
    )
