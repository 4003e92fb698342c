"""Frames of XYZ files (plain, extended, i-PI's) as numbers, many frames at a time.

A frame is a line with the number of atoms, a comment, and a line for each atom: its symbol and
columns of numbers. All frames have the same atoms in the same order.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from md_runs.trajectories.compressed_files import opened_lines
from mlpotential.errors import RunError
from mlpotential.messages import bar_hidden

LINES_AT_ONCE = 40_000  # chosen: some megabytes of text in memory


@dataclass(frozen=True)
class XyzHead:
    """The first frame of a file, unread columns and all.

    Attributes:
        n_atoms: number of atoms.
        comment: the second line.
        symbols: first word of each atom's line.
        text: the whole frame.
    """

    n_atoms: int
    comment: str
    symbols: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class XyzBlock:
    """Consecutive frames.

    Attributes:
        first_frame: number of the first.
        comments: second lines, [n].
        columns: numbers, [n, n_atoms, n_columns].
    """

    first_frame: int
    comments: list[str]
    columns: np.ndarray


def read_head(path: Path) -> XyzHead:
    """The first frame. Raises RunError if there is none that is whole."""
    try:
        with opened_lines(path) as handle:
            first = next(handle, b"")
            n_atoms = _count(path, first, 0)
            lines = [first, *islice(handle, n_atoms + 1)]
    except OSError as error:
        raise RunError(f"cannot read the trajectory {path}: {error.strerror}") from error
    if len(lines) < n_atoms + 2 or not lines[-1].endswith(b"\n"):
        raise RunError(f"{path} holds no complete frame")
    symbols = _symbols(path, lines, n_atoms, 0)
    text = b"".join(lines).decode(errors="replace")
    return XyzHead(n_atoms, text.split("\n")[1], tuple(s.decode() for s in symbols), text)


def xyz_blocks(
    path: Path,
    head: XyzHead,
    columns: Sequence[int],
    progress: bool = True,
    end: int | None = None,
) -> Iterator[XyzBlock]:
    """All frames; the last one is dropped where it is cut, be it inside its last number.

    Args:
        path: the file.
        head: its first frame.
        columns: which columns of the atoms' lines to read as numbers; 0 is the symbol.
        progress: show a bar, if standard error is a terminal.
        end: how many bytes to read; None for all.

    Raises:
        RunError: a frame with other atoms, or one that is damaged and not the last.
        OSError: if the file cannot be read.

    Warns:
        UserWarning: if the last frame is cut.
    """
    n_lines = head.n_atoms + 2
    symbols = [symbol.encode() for symbol in head.symbols]
    n_at_once = max(1, LINES_AT_ONCE // n_lines)
    first_frame = 0
    bar: tqdm[Any] = tqdm(
        total=path.stat().st_size if end is None else end,
        desc=f"reading {path.name}",
        unit="B",
        unit_scale=True,
        disable=bar_hidden(not progress),
    )
    with opened_lines(path) as handle, bar:
        some_lines = lines_up_to(handle, end)
        while lines := list(islice(some_lines, n_at_once * n_lines)):
            bar.update(sum(map(len, lines)))
            # Only at the end of the file may lines be left of a frame, or the last one be cut.
            n_frames, is_cut = _whole_frames(lines, n_lines)
            rest = lines[n_frames * n_lines :]
            if is_cut and rest[0].endswith(b"\n"):
                _check_count(path, rest[0], first_frame + n_frames, head.n_atoms)
            del lines[n_frames * n_lines :]
            if n_frames:
                yield _block(path, lines, symbols, columns, first_frame)
            first_frame += n_frames
            if is_cut:
                warnings.warn(
                    f"the last frame of {path} is cut: the {first_frame} frames before it are used",
                    stacklevel=2,
                )


def lines_up_to(file: Iterable[bytes], end: int | None) -> Iterator[bytes]:
    """The lines of a file, or those within its first `end` bytes."""
    if end is None:
        yield from file
        return
    for line in file:
        if (end := end - len(line)) < 0:
            return
        yield line


def _whole_frames(lines: list[bytes], n_lines: int) -> tuple[int, bool]:
    """How many frames are whole, and whether something is left of another one."""
    n_text = len(lines)
    if n_text % n_lines:  # the end of the file: blank lines may follow
        while n_text and not lines[n_text - 1].strip():
            n_text -= 1
    n_frames, rest = divmod(n_text, n_lines)
    if n_frames and not rest and not lines[n_text - 1].endswith(b"\n"):
        return n_frames - 1, True
    return n_frames, rest > 0


def _block(
    path: Path,
    lines: list[bytes],
    symbols: list[bytes],
    columns: Sequence[int],
    first_frame: int,
) -> XyzBlock:
    """The numbers of whole frames; `lines` are used up."""
    n_atoms, n_lines = len(symbols), len(symbols) + 2
    n_frames = len(lines) // n_lines
    # Every frame begins with the same number of atoms, which follow in the same order.
    for k, line in enumerate(lines[::n_lines]):
        _check_count(path, line, first_frame + k, n_atoms)
    for k in range(n_frames):
        if _symbols(path, lines[k * n_lines : (k + 1) * n_lines], n_atoms, first_frame + k) != (
            symbols
        ):
            raise RunError(f"frame {first_frame + k} of {path} has other atoms than frame 0")
    comments = [line.decode(errors="replace").rstrip("\n") for line in lines[1::n_lines]]
    # Counts and comments go; what is left are the lines of atoms, frame after frame.
    del lines[::n_lines]  # counts
    del lines[:: n_lines - 1]  # comments, now first of each frame
    try:
        numbers = np.loadtxt(lines, usecols=columns, ndmin=2, comments=None)
    except ValueError as error:
        raise RunError(
            f"{_damaged(path, lines, columns, n_atoms, first_frame)} is damaged: {error}"
        ) from error
    # [n_frames * n_atoms, n_columns] -> [n_frames, n_atoms, n_columns]
    return XyzBlock(first_frame, comments, numbers.reshape(n_frames, n_atoms, len(columns)))


def _damaged(
    path: Path, lines: list[bytes], columns: Sequence[int], n_atoms: int, first_frame: int
) -> str:
    """Which frame cannot be read."""
    for k in range(len(lines) // n_atoms):
        try:
            np.loadtxt(lines[k * n_atoms : (k + 1) * n_atoms], usecols=columns, comments=None)
        except ValueError:
            return f"frame {first_frame + k} of {path}"
    return f"{path}, after frame {first_frame},"


def _count(path: Path, line: bytes, frame: int) -> int:
    """The number of atoms a frame begins with."""
    try:
        count = int(line)
    except ValueError:
        count = 0
    if count < 1 and frame == 0 and not line.strip():
        raise RunError(f"{path} holds no complete frame")
    if count < 1:
        raise RunError(
            f"frame {frame} of {path} should begin with the number of atoms, not "
            f"{line.strip()[:60].decode(errors='replace')!r}"
        )
    return count


def _check_count(path: Path, line: bytes, frame: int, n_atoms: int) -> None:
    if (found := _count(path, line, frame)) != n_atoms:
        raise RunError(
            f"frame {frame} of {path} has {found} atoms, those before {n_atoms}: all frames must "
            "have the same atoms"
        )


def _symbols(path: Path, lines: list[bytes], n_atoms: int, frame: int) -> list[bytes]:
    """The first word of each atom's line."""
    try:
        return [line.split(None, 1)[0] for line in lines[2 : n_atoms + 2]]
    except IndexError:
        raise RunError(f"frame {frame} of {path} is damaged: a blank line between atoms") from None
