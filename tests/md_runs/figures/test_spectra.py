"""Figures of spectra: what they show, and that failed checks cannot be overlooked."""

from dataclasses import replace

import numpy as np
import pytest
from harmonic_motion import CM_PER_FS
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from md_runs.analysis.spectra.density_of_states import (
    DecomposedSpectrum,
    decomposed_density_of_states,
)
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.infrared import InfraredSpectrum, infrared_spectrum
from md_runs.analysis.spectra.peaks import find_spectrum_peaks
from md_runs.analysis.spectra.raman import raman_spectra
from md_runs.analysis.vibrations.stick_spectra import stick_spectrum
from md_runs.figures import spectra, style


@pytest.fixture(scope="module")
def decomposed() -> DecomposedSpectrum:
    velocities = np.random.default_rng(0).normal(size=(4, 200, 3, 3))
    return decomposed_density_of_states(
        velocities, None, np.ones(3), 4.0, ["O", "H", "H"], removed="translation"
    )


@pytest.fixture(scope="module")
def infrared() -> InfraredSpectrum:
    t = 2.0 * np.arange(600)
    phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (5, 1, 3))
    dipoles = np.sin(2 * np.pi * CM_PER_FS * 1200 * t[:, None] + phases)
    return infrared_spectrum(dipoles, 2.0, 300.0)


def legend(ax: Axes) -> list[str]:
    drawn = ax.get_legend()
    assert drawn is not None
    return [text.get_text() for text in drawn.get_texts()]


def test_infrared_spectrum_stands_before_its_sticks(infrared: InfraredSpectrum) -> None:
    area = infrared.integral.value
    sticks = stick_spectrum(np.array([1200.0]), np.array([area]), infrared.resolution_per_cm)
    ax = spectra.plot_spectrum(infrared, sticks=sticks)
    assert ax.get_ylabel() == "absorption (km mol$^{-1}$ per cm$^{-1}$)"
    assert legend(ax) == [
        f"harmonic, width {sticks.width_per_cm:.3g} cm$^{{-1}}$",
        f"MD, resolution {infrared.resolution_per_cm:.3g} cm$^{{-1}}$",
    ]
    harmonic, dynamic = (line.get_xydata() for line in ax.lines[:2])
    assert harmonic[np.argmax(harmonic[:, 1]), 0] == pytest.approx(1200, abs=10)
    assert dynamic[np.argmax(dynamic[:, 1]), 0] == pytest.approx(1200, abs=10)
    assert ax.get_legend().get_title().get_text() == "bands: ±1 standard error"


def test_no_tick_where_only_the_marks_of_modes_are(infrared: InfraredSpectrum) -> None:
    ax = spectra.plot_spectrum(infrared, np.array([500.0, 1200.0]))
    low, high = ax.get_ylim()
    assert low < 0
    assert len(ax.get_yticks()) >= 3
    assert all(0 <= tick <= high for tick in ax.get_yticks())


def test_passed_checks_are_counted_and_failed_ones_written_out(infrared: InfraredSpectrum) -> None:
    ax = spectra.plot_spectrum(infrared)
    assert ax.get_title(loc="left") == "2 checks passed"
    broadened = infrared_spectrum(
        np.random.default_rng(2).normal(size=(3, 100, 3)),
        2.0,
        300.0,
        dynamics=Dynamics("Langevin", 0.5),
        intensities_km_per_mol=np.array([1.0]),
    )
    ax = spectra.plot_spectrum(broadened)
    failed = broadened.failed_checks
    assert len(failed) == 2
    assert all("FAILED" in str(check) for check in failed)
    written = ax.get_title(loc="left")  # in lines that fit above the panel
    assert written.split() == " ".join(str(check) for check in failed).split()
    title = next(c for c in ax.get_children() if getattr(c, "get_text", str)() == written)
    assert to_hex(title.get_color()).upper() == style.BANNER_COLOR


def test_failed_checks_stay_within_the_figure(infrared: InfraredSpectrum) -> None:
    failed = replace(infrared.checks[0], passed=False, remark="a remark of some length " * 8)
    ax = spectra.plot_spectrum(replace(infrared, checks=(failed, failed)))
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    title = next(c for c in ax.get_children() if getattr(c, "get_text", str)().startswith("therm"))
    box = title.get_window_extent()
    assert box.x1 <= figure.bbox.x1 + 1
    assert box.y1 <= figure.bbox.y1 + 1


def test_parts_are_drawn_with_the_whole(decomposed: DecomposedSpectrum) -> None:
    ax = spectra.plot_parts(decomposed, max_wavenumber_per_cm=3000)
    assert legend(ax) == ["all", "O", "H"]
    curves = [line.get_ydata() for line in ax.lines]
    assert np.allclose(curves[0], curves[1] + curves[2])
    assert ax.get_ylabel() == "modes per cm$^{-1}$"


def test_raman_spectra_are_drawn_by_polarisation() -> None:
    alpha = np.random.default_rng(3).normal(size=(3, 100, 3, 3))
    raman = raman_spectra(alpha + alpha.swapaxes(2, 3), 2.0, 300.0)
    ax = spectra.plot_raman(raman)
    assert legend(ax) == ["parallel", "perpendicular"]
    assert ax.get_ylabel().startswith("activity")


def test_peaks_are_marked_where_they_are_seen(infrared: InfraredSpectrum) -> None:
    peaks = find_spectrum_peaks(infrared)
    ax = spectra.mark_peaks(spectra.plot_spectrum(infrared), peaks)
    assert [text.get_text() for text in ax.texts] == ["1200"]
    narrow = spectra.plot_spectrum(infrared, max_wavenumber_per_cm=800.0)
    assert spectra.mark_peaks(narrow, peaks).texts[:] == []


def test_path_integrals_keep_their_colour_and_axes_are_kept() -> None:
    dipoles = np.random.default_rng(4).normal(size=(2, 100, 3))
    kubo = infrared_spectrum(dipoles, 2.0, 300.0, dynamics=Dynamics("RPMD"))
    ax = Figure().subplots()
    assert spectra.plot_spectrum(kubo, ax=ax) is ax
    assert ax.lines[0].get_color() == style.PIMD_COLOR
