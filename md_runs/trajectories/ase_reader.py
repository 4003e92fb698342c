"""Files that ASE reads as a `Trajectory`, and extended XYZ written.

Each file is read once, from its beginning to its end, and kept as numbers in a temporary file
(`frame_spool`). Extended XYZ, which is most used and longest, is read here in bulk, five times as
fast as ASE does it; a test compares the two. A run that was killed leaves a last frame that is cut;
it is dropped with a warning.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import iread, write
from ase.io.trajectory import Trajectory as AseTrajectory
from tqdm import tqdm

from md_runs.trajectories.frame_arrays import changed_frames
from md_runs.trajectories.frame_cache import Batch, spooled, warn_of_missing
from md_runs.trajectories.structure_file import fixed_atoms, other_constraints
from md_runs.trajectories.trajectory import Trajectory
from md_runs.trajectories.xyz_blocks import XyzBlock, XyzHead, read_head, xyz_blocks
from mlpotential.errors import RunError
from mlpotential.units import ASE_TIME_PER_FS

TIME_KEY = "time_fs"
PROPERTIES = re.compile(r"(?:^|\s)Properties=\"?([^\s\"]+)")
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
RESULTS = {"energy": "energies", "forces": "forces", "dipole": "dipoles", "charges": "charges"}
RESULTS |= {"polarizability": "polarizabilities"}
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
    recorded: dict[str, Any] = spooled(batches, path)
    times = recorded.pop("times_fs", None)
    if frame_interval_fs is not None:
        times = np.arange(len(recorded["positions"])) * frame_interval_fs
    if times is None:
        raise RunError(
            f"{path} tells no times ({TIME_KEY}): give frame_interval_fs (--frame-interval-fs)"
        )
    pbc = first.get_pbc()
    cells = recorded.pop("cells", None)
    if pbc.any() and cells is None:
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
        cells=cells if pbc.any() else None,
        pbc=(bool(pbc[0]), bool(pbc[1]), bool(pbc[2])),
        fixed=fixed if fixed.any() else None,
        **recorded,
    )


def _opened(path: Path, progress: bool) -> tuple[Atoms, Iterator[Batch]]:
    """The first frame, and all frames."""
    if path.suffix in (".xyz", ".extxyz"):
        head = read_head(path)
        first = _first_xyz_frame(path, head)
        columns = _columns(head)
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
    if trajectory.fixed is not None:
        atoms.set_constraint(FixAtoms(mask=trajectory.fixed))
    results = {}
    if trajectory.energies is not None:
        results["energy"] = float(trajectory.energies[frame, bead_index])
    if trajectory.forces is not None:
        results["forces"] = trajectory.forces[frame, bead_index]
    if trajectory.dipoles is not None:
        results["dipole"] = trajectory.dipoles[frame, bead_index]
    if trajectory.charges is not None:
        results["charges"] = trajectory.charges[frame, bead_index]
    if trajectory.polarizabilities is not None:
        atoms.info["polarizability"] = trajectory.polarizabilities[frame, bead_index]
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
    for key, name in RESULTS.items():
        if key in results:
            value = np.asarray(results[key], np.float64)
            values[name] = value.reshape(3, 3)[None] if key == "polarizability" else value[None]
    return values


def _first_xyz_frame(path: Path, head: XyzHead) -> Atoms:
    try:
        return next(iread(io.StringIO(head.text), format="extxyz"))
    except Exception as error:  # ASE raises whatever the damaged text leads to
        raise RunError(f"frame 0 of {path} is damaged: {error}") from error


def _columns(head: XyzHead) -> dict[str, list[int]] | None:
    """Columns of each quantity; None for an order of columns that is left to ASE."""
    found = PROPERTIES.search(head.comment)
    words = ("species:S:1:pos:R:3" if found is None else found[1]).split(":")
    columns, place = dict[str, list[int]](), 0
    for name, count in zip(words[::3], map(int, words[2::3]), strict=True):
        if name in COLUMNS:
            columns[COLUMNS[name]] = list(range(place, place + count))
        place += count
    return columns if words[0] in ("species", "Z") and "positions" in columns else None


def _xyz_batches(
    path: Path, head: XyzHead, columns: dict[str, list[int]], progress: bool
) -> Iterator[Batch]:
    properties = PROPERTIES.search(head.comment)
    same = {"Properties": None if properties is None else properties[1]}
    same["pbc"] = _value(head.comment, "pbc")
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
