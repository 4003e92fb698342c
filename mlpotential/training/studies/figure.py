"""Errors of a study beside what was varied, one panel for each label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, ScalarFormatter

from mlpotential.training.pictures import COLORS, draw_means, panels_beside, save_picture
from mlpotential.training.studies.learning_curve import N_TRAIN, PowerLaw, fit_power_law
from mlpotential.training.studies.table import Measure, Row

WIDE = 10.0  # chosen: an axis whose largest value is so many times its smallest is logarithmic


def plot_learning_curve(rows: Sequence[Row], measure: Measure, ax: Axes) -> Axes:
    """Mean absolute errors by number of structures, both logarithmic, with the fitted power law."""
    n = np.array([row.values[N_TRAIN] for row in rows], float)
    _draw(ax, n, rows, measure, COLORS[0], None)
    law = fit_power_law(list(n), [row.errors[measure][0] for row in rows])
    if law is not None:
        ax.plot(n, 1e3 * law.at(n), color="0.6", linewidth=1.0, zorder=1, label=_in_words(law))
        ax.legend(frameon=False, fontsize="small")
    ax.set(xscale="log", yscale="log", xlabel="structures to train on")
    _label(ax, measure, rows)
    _ticks_at(ax, n)
    plain_logarithmic(ax)
    return ax


def plot_sweep(rows: Sequence[Row], measure: Measure, ax: Axes) -> Axes:
    """Mean absolute errors by the first setting, a line for each combination of the others."""
    first, *others = rows[0].values
    all_values = list(dict.fromkeys(row.values[first] for row in rows))
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in all_values)
    lines: dict[str, list[Row]] = {}
    for row in rows:
        name = ", ".join(f"{_short(o)} {row.values[o]}" for o in others)
        lines.setdefault(name, []).append(row)
    for k, (name, line) in enumerate(lines.items()):
        if is_number:
            line = sorted(line, key=lambda row: row.values[first])
        x = [
            row.values[first] if is_number else all_values.index(row.values[first]) for row in line
        ]
        _draw(
            ax, np.array(x, float), line, measure, COLORS[k % len(COLORS)], name, joined=is_number
        )
    ax.set_xlabel(_short(first))
    means = [row.errors[measure][0] for row in rows]
    if max(means) > WIDE * min(means):
        ax.set_yscale("log")
        plain_logarithmic(ax)
    else:
        ax.set_ylim(bottom=0.0)
    _set_values(ax, all_values, is_number)
    if others:
        ax.legend(frameon=False, fontsize="small")
    _label(ax, measure, rows)
    return ax


def save_figure(rows: Sequence[Row], path: str | Path) -> None:
    """A panel for each label, side by side.

    Args:
        rows: of a learning curve, or of a sweep.
        path: of a picture.

    Raises:
        RunError: if the file cannot be written.
    """
    measures = [m for m in rows[0].errors if m.kind == "mae"]
    figure, panels = panels_beside(len(measures), 4.6, 3.8)
    plot = plot_learning_curve if list(rows[0].values) == [N_TRAIN] else plot_sweep
    for measure, panel in zip(measures, panels, strict=True):
        plot(rows, measure, panel)
    save_picture(figure, path)


def _draw(
    ax: Axes,
    x: np.ndarray,
    rows: Sequence[Row],
    measure: Measure,
    color: str,
    name: str | None,
    joined: bool = False,
) -> None:
    """Means in thousandths, with bars of one standard error where there are several seeds."""
    means, errors = 1e3 * np.array([row.errors[measure] for row in rows]).T
    draw_means(ax, x, means, errors, color, name, joined)


def _label(ax: Axes, measure: Measure, rows: Sequence[Row]) -> None:
    unit = f"m{measure.unit}".replace("A", "Å")
    ax.set_ylabel(f"{measure.label} MAE ({unit})")
    bars = ", bars: ±1 standard error over seeds" if any(row.n_seeds > 1 for row in rows) else ""
    ax.set_title(f"{rows[0].data_set} set{bars}", fontsize="small", color="0.3")
    ax.spines[["top", "right"]].set_visible(False)


def _set_values(ax: Axes, values: list[Any], is_number: bool) -> None:
    """Ticks where values are."""
    if not is_number:
        ax.set_xticks(range(len(values)), [str(value) for value in values])
        ax.set_xlim(-0.5, len(values) - 0.5)
        return
    if min(values) > 0 and max(values) >= WIDE * min(values):
        ax.set_xscale("log")
    _ticks_at(ax, np.array(values, float))


def _ticks_at(ax: Axes, values: np.ndarray) -> None:
    ax.xaxis.set_major_locator(FixedLocator(sorted(values)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels(
        [f"{value:g}" if value < 1e5 else f"{value:.3g}" for value in sorted(values)]
    )


def plain_logarithmic(ax: Axes) -> None:
    """On a logarithmic y axis: 20, not 2 x 10^1, and enough of them."""
    low, high = ax.get_ylim()
    digits = (1, 2, 5) if high > 5.0 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)
    ax.yaxis.set_major_locator(LogLocator(subs=digits))
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_locator(LogLocator(subs="all"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _in_words(law: PowerLaw) -> str:
    error = "" if math.isnan(law.exponent_error) else rf" \pm {law.exponent_error:.2f}"
    return rf"$\propto n^{{{-law.exponent:.2f}{error}}}$"


def _short(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")
