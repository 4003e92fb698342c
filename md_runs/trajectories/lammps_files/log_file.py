"""The log of a run of LAMMPS: its units, timestep, masses, thermostats and thermo tables.

A log echoes every command, first as it is written and, where it has variables, once more with their
values. Output that was caught from the screen has no commands, but a few lines about each run. What
is read here is only what a dump does not tell of itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from md_runs.trajectories.lammps_files.units import UNITS
from mlpotential.errors import RunError

STEP = "Step"  # of thermo tables
_BEFORE_TABLE = ("Per MPI rank memory allocation", "Memory usage per processor")
_LOOP = re.compile(r"Loop time of \S+ on \d+ procs.* for (\d+) steps with (\d+) atoms")
_ON_SCREEN = re.compile(r"\s*(Unit style|Time step)\s*:\s*(\S+)\s*$")
_OF_MULTI = re.compile(r"([A-Za-z_]\S*)\s+=\s+(\S+)")
_STEP_OF_MULTI = re.compile(r"-+ Step\s+(\d+) -+")
_ACCELERATED = re.compile(r"/(?:gpu|intel|kk|kk/device|kk/host|omp|opt)$")


@dataclass(frozen=True)
class LammpsRun:
    """One `run` of a log.

    Attributes:
        columns: names of the thermo table.
        thermo: its numbers, [n_rows, n_columns], in the units of the log.
        timestep: in the units of the log; None where it is not known.
        fixes: words of those that were in force, behind the group: `nvt temp 300 300 0.1`.
        n_atoms: None for a run that was killed.
        is_per_atom: energies are divided by the number of atoms.
    """

    columns: tuple[str, ...]
    thermo: np.ndarray
    timestep: float | None
    fixes: tuple[tuple[str, ...], ...]
    n_atoms: int | None
    is_per_atom: bool

    @property
    def steps(self) -> np.ndarray:
        """Of the table, [n_rows]; empty where it has none."""
        if STEP not in self.columns:
            return np.array([])
        return self.thermo[:, self.columns.index(STEP)]

    def potential_energies(self) -> np.ndarray | None:
        """Of all atoms, [n_rows], in the units of the log; None where they were not printed."""
        tables = dict(zip(self.columns, self.thermo.T, strict=True))
        if "PotEng" in tables:
            energies = tables["PotEng"]
        elif {"E_pair", "E_mol"} <= tables.keys():
            energies = tables["E_pair"] + tables["E_mol"]
        else:
            return None
        if not self.is_per_atom:
            return energies
        return None if self.n_atoms is None else energies * self.n_atoms


@dataclass(frozen=True)
class LammpsLog:
    """What a log tells.

    Attributes:
        path: the file.
        units: LAMMPS' name; None where no command says it.
        masses: of each type, in these units.
        data_files: that were read, as they were named.
        dump_files: that were written, as they were named.
        runs: in their order.
        has_varying_timestep: a fix changes it during runs.
    """

    path: Path
    units: str | None
    masses: dict[int, float]
    data_files: tuple[str, ...]
    dump_files: tuple[str, ...]
    runs: tuple[LammpsRun, ...]
    has_varying_timestep: bool


@dataclass
class _Reading:
    """The state of LAMMPS after the lines so far."""

    units: str | None = None
    timestep: float | None = None
    masses: dict[int, float] = field(default_factory=dict)
    fixes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_per_atom: bool | None = None
    is_restarted: bool = False  # with a timestep, unseen, that is no default
    has_varying_timestep: bool = False
    data_files: list[str] = field(default_factory=list)
    dump_files: list[str] = field(default_factory=list)
    runs: list[LammpsRun] = field(default_factory=list)

    def follow(self, words: Sequence[str]) -> None:
        """A command; others than those that are asked for change nothing."""
        command, *arguments = words
        if command == "clear":
            self.units = self.timestep = self.is_per_atom = None
            self.masses, self.fixes, self.is_restarted = {}, {}, False
        elif command == "units" and arguments:
            self.units, self.timestep = arguments[0], None
        elif command == "timestep" and arguments:
            self.timestep = _number(arguments[0])
        elif command == "read_restart":
            self.timestep, self.is_restarted = None, True
        elif command == "mass" and len(arguments) > 1:
            self._set_masses(*arguments[:2])
        elif command == "read_data" and arguments:
            self.data_files.append(arguments[0])
        elif command == "dump" and len(arguments) > 4:
            self.dump_files.append(arguments[4])
        elif command == "fix" and len(arguments) > 2:
            style = _ACCELERATED.sub("", arguments[2])
            self.fixes[arguments[0]] = (style, *arguments[3:])
            self.has_varying_timestep |= style == "dt/reset"
        elif command == "unfix" and arguments:
            self.fixes.pop(arguments[0], None)
        elif command == "thermo_modify" and "norm" in arguments[:-1]:
            self.is_per_atom = arguments[arguments.index("norm") + 1] in ("yes", "on", "true")

    def finish_run(
        self, columns: Sequence[str], rows: Sequence[Sequence[float]], n_atoms: int | None
    ) -> None:
        """A table that has come to its end."""
        timestep, known = self.timestep, UNITS.get(self.units or "")
        if timestep is None and known is not None and not self.is_restarted:
            timestep = known.default_timestep_fs / known.time_fs
        per_atom = self.units == "lj" if self.is_per_atom is None else self.is_per_atom
        table = np.array(rows, np.float64).reshape(len(rows), len(columns))
        fixes = tuple(self.fixes.values())
        self.runs.append(LammpsRun(tuple(columns), table, timestep, fixes, n_atoms, per_atom))

    def _set_masses(self, types: str, mass: str) -> None:
        """Of one type, or of those that are there; ranges are left to the file of data."""
        value = _number(mass)
        if types.isdigit() and value is not None:
            self.masses[int(types)] = value


def read_log(path: Path) -> LammpsLog:
    """Reads `log.lammps`, or output that was caught from the screen.

    Raises:
        RunError: a file that cannot be read, or is no log of LAMMPS.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise RunError(f"cannot read the log {path}: {error.strerror}") from error
    found, rest = _Reading(), iter(lines)
    for line in _joined(rest):
        if line.startswith(_BEFORE_TABLE):
            _read_table(rest, found)
        elif (shown := _ON_SCREEN.match(line)) is not None:
            if shown[1] == "Unit style":
                found.units = shown[2]
            else:
                found.timestep = _number(shown[2])
        elif (words := line.partition("#")[0].split()) and "$" not in line:
            found.follow(words)
    if found.units is None and not found.runs:
        raise RunError(f"{path} is no log of LAMMPS: it tells neither units nor a run")
    return LammpsLog(
        path,
        found.units,
        found.masses,
        tuple(found.data_files),
        tuple(found.dump_files),
        tuple(found.runs),
        found.has_varying_timestep,
    )


