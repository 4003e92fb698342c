"""Figures that lay several runs over each other: spectra, distributions, ring polymers.

Nothing is computed here and nothing is shown, as in `md_runs.plots`. Runs come by their names, and
each keeps its colour in all panels of a figure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from md_runs.analysis.density_of_states import DecomposedSpectrum
from md_runs.analysis.distribution_difference import Distribution
from md_runs.analysis.imaginary_time import ImaginaryTimeSpread
from md_runs.analysis.rdf import RadialDistribution
from md_runs.analysis.spectra import Spectrum
from md_runs.analysis.stick_spectra import StickSpectrum
from md_runs.distribution_plots import (
    draw_distribution,
    height_label,
    place_label,
    plot_imaginary_time,
)
from md_runs.plot_style import (
    BANNER_COLOR,
    FAINT,
    INK,
    MODE_COLOR,
    band_legend,
    draw_band,
    dressed,
    own_axes,
    series_colors,
)
from md_runs.spectrum_plots import label_spectrum_axes, plot_parts

CHECK_CHARACTERS = 105  # of one line of failed checks above a panel
PANELS_PER_ROW = 3
PANEL_INCHES = (4.0, 3.3)


def plot_spectra(
    spectra: Mapping[str, Spectrum],
    max_wavenumber_per_cm: float,
    sticks: StickSpectrum | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Spectra of several runs with error bands and failed checks, normal modes behind.

    Args:
        spectra: of one kind, by the name of the run.
        max_wavenumber_per_cm: right end of the axis.
        sticks: the normal modes as a spectrum of the same unit; None for none.
        ax: where to draw; None for a figure of its own.
    """
    ax = own_axes(ax)
    if sticks is not None:
        inside = sticks.wavenumbers_per_cm <= max_wavenumber_per_cm
        curve = sticks.wavenumbers_per_cm[inside], sticks.intensity[inside]
        name = f"harmonic, width {sticks.width_per_cm:.3g} cm$^{{-1}}$"
        ax.fill_between(*curve, color=MODE_COLOR, alpha=0.15, lw=0)
        ax.plot(*curve, color=MODE_COLOR, lw=0.8, label=name)
    colors = [color for color in series_colors(len(spectra) + 1) if color != MODE_COLOR]
    for k, ((name, spectrum), color) in enumerate(zip(spectra.items(), colors, strict=False)):
        shown = spectrum.wavenumbers_per_cm <= max_wavenumber_per_cm
        curve = spectrum.wavenumbers_per_cm[shown], spectrum.intensity[shown]
        draw_band(ax, *curve, spectrum.standard_error[shown], color)
        label = f"{name}, resolution {spectrum.resolution_per_cm:.3g} cm$^{{-1}}$"
        width = 1.8 if k == 0 and len(spectra) > 1 else 1.0  # an equal one behind can be seen
        ax.plot(*curve, color=color, lw=width, label=label)
    ax.axhline(0, color=INK, lw=0.6)
    label_spectrum_axes(ax, max_wavenumber_per_cm, next(iter(spectra.values())))
    ax.margins(y=0.06)
    band_legend(ax, *(spectrum.standard_error for spectrum in spectra.values()))
    return _show_all_checks(ax, spectra)


def spectra_figure(
    spectra: Mapping[str, Spectrum],
    max_wavenumber_per_cm: float,
    sticks: StickSpectrum | None = None,
) -> Figure:
    """A figure of its own of `plot_spectra`."""
    figure = Figure(figsize=(7.2, 4.4), dpi=150, layout="constrained")
    plot_spectra(spectra, max_wavenumber_per_cm, sticks, dressed(figure.subplots()))
    return figure


def parts_figure(spectra: Mapping[str, DecomposedSpectrum], max_wavenumber_per_cm: float) -> Figure:
    """Densities of states and their parts, one panel for each run."""
    n_runs = len(spectra)
    figure = Figure(figsize=(7.2, 0.6 + 3.4 * n_runs), dpi=150, layout="constrained")
    panels = figure.subplots(n_runs, 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, spectrum) in zip(panels, spectra.items(), strict=True):
        plot_parts(spectrum, dressed(panel), max_wavenumber_per_cm)
        panel.set_title(name, loc="right", fontsize="small", color=INK)
    for panel in panels[:-1]:
        panel.set_xlabel("")
    return figure


