"""Frames of text dumps of LAMMPS as they stand there: box, steps, columns.

A frame is a list of items, the last of which are the atoms, in any order. Boxes come in three
forms: bounds; bounds with the tilt factors xy, xz, yz, which enclose the parallelepiped (its page
on `Howto_triclinic`); and three vectors with an origin ("abc origin"). A run that was killed leaves
a frame that is cut, be it in the middle of a number, and one that goes on appends behind it.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from md_runs.trajectories.compressed_files import opened_lines
from mlpotential.errors import RunError
from mlpotential.messages import bar_hidden

ITEM = b"ITEM:"
BEFORE_STEP = (["UNITS"], ["TIME"], ["TIMESTEP"])  # items that only a new frame begins with


@dataclass(frozen=True)
class DumpFrame:
    """One frame, in the units and the order of the file.

    Attributes:
        number: of the frame.
        step: of the run.
        time: None where the dump does not tell it.
        units: LAMMPS' name, which may stand in the first frame only.
        pbc: periodic directions.
        origin: corner of the box, [3].
        cell: its vectors as rows, [3, 3].
        columns: names, as written.
        lines: of atoms.
        path: the file.
    """

    number: int
    step: int
    time: float | None
    units: str | None
    pbc: tuple[bool, bool, bool]
    origin: np.ndarray
    cell: np.ndarray
    columns: tuple[str, ...]
    lines: list[bytes]
    path: Path

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.lines)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Columns of these names, [n_atoms, n_names]. Raises RunError for what is no number."""
        places = [self.columns.index(name) for name in names]
        try:
            table: np.ndarray = np.loadtxt(self.lines, usecols=places, ndmin=2, comments=None)
        except ValueError as error:
            raise self.damaged(str(error)) from error
        return table

    def texts(self, name: str) -> list[str]:
        """A column of words, [n_atoms]. Raises RunError for a line that is too short."""
        place = self.columns.index(name)
        try:
            return [line.split()[place].decode(errors="replace") for line in self.lines]
        except IndexError:
            raise self.damaged(f"a line without {name}") from None

    def damaged(self, reason: str) -> RunError:
        """An error to raise, which names the frame."""
        return RunError(
            f"frame {self.number} (step {self.step}) of {self.path} is damaged: {reason}"
        )


_Box = tuple[tuple[bool, bool, bool], np.ndarray, np.ndarray]  # pbc, origin, cell


class _CutError(Exception):
    """A frame ends before it should."""


def is_dump(path: Path) -> bool:
    """Whether a file begins as a text dump, compressed or not."""
    try:
        with opened_lines(path) as lines:
            return next(lines, b"").startswith(ITEM)
    except (OSError, RunError):
        return False


def dump_frames(path: Path, progress: bool = False) -> Iterator[DumpFrame]:
    """All frames that are whole, in the order of the file.

    Args:
        path: the file.
        progress: show a bar, if standard error is a terminal.

    Raises:
        RunError: a file that cannot be read, or a frame that is damaged and not cut.

    Warns:
        UserWarning: frames that are cut, and are left out.
    """
    n_whole, cut_after = 0, []
    shown: tqdm[Any] = tqdm(
        desc=f"reading {path.name}", unit="frame", disable=bar_hidden(not progress)
    )
    try:
        with opened_lines(path) as text, shown:
            lines = _Lines(text)
            while (line := lines.next_item()) is not None:
                try:
                    yield _frame(path, n_whole, line, lines)
                except _CutError:
                    cut_after.append(n_whole)
                    continue
                n_whole += 1
                shown.update()
    except OSError as error:
        raise RunError(f"cannot read the trajectory {path}: {error.strerror or error}") from error
    if cut_after == [n_whole]:
        warnings.warn(
            f"the last frame of {path} is cut: the {n_whole} frames before it are used",
            stacklevel=2,
        )
    elif cut_after:
        warnings.warn(
            f"frames of {path} that are cut, as a run leaves them that is killed, are left out: "
            f"{len(cut_after)}",
            stacklevel=2,
        )


