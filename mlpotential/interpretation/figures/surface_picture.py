"""Fields on a surface, seen onto the plane of the molecule and from its side.

Triangles that face the viewer are projected along the view and painted from far to near.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data.colors import jmol_colors
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mlpotential.interpretation.fields.maps import SurfaceMap, bonds_of
from mlpotential.interpretation.figures.colors import ATOM_EDGE, color_limits, color_map
from mlpotential.training.pictures import DOTS_PER_INCH, save_picture

TILTS = (0.0, 65.0)  # of the views, about the long axis of the molecule (degrees)
LIGHT = np.array([-0.35, 0.45, 0.82])  # from the upper left; chosen
DARKEST = 0.5  # of what faces away from it; chosen: colours stay those of the scale
PANEL_WIDTH = 3.6  # inches


def plot_surface(
    surface_map: SurfaceMap, k: int, tilt: float, limits: tuple[float, float], ax: Axes
) -> Axes:
    """One field in one view.

    Args:
        surface_map: fields.
        k: which of them.
        tilt: of the view (degrees).
        limits: of the colour scale.
        ax: to draw on.
    """
    center, axes = view_of(surface_map.atoms[0], tilt)
    corners, values = _quartered(
        ((surface_map.surface.vertices - center) @ axes.T)[surface_map.surface.faces],
        surface_map.values[k][surface_map.surface.faces],
    )
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    order = np.argsort(corners[:, :, 2].mean(axis=1))
    order = order[normals[order, 2] > 0.0]  # the others are behind
    normals /= np.maximum(np.linalg.norm(normals, axis=1), 1e-12)[:, None]
    colors = colormaps[color_map(surface_map.quantity)](Normalize(*limits)(values.mean(axis=1)))
    colors[:, :3] *= (DARKEST + (1.0 - DARKEST) * np.maximum(normals @ LIGHT, 0.0))[:, None]
    ax.add_collection(
        PolyCollection(
            list(corners[order, :, :2]), facecolors=colors[order], edgecolors=colors[order],
            linewidths=0.3, rasterized=True,
        )
    )  # fmt: skip
    _draw_atoms(surface_map.atoms[k], center, axes, ax)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.set_axis_off()
    return ax


def save_surface_picture(surface_maps: Sequence[SurfaceMap], path: str | Path) -> None:
    """`surface_figure` in a file.

    Raises:
        RunError: if the file cannot be written.
    """
    save_picture(surface_figure(surface_maps), path)


def surface_figure(surface_maps: Sequence[SurfaceMap]) -> Figure:
    """A column for each field, a row for each view; each map has one colour scale of its own.

    Args:
        surface_maps: on one surface.
    """
    first = surface_maps[0]
    n = sum(len(surface_map.titles) for surface_map in surface_maps)
    ratios = [_height_by_width(first, tilt) for tilt in TILTS]
    size = (PANEL_WIDTH * n + len(surface_maps), PANEL_WIDTH * sum(ratios) + 0.7)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="compressed")
    panels = figure.subplots(len(TILTS), n, squeeze=False, height_ratios=ratios)
    start = 0
    for surface_map in surface_maps:
        stop = start + len(surface_map.titles)
        _draw_map(surface_map, panels[:, start:stop], figure)
        start = stop
    figure.suptitle(f"on the surface {first.surface.formula}", fontsize="medium")
    return figure


def _draw_map(surface_map: SurfaceMap, panels: np.ndarray, figure: Figure) -> None:
    """Fields with their colour bar; panels: Axes, [n_views, n_fields]."""
    limits = color_limits(surface_map.values, surface_map.quantity)
    for row, tilt in zip(panels, TILTS, strict=True):
        for k, panel in enumerate(row):
            plot_surface(surface_map, k, tilt, limits, panel)
    for panel, title in zip(panels[0], surface_map.titles, strict=True):
        panel.set_title(title, fontsize="medium")
    scale = ScalarMappable(Normalize(*limits), color_map(surface_map.quantity))
    figure.colorbar(scale, ax=panels, label=surface_map.quantity.label, shrink=0.8, extend="both")


def view_of(atoms: Atoms, tilt: float) -> tuple[np.ndarray, np.ndarray]:
    """How a molecule is seen.

    Returns:
        Its middle, [3] (A), and the directions to the right, up, and towards the viewer, [3, 3]:
        the axes of its largest, second and smallest extent, tilted about the first.
    """
    center = atoms.positions.mean(axis=0)
    _, _, axes = np.linalg.svd(np.vstack([atoms.positions - center, np.zeros((3, 3))]))
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.sign(largest)
    axes[2] *= np.sign(np.linalg.det(axes))  # a molecule is not shown as its mirror image
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return center, np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]]) @ axes


def _quartered(corners: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four triangles for each, so that steps of colour are not seen.

    Args:
        corners: [n, 3, 3] (A).
        values: at the corners, [n, 3].
    """
    middles, between = (0.5 * (x + np.roll(x, -1, axis=1)) for x in (corners, values))
    four = [
        np.concatenate([np.stack([x[:, k], y[:, k], y[:, k - 1]], axis=1) for k in range(3)] + [y])
        for x, y in ((corners, middles), (values, between))
    ]
    return four[0], four[1]


def _height_by_width(surface_map: SurfaceMap, tilt: float) -> float:
    center, axes = view_of(surface_map.atoms[0], tilt)
    extents = np.ptp((surface_map.surface.vertices - center) @ axes.T, axis=0)
    return float(extents[1] / extents[0])


def _draw_atoms(atoms: Atoms, center: np.ndarray, axes: np.ndarray, ax: Axes) -> None:
    """The skeleton, shown through the surface."""
    positions = (atoms.positions - center) @ axes.T
    for i, j in bonds_of(atoms):
        ax.plot(*positions[[i, j], :2].T, color=ATOM_EDGE, linewidth=1.0, alpha=0.6)
    nearest_last = np.argsort(positions[:, 2])
    x, y, _ = positions[nearest_last].T
    ax.scatter(
        x, y, s=24, c=jmol_colors[atoms.numbers[nearest_last]],
        edgecolors=ATOM_EDGE, linewidths=0.6, zorder=3,
    )  # fmt: skip
