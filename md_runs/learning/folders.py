"""The files of a learning run by their names, and what is kept in them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from mlpotential.errors import RunError
from mlpotential.run_folder import opened_atomically, write_atomically, write_json

IDENTITY_NAME = "learning.json"
SUMMARY_NAME, PAGE_NAME, ALL_LABELS_NAME = "summary.json", "report.html", "labels.extxyz"
HELD_OUT_NAME = "held_out.extxyz"
COMMITTEE_NAME = "committee"
MINIMUM_NAME, REFERENCE_MODES_NAME = "minimum.extxyz", "reference_modes.json"
ROUND_NAME = "round.json"
CHOSEN, CHECKS = "chosen", "checks"
LABELLED = {CHOSEN: "labelled.extxyz", CHECKS: "checks_labelled.extxyz"}


@dataclass(frozen=True)
class RoundFolder:
    """One round.

    Attributes:
        learning: folder of all rounds.
        number: from 0.
    """

    learning: Path
    number: int

    @property
    def path(self) -> Path:
        """Of the round."""
        return self.learning / f"round_{self.number:02d}"

    @property
    def training(self) -> Path:
        """Where its committee is trained."""
        return self.path / "training"

    @property
    def runs(self) -> Path:
        """Of its fresh dynamics."""
        return self.path / "runs"

    def frames(self, kind: str) -> Path:
        """Structures to label, of CHOSEN or CHECKS."""
        return self.path / f"{kind}.extxyz"

    def labelled(self, kind: str) -> Path:
        """The same with labels."""
        return self.path / LABELLED[kind]

    @property
    def before(self) -> list[RoundFolder]:
        """All earlier rounds."""
        return [RoundFolder(self.learning, k) for k in range(self.number)]

    def read(self) -> dict[str, Any] | None:
        """What the finished round was; None where it is not finished."""
        return read_json(self.path / ROUND_NAME)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time of a stage to the round's; that of a killed one is lost."""
        began = time.monotonic()
        yield
        self.took(stage, self.seconds.get(stage, 0.0) + time.monotonic() - began)

    def took(self, stage: str, seconds: float) -> None:
        """Keeps the whole time of a stage (s)."""
        write_json(self.path / "seconds.json", {**self.seconds, stage: round(seconds, 2)})

    @property
    def seconds(self) -> dict[str, float]:
        """Of each stage (s)."""
        return read_json(self.path / "seconds.json") or {}


def read_json(path: Path) -> dict[str, Any] | None:
    """None where there is no such file. Raises RunError for a damaged one."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    return content


def write_frames(path: Path, frames: Sequence[Atoms]) -> None:
    """As extended XYZ, in one step. Raises RunError if the disk is full."""
    import io

    text = io.StringIO()
    for atoms in frames:
        ase.io.write(text, atoms, format="extxyz")
    write_atomically(path, text.getvalue())


def read_frames(path: Path) -> list[Atoms]:
    """Of a file that was written here; none where there is no file, or nothing in it."""
    if not path.exists() or not path.stat().st_size:
        return []
    found = ase.io.read(path, index=":")
    assert isinstance(found, list)
    return found


def join_files(paths: Sequence[Path], output: Path) -> None:
    """Labelled files one after another, in one step; those that are not there hold nothing."""
    with opened_atomically(output) as file:
        for path in paths:
            if path.exists():
                file.write(path.read_bytes())


def structures_of(template: Atoms, positions: np.ndarray, **info: Any) -> list[Atoms]:
    """One structure for each of [n, n_atoms, 3] (A), as precise as the files."""
    frames = []
    for geometry in positions:
        atoms = Atoms(template.numbers, np.round(geometry, 6))
        atoms.info |= {k: v for k, v in template.info.items() if k in ("charge", "spin")} | info
        frames.append(atoms)
    return frames


def positions_of(frames: Sequence[Atoms]) -> np.ndarray:
    """[n_frames, n_atoms, 3] (A)."""
    return np.array([atoms.positions for atoms in frames])