def _joined(lines: Iterator[str]) -> Iterator[str]:
    """Lines, those that end with & together with the next."""
    for line in lines:
        while line.rstrip().endswith("&"):
            line = line.rstrip().removesuffix("&") + next(lines, "")
        yield line


def _read_table(lines: Iterator[str], found: _Reading) -> None:
    """A table of any style, from its head to the line about the loop."""
    columns: list[str] = []
    rows: list[list[float]] = []
    multi: dict[str, float] = {}
    n_atoms = None
    for line in lines:
        if (loop := _LOOP.match(line)) is not None:
            n_atoms = int(loop[2])
            break
        if line.startswith("ERROR"):
            break
        if (step := _STEP_OF_MULTI.match(line)) is not None:
            _take(multi, columns, rows)
            multi = {STEP: float(step[1])}
        elif multi:
            pairs = [(name, _number(text)) for name, text in _OF_MULTI.findall(line)]
            multi |= {name: value for name, value in pairs if value is not None}
        elif line.startswith("keywords:"):  # of style yaml
            columns = re.findall(r"'([^']+)'", line)
        elif not columns and line[:1] not in ("", "-") and not line.startswith("WARNING"):
            columns = line.split()
        else:
            numbers = [_number(word) for word in line.strip("- []").replace(",", " ").split()]
            values = [number for number in numbers if number is not None]
            if values and len(values) == len(numbers) == len(columns):
                rows.append(values)
    _take(multi, columns, rows)
    if columns:
        found.finish_run(columns, rows, n_atoms)


def _take(values: dict[str, float], columns: list[str], rows: list[list[float]]) -> None:
    """A row of style multi; a last one that is cut is left out."""
    if values and not columns:
        columns.extend(values)
    if values and list(values) == columns:
        rows.append(list(values.values()))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