class _Lines:
    """Lines of a file; an item ends where the next one begins, be it within a line."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines

    def put_back(self, *lines: bytes) -> None:
        """To be read again."""
        self._lines = itertools.chain(lines, self._lines)

    def next_item(self) -> bytes | None:
        """The head of the next item; lines before it are passed over. None at the end."""
        line = next((line for line in self._lines if ITEM in line), None)
        if line is None:
            return None
        first, last = line.index(ITEM), line.rindex(ITEM)
        if first < last:  # a head that is cut, and has no end of its line
            self.put_back(line[last:])
            return line[first:last]
        return line[first:]

    def body(self, n_lines: int) -> list[bytes]:
        """That many lines behind a head. Raises _CutError where the file or the item ends."""
        lines = list(islice(self._lines, n_lines))
        place = next((k for k, line in enumerate(lines) if ITEM in line), None)
        if place is not None:
            self.put_back(*lines[place:])
            raise _CutError
        if len(lines) < n_lines or (lines and not lines[-1].endswith(b"\n")):
            raise _CutError
        return lines


def _frame(path: Path, number: int, head: bytes | None, lines: _Lines) -> DumpFrame:
    """The frame whose first head has been read. Raises _CutError, or RunError as `dump_frames`."""
    units, time, step, n_atoms = None, None, None, None
    box: _Box | None = None
    while head is not None:
        words = head.decode(errors="replace").split()[1:]
        name = " ".join(words[:2])
        if not head.endswith(b"\n"):
            raise _CutError
        if step is not None and words[:1] in BEFORE_STEP:  # the frame before was cut behind an item
            lines.put_back(head)
            raise _CutError
        try:
            if words[:1] == ["UNITS"]:
                units = lines.body(1)[0].decode(errors="replace").strip()
            elif words[:1] == ["TIME"]:
                time = float(lines.body(1)[0])
            elif words[:1] == ["TIMESTEP"]:
                step = int(lines.body(1)[0])
            elif name == "NUMBER OF":
                n_atoms = int(lines.body(1)[0])
            elif name == "BOX BOUNDS":
                box = _box(words[2:], [line.split() for line in lines.body(3)])
            elif words[:1] == ["ATOMS"]:
                if step is None or n_atoms is None or box is None:
                    raise _CutError
                rows = lines.body(n_atoms)
                columns, (pbc, origin, cell) = tuple(words[1:]), box
                return DumpFrame(number, step, time, units, pbc, origin, cell, columns, rows, path)
            else:
                raise RunError(f"frame {number} of {path} has an unknown item {name!r}")
        except ValueError as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"frame {number} of {path} is damaged: {error}") from error
        head = lines.next_item()
    raise _CutError


def _box(words: list[str], rows: list[list[bytes]]) -> _Box:
    """Periodic directions, origin and vectors. Raises ValueError for what is none."""
    bounds = np.array(rows, np.float64)
    flags = [word for word in words if len(word) == 2 and set(word) <= set("pfsm")]
    # Dumps of old had no flags: they were of periodic boxes, as nearly all are.
    x, y, z = [flag == "pp" for flag in flags] if len(flags) == 3 else [True] * 3
    if words[:2] == ["abc", "origin"]:
        return (x, y, z), bounds[:, 3], bounds[:, :3]
    lower, upper = bounds[:, 0].copy(), bounds[:, 1].copy()
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] > 2 else (0.0, 0.0, 0.0)
    # xlo_bound = xlo + min(0, xy, xz, xy + xz), and so on
    lower[:2] -= min(0.0, xy, xz, xy + xz), min(0.0, yz)
    upper[:2] -= max(0.0, xy, xz, xy + xz), max(0.0, yz)
    lengths = upper - lower
    cell = np.array([[lengths[0], 0.0, 0.0], [xy, lengths[1], 0.0], [xz, yz, lengths[2]]])
    return (x, y, z), lower, cell
