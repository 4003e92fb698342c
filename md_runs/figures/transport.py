"""Figures of what travels and what scatters: mean square displacements and structure factors.

Nothing is computed here and nothing is shown, as everywhere in `md_runs.figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from md_runs.analysis.structure.mean_square_displacement import MeanSquareDisplacement
from md_runs.analysis.structure.structure_factor import StructureFactor
from md_runs.figures.style import (
    FAINT,
    INK,
    axes_or_new,
    band_legend,
    draw_curve,
    new_figure,
    series_colors,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS_PER_ROW = 3
PANEL_INCHES = (4.0, 3.3)
SLOPE = "slope 6 D"
LEAST_SHARE = 1e-4  # chosen: of the largest displacement; below it lies nothing but rounding


def plot_mean_squares(
    displacements: Mapping[str, MeanSquareDisplacement], ax: Axes | None = None
) -> Axes:
    """Mean square displacements over logarithmic axes, and the lines that D comes from.

    Args:
        displacements: by the name in the legend: the element, or the run.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    for (name, one), color in zip(
        displacements.items(), series_colors(len(displacements)), strict=True
    ):
        times_ps = one.times_fs[1:] / 1000
        draw_curve(ax, times_ps, one.mean_squares[1:], one.standard_error[1:], color, name)
        fitted = (one.times_fs >= one.fit_from_fs) & (one.times_fs <= one.fit_to_fs)
        slope = 6 * float(one.diffusion_coefficient.value)
        x = one.times_fs[fitted] / 1000
        line = one.mean_squares[fitted].mean() + slope * (x - x.mean())
        ax.plot(x, line, color=INK, lw=1.0, ls="--", label=SLOPE)
    ax.set_xscale("log")
    ax.set_yscale("log")
    largest = max(one.mean_squares.max() for one in displacements.values())
    ax.set_ylim(bottom=max(LEAST_SHARE * largest, _least(displacements)) / 2)
    ax.set_xlabel("time (ps)")
    ax.set_ylabel(r"mean square displacement (Å$^2$)")
    band_legend(ax, *(one.standard_error for one in displacements.values()), place="upper left")
    _once_each(ax)
    return ax


def _least(displacements: Mapping[str, MeanSquareDisplacement]) -> float:
    """The least displacement that is shown."""
    shown = [one.mean_squares[1:] for one in displacements.values()]
    return float(min(values[values > 0].min(initial=np.inf) for values in shown))


def _once_each(ax: Axes) -> None:
    """A legend with each name once."""
    old = ax.get_legend()
    assert old is not None
    handles, labels = ax.get_legend_handles_labels()
    by_name = dict(zip(labels, handles, strict=True))
    by_name[SLOPE] = by_name.pop(SLOPE)  # to the end
    title = old.get_title().get_text() or None
    ax.legend(
        by_name.values(),
        by_name.keys(),
        frameon=False,
        fontsize="small",
        title=title,
        title_fontsize="x-small",
        alignment="left",
        loc="upper left",
    )


def mean_square_figure(panels: Sequence[Mapping[str, MeanSquareDisplacement]]) -> Figure:
    """One panel for each mapping of `plot_mean_squares`."""
    figure, axes = _panels(len(panels))
    for ax, displacements in zip(axes, panels, strict=True):
        plot_mean_squares(displacements, ax)
        labels = {one.label for one in displacements.values()}
        if len(labels) == 1 and len(panels) > 1:
            ax.set_title(labels.pop(), loc="right", fontsize="small", color=INK)
    return figure


def plot_structure_factors(
    factors: Mapping[str, StructureFactor], ax: Axes | None = None, is_faber_ziman: bool = False
) -> Axes:
    """Structure factors with error bands.

    Args:
        factors: by the name in the legend: the pair of elements, or the run.
        ax: where to draw; None for a figure of its own.
        is_faber_ziman: those of Faber and Ziman instead of Ashcroft and Langreth.
    """
    ax = axes_or_new(ax)
    bands = []
    for (name, one), color in zip(factors.items(), series_colors(len(factors)), strict=True):
        values, errors = one.ashcroft_langreth, one.standard_error
        if is_faber_ziman:
            values, errors = one.faber_ziman, one.faber_ziman_error
        draw_curve(ax, one.wavevectors, values, errors, color, name, 1.2)
        bands.append(errors)
    ax.axhline(1, color=FAINT, lw=0.8, zorder=0)
    ax.set_xlim(0, max(one.wavevectors[-1] for one in factors.values()))
    ax.set_xlabel(r"q (Å$^{-1}$)")
    names = ("a(q), Faber-Ziman", "S(q), Ashcroft-Langreth")
    ax.set_ylabel(names[0] if is_faber_ziman else names[1])
    band_legend(ax, *bands)
    return ax


def structure_factor_figure(panels: Sequence[Mapping[str, StructureFactor]]) -> Figure:
    """S(q), one panel for each mapping; of one run with several elements a(q) beside it.

    Args:
        panels: of one run a single mapping by the pair of elements; of several runs a mapping by
            run for each pair.
    """
    partial = [one for one in panels[0].values() if one.label != "all"]
    shows_both = len(panels) == 1 and bool(partial) and not partial[0].is_of_molecule
    figure, axes = _panels(2 if shows_both else len(panels))
    for ax, factors in zip(axes, panels, strict=False):
        plot_structure_factors(factors, ax)
        labels = {one.label for one in factors.values()}
        if len(labels) == 1 and len(panels) > 1:
            ax.set_title(labels.pop(), loc="right", fontsize="small", color=INK)
    if shows_both:
        pairs = {name: one for name, one in panels[0].items() if one.label != "all"}
        plot_structure_factors(pairs, axes[1], is_faber_ziman=True)
    return figure


def _panels(n_panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many Axes."""
    n_rows = -(-n_panels // PANELS_PER_ROW)
    n_columns = -(-n_panels // n_rows)
    width, height = PANEL_INCHES
    figure = new_figure(max(6.4, width * n_columns), max(4.0, height * n_rows))
    axes = list(figure.subplots(n_rows, n_columns, squeeze=False).ravel())
    for ax in axes:
        style_axes(ax)
    for empty in axes[n_panels:]:
        empty.set_axis_off()
    return figure, axes[:n_panels]
