"""Extended XYZ files, plain or gzip-compressed, read line by line.

The columns are read here, because ASE takes a row that is too long, or whose last number is cut
(`-0.` for `-0.478000`), without a word. D and T are hydrogen. Blank lines between frames are passed
over.

Energies are looked for under `energy`, then `REF_energy`; forces under `forces`, then `REF_forces`;
dipoles under `dipole`, then `REF_dipole`. Where both exist, the key must be given.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF_SYMBOL

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import (
    LabelRequest,
    RawFrame,
    checked_label,
    choose_key,
    label_weights,
)
from mlpotential.data.readers.comment_line import is_number, parse_comment
from mlpotential.data.stated import kind_of, may_lack_forces
from mlpotential.errors import DataError
from mlpotential.properties import label_row

DEFAULT_COLUMNS = "species:S:1:pos:R:3"
LONGEST_LINE = 2**24  # bytes, chosen: longer ones are no text of frames
_CHECKED_PIECES = 256  # chosen: seconds
_MOST_BLANK_LINES = 100  # chosen: between frames
_MOST_DIGITS = 12  # chosen: of a number of atoms or columns
NUMBERS = NUMBER_OF_SYMBOL | {"D": 1, "T": 1}


@dataclass(frozen=True)
class _FrameText:
    """The lines of one frame, and where they stand."""

    path: Path
    frame: int
    first_line: int  # of the atom count, from 1
    comment: str
    rows: Sequence[str]

    @property
    def place(self) -> str:
        return f"{self.path.name}, frame {self.frame} (line {self.first_line})"

    def row_place(self, row: int) -> str:
        return f"{self.path.name}, frame {self.frame}, line {self.first_line + 2 + row}"


def read_extended_xyz(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every frame; units that comment lines state are left to `data.stated`.

    Raises:
        DataError: if the file is damaged, or a label is absent, ambiguous or not a number; the
            message names frame and line.
    """
    keys: dict[str, str] = {}
    try:
        return [_parse(text, request, keys) for text in _frames(path)]
    except DataError:
        if path.suffix.lower() == ".gz":
            _check_whole(path)  # if a damaged byte is the reason, that is what to say
        raise


def first_comment(path: Path) -> dict[str, Any]:
    """What the comment line of the first frame says, by key."""
    return _parse_comment(next(_frames(path)))


def _check_whole(path: Path) -> None:
    """Raises DataError if the first `_CHECKED_PIECES` MiB of a packed file are damaged."""
    with _damage_of(path), gzip.open(path) as handle:
        for _ in range(_CHECKED_PIECES):
            if not handle.read(2**20):
                break


@contextlib.contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut or not a gzip file: {error}") from error


def text_lines(path: Path) -> Iterator[str]:
    """The lines without their ends, one by one: nothing is kept of a file that is no text."""
    n_lines = n_bytes = 0
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with _damage_of(path), opened(path, "rb") as handle:
        while raw := handle.readline(LONGEST_LINE):
            n_lines += 1
            if not n_bytes and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise DataError(f"{path} is UTF-16 text: save it as UTF-8")
            try:
                line = raw.decode("utf-8" if n_bytes else "utf-8-sig")
            except UnicodeDecodeError as error:
                byte = n_bytes + error.start
                raise DataError(f"{path} is not a text file (byte {byte})") from error
            if "\0" in line or len(raw) == LONGEST_LINE:
                raise DataError(f"{path} is not a text file (line {n_lines})")
            if not line.endswith("\n"):
                raise DataError(
                    f"{path} ends without a newline in line {n_lines}: the last number may be "
                    "cut. Copy the file again or, if it is whole, add the newline"
                )
            n_bytes += len(raw)
            yield line.rstrip("\r\n")


def _frames(path: Path) -> Iterator[_FrameText]:
    lines = text_lines(path)
    n_frames = n_lines = n_blank = 0
    for line in lines:
        n_lines += 1
        place = f"{path.name}, frame {n_frames} (line {n_lines})"
        n_blank = 0 if line.strip() else n_blank + 1
        if n_blank > _MOST_BLANK_LINES:
            raise DataError(f"{place}: more than {_MOST_BLANK_LINES} blank lines")
        if n_blank:
            continue
        n_atoms = _atom_count(line, place, n_frames)
        rest = list(islice(lines, 1 + n_atoms))
        if len(rest) < 1 + n_atoms:
            raise DataError(
                f"{place}: {n_atoms} atoms are announced, but the file ends after "
                f"{max(0, len(rest) - 1)}"
            )
        yield _FrameText(path, n_frames, n_lines, rest[0], rest[1:])
        n_frames, n_lines = n_frames + 1, n_lines + len(rest)
    if not n_frames:
        raise DataError(f"{path} is empty")


def _atom_count(line: str, place: str, frame: int) -> int:
    word = line.strip()
    if not (word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS):
        before = "; is the number of atoms of the frame before right?" if frame else ""
        raise DataError(f"{place}: expected the number of atoms, found {word[:60]!r}{before}")
    if int(word) == 0:
        raise DataError(f"{place}: frame {frame} has no atoms: remove it")
    return int(word)


