"""Peak tables of spectra whose lines are known."""

from pathlib import Path

import numpy as np
import pytest
from harmonic_motion import CM_PER_FS, gaussian_lines

from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    vibrational_density_of_states,
)
from md_runs.analysis.spectra.infrared import infrared_spectrum_of_flux
from md_runs.analysis.spectra.peaks import find_spectrum_peaks

LINES = np.array([400.0, 1000.0, 1700.0])
WIDTHS = np.array([30.0, 40.0, 25.0])


def noisy_lines(n_repeats: int, n_segments: int, n_frames: int = 1500) -> list[VibrationalSpectrum]:
    """Three coordinates of an atom, each a Gaussian process with a Gaussian line of its own."""
    series = gaussian_lines((n_repeats, n_segments), LINES, WIDTHS, 2.0, n_frames, seed=0)
    return [
        vibrational_density_of_states(
            repeat.swapaxes(1, 2)[:, :, None], None, np.ones(1), 2.0, 400, "nothing"
        )
        for repeat in series
    ]


@pytest.mark.slow
def test_lines_are_found_with_honest_errors() -> None:
    """200 repeats: every number lies within one standard error as often as it should, 60-76 %.

    The truth of heights and widths, which depend on window and grid, is their mean.
    """
    tables = [
        find_spectrum_peaks(s, 200, 2000, smallest_share=0.3) for s in noisy_lines(200, 12, 1000)
    ]
    complete = [table for table in tables if len(table) == 3]
    assert len(complete) >= 190
    positions = np.array([t.wavenumbers_per_cm for t in complete]) - LINES
    errors = np.array([t.wavenumber_errors_per_cm for t in complete])
    covered = {"wavenumbers": np.abs(positions) < errors}
    areas = np.array([t.areas for t in complete]) - 1.0
    area_errors = np.array([t.area_errors for t in complete])
    covered["areas"] = np.abs(areas) < area_errors
    for values, of_values in (
        ("heights", "height_errors"),
        ("widths_per_cm", "width_errors_per_cm"),
    ):
        found = np.array([getattr(t, values) for t in complete])
        bars = np.array([getattr(t, of_values) for t in complete])
        covered[values] = np.abs(found - found.mean(axis=0)) < bars
    share = {name: np.mean(inside) for name, inside in covered.items()}
    assert all(0.60 < s < 0.76 for s in share.values()), share
    assert np.abs(areas.mean(axis=0)).max() < 0.05
    widths = np.mean([t.widths_per_cm for t in complete], axis=0)
    resolution = complete[0].resolution_per_cm
    assert np.allclose(widths, np.hypot(WIDTHS, resolution), rtol=0.25)


def test_a_sharp_line_is_where_it_is_and_as_wide_as_the_window() -> None:
    t = 1.0 * np.arange(6000)
    for wavenumber in (512.3, 1234.5, 2999.9):
        v = np.zeros((1, 6000, 1, 3))
        v[0, :, 0, 0] = np.cos(2 * np.pi * CM_PER_FS * wavenumber * t + 0.4)
        spectrum = vibrational_density_of_states(v, None, np.ones(1), 1.0, 1500, "nothing")
        table = find_spectrum_peaks(spectrum)
        assert table.wavenumbers_per_cm == pytest.approx([wavenumber], abs=0.1)  # no side lobes
        assert table.widths_per_cm == pytest.approx([spectrum.resolution_per_cm], rel=0.03)
        assert table.areas == pytest.approx([3.0], rel=0.01)
        assert np.isnan(table.wavenumber_errors_per_cm).all()


@pytest.mark.public_data
def test_bands_of_liquid_water_are_found(public_data: Path) -> None:
    """Of a measured spectrum (J. E. Bertie, Z. Lan, Appl. Spectrosc. 50, 1047 (1996),
    doi:10.1366/0003702963905385): libration, bend at 1643.5 and stretch near 3400 1/cm."""
    table = np.loadtxt(public_data / "reference" / "water_experimental_IR_H2O_25C.txt")
    table = table[np.argsort(table[:, 0])]
    k = np.arange(400.0, 3950.0, 5.0)
    noise = np.random.default_rng(2).normal(size=(1, 400, 3))
    measured = infrared_spectrum_of_flux(noise, 1.0, 298.15).changed(
        k, np.interp(k, *table.T)[None], resolution_per_cm=5.0
    )
    found = find_spectrum_peaks(measured, smallest_share=0.1)
    assert len(found) == 3
    assert abs(found.wavenumbers_per_cm[0] - 650) < 60  # a broad band, digitised
    assert found.wavenumbers_per_cm[1:] == pytest.approx([1643.5, 3400.0], abs=10)
    assert found.widths_per_cm[1] == pytest.approx(80, abs=20)


def test_noise_has_no_peaks() -> None:
    v = np.random.default_rng(1).normal(size=(30, 300, 4, 3))
    spectrum = vibrational_density_of_states(v, None, np.ones(4), 1.0, 100, "nothing")
    assert len(find_spectrum_peaks(spectrum)) <= 1  # of 60 maxima


def test_a_spectrum_without_a_maximum_has_no_peaks() -> None:
    """Diffusion: velocities that forget where they went, D(k) falling from k = 0."""
    rng = np.random.default_rng(1)
    velocities = np.zeros((4000, 8, 3))
    for frame in range(1, len(velocities)):
        velocities[frame] = 0.5 * velocities[frame - 1] + rng.normal(size=(8, 3))
    whole = vibrational_density_of_states(velocities[None], None, np.ones(8), 2.0, 4, "nothing")
    peaks = find_spectrum_peaks(whole)
    assert np.all(np.diff(whole.intensity) < 0)
    assert len(peaks) == 0
    assert peaks.areas.shape == peaks.area_errors.shape == (0,)
