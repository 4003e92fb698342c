"""Checkpoints of i-PI: which one a run can go on from, and outputs cut back to it."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from md_runs.pimd.ipi_input import CHECKPOINT_GLOB, PREFIX, SOFT_EXIT_CHECKPOINT_NAME
from md_runs.pimd.ipi_outputs import Outputs, number_of
from mlpotential.errors import RunError

CONTINUED_NAME = "continued.xml"  # the checkpoint the last restart began with


@dataclass(frozen=True)
class Checkpoint:
    """A complete state of i-PI.

    Attributes:
        path: its file.
        step: how many steps had been made.
        tree: its content.
    """

    path: Path
    step: int
    tree: ET.Element


def newest_checkpoint(outputs: Outputs) -> Checkpoint | None:
    """The latest state that is whole, finite, and has all outputs up to it; None to start anew.

    Raises:
        RunError: if there are checkpoints, but the outputs reach none: starting anew would delete
            what may be a long run.
    """
    paths = _checkpoint_paths(outputs.folder)
    states = [state for path in paths if (state := _read_checkpoint(path))]
    later = sorted((s for s in states if s.step > 0), key=lambda s: s.step, reverse=True)
    for checkpoint in later:
        if _outputs_reach(outputs, checkpoint.step):
            return checkpoint
    if later:
        raise RunError(
            f"the outputs in {outputs.folder} do not reach its earliest checkpoint, at step "
            f"{later[-1].step}: they were changed or damaged. Choose another folder, or delete it"
        )
    return None


def remove_checkpoints_after(folder: Path, step: int) -> None:
    """Deletes what cannot be used, or could be taken for the future of another past.

    Also the state of the last soft exit, once `CONTINUED_NAME` holds what is still worth of it:
    i-PI would rename it when it writes the next one.
    """
    for path in _checkpoint_paths(folder):
        checkpoint = _read_checkpoint(path)
        superseded = path.name == SOFT_EXIT_CHECKPOINT_NAME
        if superseded or checkpoint is None or checkpoint.step > step:
            path.unlink()


def remove_old_checkpoints(folder: Path) -> None:
    """Keeps the newest three: one may be half-written, two are whole."""
    numbered = sorted(folder.glob(CHECKPOINT_GLOB), key=number_of)
    for path in numbered[:-3]:
        path.unlink()


def remove_outputs(folder: Path) -> None:
    """Deletes everything an unfinished start left behind."""
    for path in {*folder.glob(f"{PREFIX}.*"), *_checkpoint_paths(folder)}:
        path.unlink()


def cut_outputs(outputs: Outputs, step: int) -> None:
    """Shortens every output to the records up to `step`."""
    for file in outputs.files():
        os.truncate(file.path, file.end_of(step))


def _outputs_reach(outputs: Outputs, step: int) -> bool:
    """Whether all outputs hold every record up to `step`, complete and finite."""
    try:
        for file in outputs.files():
            file.end_of(step)
    except (RunError, OSError):
        return False
    return True


def _read_checkpoint(path: Path) -> Checkpoint | None:
    """None if it is missing, damaged, or holds a number that is not finite."""
    try:
        tree = ET.parse(path).getroot()
        step = int(tree.findtext("step") or 0)
        arrays = [tree.findtext(f".//beads/{name}") for name in ("q", "p")]
        good = all(text is not None and _all_finite(text) for text in arrays)
    except (ET.ParseError, OSError, ValueError):
        return None
    return Checkpoint(path, step, tree) if good else None


def _all_finite(text: str) -> bool:
    values = np.array(text.strip(" \n[]").split(","), dtype=np.float64)
    return bool(np.isfinite(values).all())


def _checkpoint_paths(folder: Path) -> list[Path]:
    named = [folder / SOFT_EXIT_CHECKPOINT_NAME, folder / CONTINUED_NAME]
    return [*folder.glob(CHECKPOINT_GLOB), *(path for path in named if path.exists())]
