"""Figures of spectra: the curve with its error band, sticks of normal modes, parts, failed checks.

Nothing is computed here and nothing is shown, as everywhere in `md_runs.figures`. A check that
failed is written into the panel in the color of banners, whoever drew it; those that passed are
counted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from md_runs.analysis.spectra.peaks import PeakTable
from md_runs.analysis.spectra.raman import RamanSpectra
from md_runs.analysis.spectra.spectrum import Spectrum
from md_runs.analysis.spectra.spectrum_parts import SpectrumParts
from md_runs.analysis.vibrations.stick_spectra import StickSpectrum
from md_runs.figures.style import (
    BANNER_COLOR,
    CLASSICAL_COLOR,
    INK,
    MODE_COLOR,
    ORDER_COLORS,
    PIMD_COLOR,
    SERIES_COLORS,
    axes_or_new,
    band_legend,
    draw_curve,
    new_figure,
    series_colors,
    shades,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHECK_CHARACTERS = 105  # of one line of failed checks above a panel
MOST_NAMED_PARTS = 12  # chosen: more have no room in a legend
MOST_MARKED_PEAKS = 15  # chosen: more wavenumbers above a spectrum of usual width overlap
UNIT_LABELS = {
    "cm": r"modes per cm$^{-1}$",
    "km/mol cm": r"absorption (km mol$^{-1}$ per cm$^{-1}$)",
    "A^4/amu cm": r"activity (Å$^4$ u$^{-1}$ per cm$^{-1}$)",
    "1e-30 cm^2/sr cm": r"cross section (10$^{-30}$ cm$^2$ sr$^{-1}$ per cm$^{-1}$)",
}
WAVENUMBER_LABEL = r"wavenumber (cm$^{-1}$)"


def plot_spectrum(
    spectrum: Spectrum,
    harmonic_per_cm: np.ndarray | None = None,
    ax: Axes | None = None,
    max_wavenumber_per_cm: float | None = None,
    sticks: StickSpectrum | None = None,
) -> Axes:
    """A spectrum with its error band and failed checks, normal modes beside it.

    Args:
        spectrum: a density of states, infrared or Raman spectrum.
        harmonic_per_cm: wavenumbers of normal modes, [n_modes], as sticks below; None for none.
        ax: where to draw; None for a figure of its own.
        max_wavenumber_per_cm: right end of the axis; None for 1800, or what the modes reach.
        sticks: the normal modes as a spectrum of the same unit, behind; None for none.
    """
    modes = [harmonic_per_cm, None if sticks is None else sticks.mode_wavenumbers_per_cm]
    right = max_wavenumber_per_cm or max([1800.0, *(1.1 * m.max() for m in modes if m is not None)])
    ax = plot_spectra({"MD": spectrum}, right, sticks, ax)
    if harmonic_per_cm is not None:
        height = 0.08 * spectrum.intensity[spectrum.wavenumbers_per_cm <= right].max()
        ends = -1.5 * height, -0.5 * height
        ax.vlines(harmonic_per_cm, *ends, color=MODE_COLOR, lw=1, label="harmonic modes")
        low, high = ax.get_ylim()
        ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= high])  # below are modes
        ax.set_ylim(low, 1.2 * high)  # room for the legend
        band_legend(ax, spectrum.standard_error, place="upper left")  # "best" overlooks sticks
    return ax


def plot_parts(
    spectrum: SpectrumParts[Any], ax: Axes | None = None, max_wavenumber_per_cm: float = 1800.0
) -> Axes:
    """A spectrum in all, and what elements, atoms or modes add to it.

    Args:
        spectrum: of `decomposed_density_of_states` or `infrared_parts`.
        ax: where to draw; None for a figure of its own.
        max_wavenumber_per_cm: right end of the axis.
    """
    ax = axes_or_new(ax)
    wavenumbers = spectrum.total.wavenumbers_per_cm
    shown = wavenumbers <= max_wavenumber_per_cm
    ax.plot(wavenumbers[shown], spectrum.total.intensity[shown], color=INK, lw=1.0, label="all")
    n_parts = len(spectrum.labels)
    colors = series_colors(n_parts)
    if n_parts > len(SERIES_COLORS):
        colors = shades(np.linspace(0, 0.9, n_parts))
    for label, color, intensity, error in zip(
        spectrum.labels, colors, spectrum.intensities, spectrum.standard_errors, strict=True
    ):
        draw_curve(ax, wavenumbers[shown], intensity[shown], error[shown], color, label, 1.0)
    label_spectrum_axes(ax, max_wavenumber_per_cm, spectrum.total)
    band_legend(ax, spectrum.standard_errors)
    if n_parts > MOST_NAMED_PARTS:
        _show_order(ax, spectrum.labels)
    return show_checks(ax, {"": spectrum.total})


def _show_order(ax: Axes, labels: Sequence[str]) -> None:
    """Colours of many parts on a bar, from the first to the last."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    legend = ax.get_legend()
    assert legend is not None
    legend.remove()
    scale = ScalarMappable(Normalize(1, len(labels)), ORDER_COLORS)
    bar = ax.figure.colorbar(scale, ax=ax, pad=0.01, label=f"{labels[0]} to {labels[-1]}")
    bar.set_ticks([])


