"""Figures of analysis results: `plot_x(result, ax=None) -> Axes` draws, `x_figure` arranges panels.

Nothing is computed here and nothing is shown: results come from `md_runs.analysis`, and the figure
of an Axes is saved with `ax.figure.savefig(path)`. Colours are those of M. Okabe and K. Ito, "Color
universal design" (2008), which colour-blind readers can tell apart; classical and path-integral
runs keep theirs throughout. Fig. 7 and Fig. 8 are those of K. T. Schuett et al., J. Chem. Phys.
148, 241722 (2018), doi:10.1063/1.5019779.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from md_runs.analysis.distances import DistanceDistribution
from md_runs.analysis.normal_modes import FrequencyComparison
from md_runs.analysis.rdf import PairDistribution
from md_runs.analysis.spectra import Spectrum

CLASSICAL_COLOR = "#0072B2"  # blue
PIMD_COLOR = "#D55E00"  # vermilion
MODE_COLOR = "#009E73"  # bluish green
BANNER_COLOR = "#A03000"
BANNER_INCHES = 0.4
INK = "#333333"
FAINT = "#B8B8B8"

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
    ax = _axes(ax)
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
    ax = _axes(ax)
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
    plot_wavenumbers(comparison, _dressed(upper), labels).set_xlabel("")
    plot_relative_deviations(comparison, _dressed(lower))
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
    ax = _axes(ax)
    for distribution, name, color in (
        (classical, "classical", CLASSICAL_COLOR),
        (path_integral, f"PIMD, {path_integral.n_beads} beads", PIMD_COLOR),
    ):
        _band(ax, distribution.distances, distribution.density, distribution.standard_error, color)
        ax.plot(distribution.distances, distribution.density, color=color, lw=1.4, label=name)
    if label is None:
        label = classical.label if isinstance(classical, DistanceDistribution) else "distance r"
    is_pair_density = isinstance(classical, PairDistribution)
    ax.set_xlabel(f"{label} (Å)")
    ax.set_ylabel(r"h(r) (Å$^{-1}$)" if is_pair_density else r"density (Å$^{-1}$)")
    ax.set_ylim(bottom=0)
    _band_legend(ax, classical.standard_error, path_integral.standard_error)
    return ax


def distribution_figure(pairs: Sequence[tuple[Distribution, Distribution]]) -> Figure:
    """Fig. 8: one panel for each (classical, path-integral) pair of distributions."""
    figure = Figure(figsize=(4.0 * len(pairs), 3.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(pairs), squeeze=False)[0]
    for panel, (classical, path_integral) in zip(panels, pairs, strict=True):
        plot_distributions(classical, path_integral, _dressed(panel))
    for panel in panels[1:]:
        panel.get_legend().remove()
    return figure


def plot_spectrum(
    spectrum: Spectrum,
    harmonic_per_cm: np.ndarray | None = None,
    ax: Axes | None = None,
    max_wavenumber_per_cm: float = 1800.0,
) -> Axes:
    """A vibrational density of states with its error band, harmonic modes as sticks under it.

    Args:
        spectrum: of `vibrational_density_of_states`.
        harmonic_per_cm: wavenumbers of normal modes, [n_modes]; None for no sticks.
        ax: where to draw; None for a figure of its own.
        max_wavenumber_per_cm: right end of the axis.
    """
    ax = _axes(ax)
    shown = spectrum.wavenumbers_per_cm <= max_wavenumber_per_cm
    wavenumbers, density = spectrum.wavenumbers_per_cm[shown], spectrum.density[shown]
    _band(ax, wavenumbers, density, spectrum.standard_error[shown], CLASSICAL_COLOR)
    name = f"MD, resolution {spectrum.resolution_per_cm:.3g} cm$^{{-1}}$"
    ax.plot(wavenumbers, density, color=CLASSICAL_COLOR, lw=1.2, label=name)
    ax.axhline(0, color=INK, lw=0.6)
    if harmonic_per_cm is not None:
        height = 0.08 * density.max()
        label = "harmonic modes"
        ax.vlines(
            harmonic_per_cm, -1.5 * height, -0.5 * height, color=MODE_COLOR, lw=1, label=label
        )
    ax.set_xlim(0, max_wavenumber_per_cm)
    ax.set_xlabel(r"wavenumber (cm$^{-1}$)")
    ax.set_ylabel(r"modes per cm$^{-1}$")
    _band_legend(ax, spectrum.standard_error)
    return ax


def add_banner(figure: Figure, text: str) -> Figure:
    """Writes a remark above the panels, such as "sampling too short for conclusions"."""
    margin = BANNER_INCHES / figure.get_figheight()
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


def _band(
    ax: Axes, x: np.ndarray, density: np.ndarray, standard_error: np.ndarray, color: str
) -> None:
    """One standard error to each side; nothing where it is unknown (NaN)."""
    ax.fill_between(
        x, density - standard_error, density + standard_error, color=color, alpha=0.25, lw=0
    )


def _band_legend(ax: Axes, *standard_errors: np.ndarray) -> None:
    """A legend that says what the bands are, where there are any."""
    has_bands = any(np.isfinite(error).any() for error in standard_errors)
    title = "bands: ±1 standard error" if has_bands else None
    ax.legend(
        frameon=False, title=title, title_fontsize="x-small", fontsize="small", alignment="left"
    )


def _axes(ax: Axes | None) -> Axes:
    """The given Axes, or those of a new figure."""
    if ax is not None:
        return ax
    return _dressed(Figure(figsize=(6.4, 4.0), dpi=150, layout="constrained").subplots())


def _dressed(ax: Axes) -> Axes:
    """Thin axes at the left and below only."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(linewidth=0.6, color=INK)
    ax.tick_params(width=0.6, color=INK, labelcolor=INK)
    return ax
