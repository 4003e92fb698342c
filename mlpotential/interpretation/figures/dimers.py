"""Energies of pairs of atoms by their distance."""

from __future__ import annotations

from collections.abc import Sequence

from ase.data import chemical_symbols
from matplotlib.axes import Axes

from mlpotential.interpretation.atoms.dimers import ZERO_IN_WORDS, DimerCurves
from mlpotential.training.pictures import COLORS


def plot_dimers(groups: Sequence[DimerCurves], ax: Axes) -> Axes:
    """A line for each group, with a band of one standard deviation over its models.

    Args:
        groups: of the same pair.
        ax: where to draw.
    """
    for k, curves in enumerate(groups):
        color, n = COLORS[k % len(COLORS)], len(curves.models)
        label = curves.name if n == 1 else f"{curves.name} ({n} models)"
        ax.plot(curves.distances, curves.mean, color=color, linewidth=1.3, label=label)
        if (spread := curves.spread) is not None:
            low, high = curves.mean - spread, curves.mean + spread
            ax.fill_between(curves.distances, low, high, color=color, alpha=0.25, linewidth=0.0)
    first, second = (chemical_symbols[z] for z in groups[0].elements)
    ax.set(xlabel=f"distance {first}–{second} (Å)", ylabel="energy (eV)")
    ax.set_title(ZERO_IN_WORDS[groups[0].zero], fontsize="small", color="0.3")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
