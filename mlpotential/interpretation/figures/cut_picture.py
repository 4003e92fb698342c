"""Fields in a plane: filled contours, dashed where they are negative, and the atoms nearby."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mlpotential.interpretation.fields.maps import CutMap
from mlpotential.interpretation.figures.colors import ATOM_EDGE, OUTSIDE, color_limits, color_map
from mlpotential.training.pictures import DOTS_PER_INCH, panels_beside, save_picture

N_COLORS = 60
N_LINES = 16
PANEL_WIDTH, LABELS_WIDTH, BAR_WIDTH = 4.2, 0.5, 0.9  # inches
IN_PLANE = 0.3  # A; chosen: atoms farther from the plane are drawn hollow
OUTSIDE_OF_POLES = 8.0  # percent; chosen: potentials of charges have no bound


def plot_cut(cut_map: CutMap, k: int, limits: tuple[float, float], ax: Axes) -> Axes:
    """One field.

    Args:
        cut_map: fields.
        k: which of them.
        limits: of the colour scale.
        ax: to draw on.
    """
    grid, values = cut_map.grid, np.clip(cut_map.values[k], -1e6, 1e6)  # infinite on charges
    filled = ax.contourf(
        grid.u, grid.v, values, np.linspace(*limits, N_COLORS),
        cmap=color_map(cut_map.quantity), extend="both",
    )  # fmt: skip
    filled.set_edgecolor("face")  # no seams in vector graphics
    lines = MaxNLocator(N_LINES).tick_values(*limits)  # round numbers, zero among them
    ax.contour(grid.u, grid.v, values, lines, colors="k", linewidths=0.5, alpha=0.7,
               negative_linestyles="dashed")  # fmt: skip
    _draw_atoms(cut_map.atoms[k], ax)
    ax.set(aspect="equal", xlabel="Å", ylabel="Å", title=cut_map.titles[k])
    ax.title.set_fontsize("medium")
    return ax


def save_cut_picture(cut_maps: Sequence[CutMap], path: str | Path) -> None:
    """`cut_figure` in a file.

    Raises:
        RunError: if the file cannot be written.
    """
    save_picture(cut_figure(cut_maps), path)


def cut_figure(cut_maps: Sequence[CutMap]) -> Figure:
    """Panels side by side; all of one map are on one colour scale, each map on its own.

    Args:
        cut_maps: in one plane.
    """
    grid = cut_maps[0].grid
    ratio = float(np.ptp(grid.v) / np.ptp(grid.u))
    n = sum(len(cut_map.titles) for cut_map in cut_maps)
    width = PANEL_WIDTH - LABELS_WIDTH - BAR_WIDTH * len(cut_maps) / n  # of the panels themselves
    figure, panels = panels_beside(n, PANEL_WIDTH, width * min(max(ratio, 0.3), 2.0) + 1.0)
    figure.set_layout_engine("compressed")  # panels are not as wide or high as they might be
    figure.set_dpi(DOTS_PER_INCH)
    for cut_map in cut_maps:
        own, panels = panels[: len(cut_map.titles)], panels[len(cut_map.titles) :]
        _draw_map(cut_map, own, figure)
    figure.suptitle(grid.plane.words, fontsize="medium")
    return figure


def _draw_map(cut_map: CutMap, panels: list[Axes], figure: Figure) -> None:
    """Fields with their colour bar."""
    outside = OUTSIDE_OF_POLES if cut_map.quantity.has_poles else OUTSIDE
    limits = color_limits(cut_map.values, cut_map.quantity, outside)
    for k, panel in enumerate(panels):
        plot_cut(cut_map, k, limits, panel)
    scale = ScalarMappable(Normalize(*limits), color_map(cut_map.quantity))
    figure.colorbar(scale, ax=panels, label=cut_map.quantity.label, extend="both")


def _draw_atoms(atoms: Atoms, ax: Axes) -> None:
    """Full in the plane, hollow near it."""
    for (u, v, height), number in zip(atoms.positions, atoms.numbers, strict=True):
        inside = abs(height) < IN_PLANE
        ax.plot(
            u, v, "o", markersize=11, markeredgecolor=ATOM_EDGE, markeredgewidth=0.8,
            markerfacecolor=jmol_colors[number] if inside else "none",
        )  # fmt: skip
        ax.text(u, v, chemical_symbols[number], ha="center", va="center", fontsize=6.5)
