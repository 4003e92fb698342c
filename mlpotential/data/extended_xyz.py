"""Extended XYZ files, plain or gzip-compressed.

The comment line is read by ASE's parser; the columns are read here, because ASE takes a row that is
too long, or whose last number is cut (`-0.` for `-0.478000`), without a word. The whole file is
decompressed into memory first.

Energies are looked for under `energy`, then `REF_energy`; forces under `forces`, then `REF_forces`;
dipoles under `dipole`, then `REF_dipole`. Where both exist, the key must be given.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF_SYMBOL
from ase.io.extxyz import key_val_str_to_dict

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import (
    LabelRequest,
    RawFrame,
    checked_label,
    choose_key,
    label_weights,
)
from mlpotential.errors import DataError
from mlpotential.properties import LABELS

DEFAULT_COLUMNS = "species:S:1:pos:R:3"


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
    """Reads every frame; the format states no units.

    Raises:
        DataError: if the file is damaged, or a label is absent, ambiguous or not a number; the
            message names frame and line.
    """
    keys: dict[str, str] = {}
    return [_parse(text, request, keys) for text in _split_frames(path, _read_text(path))]


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    try:
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        text = content.decode()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut or not a gzip file: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file (byte {error.start})") from error
    if not text.strip():
        raise DataError(f"{path} is empty")
    if not text.endswith("\n"):
        raise DataError(
            f"{path} ends without a newline in line {text.count(chr(10)) + 1}: the last number may "
            "be cut. Copy the file again or, if it is whole, add the newline"
        )
    return text


def _split_frames(path: Path, text: str) -> list[_FrameText]:
    lines = text.rstrip().split("\n")
    frames: list[_FrameText] = []
    start = 0
    while start < len(lines):
        place = f"{path.name}, frame {len(frames)} (line {start + 1})"
        n_atoms = _atom_count(lines[start], place)
        end = start + 2 + n_atoms
        if end > len(lines):
            raise DataError(
                f"{place}: {n_atoms} atoms are announced, but the file ends after "
                f"{max(0, len(lines) - start - 2)}"
            )
        comment, rows = lines[start + 1], lines[start + 2 : end]
        frames.append(_FrameText(path, len(frames), start + 1, comment, rows))
        start = end
    return frames


def _atom_count(line: str, place: str) -> int:
    if not (line.strip().isascii() and line.strip().isdigit() and int(line) > 0):
        raise DataError(
            f"{place}: expected the number of atoms, found {line.strip()[:60]!r}; "
            "is the number of atoms of the frame before right?"
        )
    return int(line)


def _parse(text: _FrameText, request: LabelRequest, keys: dict[str, str]) -> RawFrame:
    """One frame; `keys` remembers the key of each label, which must not change along the file."""
    info = _parse_comment(text)
    properties = str(info.pop("Properties", DEFAULT_COLUMNS))
    layout = column_layout(properties, text.place)
    if "pos" not in layout or not ("species" in layout or "Z" in layout):
        raise DataError(f"{text.place}: Properties={properties} lacks species (or Z) or pos")
    columns = _Columns(text, layout)
    cell, pbc = _cell(info, text.place)
    labels: dict[str, float | np.ndarray] = {}
    for label in request.properties:
        of_atoms = LABELS[label].per == "atom"  # a column, else a word of the comment
        present = set(layout if of_atoms else info) - {"Lattice", "pbc", "species", "pos", "Z"}
        key = choose_key(label, request, LABELS[label].keys, present, text.place)
        if keys.setdefault(label, key) != key:
            raise DataError(
                f"{text.place}: {label} stands under {key!r}, but under {keys[label]!r} in the "
                "frames before"
            )
        value = columns.vectors(key) if of_atoms else info[key]
        labels[label] = checked_label(label, value, len(text.rows), key, text.place)
    weights = label_weights(info, text.place)
    return RawFrame(
        columns.atomic_numbers(), columns.vectors("pos"), text.place, cell, pbc, labels, weights
    )


def _parse_comment(text: _FrameText) -> dict[str, Any]:
    try:
        return dict(key_val_str_to_dict(text.comment)) if text.comment.strip() else {}
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"{text.place}: the comment line cannot be read: {error}") from error


def _cell(info: dict[str, Any], place: str) -> tuple[np.ndarray | None, np.ndarray]:
    """Lattice vectors as rows; with a lattice and no `pbc`, all directions are periodic."""
    lattice = info.get("Lattice")
    cell = None if lattice is None else np.asarray(lattice, np.float64).T  # ASE gives columns
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
    whole = len(fields) % 3 == 0 and all(c.isdigit() and int(c) > 0 for c in counts)
    if not whole or not set(kinds) <= set("SRIL"):
        raise DataError(f"{place}: cannot understand Properties={properties}")
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

    def __init__(self, text: _FrameText, layout: dict[str, tuple[str, slice]]) -> None:
        self.text, self.layout = text, layout
        self.rows = [line.split() for line in text.rows]
        n_columns = max(columns.stop for _, columns in layout.values())
        for k, row in enumerate(self.rows):
            if len(row) != n_columns:
                raise DataError(
                    f"{text.row_place(k)}: expected {n_columns} columns, found {len(row)} "
                    f"({text.rows[k].strip()[:60]!r}); is the number of atoms right?"
                )

    def vectors(self, name: str) -> np.ndarray:
        """[n_atoms, 3]. Raises DataError if it is not three columns of numbers."""
        kind, columns = self.layout[name]
        if columns.stop - columns.start != 3 or kind not in "RI":
            raise DataError(f"{self.text.place}: {name} is not three columns of numbers")
        cells = [row[columns] for row in self.rows]
        try:
            return np.array(cells, dtype=np.float64)
        except ValueError:
            k = next(k for k, cell in enumerate(cells) if not all(map(_is_number, cell)))
            raise DataError(
                f"{self.text.row_place(k)}: {name} should be three numbers, "
                f"not {' '.join(cells[k])}"
            ) from None

    def atomic_numbers(self) -> np.ndarray:
        """[n_atoms]. Raises DataError naming the line of an unknown element."""
        name = "species" if "species" in self.layout else "Z"
        column = self.layout[name][1].start
        numbers = []
        for k, row in enumerate(self.rows):
            symbol = row[column]
            number = int(symbol) if symbol.isdigit() else NUMBER_OF_SYMBOL.get(symbol.capitalize())
            if number is None:
                raise DataError(f"{self.text.row_place(k)}: unknown element {symbol!r}")
            numbers.append(number)
        return np.array(numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
