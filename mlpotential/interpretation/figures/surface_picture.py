"""Fields on a surface, seen onto the plane of the molecule and from its side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data.colors import jmol_colors
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from mlpotential.interpretation.field_maps import SurfaceMap, bonds_of
from mlpotential.interpretation.figures.colors import ATOM_EDGE, color_limits, color_map
from mlpotential.training.pictures import save_picture

VIEWS = ((90.0, -90.0), (20.0, -70.0))  # elevation and azimuth (degrees)
LIGHT = np.array([0.3, -0.4, 0.87])
DARKEST = 0.55  # chosen: colours stay those of the scale


def plot_surface(
    surface_map: SurfaceMap, k: int, limits: tuple[float, float], ax: Axes3D
) -> Axes3D:
    """One field.

    Args:
        surface_map: fields.
        k: which of them.
        limits: of the colour scale.
        ax: to draw on.
    """
    center, axes = principal_frame(surface_map.atoms[0])
    corners = ((surface_map.surface.vertices - center) @ axes.T)[surface_map.surface.faces]
    values = surface_map.values[k][surface_map.surface.faces].mean(axis=1)
    colors = colormaps[color_map(surface_map.quantity)](Normalize(*limits)(values))
    colors[:, :3] *= _brightness(corners)[:, None]
    ax.add_collection3d(Poly3DCollection(corners, facecolors=colors, edgecolors=colors, lw=0.1))
    _draw_atoms(surface_map.atoms[k], center, axes, ax)
    half = np.abs(corners).max(axis=(0, 1))
    ax.set(xlim=(-half[0], half[0]), ylim=(-half[1], half[1]), zlim=(-half[2], half[2]))
    ax.set_box_aspect(half / half.max(), zoom=1.25)
    ax.set_axis_off()
    return ax


def save_surface_picture(surface_map: SurfaceMap, path: str | Path) -> None:
    """A column for each field, a row for each view, one colour scale.

    Raises:
        RunError: if the file cannot be written.
    """
    n = len(surface_map.titles)
    figure = Figure(figsize=(3.6 * n + 1.0, 3.1 * len(VIEWS) + 0.5), layout="constrained")
    limits = color_limits(surface_map.values, surface_map.quantity)
    panels = []
    for row, (elevation, azimuth) in enumerate(VIEWS):
        for k, title in enumerate(surface_map.titles):
            ax = figure.add_subplot(
                len(VIEWS), n, row * n + k + 1, projection="3d", computed_zorder=False
            )
            assert isinstance(ax, Axes3D)
            plot_surface(surface_map, k, limits, ax)
            ax.view_init(elevation, azimuth)
            panels.append(ax)
            if row == 0:
                ax.set_title(title, fontsize="medium")
    scale = ScalarMappable(Normalize(*limits), color_map(surface_map.quantity))
    figure.colorbar(scale, ax=panels, label=surface_map.quantity.label, shrink=0.7, extend="both")
    figure.suptitle(f"on the surface {surface_map.surface.formula}", fontsize="medium")
    save_picture(figure, path)


def principal_frame(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the atoms, [3] (A), and the axes of their largest to smallest extent, [3, 3]."""
    center = atoms.positions.mean(axis=0)
    _, _, axes = np.linalg.svd(np.vstack([atoms.positions - center, np.zeros((3, 3))]))
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    axes = axes * np.sign(largest)
    axes[2] *= np.sign(np.linalg.det(axes))  # a molecule is not shown as its mirror image
    return center, axes


def _brightness(corners: np.ndarray) -> np.ndarray:
    """Of triangles [n, 3, 3] in the light, [n]."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
    return DARKEST + (1.0 - DARKEST) * np.abs(normals @ LIGHT) / lengths


def _draw_atoms(atoms: Atoms, center: np.ndarray, axes: np.ndarray, ax: Axes3D) -> None:
    """The skeleton, shown through the surface."""
    positions = (atoms.positions - center) @ axes.T
    for i, j in bonds_of(atoms):
        ax.plot(*positions[[i, j]].T, color=ATOM_EDGE, linewidth=1.2, alpha=0.7)
    ax.scatter(
        *positions.T, s=26, c=jmol_colors[atoms.numbers], edgecolors=ATOM_EDGE, linewidths=0.6,
        depthshade=False,
    )  # fmt: skip
