"""Molecules on a plane: circles and lines, painted by element or by a number of each atom."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from mlpotential.interpretation.projection import FlatMolecule
from mlpotential.training.pictures import panels_beside

# H white, C grey, N blue, O red, F green as in LNCS 11700 (2019), Fig. 3.
COLORS = {1: "#FFFFFF", 6: "#8C8C8C", 7: "#4477DD", 8: "#DD3322", 9: "#44AA55", 16: "#DDCC33"}
OTHER = "#CC99CC"
RADIUS = 0.55  # of covalent radii; chosen: bonds remain seen
COLORMAP = "viridis"
MARGIN = 0.6  # A


def plot_molecule(
    molecule: FlatMolecule,
    ax: Axes,
    values: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
    highlighted: np.ndarray | None = None,
) -> Axes:
    """Atoms from below to above.

    Args:
        molecule: to be drawn.
        ax: where.
        values: of the atoms, which choose their colours, [n_atoms]; None for those of elements.
        limits: of the colours; None for those of the values.
        highlighted: atoms with a wide rim, [n].
    """
    xy, heights = molecule.positions[:, :2], molecule.positions[:, 2]
    colors = painted(molecule.atomic_numbers, values, limits)
    for i, j in molecule.bonds:
        below = min(heights[i], heights[j])
        ax.plot(*xy[[i, j]].T, color="0.35", linewidth=1.6, zorder=below - 0.01)
    for k, z in enumerate(molecule.atomic_numbers):
        is_marked = highlighted is not None and k in highlighted
        radius = RADIUS * float(covalent_radii[z])
        ax.add_patch(
            Circle(
                (xy[k, 0], xy[k, 1]), radius, facecolor=colors[k], edgecolor="black",
                linewidth=1.8 if is_marked else 0.6, zorder=heights[k],
            )
        )  # fmt: skip
    low, high = xy.min(axis=0) - MARGIN, xy.max(axis=0) + MARGIN
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.set_axis_off()
    return ax


def painted(
    atomic_numbers: np.ndarray, values: np.ndarray | None, limits: tuple[float, float] | None
) -> list[object]:
    """A colour for each atom."""
    if values is None:
        return [COLORS.get(int(z), OTHER) for z in atomic_numbers]
    return list(_mapping(limits or (values.min(), values.max())).to_rgba(values))


def _mapping(limits: tuple[float, float]) -> ScalarMappable:
    return ScalarMappable(Normalize(*limits), COLORMAP)


def draw_contributions(molecule: FlatMolecule, values: np.ndarray, label: str, ax: Axes) -> Axes:
    """A molecule whose atoms have the colours of their contributions, with numbers on them.

    Args:
        molecule: to be drawn.
        values: [n_atoms].
        label: of the colour bar.
        ax: where.
    """
    plot_molecule(molecule, ax, values)
    limits = (float(values.min()), float(values.max()))
    bar = ax.figure.colorbar(_mapping(limits), ax=ax, shrink=0.8)
    bar.set_label(label)
    for k, (x, y, height) in enumerate(molecule.positions):
        is_dark = (values[k] - limits[0]) < 0.6 * (limits[1] - limits[0])
        text = f"{chemical_symbols[molecule.atomic_numbers[k]]}{k}\n{values[k]:.2f}"
        color = "white" if is_dark else "black"
        ax.text(x, y, text, ha="center", va="center", fontsize=5, color=color, zorder=height + 0.01)
    return ax


def contributions_figure(molecule: FlatMolecule, values: dict[str, np.ndarray]) -> Figure:
    """A panel for each quantity, by the label of its colour bar."""
    figure, panels = panels_beside(len(values), 5.4, 4.2)
    for panel, (label, of_atoms) in zip(panels, values.items(), strict=True):
        draw_contributions(molecule, of_atoms, label, panel)
    return figure
