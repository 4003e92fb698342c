"""What i-PI leaves in a run folder, read with `trajectories.ipi_files` as any outputs of i-PI.

i-PI appends after a restart, so outputs are cut back to the checkpoint before it; each record says
its step, and every file must hold every step exactly once.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from md_runs.pimd.ipi_input import (
    POSITIONS,
    POTENTIALS_NAME,
    PREFIX,
    PROPERTIES_NAME,
    Quantity,
    recorded_quantities,
)
from md_runs.pimd.results import PimdProperties
from md_runs.pimd.settings import PimdRun
from md_runs.trajectories.frame_cache import FrameCache
from md_runs.trajectories.ipi_files.quantities import beads_of_series, cells_of_series
from md_runs.trajectories.ipi_files.run_settings import converted
from md_runs.trajectories.ipi_files.series import (
    Series,
    read_extras_series,
    read_properties_file,
    read_trajectory_series,
)
from mlpotential.errors import RunError

VOLUME_COLUMN = 6  # of the properties, where the cell moves

# How a record begins; the group is its step.
_FRAME = rb"^\d+\n[^\n]*\bStep: +(\d+)[^\n]*%s\{"
_EXTRAS = rb"^ #EXTRAS\(%s\)# Step: +(\d+)"
_LINE_OF_PROPERTIES = rb"^ +([-+.\deE]+) "
_NOT_FINITE = re.compile(rb"\b(nan|inf)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Outputs:
    """What one run should have written.

    Attributes:
        folder: of the run.
        settings: of the run.
        n_atoms: of its structure.
        extras: what i-PI was told of every bead beside forces, such as `dipole`.
    """

    folder: Path
    settings: PimdRun
    n_atoms: int
    extras: tuple[str, ...] = ()

    @property
    def quantities(self) -> list[Quantity]:
        """Those of every bead."""
        return recorded_quantities(self.settings, self.extras)

    def bead_files(self, quantity: Quantity) -> list[OutputFile]:
        """In the order of the beads. Raises RunError if one is missing."""
        pattern = f"{PREFIX}.{quantity.word}_*{quantity.ending}"
        paths = sorted(self.folder.glob(pattern), key=number_of)
        if len(paths) != self.settings.n_beads:
            raise RunError(
                f"{self.folder} has {quantity.word} of {len(paths)} of "
                f"{self.settings.n_beads} beads"
            )
        start, n_lines = (_EXTRAS, 2) if quantity.is_extra else (_FRAME, self.n_atoms + 2)
        begin = start % quantity.word.encode()
        return [OutputFile(path, begin, n_lines, self.settings.stride) for path in paths]

    def table(self, name: str, stride: int) -> OutputFile:
        """A file with a line for each record."""
        return OutputFile(self.folder / name, _LINE_OF_PROPERTIES, 1, stride)

    def files(self) -> list[OutputFile]:
        """All. Raises RunError if one of a bead is missing."""
        strides = {PROPERTIES_NAME: self.settings.properties_stride}
        if self.settings.record_forces:
            strides[POTENTIALS_NAME] = self.settings.stride
        tables = [self.table(name, stride) for name, stride in strides.items()]
        return tables + [file for q in self.quantities for file in self.bead_files(q)]


@dataclass(frozen=True)
class OutputFile:
    """A file of i-PI: how a record begins, its lines, and the steps between two records."""

    path: Path
    begin: bytes
    n_lines: int
    stride: int

    def end_of(self, step: int) -> int:
        """How many bytes hold the records of steps 0 to `step`, each once and whole.

        The file is mapped, not read into memory.

        Raises:
            RunError: if one of them is missing, double, incomplete or not finite.
        """
        with open(self.path, "rb") as handle:
            if not handle.seek(0, 2):
                raise RunError(f"{self.path} is empty")
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return self._end_in(content, step)

    def _end_in(self, content: mmap.mmap, step: int) -> int:
        found = re.finditer(self.begin, content, re.MULTILINE)
        places = ((float(match[1]), match.start()) for match in found)
        records = np.fromiter(places, np.dtype([("step", "f8"), ("start", "i8")]))
        records = records[records["step"] <= step]
        check_steps(self.path, records["step"], step, self.stride)
        end = int(records["start"][-1])
        for _ in range(self.n_lines):
            end = content.find(b"\n", end) + 1
            if end == 0:
                raise RunError(f"{self.path} ends within step {step}")
        if _NOT_FINITE.search(content, int(records["start"][0]), end):
            raise RunError(f"{self.path} has a number that is not finite before step {step}")
        return end


def check_steps(path: Path, steps: np.ndarray, last_step: int, stride: int) -> None:
    """Raises RunError unless the steps are those to `last_step`, once each."""
    expected = np.arange(0, last_step + 1, stride)
    if not np.array_equal(steps, expected):
        raise RunError(
            f"{path} should hold steps 0, {stride}, ... {expected[-1]} once each, but holds "
            f"{len(steps)} records instead of {len(expected)}: it was changed or damaged"
        )


def read_properties(outputs: Outputs, last_step: int) -> PimdProperties:
    """Raises RunError if a step is missing, double, or not finite."""
    file = outputs.table(PROPERTIES_NAME, outputs.settings.properties_stride)
    names: tuple[str, ...] = ("step", "time", "conserved", "temperature", "potential", "kinetic_cv")
    moves_cell = outputs.settings.moves_cell
    names += ("volume", "pressure_cv") if moves_cell else ()
    found = read_properties_file(file.path, names, file.end_of(last_step))

    def column(name: str, family: str, unit: str) -> np.ndarray:
        in_file, unit_in_file = found[name]
        return np.asarray(converted(in_file, family, unit_in_file, unit))

    return PimdProperties(
        steps=found["step"][0].astype(np.int64),
        times_fs=column("time", "time", "femtosecond"),
        conserved=column("conserved", "energy", "electronvolt"),
        temperature_K=column("temperature", "temperature", "kelvin"),
        potential=column("potential", "energy", "electronvolt"),
        kinetic_cv=column("kinetic_cv", "energy", "electronvolt"),
        volume=column("volume", "volume", "angstrom3") if moves_cell else None,
        pressure_GPa=column("pressure_cv", "pressure", "gigapascal") if moves_cell else None,
    )


def read_frames(
    outputs: Outputs, last_step: int, masses: np.ndarray, progress: bool = True
) -> dict[str, Any]:
    """All that was recorded of every bead, by its field in `Trajectory`: [n_frames, n_beads, ...].

    Frames stay in a temporary file until they are asked for, energies excepted. Positions are
    unwrapped. `cells` are among them where the cell moves. Units are those of `Trajectory`,
    converted with i-PI's constants.

    Args:
        outputs: of the run.
        last_step: up to which they are read.
        masses: [n_atoms] (amu).
        progress: show bars, if standard error is a terminal.

    Raises:
        RunError: if a file or a step is missing, double, or not finite.
    """
    cache, stride = FrameCache(), outputs.settings.stride
    steps = np.arange(0, last_step + 1, stride)

    def series(file: OutputFile, quantity: Quantity) -> Series:
        end = file.end_of(last_step)
        if quantity.is_extra:
            return read_extras_series(file.path, cache, end)
        with_cells = quantity is POSITIONS and outputs.settings.moves_cell
        return read_trajectory_series(file.path, cache, with_cells, progress, end)

    recorded: dict[str, Any] = {}
    for quantity in outputs.quantities:
        beads = [series(file, quantity) for file in outputs.bead_files(quantity)]
        for bead in beads:
            check_steps(bead.path, bead.steps, last_step, stride)
        recorded |= beads_of_series(quantity.word, beads, steps, masses)
        if beads[0].cells is not None:
            recorded["cells"] = cells_of_series(beads[0], steps)
    if outputs.settings.record_forces:
        file = outputs.table(POTENTIALS_NAME, stride)
        table = read_properties_file(file.path, ("bead_potentials",), file.end_of(last_step))
        energies = table["bead_potentials"][0].reshape(len(steps), -1)  # [n_frames, n_beads] (eV)
        if energies.shape[1] != outputs.settings.n_beads:
            raise RunError(f"{file.path} is damaged: it has {energies.shape[1]} potentials a line")
        recorded["energies"] = energies
    return recorded


class ProgressReader:
    """Follows the properties while i-PI writes them.

    Attributes:
        step, temperature_K: of the last record; of a new run NaN.
        hottest_step, hottest_K: of the hottest: a thermostat cools an explosion quickly.
        smallest_volume: of a cell that moves (A^3); infinite of others.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        self._path = folder / PROPERTIES_NAME
        self._offset = self._path.stat().st_size if self._path.exists() else 0
        self.step = start_step
        self.temperature_K = float("nan")
        self.hottest_step, self.hottest_K = start_step, 0.0
        self.smallest_volume = float("inf")

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
            if self.temperature_K > self.hottest_K:
                self.hottest_step, self.hottest_K = self.step, self.temperature_K
            if len(values) > VOLUME_COLUMN:
                self.smallest_volume = min(self.smallest_volume, float(values[VOLUME_COLUMN]))
        return self.step


def number_of(path: Path) -> int:
    """The last number in a file name."""
    return int(re.findall(r"\d+", path.name)[-1])