def plot_overlay(distributions: Mapping[str, Distribution], ax: Axes | None = None) -> Axes:
    """One distribution of several runs, with error bands.

    Args:
        distributions: of one kind, by the name of the run.
        ax: where to draw; None for a figure of its own.
    """
    ax = own_axes(ax)
    colors = series_colors(len(distributions))
    for (name, distribution), color in zip(distributions.items(), colors, strict=True):
        draw_distribution(ax, distribution, name, color)
    first = next(iter(distributions.values()))
    if isinstance(first, RadialDistribution):
        ax.axhline(1, color=FAINT, lw=0.8, zorder=0)
        ax.set_xlim(left=0)
    ax.set_xlabel(place_label(first))
    ax.set_ylabel(height_label(first))
    ax.set_ylim(bottom=0)
    band_legend(ax, *(one.standard_error for one in distributions.values()))
    return ax


def overlay_figure(panels: Sequence[Mapping[str, Distribution]]) -> Figure:
    """One panel for each quantity, runs over each other; the legend stands in the first."""
    n_rows = -(-len(panels) // PANELS_PER_ROW)
    n_columns = -(-len(panels) // n_rows)
    width, height = PANEL_INCHES
    size = (max(6.4, width * n_columns), height * n_rows)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for k, distributions in enumerate(panels):
        ax = plot_overlay(distributions, dressed(axes[k]))
        legend = ax.get_legend()
        if k and legend is not None:
            legend.remove()
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    return figure


def coordination_figure(distributions: Mapping[str, RadialDistribution]) -> Figure:
    """g(r) of one pair of elements above, coordination numbers below, runs over each other."""
    figure = Figure(figsize=(6.4, 5.6), dpi=150, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    plot_overlay(distributions, dressed(upper)).set_xlabel("")
    dressed(lower)
    for one, color in zip(distributions.values(), series_colors(len(distributions)), strict=True):
        draw_band(lower, one.upper_edges, one.coordination_number, one.coordination_error, color)
        lower.plot(one.upper_edges, one.coordination_number, color=color, lw=1.4)
    lower.set_ylim(bottom=0)
    lower.set_xlabel(place_label(next(iter(distributions.values()))))
    lower.set_ylabel("neighbours within r")
    return figure


def imaginary_time_figure(spreads: Mapping[str, ImaginaryTimeSpread]) -> Figure:
    """One panel for each run, on the same axes."""
    n_runs = len(spreads)
    figure = Figure(figsize=(max(6.4, 4.0 * n_runs), 3.8), dpi=150, layout="constrained")
    panels = figure.subplots(1, n_runs, sharey=True, squeeze=False)[0]
    for panel, (name, spread) in zip(panels, spreads.items(), strict=True):
        plot_imaginary_time(spread, dressed(panel))
        panel.set_title(f"{name}, {spread.n_beads} beads", fontsize="small", loc="left", color=INK)
    for panel in panels[1:]:
        panel.set_ylabel("")
    return figure


def _show_all_checks(ax: Axes, spectra: Mapping[str, Spectrum]) -> Axes:
    """The failed checks of all runs above the panel, or how many passed."""
    failed = [
        f"{name}: {check}" if len(spectra) > 1 else str(check)
        for name, spectrum in spectra.items()
        for check in spectrum.failed_checks
    ]
    n_checks = sum(len(spectrum.checks) for spectrum in spectra.values())
    lines = [line for text in failed for line in textwrap.wrap(text, CHECK_CHARACTERS)]
    passed = "1 check passed" if n_checks == 1 else f"{n_checks} checks passed"
    ax.set_title(
        "\n".join(lines) or passed,
        loc="left",
        fontsize="xx-small",
        color=BANNER_COLOR if failed else INK,
        fontweight="bold" if failed else "normal",
    )
    return ax
