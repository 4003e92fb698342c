"""Labels of a round: made once, counted with those that failed, joined for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.force_provider import CalculatorForces
from md_runs.learning.folders import (
    CHECKS,
    CHOSEN,
    RoundFolder,
    positions_of,
    read_frames,
    read_json,
    write_frames,
)
from mlpotential.errors import RunError
from mlpotential.labelling.label import label_structures
from mlpotential.run_folder import write_json

LARGEST_FORCE = 30.0  # eV/A, in one component; chosen: a few of more rule all training


@dataclass(frozen=True)
class LabelCount:
    """Of a round so far.

    Attributes:
        n_asked: structures that the calculator was asked for: what the budget counts.
        failures: reasons, by number.
    """

    n_asked: int
    failures: dict[str, int]

    def __add__(self, other: LabelCount) -> LabelCount:
        reasons = self.failures.keys() | other.failures.keys()
        return LabelCount(
            self.n_asked + other.n_asked,
            {r: self.failures.get(r, 0) + other.failures.get(r, 0) for r in sorted(reasons)},
        )


def make_labels(
    round_: RoundFolder, kind: str, forces: CalculatorForces, progress: bool
) -> LabelCount:
    """Labels what was chosen; failures are kept in words and never tried again.

    Raises:
        RunError: if all of several failed, which no force field is learned from.
        RunInterrupted: after a signal; the same call goes on.
    """
    record = round_.path / f"{kind}_count.json"
    if not record.exists():
        frames = read_frames(round_.frames(kind))
        failures: dict[str, int] = {}
        with round_.timed("labels"):
            if frames:
                result = label_structures(
                    round_.frames(kind),
                    forces.named,
                    round_.labelled(kind),
                    n_processes=forces.drivers,
                    timeout_s=forces.limit_s,
                    progress=progress,
                )
                for failure in result.failures.values():
                    failures[failure.reason] = failures.get(failure.reason, 0) + 1
                if len(frames) > 1 and len(result.failures) == len(frames):
                    first = next(iter(result.failures.values()))
                    raise RunError(
                        f"none of {len(frames)} structures of round {round_.number} could be "
                        f"labelled, the first because: {first}. See {result.failures_file}; the "
                        "same command tries them again"
                    )
        write_json(record, {"n_asked": len(frames), "failures": failures})
    return counted(round_, kind)


def counted(round_: RoundFolder, kind: str) -> LabelCount:
    """What was asked for in a round."""
    content: dict[str, Any] | None = read_json(round_.path / f"{kind}_count.json")
    return LabelCount(**content) if content else LabelCount(0, {})


def counted_before(round_: RoundFolder) -> LabelCount:
    """Of all earlier rounds."""
    total = LabelCount(0, {})
    for earlier in round_.before:
        total = total + counted(earlier, CHOSEN) + counted(earlier, CHECKS)
    return total


def labelled_before(round_: RoundFolder, kind: str) -> list[Atoms]:
    """Labelled structures of all earlier rounds."""
    return [atoms for earlier in round_.before for atoms in read_frames(earlier.labelled(kind))]


def without_broken(frames: Sequence[Atoms]) -> list[Atoms]:
    """Those without a force above `LARGEST_FORCE`, such as runs end with that a network broke."""
    return [atoms for atoms in frames if np.abs(atoms.get_forces()).max() < LARGEST_FORCE]


def asked_before(round_: RoundFolder) -> np.ndarray:
    """All structures that earlier rounds, and this one for its checks, asked for, failed or not.

    Returns:
        [n, n_atoms, 3] (A).
    """
    found = [
        positions_of(frames)
        for earlier in [*round_.before, round_]
        for kind in (CHOSEN, CHECKS)
        if (earlier is not round_ or kind == CHECKS)
        and (frames := read_frames(earlier.frames(kind)))
    ]
    return np.concatenate(found)


def training_set(round_: RoundFolder) -> tuple[int, int]:
    """Writes what the committee is trained on; numbers of structures, and of those left out."""
    path = round_.path / "training.extxyz"
    frames = labelled_before(round_, CHOSEN)
    kept = without_broken(frames)
    if not path.exists():
        write_frames(path, kept)
    return len(kept), len(frames) - len(kept)
