"""What the rows of a paper's table came to, beside the numbers of the papers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpotential.papers.paper_table import Column, PaperRow, PaperTable
from mlpotential.run_folder import csv_text
from mlpotential.training.studies.members import Outcome
from mlpotential.training.studies.table import mean_and_error, none_for_nan, significant

HOUR_S = 3600.0
SPLIT = "split"


@dataclass(frozen=True)
class RowResult:
    """One row, measured.

    Attributes:
        row: of the recipe.
        errors: mean over the splits and its standard error (NaN for one split), by name of the
            column and in its unit; a column that the model does not give is absent.
        n_splits: that are finished.
        n_test: structures that the errors are over.
        epochs, epoch_s, hours: means over the splits: passes made, CPU seconds each, hours in all.
    """

    row: PaperRow
    errors: Mapping[str, tuple[float, float]]
    n_splits: int
    n_test: int
    epochs: float
    epoch_s: float
    hours: float


def result_of(table: PaperTable, row: PaperRow, outcomes: Sequence[Outcome]) -> RowResult:
    """Of the splits that are finished.

    Args:
        table: of the row.
        row: that was trained.
        outcomes: at least one.
    """
    found = {c.name: values for c in table.columns if (values := _values(c, outcomes))}
    epochs = float(np.mean([o.epochs for o in outcomes]))
    cpu_s = float(np.mean([o.cpu_s for o in outcomes]))
    return RowResult(
        row,
        {name: mean_and_error(values) for name, values in found.items()},
        n_splits=len(outcomes),
        n_test=outcomes[0].errors.n_structures,
        epochs=epochs,
        epoch_s=cpu_s / epochs,
        hours=cpu_s / HOUR_S,
    )


def _values(column: Column, outcomes: Sequence[Outcome]) -> list[float]:
    values = [outcome.errors.number(column.label, column.kind) for outcome in outcomes]
    return [value * column.per_own_unit for value in values if value is not None]


def as_csv(table: PaperTable, results: Sequence[RowResult]) -> str:
    """A line for each row that is finished, with the papers' numbers in columns of their own."""
    lines = []
    for result in results:
        line: dict[str, Any] = {"row": result.row.name, "n_splits": result.n_splits}
        for column in table.columns:
            mean, error = result.errors.get(column.name, (math.nan, math.nan))
            published = result.row.published.get(column.name)
            head = column.in_names
            line[head] = none_for_nan(mean)
            line[f"{head}_standard_error"] = none_for_nan(error)
            line[f"{head}_published"] = None if published is None else published.value
            line[f"{head}_published_n_train"] = None if published is None else published.n_train
        line |= {"n_test": result.n_test, "epochs": result.epochs}
        lines.append(line | {"cpu_s_per_epoch": result.epoch_s, "cpu_hours": result.hours})
    return csv_text(lines)


HEADS = ("row", "error", "here", "papers", "splits", "epochs", "CPU s/epoch", "CPU h")


def as_markdown(table: PaperTable, results: Mapping[str, RowResult]) -> str:
    """A line for each error of each row, without numbers where a row is not finished."""
    lines: list[tuple[str, ...]] = [HEADS]
    for row in table.rows.values():
        lines += _lines(table, row, results.get(row.name))
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADS))]
    lines.insert(1, tuple("-" * width for width in widths))
    drawn = [
        "| " + " | ".join(w.ljust(n) for w, n in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    return "\n".join([f"**{table.title}** ({table.source})", "", *drawn, "", table.about, ""])


def _lines(table: PaperTable, row: PaperRow, result: RowResult | None) -> list[tuple[str, ...]]:
    """Of the columns that were measured or published."""
    times = ("", "", "", "")
    if result is not None:
        epochs, hours = f"{result.epochs:g}", f"{result.hours:.2g}"
        times = (str(result.n_splits), epochs, f"{result.epoch_s:.3g}", hours)
    errors = {} if result is None else result.errors
    shown = [c for c in table.columns if c.name in errors or c.name in row.published]
    return [
        (
            row.name,
            column.head,
            significant(*errors[column.name]) if column.name in errors else "",
            str(row.published.get(column.name, "")),
            *times,
        )
        for column in shown or table.columns[:1]
    ]