def _parse(text: _FrameText, request: LabelRequest, keys: dict[str, str]) -> RawFrame:
    """One frame; `keys` remembers the key of each label, which must not change along the file."""
    info = _parse_comment(text)
    properties = info.pop("Properties", None)
    layout = column_layout(str(properties or DEFAULT_COLUMNS), text.place)
    if "pos" not in layout or not ("species" in layout or "Z" in layout):
        raise DataError(f"{text.place}: Properties={properties} lacks species (or Z) or pos")
    columns = _Columns(text, layout, stated=properties is not None)
    cell, pbc = _cell(info, text.place)
    stated = {key: value for key, value in info.items() if kind_of(key) and key != "Lattice"}
    labels: dict[str, float | np.ndarray] = {}
    for label in request.properties:
        of_atoms = label_row(label).per == "atom"  # a column, else a word of the comment
        present = set(layout if of_atoms else info) - {"Lattice", "pbc", "species", "pos", "Z"}
        absent = of_atoms and not present & request.names(label)
        if absent and may_lack_forces(len(text.rows), pbc, stated):
            continue
        key = choose_key(label, request, label_row(label).keys, present, text.place)
        if keys.setdefault(label, key) != key:
            raise DataError(
                f"{text.place}: {label} stands under {key!r}, but under {keys[label]!r} in the "
                "frames before"
            )
        value = columns.vectors(key) if of_atoms else info[key]
        labels[label] = checked_label(label, value, len(text.rows), key, text.place)
    numbers, positions = columns.atomic_numbers(), columns.vectors("pos")
    weights = label_weights(info, text.place)
    return RawFrame(numbers, positions, text.place, cell, pbc, labels, weights, stated)


def _parse_comment(text: _FrameText) -> dict[str, Any]:
    try:
        return parse_comment(text.comment)
    except ValueError as error:
        raise DataError(f"{text.place}: the comment line cannot be read: {error}") from error


def _cell(info: dict[str, Any], place: str) -> tuple[np.ndarray | None, np.ndarray]:
    """Lattice vectors as rows; with a lattice and no `pbc`, all directions are periodic."""
    cell = info.get("Lattice")
    pbc = np.asarray(info.get("pbc", cell is not None))
    if pbc.dtype != bool or pbc.shape not in ((), (3,)):
        raise DataError(f'{place}: pbc should be like "T T F", not {info["pbc"]!r}')
    return cell, pbc


def column_layout(properties: str, place: str) -> dict[str, tuple[str, slice]]:
    """Kind (S, R, I, L) and columns of each name in `species:S:1:pos:R:3`, in their order.

    Raises:
        DataError: naming the place, for what cannot be understood.
    """
    fields = properties.split(":")
    kinds, counts = fields[1::3], fields[2::3]
    whole = len(fields) % 3 == 0 and all(
        c.isascii() and c.isdecimal() and len(c) <= _MOST_DIGITS and int(c) > 0 for c in counts
    )
    if not whole or not set(kinds) <= set("SRIL"):
        raise DataError(f"{place}: cannot understand Properties={properties[:200]}")
    ends = np.cumsum([int(c) for c in counts]).tolist()
    layout = {
        name: (kind, slice(end - int(count), end))
        for name, kind, count, end in zip(fields[::3], kinds, counts, ends, strict=True)
    }
    if len(layout) != len(kinds):
        raise DataError(f"{place}: a name occurs twice in Properties={properties}")
    return layout


class _Columns:
    """The rows of one frame, split and checked to be full."""

    def __init__(
        self, text: _FrameText, layout: dict[str, tuple[str, slice]], stated: bool
    ) -> None:
        self.text, self.layout = text, layout
        self.rows = [line.split() for line in text.rows]
        n_columns = max(columns.stop for _, columns in layout.values())
        why = (
            "is the number of atoms right?"
            if stated
            else (f"without Properties=... in the comment line they are {DEFAULT_COLUMNS}")
        )
        for k, row in enumerate(self.rows):
            if len(row) != n_columns:
                raise DataError(
                    f"{text.row_place(k)}: expected {n_columns} columns, found {len(row)} "
                    f"({text.rows[k].strip()[:60]!r}); {why}"
                )
        # What Python's float takes for digits, but nobody else does.
        self.is_plain = not any("_" in line or not line.isascii() for line in text.rows)

    def vectors(self, name: str) -> np.ndarray:
        """[n_atoms, 3]. Raises DataError if it is not three columns of numbers."""
        kind, columns = self.layout[name]
        if columns.stop - columns.start != 3 or kind not in "RI":
            raise DataError(f"{self.text.place}: {name} is not three columns of numbers")
        cells = [row[columns] for row in self.rows]
        try:
            if self.is_plain or all(is_number(word) for cell in cells for word in cell):
                return np.array(cells, dtype=np.float64)
        except ValueError:
            pass
        k = next(k for k, cell in enumerate(cells) if not all(map(is_number, cell)))
        raise DataError(
            f"{self.text.row_place(k)}: {name} should be three numbers, not {' '.join(cells[k])}"
        )

    def atomic_numbers(self) -> np.ndarray:
        """[n_atoms]. Raises DataError naming the line of an unknown element."""
        name = "species" if "species" in self.layout else "Z"
        column = self.layout[name][1].start
        return np.array([self._number(row[column], name, k) for k, row in enumerate(self.rows)])

    def _number(self, word: str, name: str, row: int) -> int:
        if name == "Z" and word.isascii() and word.isdecimal():
            return int(word[:_MOST_DIGITS])
        number = NUMBERS.get(word.capitalize())
        if number is None:
            types = (
                ": numbers may be types of LAMMPS; write symbols or, for atomic numbers, Z:I:1 "
                "instead of species:S:1"
            )
            raise DataError(
                f"{self.text.row_place(row)}: unknown element {word[:60]!r}"
                + (types if word.isdecimal() else "")
            )
        return number
