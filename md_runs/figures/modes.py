"""Figures of modes: wavenumbers, stick spectra, two sets of modes, their Duschinsky matrix.

Nothing is computed here and nothing is shown, as everywhere in `md_runs.figures`. Fig. 7 is that of
K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from md_runs.analysis.vibrations.mode_comparison import ModeComparison
from md_runs.analysis.vibrations.mode_intensities import (
    InfraredIntensities,
    RamanIntensities,
    StokesIntensities,
)
from md_runs.analysis.vibrations.normal_modes import (
    FrequencyComparison,
    NormalModes,
    degenerate_groups,
)
from md_runs.figures.style import (
    BANNER_COLOR,
    CLASSICAL_COLOR,
    FAINT,
    INK,
    MODE_COLOR,
    axes_or_new,
    new_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

LABELLED_SHARE = 0.03  # chosen: of the strongest line; weaker ones bear no label
OVERLAP_COLORS = ("#FFFFFF", FAINT, MODE_COLOR)


def _overlap_colors() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("overlap", OVERLAP_COLORS)


def _count_on(axis: Axis) -> None:
    """Ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def plot_normal_modes(
    modes: NormalModes, ax: Axes | None = None, tolerance_per_cm: float = 0.5
) -> Axes:
    """One stick for each wavenumber, as high as its degeneracy; imaginary modes in their color.

    Args:
        modes: of a molecule or a crystal.
        ax: where to draw; None for a figure of its own.
        tolerance_per_cm: how far degenerate modes may lie apart.
    """
    ax = axes_or_new(ax)
    groups = modes.degenerate_groups(tolerance_per_cm)
    places = np.array([modes.wavenumbers_per_cm[group].mean() for group in groups])
    heights = np.array([len(group) for group in groups])
    for chosen, color, label in (
        (places >= 0, MODE_COLOR, "modes"),
        (places < 0, BANNER_COLOR, "imaginary"),
    ):
        if chosen.any():
            ax.vlines(places[chosen], 0, heights[chosen], color=color, lw=1.6, label=label)
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_ylim(0, 1.2 * heights.max(initial=1))
    _count_on(ax.yaxis)
    ax.set_xlabel(r"wavenumber (cm$^{-1}$)")
    ax.set_ylabel("degeneracy")
    if (places < 0).any():
        ax.legend(frameon=False, fontsize="small")
    return ax


def plot_stick_spectrum(
    lines: InfraredIntensities | RamanIntensities,
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
    tolerance_per_cm: float = 0.5,
) -> Axes:
    """One stick for each line; degenerate modes make one line together.

    Args:
        lines: intensities of modes.
        labels: symmetry of each mode, [n_modes], written above the stronger lines.
        ax: where to draw; None for a figure of its own.
        tolerance_per_cm: how far degenerate modes may lie apart.
    """
    ax = axes_or_new(ax)
    if isinstance(lines, InfraredIntensities):
        heights, name = lines.intensities_km_per_mol, "intensity (km/mol)"
    elif isinstance(lines, StokesIntensities):
        heights = np.nan_to_num(lines.stokes_cross_sections)
        name = r"Stokes cross section (10$^{-30}$ cm$^2$/sr)"
    else:
        heights, name = lines.activities, "Raman activity (Å$^4$/amu)"
    groups = degenerate_groups(lines.wavenumbers_per_cm, tolerance_per_cm)
    sums = np.array([heights[group].sum() for group in groups])
    places = np.array([lines.wavenumbers_per_cm[group].mean() for group in groups])
    ax.vlines(places, 0, sums, color=CLASSICAL_COLOR, lw=1.6)
    ax.axhline(0, color=INK, lw=0.6)
    for group, place, height in zip(groups, places, sums, strict=True):
        if labels is not None and height > LABELLED_SHARE * sums.max():
            text = " + ".join(dict.fromkeys(labels[k] for k in group))
            ax.annotate(
                text,
                (place, height),
                xytext=(0, 3),
                textcoords="offset points",
                rotation=90,
                ha="center",
                va="bottom",
                fontsize="x-small",
                color=INK,
            )
    ax.set_ylim(0, 1.2 * sums.max(initial=1e-300))
    ax.set_xlabel(r"wavenumber (cm$^{-1}$)")
    ax.set_ylabel(name)
    return ax


def stick_spectra_figure(
    spectra: Sequence[InfraredIntensities | RamanIntensities], labels: Sequence[str] | None = None
) -> Figure:
    """Infrared and Raman sticks, one panel each; arguments as of `plot_stick_spectrum`."""
    n_panels = len(spectra)
    figure = new_figure(6.4, 0.8 + 3.2 * n_panels)
    panels = figure.subplots(n_panels, 1, sharex=True, squeeze=False)[:, 0]
    for panel, lines in zip(panels, spectra, strict=True):
        plot_stick_spectrum(lines, labels, style_axes(panel))
    for panel in panels[:-1]:
        panel.set_xlabel("")
    return figure


