"""How every figure looks: colours, thin axes, error bands, a banner.

Colours are those of M. Okabe and K. Ito, "Color universal design" (2008), which colour-blind
readers can tell apart; classical and path-integral runs keep theirs throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:  # Matplotlib takes its time, which a help has not
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSICAL_COLOR = "#0072B2"  # blue
PIMD_COLOR = "#D55E00"  # vermilion
MODE_COLOR = "#009E73"  # bluish green
# Of the same source, without yellow, which is faint on white.
SERIES_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
ORDER_COLORS = "viridis"
BANNER_COLOR = "#A03000"
BANNER_INCHES = 0.4
INK = "#333333"
FAINT = "#B8B8B8"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size (inches)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def axes_or_new(ax: Axes | None) -> Axes:
    """The given Axes, or those of a new figure."""
    if ax is not None:
        return ax
    return style_axes(new_figure(6.4, 4.0).subplots())


def style_axes(ax: Axes) -> Axes:
    """Thin axes at the left and below only."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(linewidth=0.6, color=INK)
    ax.tick_params(width=0.6, color=INK, labelcolor=INK)
    return ax


def series_colors(n: int) -> list[str]:
    """One colour for each of n curves; beyond seven they repeat."""
    return [SERIES_COLORS[k % len(SERIES_COLORS)] for k in range(n)]


def shades(shares: Sequence[float] | np.ndarray) -> list[str]:
    """Colours of an order, dark to light, at shares of the whole (0 to 1)."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps[ORDER_COLORS](share)) for share in shares]


def draw_band(
    ax: Axes, x: np.ndarray, density: np.ndarray, standard_error: np.ndarray, color: str
) -> None:
    """One standard error to each side of points, [n_points]; nothing where it is unknown (NaN)."""
    ax.fill_between(
        x, density - standard_error, density + standard_error, color=color, alpha=0.25, lw=0
    )


def draw_curve(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    standard_error: np.ndarray,
    color: str,
    label: str,
    width: float = 1.4,
) -> None:
    """A line in its band.

    Args:
        ax: where to draw.
        x, y, standard_error: of the points, [n_points].
        color: of line and band.
        label: in the legend.
        width: of the line (points).
    """
    draw_band(ax, x, y, standard_error, color)
    ax.plot(x, y, color=color, lw=width, label=label)


Place = Literal["best", "upper left"]  # of legends


def band_legend(ax: Axes, *standard_errors: np.ndarray, place: Place = "best") -> None:
    """A legend that says what the bands are, where there are any.

    Args:
        ax: with labelled curves.
        standard_errors: of the curves, of any shape.
        place: where Matplotlib puts it.
    """
    has_bands = any(np.isfinite(error).any() for error in standard_errors)
    title = "bands: ±1 standard error" if has_bands else None
    ax.legend(
        frameon=False,
        title=title,
        title_fontsize="x-small",
        fontsize="small",
        alignment="left",
        loc=place,
    )


def figure_of(ax: Axes) -> Figure:
    """The figure that Axes are in."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def add_banner(figure: Figure, text: str | None) -> Figure:
    """Writes a remark above the panels, such as "sampling too short for conclusions", if any."""
    if text is None:
        return figure
    margin = BANNER_INCHES / figure.get_figheight()
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if isinstance(engine := figure.get_layout_engine(), ConstrainedLayoutEngine):
        engine.set(rect=(0, 0, 1, 1 - margin))
    figure.text(
        0.5,
        1 - 0.5 * margin,
        text,
        ha="center",
        va="center",
        color="white",
        fontsize="small",
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.4", "facecolor": BANNER_COLOR, "edgecolor": "none"},
    )
    return figure
