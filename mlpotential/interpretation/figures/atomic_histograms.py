"""How atomic energies and charges are distributed, by element, model and kind of model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlpotential.interpretation.atoms.contributions import UNITS, AtomicContributions
from mlpotential.training.pictures import COLORS

MOST_ELEMENTS = 8  # beside each other, the most frequent; chosen
MOST_BINS = 60  # less for rare elements; chosen
WORDS = {"energies": "atomic energy less reference", "charges": "latent charge"}


def plot_histograms(
    contributions: AtomicContributions, quantity: str, atomic_number: int, ax: Axes
) -> Axes:
    """Of one element, one outline for each model of a group.

    Args:
        contributions: of the group.
        quantity: `energies` or `charges`.
        atomic_number: of the element.
        ax: where to draw.
    """
    own = contributions.values[quantity][:, contributions.atomic_numbers == atomic_number]
    edges = np.histogram_bin_edges(own, min(MOST_BINS, 5 + own.shape[1] // 20)).tolist()
    for k, (name, values) in enumerate(zip(contributions.models, own, strict=True)):
        color = COLORS[k % len(COLORS)]
        how: Any = {"density": True, "color": color, "histtype": "stepfilled", "alpha": 0.35}
        ax.hist(values, edges, label=name, **how)
        ax.hist(values, edges, density=True, color=color, histtype="step", linewidth=1.0)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def histogram_figure(groups: Sequence[AtomicContributions], quantity: str) -> Figure:
    """A row for each group, a column for each element, one axis of numbers for a column.

    Of many elements the most frequent are drawn.

    Args:
        groups: that have the quantity, of the same atoms.
        quantity: `energies` or `charges`.
    """
    elements, counts = np.unique(groups[0].atomic_numbers, return_counts=True)
    elements = np.sort(elements[np.argsort(-counts, kind="stable")[:MOST_ELEMENTS]])
    size = (2.1 * len(elements) + 0.6, 1.7 * len(groups) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(groups), len(elements), sharex="col", squeeze=False)
    for row, group in zip(grid, groups, strict=True):
        for ax, z in zip(row, elements, strict=True):
            plot_histograms(group, quantity, z, ax)
        row[0].set_ylabel(group.name, fontsize="small")
        if len(group.models) > 1:
            row[-1].legend(frameon=False, fontsize=5, loc="upper right")
    for ax, z in zip(grid[0], elements, strict=True):
        n = int((groups[0].atomic_numbers == z).sum())
        ax.set_title(f"{chemical_symbols[z]} ({n})", fontsize="small")
    figure.supxlabel(f"{WORDS[quantity]} ({UNITS[quantity]})", fontsize="small")
    return figure
