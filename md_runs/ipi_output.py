"""What i-PI leaves in a run folder: properties, positions of every bead, checkpoints.

i-PI appends after a restart, so outputs are cut back to the checkpoint before it; each record says
its step, and reading demands every step exactly once. Properties are read by i-PI's own parser.
Positions are in i-PI's "ase" format; its parser builds one object per frame (20 times slower), so
the numbers are read in bulk here and a test compares the two.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from md_runs.ipi_input import (
    CHECKPOINT_GLOB,
    POSITIONS_GLOB,
    PROPERTIES_NAME,
    SOFT_EXIT_CHECKPOINT_NAME,
)
from md_runs.pimd_settings import PimdRun
from mlpotential.errors import RunError

CONTINUED_NAME = "continued.xml"  # the checkpoint the last restart began with

_FRAME = re.compile(rb"^\d+\n[^\n]*\bStep: +(\d+)[^\n]*positions\{ase\}", re.MULTILINE)
_LINE_OF_PROPERTIES = re.compile(rb"^ +([-+.\deE]+) ", re.MULTILINE)
_NOT_FINITE = re.compile(rb"\b(nan|inf)\b", re.IGNORECASE)


@dataclass(frozen=True)
class PimdProperties:
    """Quantities of the whole ring polymer in time; energies by i-PI's constants.

    Attributes:
        steps: [n_records].
        times_fs: [n_records].
        conserved: energy of the extended system, constant up to the integrator's error, [n_records]
            (eV).
        temperature_K: kinetic temperature of the ring polymer, [n_records].
        potential: mean over the beads, [n_records] (eV).
        kinetic_cv: quantum kinetic energy, centroid virial estimator, [n_records] (eV). A fixed
            center of mass is counted as a free one: + 3/2 kT.
    """

    steps: np.ndarray
    times_fs: np.ndarray
    conserved: np.ndarray
    temperature_K: np.ndarray
    potential: np.ndarray
    kinetic_cv: np.ndarray


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


def newest_checkpoint(folder: Path, settings: PimdRun, n_atoms: int) -> Checkpoint | None:
    """The latest state that is whole, finite, and has all outputs up to it; None to start anew.

    Raises:
        RunError: if there are checkpoints, but the outputs reach none: starting anew would delete
            what may be a long run.
    """
    states = [state for path in _checkpoint_paths(folder) if (state := _read_checkpoint(path))]
    later = sorted((s for s in states if s.step > 0), key=lambda s: s.step, reverse=True)
    for checkpoint in later:
        if _outputs_reach(folder, checkpoint.step, settings, n_atoms):
            return checkpoint
    if later:
        raise RunError(
            f"the outputs in {folder} do not reach its earliest checkpoint, at step "
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
    numbered = sorted(folder.glob(CHECKPOINT_GLOB), key=_number)
    for path in numbered[:-3]:
        path.unlink()


def remove_outputs(folder: Path) -> None:
    """Deletes everything an unfinished start left behind."""
    for path in [*_output_paths(folder), *_checkpoint_paths(folder)]:
        path.unlink(missing_ok=True)


def cut_outputs(folder: Path, step: int, settings: PimdRun, n_atoms: int) -> None:
    """Shortens every output to the records up to `step`."""
    for path in _output_paths(folder):
        os.truncate(path, len(_records_up_to(path, step, settings, n_atoms)))


def read_properties(folder: Path, settings: PimdRun, last_step: int) -> PimdProperties:
    """Raises RunError if a step is missing, double, or not finite."""
    import ipi
    from ipi.utils.units import unit_to_internal, unit_to_user

    path = folder / PROPERTIES_NAME
    values, info = ipi.read_output(str(path))

    def column(name: str, family: str, unit: str) -> np.ndarray:
        in_file = np.atleast_1d(values[name])
        _check_finite(path, in_file, steps)
        return unit_to_user(family, unit, unit_to_internal(family, info[name][0], in_file))

    steps = np.atleast_1d(values["step"]).astype(np.int64)
    _check_steps(path, steps, last_step, settings.properties_stride)
    return PimdProperties(
        steps=steps,
        times_fs=column("time", "time", "femtosecond"),
        conserved=column("conserved", "energy", "electronvolt"),
        temperature_K=column("temperature", "temperature", "kelvin"),
        potential=column("potential", "energy", "electronvolt"),
        kinetic_cv=column("kinetic_cv", "energy", "electronvolt"),
    )


def read_positions(folder: Path, settings: PimdRun, last_step: int, n_atoms: int) -> np.ndarray:
    """Positions of every bead, unwrapped, [n_frames, n_beads, n_atoms, 3] (A).

    Raises:
        RunError: if a file or a step is missing, double, or not finite.
    """
    paths = _position_paths(folder)
    if len(paths) != settings.n_beads:
        raise RunError(f"{folder} has positions of {len(paths)} of {settings.n_beads} beads")
    n_frames = last_step // settings.stride + 1
    positions = np.empty((n_frames, settings.n_beads, n_atoms, 3))
    for bead_index, path in enumerate(paths):
        positions[:, bead_index] = _read_bead(path, settings, last_step, n_atoms)
    return positions


def _read_bead(path: Path, settings: PimdRun, last_step: int, n_atoms: int) -> np.ndarray:
    """[n_frames, n_atoms, 3] (A)."""
    from ipi.utils.units import unit_to_internal, unit_to_user

    lines = _records_up_to(path, last_step, settings, n_atoms).splitlines()
    n_frames = last_step // settings.stride + 1
    if len(lines) != n_frames * (n_atoms + 2):
        raise RunError(f"{path} is damaged: its frames do not all have {n_atoms} atoms")
    del lines[:: n_atoms + 2]
    del lines[:: n_atoms + 1]
    try:
        positions = np.loadtxt(lines, usecols=(1, 2, 3), ndmin=2).reshape(-1, n_atoms, 3)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return unit_to_user("length", "angstrom", unit_to_internal("length", "ase", positions))


def _check_steps(path: Path, steps: np.ndarray, last_step: int, stride: int) -> None:
    expected = np.arange(0, last_step + 1, stride)
    if not np.array_equal(steps, expected):
        raise RunError(
            f"{path} should hold steps 0, {stride}, ... {expected[-1]} once each, but holds "
            f"{len(steps)} records instead of {len(expected)}: it was changed or damaged"
        )


def _check_finite(path: Path, values: np.ndarray, steps: np.ndarray) -> None:
    finite = np.isfinite(values).reshape(len(steps), -1).all(axis=1)
    if not finite.all():
        step = steps[np.argmin(finite)]
        raise RunError(f"{path} has a number that is not finite at step {step}: the run is broken")


class ProgressReader:
    """Follows the properties while i-PI writes them."""

    def __init__(self, folder: Path, start_step: int) -> None:
        self._path = folder / PROPERTIES_NAME
        self._offset = self._path.stat().st_size if self._path.exists() else 0
        self.step = start_step
        self.temperature_K = float("nan")

    def update(self) -> int:
        """Reads new complete lines. Raises RunError if one has a number that is not finite."""
        if not self._path.exists():
            return self.step
        with open(self._path, "rb") as handle:
            handle.seek(self._offset)
            complete = handle.read().rpartition(b"\n")[0]
        self._offset += len(complete) + 1 if complete else 0
        lines = [line for line in complete.splitlines() if line and not line.startswith(b"#")]
        for line in lines:
            values = np.array(line.split(), dtype=np.float64)
            self.step, self.temperature_K = int(values[0]), float(values[3])
            if not np.isfinite(values).all():
                raise RunError(f"{self._path} has a number that is not finite at step {self.step}")
        return self.step


def _outputs_reach(folder: Path, step: int, settings: PimdRun, n_atoms: int) -> bool:
    """Whether all outputs hold every record up to `step`, complete and finite."""
    if len(_position_paths(folder)) != settings.n_beads:
        return False
    try:
        for path in _output_paths(folder):
            _records_up_to(path, step, settings, n_atoms)
    except (RunError, OSError):
        return False
    return True


def _records_up_to(path: Path, step: int, settings: PimdRun, n_atoms: int) -> bytes:
    """The part of a file that holds the records of steps 0 to `step`, each once and whole.

    Raises:
        RunError: if one of them is missing, double, incomplete or not finite.
    """
    is_properties = path.name == PROPERTIES_NAME
    pattern = _LINE_OF_PROPERTIES if is_properties else _FRAME
    stride = settings.properties_stride if is_properties else settings.stride
    content = path.read_bytes()
    kept = [match for match in pattern.finditer(content) if float(match[1]) <= step]
    _check_steps(path, np.array([int(float(match[1])) for match in kept]), step, stride)
    end = kept[-1].start()
    for _ in range(1 if is_properties else n_atoms + 2):
        end = content.find(b"\n", end) + 1
        if end == 0:
            raise RunError(f"{path} ends within step {step}")
    if _NOT_FINITE.search(content, kept[0].start(), end):
        raise RunError(f"{path} has a number that is not finite before step {step}")
    return content[:end]


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


def _output_paths(folder: Path) -> list[Path]:
    return [folder / PROPERTIES_NAME, *_position_paths(folder)]


def _position_paths(folder: Path) -> list[Path]:
    """In the order of the beads."""
    return sorted(folder.glob(POSITIONS_GLOB), key=_number)


def _checkpoint_paths(folder: Path) -> list[Path]:
    named = [folder / SOFT_EXIT_CHECKPOINT_NAME, folder / CONTINUED_NAME]
    return [*folder.glob(CHECKPOINT_GLOB), *(path for path in named if path.exists())]


def _number(path: Path) -> int:
    """The last number in a file name."""
    return int(re.findall(r"\d+", path.name)[-1])