def plot_raman(
    raman: RamanSpectra, ax: Axes | None = None, max_wavenumber_per_cm: float = 4000.0
) -> Axes:
    """Raman activities with the scattered light polarised parallel and perpendicular.

    Args:
        raman: of `raman_spectra`.
        ax: where to draw; None for a figure of its own.
        max_wavenumber_per_cm: right end of the axis.
    """
    ax = axes_or_new(ax)
    for spectrum, color in ((raman.parallel, CLASSICAL_COLOR), (raman.perpendicular, PIMD_COLOR)):
        shown = spectrum.wavenumbers_per_cm <= max_wavenumber_per_cm
        curve = spectrum.wavenumbers_per_cm[shown], spectrum.intensity[shown]
        name = spectrum.quantity.removeprefix("Raman activity, ")
        draw_curve(ax, *curve, spectrum.standard_error[shown], color, name, 1.2)
    label_spectrum_axes(ax, max_wavenumber_per_cm, raman.parallel)
    band_legend(ax, raman.parallel.standard_error)
    return show_checks(ax, {"": raman.unpolarised})


def mark_peaks(ax: Axes, peaks: PeakTable) -> Axes:
    """Writes the wavenumbers of peaks above them, into Axes that hold their spectrum."""
    right = ax.get_xlim()[1]
    for wavenumber, height in zip(peaks.wavenumbers_per_cm, peaks.heights, strict=True):
        if wavenumber <= right:
            ax.annotate(
                f"{wavenumber:.0f}",
                (wavenumber, height),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                fontsize="x-small",
                color=INK,
            )
    return ax


def show_checks(ax: Axes, spectra: Mapping[str, Spectrum]) -> Axes:
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


def label_spectrum_axes(ax: Axes, right: float, spectrum: Spectrum) -> None:
    """Range, names and units."""
    ax.set_xlim(0, right)
    ax.set_xlabel(WAVENUMBER_LABEL)
    ax.set_ylabel(UNIT_LABELS[spectrum.UNITS["intensity"]])


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
    ax = axes_or_new(ax)
    if sticks is not None:
        inside = sticks.wavenumbers_per_cm <= max_wavenumber_per_cm
        curve = sticks.wavenumbers_per_cm[inside], sticks.intensity[inside]
        name = f"harmonic, width {sticks.width_per_cm:.3g} cm$^{{-1}}$"
        ax.fill_between(*curve, color=MODE_COLOR, alpha=0.15, lw=0)
        ax.plot(*curve, color=MODE_COLOR, lw=0.8, label=name)
    colors = [color for color in series_colors(len(spectra) + 1) if color != MODE_COLOR]
    if [spectrum.quantum_correction for spectrum in spectra.values()] == ["Kubo"]:
        colors = [PIMD_COLOR]
    for k, ((name, spectrum), color) in enumerate(zip(spectra.items(), colors, strict=False)):
        shown = spectrum.wavenumbers_per_cm <= max_wavenumber_per_cm
        curve = spectrum.wavenumbers_per_cm[shown], spectrum.intensity[shown]
        label = f"{name}, resolution {spectrum.resolution_per_cm:.3g} cm$^{{-1}}$"
        width = 1.8 if k == 0 and len(spectra) > 1 else 1.0  # an equal one behind can be seen
        draw_curve(ax, *curve, spectrum.standard_error[shown], color, label, width)
    ax.axhline(0, color=INK, lw=0.6)
    label_spectrum_axes(ax, max_wavenumber_per_cm, next(iter(spectra.values())))
    ax.margins(y=0.06)
    band_legend(ax, *(spectrum.standard_error for spectrum in spectra.values()))
    return show_checks(ax, spectra)


def spectra_figure(
    spectra: Mapping[str, Spectrum],
    max_wavenumber_per_cm: float,
    sticks: StickSpectrum | None = None,
    peaks: PeakTable | None = None,
) -> Figure:
    """A figure of its own of `plot_spectra`, peaks marked where they are few."""
    figure = new_figure(7.2, 4.4)
    ax = plot_spectra(spectra, max_wavenumber_per_cm, sticks, style_axes(figure.subplots()))
    if peaks is not None and len(peaks) <= MOST_MARKED_PEAKS:
        mark_peaks(ax, peaks)
    return figure


def parts_figure(spectra: Mapping[str, SpectrumParts[Any]], max_wavenumber_per_cm: float) -> Figure:
    """Spectra and their parts, one panel for each run."""
    n_runs = len(spectra)
    figure = new_figure(7.2, 0.6 + 3.4 * n_runs)
    panels = figure.subplots(n_runs, 1, sharex=True, squeeze=False)[:, 0]
    for panel, (name, spectrum) in zip(panels, spectra.items(), strict=True):
        plot_parts(spectrum, style_axes(panel), max_wavenumber_per_cm)
        panel.set_title(name, loc="right", fontsize="small", color=INK)
    for panel in panels[:-1]:
        panel.set_xlabel("")
    return figure
