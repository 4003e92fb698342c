"""Figures of distributions: g(r), coordination, distances, quantum effects, several runs.

Nothing is computed here and nothing is shown, as everywhere in `md_runs.figures`. Fig. 8 is that of
K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from md_runs.analysis.structure.angle_distributions import AngleDistribution
from md_runs.analysis.structure.distribution_difference import (
    AngleDifference,
    Distribution,
    DistributionDifference,
    RadialDifference,
    axis_label,
)
from md_runs.analysis.structure.rdf import PairDistribution, RadialDistribution
from md_runs.figures.style import (
    CLASSICAL_COLOR,
    FAINT,
    INK,
    PIMD_COLOR,
    axes_or_new,
    band_legend,
    draw_curve,
    new_figure,
    series_colors,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Radial = RadialDistribution | Sequence[RadialDistribution] | Mapping[str, RadialDistribution]

PANELS_PER_ROW = 3
PANEL_INCHES = (4.0, 3.3)


def plot_radial_distributions(
    distributions: Radial,
    ax: Axes | None = None,
    reference: tuple[str, np.ndarray, np.ndarray] | None = None,
    max_g: float | None = None,
) -> Axes:
    """Partial g(r) with error bands, and where the cell makes images ambiguous.

    Args:
        distributions: of `radial_distributions`; or of one pair of elements, by the run.
        ax: where to draw; None for a figure of its own.
        reference: name, distances (A) and g of another source, an experiment say, [n], [n].
        max_g: upper end of the axis, below the peaks of bonds; None for the highest peak.
    """
    ax = axes_or_new(ax)
    by_name = _named(distributions)
    shown = by_name.values()
    for (name, one), color in zip(by_name.items(), series_colors(len(shown)), strict=True):
        draw_distribution(ax, one, name, color)
    if reference is not None:
        name, distances, g = reference
        ax.plot(distances, g, color=INK, lw=1.0, ls="--", label=name)
    ax.axhline(1, color=FAINT, lw=0.8, zorder=0)
    reach = max(one.upper_edges[-1] for one in shown)
    limit = min(one.largest_unambiguous_distance for one in shown)
    if limit < reach * (1 - 1e-9):
        ax.axvline(limit, color=INK, lw=0.8, ls=":", label="half the cell")
    ax.set_xlim(0, reach)
    ax.set_ylim(0, max_g)
    ax.set_xlabel(_radial_label(distributions))
    ax.set_ylabel("g(r)")
    band_legend(ax, *(one.standard_error for one in shown))
    return ax


def plot_coordination_numbers(distributions: Radial, ax: Axes | None = None) -> Axes:
    """Running coordination numbers with error bands.

    Args:
        distributions: of `radial_distributions`; or of one pair of elements, by the run.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    by_name = _named(distributions)
    shown = by_name.values()
    for (name, one), color in zip(by_name.items(), series_colors(len(shown)), strict=True):
        number, error = one.coordination_number, one.coordination_error
        draw_curve(ax, one.upper_edges, number, error, color, name)
    ax.set_xlim(0, max(one.upper_edges[-1] for one in shown))
    ax.set_ylim(bottom=0)
    ax.set_xlabel(_radial_label(distributions))
    ax.set_ylabel("neighbours within r")
    band_legend(ax, *(one.coordination_error for one in shown))
    return ax


