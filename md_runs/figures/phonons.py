"""Figures of phonons: bands beside their density of states, and the heat capacity.

Nothing is computed here and nothing is shown, as everywhere in `md_runs.figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from md_runs.analysis.vibrations.phonons import (
    GAMMA,
    PhononBands,
    PhononDensity,
    Phonons,
    PhononThermodynamics,
)
from md_runs.figures.style import (
    BANNER_COLOR,
    CLASSICAL_COLOR,
    FAINT,
    INK,
    PIMD_COLOR,
    add_banner,
    axes_or_new,
    new_figure,
    style_axes,
)
from mlpotential.units import EV_PER_KELVIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_phonon_bands(bands: PhononBands, ax: Axes | None = None) -> Axes:
    """Wavenumbers along the path; imaginary ones below zero, in the color of banners.

    Args:
        bands: of `phonons`.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    for begin, end in bands.segments:
        x, lines = bands.distances[begin:end], bands.wavenumbers_per_cm[begin:end]
        ax.plot(x, lines, color=CLASSICAL_COLOR, lw=1.0)
        below = np.where(lines < 0, lines, np.nan)
        if np.isfinite(below).any():
            ax.plot(x, below, color=BANNER_COLOR, lw=1.4)
    for place in bands.corner_distances:
        ax.axvline(place, color=FAINT, lw=0.6, zorder=0)
    ax.axhline(0, color=INK, lw=0.6)
    names = [name.replace(GAMMA, "Γ") for name in bands.corner_names]
    ax.set_xticks(bands.corner_distances, names)
    ax.set_xlim(0, bands.distances[-1])
    ax.set_ylabel(r"wavenumber (cm$^{-1}$)")
    return ax


def plot_bands_of_phonons(phonons: Phonons, ax: Axes | None = None) -> Axes:
    """`plot_phonon_bands` of all that was found."""
    return plot_phonon_bands(phonons.bands, ax)


def plot_phonon_density(
    density: PhononDensity, ax: Axes | None = None, upright: bool = False
) -> Axes:
    """The density of states.

    Args:
        density: of `phonons`.
        ax: where to draw; None for a figure of its own.
        upright: wavenumbers upwards, beside bands.
    """
    ax = axes_or_new(ax)
    wavenumbers, modes = density.wavenumbers_per_cm, density.density
    label = r"modes per cm$^{-1}$"
    if upright:
        ax.fill_betweenx(wavenumbers, 0, modes, color=CLASSICAL_COLOR, alpha=0.25, lw=0)
        ax.plot(modes, wavenumbers, color=CLASSICAL_COLOR, lw=1.0)
        ax.set_xlim(left=0)
        ax.set_xlabel(label)
        return ax
    ax.fill_between(wavenumbers, 0, modes, color=CLASSICAL_COLOR, alpha=0.25, lw=0)
    ax.plot(wavenumbers, modes, color=CLASSICAL_COLOR, lw=1.0)
    ax.set_ylim(bottom=0)
    ax.set_xlabel(r"wavenumber (cm$^{-1}$)")
    ax.set_ylabel(label)
    return ax


def plot_heat_capacity(thermodynamics: PhononThermodynamics, ax: Axes | None = None) -> Axes:
    """Heat capacity per atom in k_B, and its classical limit.

    Args:
        thermodynamics: of `phonons`.
        ax: where to draw; None for a figure of its own.
    """
    ax = axes_or_new(ax)
    per_atom = thermodynamics.heat_capacities_eV_per_K / (EV_PER_KELVIN * thermodynamics.n_atoms)
    ax.axhline(3, color=FAINT, lw=0.8, zorder=0, label="classical")
    ax.plot(thermodynamics.temperatures_K, per_atom, color=PIMD_COLOR, lw=1.4, label="harmonic")
    ax.set_xlim(0, thermodynamics.temperatures_K[-1])
    ax.set_ylim(0, 3.3)
    ax.set_xlabel("temperature (K)")
    ax.set_ylabel(r"heat capacity $C_V$ ($k_\mathrm{B}$ per atom)")
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    return ax


def plot_free_energy(thermodynamics: PhononThermodynamics, ax: Axes | None = None) -> Axes:
    """Free energy of the vibrations per cell; arguments as `plot_heat_capacity`."""
    ax = axes_or_new(ax)
    temperatures = thermodynamics.temperatures_K
    ax.plot(temperatures, thermodynamics.free_energies, color=PIMD_COLOR, lw=1.4)
    ax.axhline(0, color=INK, lw=0.6)
    ax.set_xlim(0, temperatures[-1])
    ax.set_xlabel("temperature (K)")
    ax.set_ylabel("free energy of vibrations (eV per cell)")
    return ax


def bands_figure(phonons: Phonons) -> Figure:
    """Bands and density of states on one axis; imaginary modes are said above them."""
    figure = new_figure(8.0, 4.8)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3.2, 1])
    plot_phonon_bands(phonons.bands, style_axes(left))
    plot_phonon_density(phonons.density, style_axes(right), upright=True)
    right.axhline(0, color=INK, lw=0.6)
    if phonons.imaginary is None:
        return figure
    lowest = -phonons.imaginary.lowest_per_cm
    return add_banner(figure, f"imaginary modes down to {lowest:.0f}i 1/cm: not at a minimum")


def thermodynamics_figure(phonons: Phonons) -> Figure:
    """Free energy and heat capacity over temperature."""
    figure = new_figure(8.0, 3.6)
    left, right = figure.subplots(1, 2)
    plot_free_energy(phonons.thermodynamics, style_axes(left))
    plot_heat_capacity(phonons.thermodynamics, style_axes(right))
    if phonons.imaginary is None:
        return figure
    return add_banner(figure, "imaginary modes were left out: not to be trusted")
