"""Errors by the number of structures to train on, one line for each kind of model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mlpotential.papers.paper_table import Column, PaperTable
from mlpotential.papers.results import RowResult
from mlpotential.training.pictures import COLORS, draw_means, panels_beside, save_picture
from mlpotential.training.studies.figure import plain_logarithmic

GREY = "0.55"


def plot_learning_curves(
    table: PaperTable, results: Mapping[str, RowResult], column: Column, ax: Axes
) -> Axes:
    """Means over splits with bars of one standard error; the papers' numbers are grey.

    Args:
        table: whose rows are named `MODEL_N1000`.
        results: of rows that are finished.
        column: which error.
        ax: to draw on.
    """
    lines: dict[str, list[RowResult]] = {}
    for row in table.rows.values():
        if row.name in results and column.name in results[row.name].errors:
            lines.setdefault(row.name.rpartition("_N")[0], []).append(results[row.name])
    for k, (name, line) in enumerate(lines.items()):
        n = np.array([result.row.n_train for result in line], float)
        means, errors = np.array([result.errors[column.name] for result in line]).T
        label = re.sub(r"_T(\d)", r", T = \1", name)
        draw_means(ax, n, means, errors, COLORS[k % len(COLORS)], label, joined=True)
    _draw_published(table, column, ax)
    ax.set(xscale="log", yscale="log", xlabel="structures to train on", ylabel=column.head)
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    plain_logarithmic(ax)
    return ax


def _draw_published(table: PaperTable, column: Column, ax: Axes) -> None:
    found = {
        (n_train, published.value, published.source)
        for row in table.rows.values()
        if (published := row.published.get(column.name))
        and (n_train := published.n_train or row.n_train)
    }
    label: str | None = f"papers ({', '.join(sorted({source for *_, source in found}))})"
    for n, value, _ in sorted(found):
        ax.plot(n, value, "s", color=GREY, markersize=5, label=label)
        label = None


def save_learning_curves(
    table: PaperTable, results: Mapping[str, RowResult], path: str | Path
) -> None:
    """A panel for each column.

    Args:
        table, results: as for `plot_learning_curves`.
        path: of a picture.

    Raises:
        RunError: if the file cannot be written.
    """
    figure, panels = panels_beside(len(table.columns), 5.2, 4.0)
    for column, panel in zip(table.columns, panels, strict=True):
        plot_learning_curves(table, results, column, panel)
    save_picture(figure, path)
