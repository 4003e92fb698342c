"""What i-PI leaves in a run folder: properties, quantities of every bead, checkpoints.

i-PI appends after a restart, so outputs are cut back to the checkpoint before it; each record says
its step, and reading demands every step exactly once. Properties are read by i-PI's own parser.
Quantities of atoms are in its "ase" or "xyz" format; its parser builds one object per frame (20
times slower), so the numbers are read in bulk here and a test compares the two.
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from md_runs.pimd.ipi_input import (
    CHECKPOINT_GLOB,
    DIPOLE,
    POTENTIALS_NAME,
    PREFIX,
    PROPERTIES_NAME,
    SOFT_EXIT_CHECKPOINT_NAME,
    Quantity,
    recorded_quantities,
)
from md_runs.pimd.settings import PimdRun
from mlpotential.errors import RunError

CONTINUED_NAME = "continued.xml"  # the checkpoint the last restart began with

_FRAME = rb"^\d+\n[^\n]*\bStep: +(\d+)[^\n]*%s\{%s\}"
_EXTRAS = rb"^ #EXTRAS\(%s\)# Step: +(\d+)"
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
class Outputs:
    """What one run should have written.

    Attributes:
        folder: of the run.
        settings: of the run.
        n_atoms: of its structure.
        with_dipole: whether i-PI was told the dipole of every bead.
    """

    folder: Path
    settings: PimdRun
    n_atoms: int
    with_dipole: bool = False

    @property
    def quantities(self) -> list[Quantity]:
        """Those of every bead."""
        return recorded_quantities(self.settings, self.with_dipole)

    def bead_files(self, quantity: Quantity) -> list[_Records]:
        """In the order of the beads. Raises RunError if one is missing."""
        pattern = f"{PREFIX}.{quantity.word}_*{quantity.ending}"
        paths = sorted(self.folder.glob(pattern), key=_number)
        if len(paths) != self.settings.n_beads:
            raise RunError(
                f"{self.folder} has {quantity.word} of {len(paths)} of "
                f"{self.settings.n_beads} beads"
            )
        word = quantity.word.encode()
        if quantity is DIPOLE:
            start, n_lines = _EXTRAS % word, 2
        else:
            unit = b"ase" if quantity.format == "ase" else b"atomic_unit"
            start, n_lines = _FRAME % (word, unit), self.n_atoms + 2
        record = re.compile(start, re.MULTILINE)
        return [_Records(path, record, n_lines, self.settings.stride) for path in paths]

    def table(self, name: str, stride: int) -> _Records:
        """A file with a line for each record."""
        return _Records(self.folder / name, _LINE_OF_PROPERTIES, 1, stride)

    def files(self) -> list[_Records]:
        """All. Raises RunError if one of a bead is missing."""
        strides = {PROPERTIES_NAME: self.settings.properties_stride}
        if self.settings.record_forces:
            strides[POTENTIALS_NAME] = self.settings.stride
        tables = [self.table(name, stride) for name, stride in strides.items()]
        return tables + [file for q in self.quantities for file in self.bead_files(q)]


@dataclass(frozen=True)
class _Records:
    """A file of i-PI: how a record begins (its step is the group), its lines, steps between two."""

    path: Path
    start: re.Pattern[bytes]
    n_lines: int
    stride: int

    def up_to(self, step: int) -> bytes:
        """The part of the file that holds the records of steps 0 to `step`, each once and whole.

        Raises:
            RunError: if one of them is missing, double, incomplete or not finite.
        """
        content = self.path.read_bytes()
        kept = [match for match in self.start.finditer(content) if float(match[1]) <= step]
        steps = np.array([int(float(match[1])) for match in kept])
        _check_steps(self.path, steps, step, self.stride)
        end = kept[-1].start()
        for _ in range(self.n_lines):
            end = content.find(b"\n", end) + 1
            if end == 0:
                raise RunError(f"{self.path} ends within step {step}")
        if _NOT_FINITE.search(content, kept[0].start(), end):
            raise RunError(f"{self.path} has a number that is not finite before step {step}")
        return content[:end]


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
    numbered = sorted(folder.glob(CHECKPOINT_GLOB), key=_number)
    for path in numbered[:-3]:
        path.unlink()


def remove_outputs(folder: Path) -> None:
    """Deletes everything an unfinished start left behind."""
    for path in {*folder.glob(f"{PREFIX}.*"), *_checkpoint_paths(folder)}:
        path.unlink()


def cut_outputs(outputs: Outputs, step: int) -> None:
    """Shortens every output to the records up to `step`."""
    for file in outputs.files():
        os.truncate(file.path, len(file.up_to(step)))


def read_properties(outputs: Outputs, last_step: int) -> PimdProperties:
    """Raises RunError if a step is missing, double, or not finite."""
    import ipi
    from ipi.utils.units import unit_to_internal, unit_to_user

    path = outputs.folder / PROPERTIES_NAME
    values, info = ipi.read_output(str(path))

    def column(name: str, family: str, unit: str) -> np.ndarray:
        in_file = np.atleast_1d(values[name])
        _check_finite(path, in_file, steps)
        return unit_to_user(family, unit, unit_to_internal(family, info[name][0], in_file))

    steps = np.atleast_1d(values["step"]).astype(np.int64)
    _check_steps(path, steps, last_step, outputs.settings.properties_stride)
    return PimdProperties(
        steps=steps,
        times_fs=column("time", "time", "femtosecond"),
        conserved=column("conserved", "energy", "electronvolt"),
        temperature_K=column("temperature", "temperature", "kelvin"),
        potential=column("potential", "energy", "electronvolt"),
        kinetic_cv=column("kinetic_cv", "energy", "electronvolt"),
    )


def read_bead_potentials(outputs: Outputs, last_step: int) -> np.ndarray:
    """The potential of every bead in every frame, [n_frames, n_beads] (eV).

    Raises:
        RunError: if a step is missing, double, or not finite.
    """
    file = outputs.table(POTENTIALS_NAME, outputs.settings.stride)
    numbers = _numbers(file.path, file.up_to(last_step).splitlines())
    if numbers.shape[1:] != (1 + outputs.settings.n_beads,):
        raise RunError(f"{file.path} is damaged: it has {numbers.shape[1] - 1} potentials a line")
    return numbers[:, 1:]


def read_beads(outputs: Outputs, quantity: Quantity, last_step: int) -> np.ndarray:
    """A quantity of every bead, [n_frames, n_beads, n_atoms, 3], the dipole [n_frames, n_beads, 3].

    Positions are unwrapped. Units: A, A/fs, eV/A, e A; converted with i-PI's constants.

    Raises:
        RunError: if a file or a step is missing, double, or not finite.
    """
    files = outputs.bead_files(quantity)
    n_frames = last_step // outputs.settings.stride + 1
    n_header_lines = 1 if quantity is DIPOLE else 2
    n_rows = files[0].n_lines - n_header_lines
    values = np.empty((n_frames, len(files), n_rows, 3))
    for bead_index, file in enumerate(files):
        lines = file.up_to(last_step).splitlines()
        if len(lines) != n_frames * file.n_lines:
            raise RunError(f"{file.path} is damaged: its frames do not all have {n_rows} rows")
        rows = [line for k, line in enumerate(lines) if k % file.n_lines >= n_header_lines]
        numbers = _numbers(file.path, rows, usecols=(-3, -2, -1))
        values[:, bead_index] = numbers.reshape(-1, n_rows, 3)
    values *= _unit(quantity)
    return values[:, :, 0] if quantity is DIPOLE else values


def _numbers(path: Path, lines: list[bytes], **options: Any) -> np.ndarray:
    """[n_lines, n_columns]; comments are passed over. Raises RunError for anything else."""
    try:
        return np.loadtxt(lines, ndmin=2, **options)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _unit(quantity: Quantity) -> float:
    """Of the numbers in the files, in the units of this program."""
    from ipi.utils.units import unit_to_internal, unit_to_user

    bohr = unit_to_user("length", "angstrom", 1.0)
    match quantity.word:
        case "positions":
            return bohr * unit_to_internal("length", "ase", 1.0)
        case "velocities":
            return bohr / unit_to_user("time", "femtosecond", 1.0)
        case "forces":
            return unit_to_user("energy", "electronvolt", 1.0) / bohr
        case "dipole":
            return bohr


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


def _outputs_reach(outputs: Outputs, step: int) -> bool:
    """Whether all outputs hold every record up to `step`, complete and finite."""
    try:
        for file in outputs.files():
            file.up_to(step)
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


def _number(path: Path) -> int:
    """The last number in a file name."""
    return int(re.findall(r"\d+", path.name)[-1])
