"""XYZ files (plain, extended, CP2K's) in bulk: the first frame, then batches of numbers.

Extended XYZ is most used and longest; it is read here five times as fast as by ASE, and a test
compares the two. What looks as if it were meant, and is not used, is named.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.analysis.spectra.dynamics import VelocityUnit
from md_runs.trajectories.extxyz_writer import TIME_KEY
from md_runs.trajectories.frame_cache import Batch
from md_runs.trajectories.structure_file import atoms_of_xyz
from md_runs.trajectories.xyz_blocks import XyzBlock, XyzHead, read_head, xyz_blocks
from mlpotential.data.readers.extended_xyz import DEFAULT_COLUMNS, column_layout
from mlpotential.errors import RunError
from mlpotential.units import ANGSTROM_PER_BOHR, ASE_TIME_PER_FS, EV_PER_HARTREE, FS_PER_ATOMIC_TIME

ANGSTROM_PER_FS: dict[VelocityUnit, float] = {
    "A/fs": 1.0,
    "A/ps": 1e-3,
    "nm/ps": 1e-2,
    "bohr/au": ANGSTROM_PER_BOHR / FS_PER_ATOMIC_TIME,
    "ASE": ASE_TIME_PER_FS,
}
# Columns of extended XYZ by the quantity they hold. Momenta have ASE's unit; velocities have one
# that must be given.
COLUMNS = {"pos": "positions", "momenta": "momenta", "forces": "forces", "charge": "charges"}
COLUMNS |= {"force": "forces", "charges": "charges"}
VELOCITY_COLUMNS = ("vel", "velo", "velocity", "velocities", "v")
COMMENT_SHAPES: dict[str, tuple[int, ...]] = {
    "energy": (),
    "dipole": (3,),
    "polarizability": (3, 3),
    "Lattice": (3, 3),
    TIME_KEY: (),
}
COMMENT_FIELDS = {"energy": "energies", "dipole": "dipoles", "polarizability": "polarizabilities"}
COMMENT_FIELDS |= {"Lattice": "cells", TIME_KEY: "times_fs"}
_USED_KEYS = {*COMMENT_SHAPES, "pbc", "Properties"}
_KEYS = {
    key: re.compile(rf'(?:^|\s){key}=(?:"([^"]*)"|\{{([^}}]*)\}}|(\S+))') for key in _USED_KEYS
}
_USED_COLUMNS = {*COLUMNS, *VELOCITY_COLUMNS, "species", "Z", "mass", "masses"}
_ANY_KEY = re.compile(r'(?:^|\s)([A-Za-z_]\w*)=("[^"]*"|\{[^}]*\}|\S+)')
_LIKE_A_CELL = re.compile(
    r"(unit_?)?(cell|lattice|box)(_?(vectors?|matrix|parameters?|lengths?|size|angles))?",
    re.IGNORECASE,
)
_LIKE_SOMETHING = re.compile(
    r"unit|dipole|^mu$|polari[sz]|time|^t$|step|temp|charge|^q$|mass|vel|weight|lattice|cell|box",
    re.IGNORECASE,
)
_NO_BRACKETS = str.maketrans("[],", "   ")

_CP2K = re.compile(r"\s*i\s*=\s*\d+,\s*time\s*=\s*([-+.\dEe]+),\s*E\s*=\s*([-+.\dEe]+)")
_CP2K_OTHERS = {"vel": "velocities", "frc": "forces"}  # words of its file names


@dataclass(frozen=True)
class XyzFile:
    """A file that is read in bulk.

    Attributes:
        path: the file.
        head: its first frame.
        first: the same as ASE's atoms.
        columns: of each quantity.
        velocity_unit: of a column of velocities; None where they are not used.
    """

    path: Path
    head: XyzHead
    first: Atoms
    columns: dict[str, list[int]]
    velocity_unit: VelocityUnit | None = None

    def batches(self, progress: bool) -> Iterator[Batch]:
        """Some frames at a time.

        Raises:
            RunError: as `xyz_blocks`; frames with other columns, or keys that cannot be read.
        """
        keys = [key for key in COMMENT_SHAPES if self._value(self.head.comment, key) is not None]
        places = [place for some in self.columns.values() for place in some]
        is_cp2k = _CP2K.match(self.head.comment) is not None
        for block in xyz_blocks(self.path, self.head, places, progress):
            self._check_layout(block)
            batch = self._of_columns(block)
            for key in keys:
                numbers = self._numbers(block, key)
                if numbers is not None:
                    in_bead = key not in ("Lattice", TIME_KEY)
                    batch[COMMENT_FIELDS[key]] = numbers[:, None] if in_bead else numbers
            yield batch | (_of_cp2k(self.path, block) if is_cp2k else {})

    def _check_layout(self, block: XyzBlock) -> None:
        same = {key: self._value(self.head.comment, key) for key in ("Properties", "pbc")}
        for k, comment in enumerate(block.comments):
            if any(self._value(comment, key) != value for key, value in same.items()):
                raise RunError(
                    f"frame {block.first_frame + k} of {self.path} has other columns (Properties) "
                    "or periodicity than frame 0"
                )

    def _of_columns(self, block: XyzBlock) -> Batch:
        batch, start = dict[str, np.ndarray](), 0
        for name, some in self.columns.items():
            values = block.columns[:, :, start : start + len(some)]
            batch[name] = values[:, None, :, 0] if name == "charges" else values[:, None]
            start += len(some)
        if "velocities_angstrom_per_fs" in batch:
            assert self.velocity_unit is not None
            batch["velocities_angstrom_per_fs"] *= ANGSTROM_PER_FS[self.velocity_unit]
        return batch

    def _value(self, comment: str, key: str) -> str | None:
        """The text behind `key=` in a comment. Raises RunError where it stands there twice."""
        found = _KEYS[key].findall(comment)
        if len(found) > 1:
            raise RunError(
                f"{key}= stands {len(found)} times in a comment of {self.path}: {comment}"
            )
        return "".join(found[0]) if found else None

    def _numbers(self, block: XyzBlock, key: str) -> np.ndarray | None:
        """Of each comment, [n, ...]; None where one has none."""
        texts = [self._value(comment, key) for comment in block.comments]
        if any(text is None for text in texts):
            return None
        rows = [str(text).removeprefix("_JSON").translate(_NO_BRACKETS).split() for text in texts]
        try:
            if any("_" in word for row in rows for word in row):  # 1_4 is 14 to Python
                raise ValueError("a number with an underscore")
            return np.array(rows, np.float64).reshape(len(rows), *COMMENT_SHAPES[key])
        except ValueError as error:
            raise RunError(
                f"{key} of a frame from {block.first_frame} on of {self.path} is damaged: {error}"
            ) from error


def open_xyz(
    path: Path, velocity_unit: VelocityUnit | None = None, has_structure: bool = False
) -> XyzFile | None:
    """A file that can be read in bulk; None for an order of columns that is left to ASE.

    Args:
        path: the file.
        velocity_unit: of a column of velocities.
        has_structure: periodic directions and cell are given by a structure.

    Raises:
        RunError: a first frame that is damaged; CP2K's file of something else than positions; a
            cell that is spelled in another way.

    Warns:
        UserWarning: columns and keys that look as if they counted, and are not used.
    """
    head = read_head(path)
    _refuse_other_files_of_cp2k(path, head)
    try:
        first = atoms_of_xyz(head.text)
    except Exception as error:  # ASE raises whatever the damaged text leads to
        raise RunError(f"frame 0 of {path} is damaged: {error}") from error
    found = XyzFile(path, head, first, {}, velocity_unit)
    properties = found._value(head.comment, "Properties") or DEFAULT_COLUMNS
    layout = column_layout(properties, f"{path}, frame 0")
    names = {name: COLUMNS[name] for name in layout if name in COLUMNS}
    velocities = [name for name in layout if name in VELOCITY_COLUMNS]
    if velocities and velocity_unit is not None:
        names[velocities[0]] = "velocities_angstrom_per_fs"
    if velocities and velocity_unit is None:
        warnings.warn(
            f"{path} has a column {velocities[0]!r}, whose unit it does not tell: it is not used. "
            f"Give --velocity-unit ({', '.join(ANGSTROM_PER_FS)})",
            stacklevel=3,
        )
    _name_unused(path, head, layout, has_structure)
    columns = {
        names[name]: list(range(place.start, place.stop))
        for name, (_, place) in layout.items()
        if name in names
    }
    if "velocities_angstrom_per_fs" in columns:
        columns.pop("momenta", None)
    begins_with_element = next(iter(layout)) in ("species", "Z")
    if not (begins_with_element and "positions" in columns):
        return None
    return XyzFile(path, head, first, columns, velocity_unit)


def _name_unused(path: Path, head: XyzHead, columns: Iterable[str], has_structure: bool) -> None:
    """What looks as if it counted. Raises RunError for a cell that would be passed over."""
    pairs = [(key, text) for key, text in _ANY_KEY.findall(head.comment) if key not in _USED_KEYS]
    for key, text in pairs:
        is_cell = _LIKE_A_CELL.fullmatch(key) and len(re.findall(r"\d+\.?\d*", text)) >= 3
        if is_cell and not has_structure and _KEYS["Lattice"].search(head.comment) is None:
            raise RunError(
                f"{path} has {key}=, which looks like a cell and would not be used: write it as "
                'Lattice="ax ay az bx by bz cx cy cz", or give a structure with it (--structure)'
            )
    odd = [f"{key}=" for key, _ in pairs if _LIKE_SOMETHING.search(key)]
    unused = [name for name in columns if name not in _USED_COLUMNS]
    odd += [f"the column {name}" for name in unused if _LIKE_SOMETHING.search(name)]
    if odd:
        warnings.warn(f"{path}: not used are {', '.join(odd)}", stacklevel=4)


def _refuse_other_files_of_cp2k(path: Path, head: XyzHead) -> None:
    """Raises RunError for its velocities and forces, which look like positions."""
    words = re.split(r"[-_.]", path.name.lower())
    other = next((_CP2K_OTHERS[word] for word in words if word in _CP2K_OTHERS), None)
    if other is not None and _CP2K.match(head.comment):
        raise RunError(
            f"{path} holds {other} of CP2K, and no positions: give the file of positions "
            "(PROJECT-pos-1.xyz)"
        )


def _of_cp2k(path: Path, block: XyzBlock) -> Batch:
    """Times and potential energies, which CP2K writes into comments in fs and Hartree."""
    found = [_CP2K.match(comment) for comment in block.comments]
    try:
        rows = np.array([match.groups() if match else () for match in found], np.float64)
    except ValueError as error:
        raise RunError(
            f"a frame from {block.first_frame} on of {path} has no step, time and E as CP2K "
            "writes them"
        ) from error
    return {"times_fs": rows[:, 0], "energies": rows[:, 1:] * EV_PER_HARTREE}