def radial_distribution_figure(
    distributions: Radial,
    reference: tuple[str, np.ndarray, np.ndarray] | None = None,
    max_g: float | None = None,
) -> Figure:
    """g(r) above, coordination numbers below; arguments as `plot_radial_distributions`."""
    figure = new_figure(6.4, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    plot_radial_distributions(distributions, style_axes(upper), reference, max_g).set_xlabel("")
    legend = plot_coordination_numbers(distributions, style_axes(lower)).get_legend()
    assert legend is not None
    legend.remove()  # that above says the same
    return figure


def plot_difference(difference: DistributionDifference, ax: Axes | None = None) -> Axes:
    """Quantum minus classical with the error band of both.

    Args:
        difference: of `distribution_difference`.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    x, y = difference.places, difference.difference
    draw_curve(ax, x, y, difference.standard_error, PIMD_COLOR, "quantum - classical", 1.2)
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xlabel(f"{difference.label} ({_unit(difference)})")
    ax.set_ylabel(f"difference{_per_unit(difference)}")
    band_legend(ax, difference.standard_error)
    return ax


def quantum_effect_figure(
    quantum: Distribution, classical: Distribution, difference: DistributionDifference
) -> Figure:
    """Both distributions above, their difference below, with error bands.

    Args:
        quantum: of a path-integral run.
        classical: of a classical run.
        difference: of the two.
    """
    figure = new_figure(6.4, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    style_axes(upper)
    for one, name, color in (
        (classical, "classical", CLASSICAL_COLOR),
        (quantum, f"PIMD, {quantum.n_beads} beads", PIMD_COLOR),
    ):
        draw_distribution(upper, one, name, color)
    upper.set_ylim(bottom=0)
    upper.set_ylabel(y_label(quantum))
    band_legend(upper, quantum.standard_error, classical.standard_error)
    plot_difference(difference, style_axes(lower))
    return figure


def draw_distribution(ax: Axes, distribution: Distribution, name: str, color: str) -> None:
    """A curve with its error band, from the first three columns: places, heights, errors."""
    x, y, error = (getattr(distribution, column) for column in distribution.COLUMNS[:3])
    draw_curve(ax, x, y, error, color, name)


def _named(distributions: Radial) -> Mapping[str, RadialDistribution]:
    """By the name in the legend: of the run, or the pair of elements."""
    if isinstance(distributions, Mapping):
        return distributions
    if isinstance(distributions, RadialDistribution):
        distributions = (distributions,)
    return {one.label: one for one in distributions}


def _radial_label(distributions: Radial) -> str:
    """Of the horizontal axis, with the pair of elements where the legend does not tell it."""
    if isinstance(distributions, Mapping):
        return x_label(next(iter(distributions.values())))
    return "distance r (Å)"


def _unit(result: Distribution | DistributionDifference) -> str:
    return "°" if isinstance(result, AngleDistribution | AngleDifference) else "Å"


def _per_unit(result: Distribution | DistributionDifference) -> str:
    if isinstance(result, RadialDistribution | RadialDifference):
        return ""
    return " per degree" if _unit(result) == "°" else r" (Å$^{-1}$)"


def x_label(distribution: Distribution) -> str:
    """What the horizontal axis of a distribution is, with its unit."""
    return f"{axis_label(distribution)} ({_unit(distribution)})"


def y_label(distribution: Distribution) -> str:
    """What the vertical axis of a distribution is, with its unit."""
    if isinstance(distribution, RadialDistribution):
        return "g(r)"
    name = "h(r)" if isinstance(distribution, PairDistribution) else "density"
    return name + _per_unit(distribution)


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
    ax = axes_or_new(ax)
    draw_distribution(ax, classical, "classical", CLASSICAL_COLOR)
    draw_distribution(ax, path_integral, f"PIMD, {path_integral.n_beads} beads", PIMD_COLOR)
    ax.set_xlabel(x_label(classical) if label is None else f"{label} (Å)")
    ax.set_ylabel(y_label(classical))
    ax.set_ylim(bottom=0)
    band_legend(ax, classical.standard_error, path_integral.standard_error)
    return ax


def distribution_figure(pairs: Sequence[tuple[Distribution, Distribution]]) -> Figure:
    """Fig. 8: one panel for each (classical, path-integral) pair of distributions."""
    figure = new_figure(4.0 * len(pairs), 3.4)
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, (classical, path_integral) in zip(panels, pairs, strict=True):
        plot_distributions(classical, path_integral, style_axes(panel))
    for panel in panels[1:]:
        panel.get_legend().remove()
    return figure


def plot_distribution(distribution: Distribution, ax: Axes | None = None) -> Axes:
    """One distribution of one run, with its error band, in the color of its kind of run.

    Args:
        distribution: of distances or angles.
        ax: where to draw; None for a figure of its own.
    """
    has_beads = distribution.n_beads > 1
    name = f"PIMD, {distribution.n_beads} beads" if has_beads else "classical"
    return plot_overlay({name: distribution}, ax, [PIMD_COLOR if has_beads else CLASSICAL_COLOR])


def plot_overlay(
    distributions: Mapping[str, Distribution],
    ax: Axes | None = None,
    colors: Sequence[str] | None = None,
) -> Axes:
    """One distribution of several runs, with error bands.

    Args:
        distributions: of one kind, by the name of the run.
        ax: where to draw; None for a figure of its own.
        colors: of each; None for those of `series_colors`.
    """
    ax = axes_or_new(ax)
    colors = colors or series_colors(len(distributions))
    for (name, distribution), color in zip(distributions.items(), colors, strict=True):
        draw_distribution(ax, distribution, name, color)
    first = next(iter(distributions.values()))
    if isinstance(first, RadialDistribution):
        ax.axhline(1, color=FAINT, lw=0.8, zorder=0)
        ax.set_xlim(left=0)
    ax.set_xlabel(x_label(first))
    ax.set_ylabel(y_label(first))
    ax.set_ylim(bottom=0)
    band_legend(ax, *(one.standard_error for one in distributions.values()))
    return ax


def overlay_figure(panels: Sequence[Mapping[str, Distribution]]) -> Figure:
    """One panel for each quantity, runs over each other; the legend stands in the first."""
    n_rows = -(-len(panels) // PANELS_PER_ROW)
    n_columns = -(-len(panels) // n_rows)
    width, height = PANEL_INCHES
    figure = new_figure(max(6.4, width * n_columns), height * n_rows)
    axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for k, distributions in enumerate(panels):
        ax = plot_overlay(distributions, style_axes(axes[k]))
        legend = ax.get_legend()
        if k and legend is not None:
            legend.remove()
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    return figure
