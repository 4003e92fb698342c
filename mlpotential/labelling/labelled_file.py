"""The output of labelling: extended XYZ that says where it comes from, and goes on after a kill.

While work goes on, frames are appended to `NAME.unfinished` as they come, each whole or cut off
later. At the end they are written to `NAME` in the order of the structures. Each frame has its
number (from 0), the method, and the units, in which `mlpotential train` then reads the file.
Hessians are in files of a folder until then, and in `STEM_hessians.npz` at the end, named
`hessian_K` by the frames of the output, as `training.curvature_from` reads them.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlpotential import __version__
from mlpotential.data.readers.comment_line import parse_comment
from mlpotential.data.readers.units_in_file import LABELLED_BY, OURS
from mlpotential.errors import ConfigError, DataError, RunError
from mlpotential.labelling.charges import CHARGE, SPIN
from mlpotential.labelling.evaluation import HESSIAN, Answer
from mlpotential.run_folder import opened_atomically

UNITS = {
    "energy_unit": "eV",
    "length_unit": "Angstrom",
    "force_unit": "eV/Angstrom",
}
UNITS_OF_OTHERS = {
    "dipole": "e*Angstrom",
    "stress": "eV/Angstrom^3",
    "polarizability": "Angstrom^3",
}
FRAME, METHOD = "frame", "method"
SAME_POSITION = 1e-7  # A; chosen: files have eight digits
OF_CALCULATOR = ("energy", "free_energy", "forces", "dipole", "stress")  # as ASE writes them
NOT_KEPT = ("energy", "force", "dipole", "stress", "virial", "polariz", "unit", METHOD, FRAME)


@dataclass(frozen=True)
class _Place:
    """Where a frame lies in the file (bytes)."""

    start: int
    end: int


class LabelledFile:
    """Labels of some structures in a file, and beside it while it grows.

    Args:
        path: of the output.
        structures: that are labelled.
        method: of the labels, in words.
        with_hessians: each frame has its Hessian, too.

    Raises:
        ConfigError: a file that is there, and is another one.
        RunError: a file that cannot be written, or is in use.
    """

    def __init__(
        self, path: Path, structures: Sequence[Atoms], method: str, with_hessians: bool = False
    ) -> None:
        self.path, self._structures, self._method = path, structures, method
        self.unfinished = path.with_name(path.name + ".unfinished")
        self._hessians = path.with_name(path.stem + "_hessians") if with_hessians else None
        self._places: dict[int, _Place] = {}
        if not self.unfinished.exists() and path.exists():
            self._check(path)
        try:
            self._file: BinaryIO = open(self.unfinished, "a+b")  # noqa: SIM115 - closed by `close`
            _lock(self._file, self.unfinished)
            if path.exists() and not os.fstat(self._file.fileno()).st_size:
                with path.open("rb") as old:
                    shutil.copyfileobj(old, self._file)
                self._file.flush()
                self._unpack_hessians(path)
        except OSError as error:
            raise RunError(f"cannot write {self.unfinished}: {error.strerror}") from error
        self._places = self._check(self.unfinished)
        end = max((place.end for place in self._places.values()), default=0)
        self._file.truncate(end)  # what a kill has cut

    @property
    def done(self) -> set[int]:
        """Numbers of structures with labels."""
        return set(self._places)

    def append(self, number: int, answer: Answer) -> None:
        """Adds the labels of a structure. Raises RunError if the disk is full."""
        try:
            if self._hessians is not None and HESSIAN in answer.values:
                self._hessians.mkdir(exist_ok=True)
                with opened_atomically(self._hessian_of(number)) as file:
                    np.save(file, answer.values[HESSIAN])
            text = self._text(number, answer.values).encode()
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise RunError(f"cannot write {self.unfinished}: {error.strerror}") from error
        self._places[number] = _Place(start, start + len(text))

    def finish(self) -> None:
        """Writes the output in the order of the structures, and removes what grew."""
        if self._places:
            with opened_atomically(self.path) as output:
                for number in sorted(self._places):
                    output.write(self._block(number))
            self._pack_hessians()
        self.unfinished.unlink()
        self.close()

    def close(self) -> None:
        """Leaves what is there."""
        self._file.close()

    def _block(self, number: int) -> bytes:
        place = self._places[number]
        self._file.seek(place.start)
        return self._file.read(place.end - place.start)

    def _hessian_of(self, number: int) -> Path:
        assert self._hessians is not None
        return self._hessians / f"{number}.npy"

    def _archive(self) -> Path:
        assert self._hessians is not None
        return self._hessians.with_suffix(".npz")

    def _pack_hessians(self) -> None:
        if self._hessians is None:
            return
        numbers = enumerate(sorted(self._places))
        found = {f"hessian_{k}": np.load(self._hessian_of(number)) for k, number in numbers}
        with opened_atomically(self._archive()) as file:
            np.savez(file, **found)
        shutil.rmtree(self._hessians)

    def _unpack_hessians(self, output: Path) -> None:
        """Of an output that was finished before: by the numbers of structures again."""
        if self._hessians is None or not self._archive().exists():
            return
        self._hessians.mkdir(exist_ok=True)
        frames = ase.io.read(output, index=":")
        with np.load(self._archive()) as archive:
            for k, frame in enumerate(frames):
                if f"hessian_{k}" in archive:
                    number = int(frame.info[FRAME])
                    np.save(self._hessian_of(number), archive[f"hessian_{k}"])

    def _text(self, number: int, values: Mapping[str, Any]) -> str:
        atoms = self._structures[number]
        frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        units = {f"{name}_unit": unit for name, unit in UNITS_OF_OTHERS.items() if name in values}
        frame.info = {
            **kept_info(atoms)[0],
            FRAME: number,
            METHOD: self._method,
            LABELLED_BY: f"{OURS} {__version__}",
            **UNITS,
            **units,
        }
        if "polarizability" in values:
            frame.info["polarizability"] = values["polarizability"]
        labels = {name: values[name] for name in OF_CALCULATOR if name in values}
        if labels.get("free_energy") == labels["energy"]:
            del labels["free_energy"]
        frame.calc = SinglePointCalculator(frame, **labels)
        text = io.StringIO()
        ase.io.write(text, frame, format="extxyz", write_results=True)
        return text.getvalue()

    def _check(self, path: Path) -> dict[int, _Place]:
        """The frames of a file that grew here. Raises ConfigError for another file."""
        try:
            with path.open("rb") as file:
                return dict(self._frames(file, path))
        except OSError as error:
            raise RunError(f"cannot read {path}: {error.strerror}") from error

    def _frames(self, file: BinaryIO, path: Path) -> Iterator[tuple[int, _Place]]:
        """Numbers and places of whole frames."""
        while True:
            start = file.tell()
            head = file.readline()
            if not head.endswith(b"\n"):
                return
            try:
                lines = [file.readline() for _ in range(1 + int(head))]
                if not lines[-1].endswith(b"\n"):
                    return
                comment = parse_comment(lines[0].decode())
            except ValueError as error:
                raise self._another(path, f"it is damaged ({error})") from error
            number = self._number(path, comment, lines[1:])
            if self._hessians is None or self._hessian_of(number).exists():
                yield number, _Place(start, file.tell())

    def _number(self, path: Path, comment: Mapping[str, Any], rows: Sequence[bytes]) -> int:
        """Of the structure that the frame has the labels of."""
        if not str(comment.get(LABELLED_BY, "")).startswith(OURS):
            raise self._another(path, "it was made by something else")
        if comment.get(METHOD) != self._method:
            raise self._another(path, f"its method is {comment.get(METHOD)}, not {self._method}")
        number = int(comment[FRAME])
        if number >= len(self._structures):
            raise self._another(path, f"it has a frame {number}, the structures do not")
        atoms = self._structures[number]
        words = [row.split() for row in rows]
        symbols = [word[0].decode() for word in words]
        positions = np.array([word[1:4] for word in words], np.float64)
        is_same = symbols == list(atoms.symbols) and np.allclose(
            positions, atoms.positions, rtol=1e-8, atol=SAME_POSITION
        )
        for name in (CHARGE, SPIN):
            is_same &= comment.get(name) == atoms.info.get(name)
        if not is_same:
            raise self._another(path, f"its frame {number} is another structure (or charge, spin)")
        return number

    def _another(self, path: Path, reason: str) -> ConfigError:
        return ConfigError(f"{path} holds other labels: {reason}. Choose another --output")


def kept_info(atoms: Atoms) -> tuple[dict[str, Any], set[str]]:
    """What a frame says of itself that stays true, and the names of what does not, old labels."""
    kept, left_out = {}, set()
    for name, value in atoms.info.items():
        is_weight = "weight" in name.lower()
        if not is_weight and any(word in name.lower() for word in NOT_KEPT):
            left_out.add(name)
        elif isinstance(value, str | bool | int | float | np.generic):
            kept[name] = value
        else:
            left_out.add(name)
    return kept, left_out - {FRAME, METHOD, LABELLED_BY, *UNITS}


def read_frames(path: Path) -> list[Atoms]:
    """All structures of a file that ASE reads. Raises DataError for one that it cannot."""
    from mlpotential.input_files import unreadable

    try:
        found = ase.io.read(path, index=":")
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        raise DataError(f"cannot read {path}: {unreadable(path, error)}") from error
    frames = found if isinstance(found, list) else [found]
    if not frames or not all(len(atoms) for atoms in frames):
        raise DataError(f"{path} holds no structures, or one without atoms")
    return frames


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        with contextlib.suppress(OSError):
            file.close()
        raise RunError(f"{path} is in use by another process: wait for it or stop it") from error