def plot_matched_deviations(comparison: ModeComparison, ax: Axes | None = None) -> Axes:
    """Deviation of each wavenumber in per cent of its reference (Fig. 7), matched by overlap.

    The shade of a point is the share of the mode that lies in the reference's mode.
    """
    ax = plot_relative_deviations(comparison, ax)
    numbers = np.arange(1, len(comparison.overlaps) + 1)
    points = ax.scatter(
        numbers,
        comparison.relative_deviations,
        c=comparison.overlaps,
        cmap=_overlap_colors(),
        vmin=0,
        vmax=1,
        s=26,
        edgecolors=INK,
        linewidths=0.6,
        zorder=3,
    )
    ax.figure.colorbar(points, ax=ax, label="overlap", pad=0.01)
    ax.set_xlabel("mode of the reference")
    return ax


def plot_duschinsky(
    comparison: ModeComparison,
    ax: Axes | None = None,
    labels: tuple[str, str] = ("model", "reference"),
) -> Axes:
    """Squared overlaps of all modes: on the diagonal alone where two sets are the same.

    Args:
        comparison: of `compare_modes`.
        ax: where to draw; None for a figure of its own.
        labels: names of the modes and of their reference.
    """
    ax = axes_or_new(ax)
    n_modes = len(comparison.duschinsky)
    image = ax.imshow(
        comparison.duschinsky**2,
        cmap=_overlap_colors(),
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(0.5, n_modes + 0.5, 0.5, n_modes + 0.5),
        interpolation="nearest",
    )
    ax.figure.colorbar(image, ax=ax, label="squared overlap", pad=0.02)
    ax.set_xlabel(f"mode, {labels[1]}")
    ax.set_ylabel(f"mode, {labels[0]}")
    _count_on(ax.xaxis)
    _count_on(ax.yaxis)
    return ax


def matched_modes_figure(
    comparison: ModeComparison, labels: tuple[str, str] = ("model", "reference")
) -> Figure:
    """Fig. 7 with modes matched by overlap, and beside it the Duschinsky matrix."""
    figure = new_figure(11.0, 5.2)
    panels = figure.subplot_mosaic(
        [["wavenumbers", "overlaps"], ["deviations", "overlaps"]],
        width_ratios=[1.3, 1],
        height_ratios=[1.7, 1],
    )
    plot_wavenumbers(comparison, style_axes(panels["wavenumbers"]), labels).set_xlabel("")
    plot_matched_deviations(comparison, style_axes(panels["deviations"]))
    plot_duschinsky(comparison, panels["overlaps"], labels)
    return figure


def plot_wavenumbers(
    comparison: FrequencyComparison,
    ax: Axes | None = None,
    labels: tuple[str, str] = ("model", "reference"),
) -> Axes:
    """Wavenumbers against their reference, mode by mode (Fig. 7, upper panel).

    Args:
        comparison: of `compare_frequencies`.
        ax: where to draw; None for a figure of its own.
        labels: names of the wavenumbers and of their reference.
    """
    ax = axes_or_new(ax)
    numbers = np.arange(1, len(comparison.reference_per_cm) + 1)
    ax.vlines(numbers, 0, comparison.reference_per_cm, color=FAINT, lw=2.5, label=labels[1])
    ax.plot(numbers, comparison.wavenumbers_per_cm, "o", ms=4, color=MODE_COLOR, label=labels[0])
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xlim(0, len(numbers) + 1)
    ax.set_xlabel("mode")
    _count_on(ax.xaxis)
    ax.set_ylabel(r"wavenumber (cm$^{-1}$)")
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    return ax


def plot_relative_deviations(comparison: FrequencyComparison, ax: Axes | None = None) -> Axes:
    """Relative deviation of each wavenumber from its reference (Fig. 7, lower panel)."""
    ax = axes_or_new(ax)
    deviations = comparison.relative_deviations
    numbers = np.arange(1, len(deviations) + 1)
    ax.vlines(numbers, 0, deviations, color=MODE_COLOR, lw=1.2)
    ax.plot(numbers, deviations, "o", ms=3, color=MODE_COLOR)
    ax.axhline(0, color=INK, lw=0.6)
    from matplotlib.ticker import PercentFormatter

    ax.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    ax.margins(y=0.2)
    ax.set_xlim(0, len(numbers) + 1)
    ax.set_xlabel("mode")
    _count_on(ax.xaxis)
    ax.set_ylabel("deviation")
    ax.set_title(
        f"mean {comparison.mean_relative_deviation:.1%}, "
        f"largest {comparison.max_relative_deviation:.1%}",
        fontsize="small",
        loc="right",
        color=INK,
    )
    return ax


def mode_comparison_figure(
    comparison: FrequencyComparison, labels: tuple[str, str] = ("model", "reference")
) -> Figure:
    """Fig. 7: wavenumbers above, their relative deviations below."""
    figure = new_figure(6.4, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    plot_wavenumbers(comparison, style_axes(upper), labels).set_xlabel("")
    plot_relative_deviations(comparison, style_axes(lower))
    return figure
