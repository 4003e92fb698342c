"""Figures of distributions and path integrals: g(r), quantum effects, beads, imaginary time.

Nothing is computed here and nothing is shown, as in `md_runs.plots`: `plot_x(result, ax=None) ->
Axes` draws, `x_figure` arranges panels. The figure of beads is Fig. 11 of K. T. Schuett et al.,
J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779, with error bars.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from md_runs.analysis.angle_distributions import AngleDistribution
from md_runs.analysis.bead_convergence import BeadConvergence
from md_runs.analysis.distances import DistanceDistribution
from md_runs.analysis.distribution_difference import (
    AngleDifference,
    Distribution,
    DistributionDifference,
    RadialDifference,
    axis_label,
)
from md_runs.analysis.imaginary_time import ImaginaryTimeSpread
from md_runs.analysis.perturbed_path_integrals import PerturbedDistribution
from md_runs.analysis.rdf import PairDistribution, RadialDistribution
from md_runs.plot_style import (
    CLASSICAL_COLOR,
    FAINT,
    INK,
    PIMD_COLOR,
    SERIES_COLORS,
    band_legend,
    draw_band,
    dressed,
    own_axes,
    series_colors,
)

VERDICT_CHARACTERS = 60  # of one line above a panel
BEAD_COLORS = colormaps["viridis"]


def plot_radial_distributions(
    distributions: RadialDistribution | Sequence[RadialDistribution],
    ax: Axes | None = None,
    reference: tuple[str, np.ndarray, np.ndarray] | None = None,
    max_g: float | None = None,
) -> Axes:
    """Partial g(r) with error bands, and where the cell makes images ambiguous.

    Args:
        distributions: of `radial_distributions`.
        ax: where to draw; None for a figure of its own.
        reference: name, distances (A) and g of another source, an experiment say, [n], [n].
        max_g: upper end of the axis, below the peaks of bonds; None for the highest peak.
    """
    ax = own_axes(ax)
    shown = _sequence(distributions)
    for one, color in zip(shown, series_colors(len(shown)), strict=True):
        draw_band(ax, one.distances, one.g, one.standard_error, color)
        ax.plot(one.distances, one.g, color=color, lw=1.4, label=one.label)
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
    ax.set_xlabel("distance r (Å)")
    ax.set_ylabel("g(r)")
    band_legend(ax, *(one.standard_error for one in shown))
    return ax


def plot_coordination_numbers(
    distributions: RadialDistribution | Sequence[RadialDistribution], ax: Axes | None = None
) -> Axes:
    """Running coordination numbers with error bands.

    Args:
        distributions: of `radial_distributions`.
        ax: where to draw; None for a figure of its own.
    """
    ax = own_axes(ax)
    shown = _sequence(distributions)
    for one, color in zip(shown, series_colors(len(shown)), strict=True):
        number, error = one.coordination_number, one.coordination_error
        draw_band(ax, one.upper_edges, number, error, color)
        ax.plot(one.upper_edges, number, color=color, lw=1.4, label=one.label)
    ax.set_xlim(0, max(one.upper_edges[-1] for one in shown))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("distance r (Å)")
    ax.set_ylabel("neighbours within r")
    band_legend(ax, *(one.coordination_error for one in shown))
    return ax


def radial_distribution_figure(
    distributions: RadialDistribution | Sequence[RadialDistribution],
    reference: tuple[str, np.ndarray, np.ndarray] | None = None,
    max_g: float | None = None,
) -> Figure:
    """g(r) above, coordination numbers below; arguments as `plot_radial_distributions`."""
    figure = Figure(figsize=(6.4, 5.6), dpi=150, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    plot_radial_distributions(distributions, dressed(upper), reference, max_g).set_xlabel("")
    legend = plot_coordination_numbers(distributions, dressed(lower)).get_legend()
    assert legend is not None
    legend.remove()  # that above says the same
    return figure


def plot_difference(difference: DistributionDifference, ax: Axes | None = None) -> Axes:
    """Quantum minus classical with the error band of both.

    Args:
        difference: of `distribution_difference`.
        ax: where to draw; None for a figure of its own.
    """
    ax = own_axes(ax)
    x, y = difference.places, difference.difference
    draw_band(ax, x, y, difference.standard_error, PIMD_COLOR)
    ax.plot(x, y, color=PIMD_COLOR, lw=1.2, label="quantum - classical")
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
    figure = Figure(figsize=(6.4, 5.6), dpi=150, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.6, 1])
    dressed(upper)
    for one, name, color in (
        (classical, "classical", CLASSICAL_COLOR),
        (quantum, f"PIMD, {quantum.n_beads} beads", PIMD_COLOR),
    ):
        draw_distribution(upper, one, name, color)
    upper.set_ylim(bottom=0)
    upper.set_ylabel(height_label(quantum))
    band_legend(upper, quantum.standard_error, classical.standard_error)
    plot_difference(difference, dressed(lower))
    return figure


def plot_distributions_by_beads(
    distributions: Mapping[int, Distribution], ax: Axes | None = None
) -> Axes:
    """One distribution from runs with different numbers of beads, with error bands.

    Args:
        distributions: by number of beads.
        ax: where to draw; None for a figure of its own.
    """
    ax = own_axes(ax)
    for n_beads, color in zip(sorted(distributions), _bead_colors(len(distributions)), strict=True):
        name = "1 bead" if n_beads == 1 else f"{n_beads} beads"
        draw_distribution(ax, distributions[n_beads], name, color)
    first = next(iter(distributions.values()))
    ax.set_xlabel(place_label(first))
    ax.set_ylabel(height_label(first))
    ax.set_ylim(bottom=0)
    band_legend(ax, *(one.standard_error for one in distributions.values()))
    return ax


def plot_bead_convergence(convergence: BeadConvergence, ax: Axes | None = None) -> Axes:
    """A quantity against the number of beads, its limit, the tolerance, and the verdict.

    Args:
        convergence: of `bead_convergence`.
        ax: where to draw; None for a figure of its own.
    """
    ax = own_axes(ax)
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
    figure = Figure(figsize=(9.6, 3.8), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_distributions_by_beads(distributions, dressed(left))
    plot_bead_convergence(convergence, dressed(right))
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
    ax = own_axes(ax)
    if classical is not None:
        draw_distribution(ax, classical, "classical", CLASSICAL_COLOR)
    x, n_beads = distribution.distances, distribution.n_beads
    plain, error = distribution.plain_density, distribution.plain_error
    name = "1 bead" if n_beads == 1 else f"{n_beads} beads"
    draw_band(ax, x, plain, error, SERIES_COLORS[4])
    ax.plot(x, plain, color=SERIES_COLORS[4], lw=1.4, label=name)
    draw_band(ax, x, distribution.density, distribution.standard_error, PIMD_COLOR)
    ax.plot(x, distribution.density, color=PIMD_COLOR, lw=1.4, label=f"{name}, corrected (PPI)")
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
    ax = own_axes(ax)
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


def draw_distribution(ax: Axes, distribution: Distribution, name: str, color: str) -> None:
    """A curve with its error band, from the first three columns: places, heights, errors."""
    x, y, error = (getattr(distribution, column) for column in distribution.COLUMNS[:3])
    draw_band(ax, x, y, error, color)
    ax.plot(x, y, color=color, lw=1.4, label=name)


def _sequence(
    distributions: RadialDistribution | Sequence[RadialDistribution],
) -> Sequence[RadialDistribution]:
    return (distributions,) if isinstance(distributions, RadialDistribution) else distributions


def _bead_colors(n: int) -> list[str]:
    """From dark to bright, with more beads."""
    return [to_hex(BEAD_COLORS(0.85 * k / max(1, n - 1))) for k in range(n)]


def _unit(result: Distribution | DistributionDifference) -> str:
    return "°" if isinstance(result, AngleDistribution | AngleDifference) else "Å"


def _shown_unit(unit: str) -> str:
    return {"A": "Å", "degree": "°"}.get(unit, unit)


def _per_unit(result: Distribution | DistributionDifference) -> str:
    if isinstance(result, RadialDistribution | RadialDifference):
        return ""
    return " per degree" if _unit(result) == "°" else r" (Å$^{-1}$)"


def place_label(distribution: Distribution) -> str:
    """What the horizontal axis of a distribution is, with its unit."""
    return f"{axis_label(distribution)} ({_unit(distribution)})"


def height_label(distribution: Distribution) -> str:
    """What the vertical axis of a distribution is, with its unit."""
    if isinstance(distribution, RadialDistribution):
        return "g(r)"
    name = "h(r)" if isinstance(distribution, PairDistribution) else "density"
    return name + _per_unit(distribution)
