"""Corrections for time steps, on oscillators integrated by Verlet and recorded rarely."""

import numpy as np
import pytest
from harmonic_motion import CM_PER_FS

from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    vibrational_density_of_states,
)
from md_runs.analysis.spectra.infrared import infrared_spectrum_of_flux
from md_runs.analysis.spectra.peaks import find_spectrum_peaks
from md_runs.analysis.spectra.spectrum_corrections import (
    without_difference_damping,
    without_verlet_shift,
)
from mlpotential.errors import ConfigError, DataError


def verlet_spectrum(wavenumber_per_cm: float, timestep_fs: float) -> VibrationalSpectrum:
    """Two free coordinates of an atom on a spring, moved by velocity Verlet."""
    omega = 2 * np.pi * CM_PER_FS * wavenumber_per_cm
    x, v = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.01, 0.0])
    velocities = np.empty((20_000, 1, 3))
    for frame in velocities:
        frame[0] = v
        v = v - 0.5 * timestep_fs * omega**2 * x
        x = x + timestep_fs * v
        v = v - 0.5 * timestep_fs * omega**2 * x
    return vibrational_density_of_states(
        velocities[None], None, np.ones(1), timestep_fs, removed="nothing"
    )


@pytest.mark.parametrize(("timestep_fs", "shift"), [(0.5, 10.1), (1.0, 41.4)])
def test_the_shift_of_verlet_is_taken_back(timestep_fs: float, shift: float) -> None:
    """2 asin(w h / 2) / (w h) = 1.003357 and 1.013806; to second order 1 + (w h)^2 / 24."""
    spectrum = verlet_spectrum(3000.0, timestep_fs)
    found = find_spectrum_peaks(spectrum).wavenumbers_per_cm
    assert found == pytest.approx([3000 + shift], abs=0.2)
    corrected = without_verlet_shift(spectrum, timestep_fs)
    line = find_spectrum_peaks(corrected)
    assert line.wavenumbers_per_cm == pytest.approx([3000.0], abs=0.05)
    assert line.areas == pytest.approx(find_spectrum_peaks(spectrum).areas, rel=1e-3)
    assert corrected.integral.value == pytest.approx(3.0, rel=1e-3)
    assert corrected.corrections == (f"time step of {timestep_fs:g} fs (Verlet)",)
    with pytest.raises(ConfigError, match="corrected already"):
        without_verlet_shift(corrected, timestep_fs)


def test_steps_of_the_integrator_are_not_those_of_the_record() -> None:
    spectrum = verlet_spectrum(500.0, 1.0)
    with pytest.raises(ConfigError, match="frames lie 1 fs apart"):
        without_verlet_shift(spectrum, 2.0)
    with pytest.raises(DataError, match="timestep_fs must be positive"):
        without_verlet_shift(spectrum, 0.0)
    assert (
        without_verlet_shift(spectrum, 0.25).wavenumbers_per_cm[-1]
        < (spectrum.wavenumbers_per_cm[-1])
    )


@pytest.mark.parametrize(
    ("stride_fs", "wavenumber", "factor"),
    [(0.5, 3000.0, 0.974), (1.0, 3000.0, 0.898), (2.0, 3000.0, 0.640), (2.0, 3700.0, 0.499)],
)
def test_central_differences_damp_lines_and_are_corrected(
    stride_fs: float, wavenumber: float, factor: float
) -> None:
    """Factors as measured of a program that does not correct them: sinc^2(w dt)."""
    t = stride_fs * np.arange(8000)
    w = 2 * np.pi * CM_PER_FS * wavenumber
    dipoles = np.stack([np.sin(w * t + 0.2), np.cos(w * t), 0 * t], axis=1)
    central = (dipoles[2:] - dipoles[:-2]) / (2 * stride_fs)
    exact = w * np.stack([np.cos(w * t + 0.2), -np.sin(w * t), 0 * t], axis=1)

    def area(spectrum: object) -> float:
        return spectrum.area(wavenumber - 60, wavenumber + 60).value  # type: ignore[attr-defined]

    damped = infrared_spectrum_of_flux(central[None], stride_fs, 300.0, 3000)
    whole = infrared_spectrum_of_flux(exact[None], stride_fs, 300.0, 3000)
    assert area(damped) / area(whole) == pytest.approx(factor, abs=1.5e-3)
    corrected = without_difference_damping(damped, n_steps=2)
    assert area(corrected) / area(whole) == pytest.approx(1.0, rel=2e-3)
    assert corrected.corrections == ("damping of differences over 2 frames (sinc^2)",)
    assert corrected.wavenumbers_per_cm[-1] < damped.wavenumbers_per_cm[-1]  # the zero is left out
    with pytest.raises(ConfigError, match="corrected already"):
        without_difference_damping(corrected, 2)
    with pytest.raises(ConfigError, match="n_steps"):
        without_difference_damping(damped, 0)
