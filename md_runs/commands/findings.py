"""What an analysis found: numbers and tables to print, data to save, figures, doubts."""

from __future__ import annotations

import io
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from md_runs.analysis.sampling.results import AnalysisResult, plain
from md_runs.analysis.spectra.density_of_states import DecomposedSpectrum
from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically


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
class Findings:
    """The outcome of one command, to be printed, saved or put on a page.

    Attributes:
        name: of the command; files are named after it.
        title: one line.
        assumptions: what was assumed, chosen or left out, one sentence each.
        doubts: failed checks and warnings: what must not be overlooked.
        tables: numbers with their standard errors.
        results: by a name that files can have; a tabular one is saved as CSV, all as JSON.
        figures: by name, likewise.
        remarks: what else there is to say, below the tables.
    """

    name: str
    title: str
    assumptions: tuple[str, ...]
    doubts: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    results: Mapping[str, AnalysisResult] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [self.title]
        parts += [str(table) for table in self.tables]
        parts += ["\n".join(self.remarks)] if self.remarks else []
        parts.append("\n".join(["assumed:", *(f"  {text}" for text in self.assumptions)]))
        if self.doubts:
            parts.append("\n".join(f"ATTENTION: {text}" for text in self.doubts))
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the figures, as plain numbers, lists and texts."""
        content: dict[str, Any] = plain(
            {
                "command": self.name,
                "title": self.title,
                "assumptions": self.assumptions,
                "doubts": self.doubts,
                "remarks": self.remarks,
                "results": dict(self.results),
            }
        )
        return content

    def save(self, folder: Path, with_svg: bool = False) -> list[Path]:
        """Writes JSON, CSV, PNG and, if asked for, SVG; the files written.

        Raises:
            RunError: if the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make the folder {folder}: {error.strerror}") from error
        paths = [folder / f"{self.name}.json"]
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        write_atomically(paths[0], text + "\n")
        for name, result in self.results.items():
            if result.COLUMNS or isinstance(result, DecomposedSpectrum):
                paths.append(folder / file_name(f"{self.name}_{name}.csv"))
                result.save_csv(paths[-1])
        kinds = ("png", "svg") if with_svg else ("png",)
        for name, figure in self.figures.items():
            for kind in kinds:
                paths.append(folder / file_name(f"{name}.{kind}"))
                write_atomically(paths[-1], figure_bytes(figure, kind))
        return paths


@dataclass
class Notebook:
    """Findings while they are collected, run by run; attributes as of `Findings`."""

    assumptions: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    results: dict[str, AnalysisResult] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def open_run(self, assumptions: Sequence[str], doubts: Sequence[str]) -> None:
        """Takes over what was assumed of a run."""
        self.assumptions += assumptions
        self.doubts += doubts

    @contextmanager
    def noted_warnings(self, run: str) -> Iterator[None]:
        """Warnings of the analysis become doubts."""
        with noted_warnings(self.doubts, run):
            yield

    def findings(self, name: str, title: str) -> Findings:
        """All that was collected."""
        return Findings(
            name,
            title,
            tuple(dict.fromkeys(self.assumptions)),
            tuple(dict.fromkeys(self.doubts)),
            tuple(self.tables),
            self.results,
            self.figures,
            tuple(self.remarks),
        )


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as "png" or "svg"."""
    content = io.BytesIO()
    figure.savefig(content, format=kind)
    return content.getvalue()


def file_name(name: str) -> str:
    """A name without what shells and file systems dislike."""
    return re.sub(r"[^\w.+-]+", "_", name)


@contextmanager
def noted_warnings(doubts: list[str], run: str) -> Iterator[None]:
    """Puts warnings of the analysis into `doubts`, with the name of the run, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = f"{run}: {warning.message}"
        if text not in doubts:
            doubts.append(text)
