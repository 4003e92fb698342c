"""Figure of a learning run: errors of forces over the labels spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from md_runs.figures.style import CLASSICAL_COLOR, FAINT, PIMD_COLOR, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_force_errors(
    n_labels: Sequence[int],
    expected: Sequence[float],
    measured: Sequence[float | None],
    bound: float,
    ax: Axes | None = None,
) -> Axes:
    """Expected and measured errors in fresh dynamics, one point a round.

    Args:
        n_labels: spent before each round.
        expected: calibrated disagreement (eV/A).
        measured: by labels (eV/A); None where there are none.
        bound: that is wanted (eV/A).
        ax: to draw on; None for a new figure.
    """
    ax = axes_or_new(ax)
    ax.axhline(bound, color=FAINT, linewidth=1.0, label="wanted")
    ax.plot(n_labels, expected, "o-", color=CLASSICAL_COLOR, label="expected (calibrated)")
    found = [(n, error) for n, error in zip(n_labels, measured, strict=True) if error is not None]
    if found:
        ax.plot(*zip(*found, strict=True), "s--", color=PIMD_COLOR, label="measured (random beads)")
    ax.set(xlabel="labels before the round", ylabel="force error (eV/Å)")
    ax.set_ylim(bottom=0.0)
    ax.legend(frameon=False)
    return ax
