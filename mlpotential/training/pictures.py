"""How pictures of trainings and evaluations are begun, drawn and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlpotential.errors import RunError

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DOTS_PER_INCH = 200


def panels_beside(n_panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """An empty figure of panels side by side; sizes are those of one (inches)."""
    figure = Figure(figsize=(width * n_panels, height), layout="constrained")
    return figure, list(figure.subplots(1, n_panels, squeeze=False)[0])


def draw_means(
    ax: Axes,
    x: np.ndarray,
    means: np.ndarray,
    errors: np.ndarray,
    color: str,
    name: str | None,
    joined: bool,
) -> None:
    """Points with bars of one standard error; NaN is none.

    Args:
        ax: to draw on.
        x, means, errors: [n_points], in the units of the axes.
        color: of the points.
        name: for the legend; None or empty for none.
        joined: by a line.
    """
    bars = np.nan_to_num(errors) if np.isfinite(errors).any() else None
    style = "-o" if joined else "o"
    ax.errorbar(
        x, means, yerr=bars, fmt=style, color=color, markersize=4, linewidth=1.2, capsize=3,
        label=name or None,
    )  # fmt: skip


def save_picture(figure: Figure, path: str | Path) -> None:
    """Raises RunError if the file cannot be written, or its ending names no kind of picture."""
    try:
        figure.savefig(path, dpi=DOTS_PER_INCH)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot write the picture {path}: {reason}") from error
