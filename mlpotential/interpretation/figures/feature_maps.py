"""Atoms on two principal components of their features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes

from mlpotential.interpretation.atoms.feature_map import FeatureMap
from mlpotential.training.pictures import COLORS

POINT: Any = {"s": 3.0, "linewidths": 0.0, "alpha": 0.6, "rasterized": True}


def plot_feature_map(
    found: FeatureMap,
    colors: np.ndarray,
    label: str,
    ax: Axes,
    names: Mapping[int, str] | None = None,
) -> Axes:
    """A point for each atom.

    Args:
        found: the map.
        colors: numbers that choose the colours, [n_atoms].
        label: what they are.
        ax: where to draw.
        names: words for the legend where colours are classes; None for a colour bar.
    """
    if names is None:
        order = np.argsort(colors, kind="stable")
        points = ax.scatter(
            found.coordinates[order, 0], found.coordinates[order, 1], c=colors[order],
            cmap="viridis", vmin=np.percentile(colors, 1), vmax=np.percentile(colors, 99), **POINT,
        )  # fmt: skip
        ax.figure.colorbar(points, ax=ax, shrink=0.8).set_label(label)
    else:
        for k, value in enumerate(np.unique(colors).tolist()):
            own = found.coordinates[colors == value]
            name = f"{names[value]} ({len(own)})"
            ax.scatter(*own.T, color=COLORS[k % len(COLORS)], label=name, **POINT)
        ax.legend(frameon=False, fontsize="x-small", markerscale=3.0, title=label)
    first, second = found.explained
    ax.set(
        xlabel=f"component 1 ({first:.0%} of the variance)",
        ylabel=f"component 2 ({second:.0%} of the variance)",
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def class_names(color: str, values: np.ndarray) -> dict[int, str]:
    """Of elements, or of numbers of neighbours."""
    if color == "element":
        return {z: chemical_symbols[z] for z in np.unique(values).tolist()}
    return {n: f"{n} bonds" for n in np.unique(values).tolist()}
