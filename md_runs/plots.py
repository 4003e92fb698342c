"""Figures of analysis results: `plot_x(result, ax=None) -> Axes` draws, `x_figure` arranges panels.

Nothing is computed here and nothing is shown: results come from `md_runs.analysis`, and the figure
of an Axes is saved with `ax.figure.savefig(path)`. Spectra are in `spectrum_plots`, what figures
share in `plot_style`. Fig. 7 and Fig. 8 are those of K. T. Schuett et al., J. Chem. Phys. 148,
241722 (2018), doi:10.1063/1.5019779.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from md_runs.analysis.distances import DistanceDistribution
from md_runs.analysis.normal_modes import FrequencyComparison
from md_runs.analysis.rdf import PairDistribution
from md_runs.plot_style import (
    CLASSICAL_COLOR,
    FAINT,
    INK,
    MODE_COLOR,
    PIMD_COLOR,
    add_banner,
    band_legend,
    draw_band,
    dressed,
    own_axes,
)
from md_runs.spectrum_plots import plot_spectrum

__all__ = [
    "add_banner",
    "distribution_figure",
    "mode_comparison_figure",
    "plot_distributions",
    "plot_relative_deviations",
    "plot_spectrum",
    "plot_wavenumbers",
]

Distribution = DistanceDistribution | PairDistribution


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
    ax = own_axes(ax)
    numbers = np.arange(1, len(comparison.reference_per_cm) + 1)
    ax.vlines(numbers, 0, comparison.reference_per_cm, color=FAINT, lw=2.5, label=labels[1])
    ax.plot(numbers, comparison.wavenumbers_per_cm, "o", ms=4, color=MODE_COLOR, label=labels[0])
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xlim(0, len(numbers) + 1)
    ax.set_xlabel("mode")
    ax.set_ylabel(r"wavenumber (cm$^{-1}$)")
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    return ax


def plot_relative_deviations(comparison: FrequencyComparison, ax: Axes | None = None) -> Axes:
    """Relative deviation of each wavenumber from its reference (Fig. 7, lower panel)."""
    ax = own_axes(ax)
    deviations = comparison.relative_deviations
    numbers = np.arange(1, len(deviations) + 1)
    ax.vlines(numbers, 0, deviations, color=MODE_COLOR, lw=1.2)
    ax.plot(numbers, deviations, "o", ms=3, color=MODE_COLOR)
    ax.axhline(0, color=INK, lw=0.6)
    ax.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    ax.margins(y=0.2)
    ax.set_xlim(0, len(numbers) + 1)
    ax.set_xlabel("mode")
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
    figure = Figure(figsize=(6.4, 5.2), dpi=150, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    plot_wavenumbers(comparison, dressed(upper), labels).set_xlabel("")
    plot_relative_deviations(comparison, dressed(lower))
    return figure


def plot_distributions(
    classical: Distribution,
    path_integral: Distribution,
    ax: Axes | None = None,
    label: str | None = None,
) -> Axes:
    """A distribution of distances, classical against path-integral MD, with error bands (Fig. 8).

    Args:
        classical: of a classical run.
        path_integral: of a PIMD run.
        ax: where to draw; None for a figure of its own.
        label: name of the axis; None for the label of the distribution.
    """
    ax = own_axes(ax)
    for distribution, name, color in (
        (classical, "classical", CLASSICAL_COLOR),
        (path_integral, f"PIMD, {path_integral.n_beads} beads", PIMD_COLOR),
    ):
        r, density = distribution.distances, distribution.density
        draw_band(ax, r, density, distribution.standard_error, color)
        ax.plot(r, density, color=color, lw=1.4, label=name)
    if label is None:
        label = classical.label if isinstance(classical, DistanceDistribution) else "distance r"
    is_pair_density = isinstance(classical, PairDistribution)
    ax.set_xlabel(f"{label} (Å)")
    ax.set_ylabel(r"h(r) (Å$^{-1}$)" if is_pair_density else r"density (Å$^{-1}$)")
    ax.set_ylim(bottom=0)
    band_legend(ax, classical.standard_error, path_integral.standard_error)
    return ax


def distribution_figure(pairs: Sequence[tuple[Distribution, Distribution]]) -> Figure:
    """Fig. 8: one panel for each (classical, path-integral) pair of distributions."""
    figure = Figure(figsize=(4.0 * len(pairs), 3.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, (classical, path_integral) in zip(panels, pairs, strict=True):
        plot_distributions(classical, path_integral, dressed(panel))
    for panel in panels[1:]:
        panel.get_legend().remove()
    return figure
