"""Filters by distance, and cuts through them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlpotential.interpretation.network.filters import FilterCurves, FilterCut

COLORMAP = "RdBu_r"
PERCENTILE = 99.5  # where colours end; chosen: one strong filter leaves the others seen


def plot_filter_map(curves: FilterCurves, interaction: int, limit: float, ax: Axes) -> Axes:
    """W of all features as colours, features by where their strongest value is.

    Args:
        curves: of a model.
        interaction: which, from 0.
        limit: of the colours, in both directions.
        ax: where to draw.
    """
    values = curves.ended[interaction].T
    order = np.argsort(np.abs(values).argmax(axis=1), kind="stable")
    first, last = curves.distances[0], curves.distances[-1]
    image = ax.imshow(
        values[order], cmap=COLORMAP, vmin=-limit, vmax=limit, aspect="auto", origin="lower",
        extent=(first, last, -0.5, len(values) - 0.5), interpolation="nearest",
    )  # fmt: skip
    ax.figure.colorbar(image, ax=ax, shrink=0.8, extend="both")
    ax.set(xlabel="distance (Å)", ylabel=f"{curves.what}s, sorted")
    ax.set_title(f"interaction {interaction}", fontsize="small")
    return ax


def plot_filter_curves(
    curves: FilterCurves, interaction: int, features: Sequence[int], ax: Axes
) -> Axes:
    """Some features as lines; dashed without the cutoff function."""
    for k in features:
        (line,) = ax.plot(
            curves.distances, curves.ended[interaction, :, k], linewidth=1.1, label=str(k)
        )
        if curves.cutoff_function is not None:
            bare = curves.values[interaction, :, k]
            ax.plot(curves.distances, bare, "--", color=line.get_color(), linewidth=0.8)
    ax.axhline(0.0, color="0.8", linewidth=0.7, zorder=0)
    ax.set(xlabel="distance (Å)", ylabel=f"{curves.what} value")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="x-small", title="feature", title_fontsize="x-small")
    return ax


def filters_figure(curves: FilterCurves, features: Sequence[Sequence[int]]) -> Figure:
    """A column for each interaction: all features as colours, some as lines.

    Args:
        curves: of a model.
        features: that are drawn as lines, of each interaction.
    """
    n = len(curves.values)
    figure = Figure(figsize=(3.4 * n, 5.6), layout="constrained")
    grid = figure.subplots(2, n, squeeze=False)
    limit = float(np.percentile(np.abs(curves.ended), PERCENTILE)) or 1.0
    for k in range(n):
        plot_filter_map(curves, k, limit, grid[0, k])
        plot_filter_curves(curves, k, features[k], grid[1, k])
    if curves.cutoff_function is not None:
        figure.suptitle("with the cutoff function; dashed: without", fontsize="small")
    return figure


def plot_cut(cut: FilterCut, shown: int, limit: float, ax: Axes) -> Axes:
    """One feature; crosses are the atom and its images in the plane.

    Args:
        cut: of several features.
        shown: which of them.
        limit: of the colours, in both directions.
        ax: where to draw.
    """
    edge = cut.x[[0, -1]]
    image = ax.imshow(
        cut.values[shown], cmap=COLORMAP, vmin=-limit, vmax=limit, origin="lower",
        extent=(*edge, *edge), interpolation="bilinear",
    )  # fmt: skip
    ax.plot(*cut.image_positions.T, "k+", markersize=4, markeredgewidth=0.7)
    ax.figure.colorbar(image, ax=ax, shrink=0.75).ax.tick_params(labelsize=6)
    ax.set(xlim=edge, ylim=edge)
    ax.tick_params(labelsize=6)
    ax.set_title(f"feature {cut.features[shown]}", fontsize="small")
    return ax


def cuts_figure(cuts: Sequence[FilterCut]) -> Figure:
    """A row for each cut, a column for each feature, one range of colours for a column.

    Args:
        cuts: of the same features, with and without cutoff.
    """
    n = len(cuts[0].features)
    figure = Figure(figsize=(2.5 * n, 2.5 * len(cuts)), layout="constrained")
    grid = figure.subplots(len(cuts), n, squeeze=False)
    for row, cut in zip(grid, cuts, strict=True):
        for k, ax in enumerate(row):
            plot_cut(cut, k, float(np.abs(cut.values[k]).max()) or 1.0, ax)
        words = "with cutoff" if cut.with_cutoff else "without cutoff"
        row[0].set_ylabel(f"{words} (Å)" if len(cuts) > 1 else "(Å)", fontsize="small")
    figure.supxlabel("distance from the atom in the plane (Å)", fontsize="small")
    return figure
