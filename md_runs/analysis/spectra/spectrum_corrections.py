"""Corrections for finite time steps: of the integrator and of a flux from differences.

Velocity Verlet with step h moves a harmonic oscillator of angular frequency w at (L. Verlet, Phys.
Rev. 159, 98 (1967); exact solution of its recursion)

    sin(w_h h / 2) = w h / 2,   (1)

so that lines appear at too high wavenumbers (h = 0.5 fs: 10 1/cm at 3000 1/cm); taking (1) back
shifts them to the red. A flux from samples h n apart, (x(t + n h) - x(t)) / (n h), is damped by

    sinc(w n h / 2)^2,   sinc(y) = sin(y) / y,   (2)

in intensity: the central difference (n = 2) keeps 64 % of a line at 3000 1/cm for h = 2 fs.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from md_runs.analysis.sampling.frame_pieces import check_timestep
from md_runs.analysis.spectra.spectrum import Spectrum
from mlpotential.errors import ConfigError, DataError
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

AnySpectrum = TypeVar("AnySpectrum", bound=Spectrum)

SMALLEST_DAMPING = 0.05  # chosen: points damped further hold noise and are left out


def without_verlet_shift(spectrum: AnySpectrum, integration_timestep_fs: float) -> AnySpectrum:
    """The spectrum over the wavenumbers of exact integration, (1); areas of lines stay.

    Args:
        spectrum: of a run with a Verlet integrator (velocity Verlet, or a splitting with
            a thermostat around it).
        integration_timestep_fs: step of the integrator, not the time between recorded frames.

    Raises:
        DataError: a step that is not positive.
        ConfigError: a step longer than the time between frames, or corrected before.
    """
    check_timestep(integration_timestep_fs)
    if integration_timestep_fs > spectrum.timestep_fs * (1 + 1e-9):
        raise ConfigError(
            f"frames lie {spectrum.timestep_fs:g} fs apart: the integrator's step cannot be "
            f"{integration_timestep_fs:g} fs"
        )
    name = f"time step of {integration_timestep_fs:g} fs (Verlet)"
    _check_not_applied(spectrum, "Verlet")
    half_phase = np.pi * spectrum.wavenumbers_per_cm * integration_timestep_fs
    half_phase /= WAVENUMBER_PER_INVERSE_FS
    exact = np.sin(half_phase) * WAVENUMBER_PER_INVERSE_FS / (np.pi * integration_timestep_fs)
    inside = half_phase < 0.5 * np.pi * (1 - 1e-9)  # where it ends, the integrator is unstable
    blocks = spectrum.blocks[:, inside] / np.cos(half_phase[inside])
    return spectrum.changed(exact[inside], blocks, corrections=(*spectrum.corrections, name))


def without_difference_damping(spectrum: AnySpectrum, n_steps: int) -> AnySpectrum:
    """The spectrum divided by the damping (2) of a flux from differences.

    Args:
        spectrum: of the flux.
        n_steps: frames between the samples of a difference: 1 from frame to frame, 2 for the
            central difference. Points near its zeros are left out.

    Raises:
        ConfigError: `n_steps` below 1, or corrected before.
        DataError: if no point is left.
    """
    if n_steps < 1:
        raise ConfigError(f"n_steps must be at least 1, not {n_steps}")
    _check_not_applied(spectrum, "sinc")
    phase = spectrum.wavenumbers_per_cm * n_steps * spectrum.timestep_fs
    damping = np.sinc(phase / WAVENUMBER_PER_INVERSE_FS) ** 2  # (2); sinc(y / pi) of numpy
    kept = int(np.argmax(damping < SMALLEST_DAMPING)) or len(damping)
    if kept < 2:
        raise DataError("no point of the spectrum is free of damping: record more often")
    name = f"damping of differences over {n_steps} frame{'s' * (n_steps > 1)} (sinc^2)"
    return spectrum.changed(
        spectrum.wavenumbers_per_cm[:kept],
        spectrum.blocks[:, :kept] / damping[:kept],
        corrections=(*spectrum.corrections, name),
    )


def _check_not_applied(spectrum: Spectrum, word: str) -> None:
    if any(word in correction for correction in spectrum.corrections):
        raise ConfigError(f"the spectrum is corrected already: {'; '.join(spectrum.corrections)}")
