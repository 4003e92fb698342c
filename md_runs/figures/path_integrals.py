"""Figures of path integrals: beads, their convergence and correction, imaginary time.

Nothing is computed here and nothing is shown, as everywhere in `md_runs.figures`. The figure of
beads is Fig. 11 of K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779,
with error bars.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from md_runs.analysis.path_integrals.bead_convergence import BeadConvergence
from md_runs.analysis.path_integrals.imaginary_time import ImaginaryTimeSpread
from md_runs.analysis.path_integrals.perturbed_path_integrals import PerturbedDistribution
from md_runs.analysis.structure.distances import DistanceDistribution
from md_runs.analysis.structure.distribution_difference import Distribution
from md_runs.analysis.structure.rdf import PairDistribution
from md_runs.figures.distributions import draw_distribution, plot_overlay
from md_runs.figures.style import (
    CLASSICAL_COLOR,
    FAINT,
    INK,
    PIMD_COLOR,
    SERIES_COLORS,
    axes_or_new,
    band_legend,
    draw_band,
    draw_curve,
    new_figure,
    series_colors,
    shades,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICT_CHARACTERS = 60  # of one line above a panel


def plot_distributions_by_beads(
    distributions: Mapping[int, Distribution], ax: Axes | None = None
) -> Axes:
    """One distribution from runs with different numbers of beads, with error bands.

    Args:
        distributions: by number of beads.
        ax: where to draw; None for a figure of its own.
    """
    by_name = {
        "1 bead" if n_beads == 1 else f"{n_beads} beads": distributions[n_beads]
        for n_beads in sorted(distributions)
    }
    return plot_overlay(by_name, ax, _bead_colors(len(by_name)))


def plot_bead_convergence(convergence: BeadConvergence, ax: Axes | None = None) -> Axes:
    """A quantity against the number of beads, its limit, the tolerance, and the verdict.

    Args:
        convergence: of `bead_convergence`.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    n_beads, limit, tolerance = convergence.n_beads, convergence.limit, convergence.tolerance
    ax.axhspan(
        limit.value - tolerance, limit.value + tolerance, color=FAINT, alpha=0.4, lw=0,
        label=f"limit ± {tolerance:g}",
    )  # fmt: skip
    ax.axhline(limit.value, color=INK, lw=0.8, ls="--")
    ax.errorbar(
        n_beads, convergence.values, convergence.standard_errors, fmt="o-", ms=5, lw=1.0,
        capsize=3, color=PIMD_COLOR, label="±1 standard error",
    )  # fmt: skip
    ax.set_xscale("log", base=2)
    from matplotlib.ticker import FixedLocator, NullLocator

    ax.xaxis.set_major_locator(FixedLocator(n_beads.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("number of beads")
    ax.set_ylabel(f"{convergence.label} ({_shown_unit(convergence.unit)})")
    verdict = textwrap.fill(convergence.verdict, VERDICT_CHARACTERS)
    ax.set_title(verdict, fontsize="small", loc="left", color=INK)
    ax.legend(frameon=False, fontsize="small")
    return ax


def bead_convergence_figure(
    distributions: Mapping[int, Distribution], convergence: BeadConvergence
) -> Figure:
    """Fig. 11: distributions at the left, a mean and its verdict at the right."""
    figure = new_figure(9.6, 3.8)
    left, right = figure.subplots(1, 2)
    plot_distributions_by_beads(distributions, style_axes(left))
    plot_bead_convergence(convergence, style_axes(right))
    return figure


def plot_perturbed_distribution(
    distribution: PerturbedDistribution,
    classical: DistanceDistribution | PairDistribution | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A distribution of P beads beside that corrected to infinitely many.

    Args:
        distribution: of `perturbed_distance_distribution`.
        classical: of a classical run; None to leave it out.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    if classical is not None:
        draw_distribution(ax, classical, "classical", CLASSICAL_COLOR)
    x, n_beads = distribution.distances, distribution.n_beads
    plain, error = distribution.plain_density, distribution.plain_error
    name = "1 bead" if n_beads == 1 else f"{n_beads} beads"
    draw_curve(ax, x, plain, error, SERIES_COLORS[4], name)
    density, its_error = distribution.density, distribution.standard_error
    draw_curve(ax, x, density, its_error, PIMD_COLOR, f"{name}, corrected (PPI)")
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xlabel(f"{distribution.label} (Å)")
    ax.set_ylabel(r"density (Å$^{-1}$)")
    band_legend(ax, distribution.standard_error, error)
    return ax


def plot_imaginary_time(spread: ImaginaryTimeSpread, ax: Axes | None = None) -> Axes:
    """Root mean square displacement in imaginary time by element; free particles dashed.

    Args:
        spread: of `imaginary_time_spread`.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    times = spread.imaginary_times_fs
    squares, errors = (
        spread.mean_square_displacement.value,
        spread.mean_square_displacement.standard_error,
    )
    for k, color in enumerate(series_colors(len(spread.elements))):
        root = np.sqrt(squares[k])
        half_error = np.divide(errors[k], 2 * root, out=np.zeros_like(root), where=root > 0)
        draw_band(ax, times, root, half_error, color)
        ax.plot(times, root, "o-", ms=3, lw=1.2, color=color, label=spread.elements[k])
        ax.plot(times, np.sqrt(spread.free_particle[k]), ls="--", lw=0.8, color=color)
    ax.plot([], [], ls="--", lw=0.8, color=INK, label="free particle")
    ax.set_xlim(0, times[-1])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("imaginary time (fs)")
    ax.set_ylabel("root mean square displacement (Å)")
    band_legend(ax, errors)
    return ax


def _bead_colors(n: int) -> list[str]:
    """From dark to bright, with more beads."""
    return shades([0.85 * k / max(1, n - 1) for k in range(n)])


def imaginary_time_figure(spreads: Mapping[str, ImaginaryTimeSpread]) -> Figure:
    """One panel for each run, on the same axes."""
    n_runs = len(spreads)
    figure = new_figure(max(6.4, 4.0 * n_runs), 3.8)
    panels = figure.subplots(1, n_runs, sharey=True, squeeze=False)[0]
    for panel, (name, spread) in zip(panels, spreads.items(), strict=True):
        plot_imaginary_time(spread, style_axes(panel))
        panel.set_title(f"{name}, {spread.n_beads} beads", fontsize="small", loc="left", color=INK)
    for panel in panels[1:]:
        panel.set_ylabel("")
    return figure


def _shown_unit(unit: str) -> str:
    return {"A": "Å", "degree": "°"}.get(unit, unit)
