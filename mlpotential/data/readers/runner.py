"""The `input.data` of RuNNer and n2p2, plain or gzip-compressed.

    begin
    comment ...
    lattice x y z                              three times, or not at all
    atom x y z symbol charge energy fx fy fz   for each atom
    energy E
    charge Q
    end

Atomic charges and energies are zero in most files and left alone; the total charge is judged by
`data.stated`. The format has no units: most files are in Hartree and Bohr.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.raw_frame import LabelRequest, RawFrame, checked_label, choose_key
from mlpotential.data.readers.comment_line import is_number
from mlpotential.data.readers.extended_xyz import NUMBERS, text_lines
from mlpotential.errors import DataError
from mlpotential.properties import label_row

_ATOM_WORDS = 10
_SINGLE = ("energy", "charge")  # a number each, once in a frame


@dataclass
class _Lines:
    """Words of one frame, by the first of their line, with the number of that line."""

    first_line: int
    lattice: list[list[float]] = field(default_factory=list)
    atoms: list[list[float]] = field(default_factory=list)  # x, y, z, charge, energy, fx, fy, fz
    numbers: list[int] = field(default_factory=list)
    single: dict[str, float] = field(default_factory=dict)


def read_runner(path: Path, request: LabelRequest, units: DeclaredUnits) -> list[RawFrame]:
    """Reads every frame.

    Raises:
        DataError: if the file is damaged or something else, or a label is absent; the message names
            frame and line.
    """
    return [_frame(path.name, k, lines, request) for k, lines in enumerate(_frames(path))]


def _frames(path: Path) -> Iterator[_Lines]:
    frame: _Lines | None = None
    n_frames = 0
    for number, line in enumerate(text_lines(path), start=1):
        words = line.split()
        place = f"{path.name}, frame {n_frames} (line {number})"
        if not words:
            continue
        if frame is None:
            if words != ["begin"]:
                raise DataError(
                    f"{place}: expected 'begin' as RuNNer and n2p2 write it, found "
                    f"{line.strip()[:60]!r}"
                    + ("" if n_frames else "; a data file of LAMMPS has no labels to train on")
                )
            frame = _Lines(number)
        elif words == ["end"]:
            yield frame
            frame, n_frames = None, n_frames + 1
        else:
            _add(frame, words, place)
    if frame is not None:
        raise DataError(f"{path.name}, frame {n_frames}: the file ends before its 'end'")
    if not n_frames:
        raise DataError(f"{path} is empty")


def _add(frame: _Lines, words: list[str], place: str) -> None:
    name, *rest = words
    if name == "lattice":
        frame.lattice.append(_numbers(rest, 3, name, place))
    elif name == "atom":
        if len(rest) != _ATOM_WORDS - 1:
            raise DataError(f"{place}: expected {_ATOM_WORDS} columns, found {len(words)}")
        if rest[3].capitalize() not in NUMBERS:
            raise DataError(f"{place}: unknown element {rest[3][:60]!r}")
        frame.numbers.append(NUMBERS[rest[3].capitalize()])
        frame.atoms.append(_numbers(rest[:3] + rest[4:], _ATOM_WORDS - 2, name, place))
    elif name in _SINGLE:
        if name in frame.single:
            raise DataError(f"{place}: a second {name} in the frame")
        (frame.single[name],) = _numbers(rest, 1, name, place)
    elif name != "comment":
        raise DataError(f"{place}: unknown keyword {name[:60]!r}")


def _numbers(words: list[str], n: int, name: str, place: str) -> list[float]:
    if len(words) != n or not all(map(is_number, words)):
        raise DataError(f"{place}: {name} should have {n} numbers, not {' '.join(words)[:80]!r}")
    return [float(word) for word in words]


def _frame(source: str, number: int, lines: _Lines, request: LabelRequest) -> RawFrame:
    place = f"{source}, frame {number} (line {lines.first_line})"
    if not lines.atoms:
        raise DataError(f"{place}: frame {number} has no atoms: remove it")
    if len(lines.lattice) not in (0, 3):
        raise DataError(f"{place}: expected three lattice vectors, found {len(lines.lattice)}")
    atoms = np.array(lines.atoms)
    found = {"energy": lines.single.get("energy"), "forces": atoms[:, 5:8]}
    present = {name: value for name, value in found.items() if value is not None}
    labels = {}
    for label in request.properties:
        key = choose_key(label, request, label_row(label).keys, present, place)
        labels[label] = checked_label(label, present[key], len(atoms), key, place)
    return RawFrame(
        np.array(lines.numbers),
        atoms[:, :3],
        place,
        cell=np.array(lines.lattice) if lines.lattice else None,
        pbc=bool(lines.lattice),
        labels=labels,
        stated={name: lines.single[name] for name in ("charge",) if name in lines.single},
    )
