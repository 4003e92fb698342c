"""What an analysis found: numbers and tables to print, data to save, figures, warnings."""

from __future__ import annotations

import glob
import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from md_runs.analysis.sampling.results import AnalysisResult, plain
from md_runs.analysis.spectra.spectrum_parts import SpectrumParts
from md_runs.commands.options import check_folder
from md_runs.commands.prepared_run import PreparedRun, noted_warnings, open_runs
from md_runs.run_folders import RUN_SUFFIXES, file_name
from mlpotential.command_line import Command
from mlpotential.run_folder import made_folder, write_atomically, write_json
from mlpotential.settings_checks import check_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Found = TypeVar("Found")

# Options of `open_runs`, by their names on the command line.
READING = tuple(inspect.getfullargspec(open_runs).kwonlyargs)
SUFFIXES_OF_RUNS = (*RUN_SUFFIXES, ".xyz", ".extxyz", ".traj", ".lammpstrj", ".dump", ".pdb")
POSITIVE = (  # numbers that an analysis would not refuse by itself
    "temperature_K",
    "resolution_per_cm",
    "max_per_cm",
    "integration_timestep_fs",
    "tolerance",
    "r_max",
    "coordination_within",
    "laser_nm",
    "longest_lag_ps",
    "fit_to_ps",
    "q_max",
    "bin_width",
)


@dataclass(frozen=True)
class Table:
    """Texts in columns, the first of them at the left.

    Attributes:
        title: what the rows are.
        columns: headings, with units.
        rows: as many texts as headings each.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.columns))]
        texts = [
            "  ".join(
                cell.ljust(width) if k == 0 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *(f"  {text}" for text in texts)])


@dataclass(frozen=True)
class AnalysisReport:
    """The outcome of one command, to be printed, saved or put on a page.

    Attributes:
        name: of the command; files are named after it.
        title: one line.
        assumptions: what was assumed, chosen or left out, one sentence each.
        warnings: failed checks and warnings: what must not be overlooked.
        tables: numbers with their standard errors.
        results: by a name that files can have; a tabular one is saved as CSV, all as JSON.
        figures: by name, likewise.
        remarks: what else there is to say, below the tables.
        files: what writes other files, called with the path, by their names.
    """

    name: str
    title: str
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    results: Mapping[str, AnalysisResult] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.title]
        parts += [str(table) for table in self.tables]
        parts += ["\n".join(self.remarks)] if self.remarks else []
        parts.append("\n".join(["assumed:", *(f"  {text}" for text in self.assumptions)]))
        if self.warnings:
            parts.append("\n".join(f"ATTENTION: {text}" for text in self.warnings))
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the figures, as plain numbers, lists and texts."""
        content: dict[str, Any] = plain(
            {
                "command": self.name,
                "title": self.title,
                "assumptions": self.assumptions,
                "doubts": self.warnings,  # the name in files since 0.1.0
                "remarks": self.remarks,
                "results": dict(self.results),
            }
        )
        return content

    def save(self, folder: Path, with_svg: bool = False) -> list[Path]:
        """Writes JSON, CSV, PNG, other files and, if asked for, SVG; the files written.

        Raises:
            RunError: if the folder cannot be written.
        """
        made_folder(folder)
        paths = [folder / f"{self.name}.json"]
        write_json(paths[0], self.to_dict())
        for name, result in self.results.items():
            if result.COLUMNS or isinstance(result, SpectrumParts):
                paths.append(folder / file_name(f"{self.name}_{name}.csv"))
                result.save_csv(paths[-1])
        kinds = ("png", "svg") if with_svg else ("png",)
        for name, figure in self.figures.items():
            for kind in kinds:
                paths.append(folder / file_name(f"{name}.{kind}"))
                write_atomically(paths[-1], figure_bytes(figure, kind))
        for name, write in self.files.items():
            paths.append(folder / name)
            write(paths[-1])
        return paths


@dataclass
class ReportBuilder:
    """A report while it is collected, run by run; attributes as of `AnalysisReport`."""

    assumptions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    results: dict[str, AnalysisResult] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)

    def for_each(
        self, runs: Sequence[PreparedRun], analyse: Callable[[PreparedRun], Found]
    ) -> dict[str, Found]:
        """What `analyse` finds in every run, by its name; its warnings are kept with the run's."""
        found = {}
        for run in runs:
            self.assumptions += run.assumptions
            self.warnings += run.warnings
            with noted_warnings(self.warnings, run.name):
                found[run.name] = analyse(run)
        return found

    def report(self, name: str, title: str) -> AnalysisReport:
        """All that was collected."""
        return AnalysisReport(
            name,
            title,
            tuple(dict.fromkeys(self.assumptions)),
            tuple(dict.fromkeys(self.warnings)),
            tuple(self.tables),
            self.results,
            self.figures,
            tuple(self.remarks),
            self.files,
        )


def analysis_command(
    name: str,
    analyse: Callable[..., AnalysisReport],
    examples: str,
    aliases: Mapping[str, str] = MappingProxyType({}),
    more: Sequence[Callable[..., Any]] = (),
    leading: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: (),
) -> Command:
    """A command that analyses runs: reads them, prints what is found and saves it.

    Args:
        name: of the command.
        analyse: called with the runs that were opened; what else it takes by name are options.
        examples: as of `Command`.
        aliases: second names of options.
        more: functions to which `analyse` hands its other options on.
        leading: from the options, the fields of `Trajectory` that decide which frames are read.
    """

    def run(
        runs: Sequence[Path], *, output: Path | None = None, svg: bool = False, **options: Any
    ) -> int:
        """Analyses runs.

        Args:
            runs: run folders or trajectory files; several are laid over each other.
            output: folder for all files (RUN_COMMAND beside the run).
            svg: figures as SVG too.
            options: arguments of `open_runs` and `analyse`.
        """
        folder = output or default_folder(runs, name)
        check_folder(folder, "--output")
        for option in POSITIVE:
            if options.get(option) is not None:
                check_number(f"--{option.replace('_', '-')}", options[option])
        reading = {option: options.pop(option) for option in READING if option in options}
        report = analyse(open_runs(runs, leading(options), **reading), **options)
        paths = report.save(folder, svg)
        print(report)
        n_tables = sum(path.suffix == ".csv" for path in paths)
        names = [path.name for path in paths if path.suffix != ".csv"]
        print(f"\nwritten to {folder}: {', '.join(names)} and {n_tables} tables (.csv)")
        return 0

    return Command.of(run, examples, more=[open_runs, analyse, *more], aliases=aliases)


def default_folder(runs: Sequence[Path], command: str) -> Path:
    """Beside the first run, named after it and the command; with its suffix, if that tells it."""
    first = runs[0].resolve()
    name = first.name if first.is_dir() else first.stem
    beside = first.parent.glob(f"{glob.escape(first.stem)}.*") if first.is_file() else ()
    if sum(path.suffix in SUFFIXES_OF_RUNS for path in beside) > 1:
        name = first.name
    return runs[0].parent / f"{name}_{command}"


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as "png" or "svg"."""
    content = io.BytesIO()
    figure.savefig(content, format=kind)
    return content.getvalue()
