"""Exact motion of harmonic modes, for the tests of spectra."""

from __future__ import annotations

import numpy as np
from ase import units

CM_PER_FS = 2.99792458e-5


def oscillators(
    modes: np.ndarray,
    masses: np.ndarray,
    rest: np.ndarray,
    wavenumbers_per_cm: np.ndarray,
    speeds: np.ndarray,
    times_fs: np.ndarray,
    phases: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Velocities (A/fs) and positions (A) of independent harmonic modes, [n_frames, n_atoms, 3].

    Speeds are amplitudes of the mass-weighted mode velocities (sqrt(amu) A/fs), [n_modes].
    """
    omega = 2 * np.pi * CM_PER_FS * wavenumbers_per_cm
    angles = omega * times_fs[:, None] + phases
    cartesian = (modes / np.sqrt(masses)[:, None]).reshape(len(modes), -1)
    velocities = (speeds * np.cos(angles)) @ cartesian
    displacements = (speeds / omega * np.sin(angles)) @ cartesian
    shape = (len(times_fs), *rest.shape)
    return velocities.reshape(shape), rest + displacements.reshape(shape)


def gaussian_lines(
    shape: tuple[int, ...],
    centres_per_cm: np.ndarray,
    widths_per_cm: np.ndarray,
    timestep_fs: float,
    n_frames: int,
    seed: int,
) -> np.ndarray:
    """Stationary Gaussian processes, each with a Gaussian line of its own and variance 1.

    C(t) = exp(-(s t)^2 / 2) cos(w t), s being 2 pi c times the full width at half maximum over
    2.3548; [*shape, n_lines, n_frames].
    """
    rng = np.random.default_rng(seed)
    n_long = 2 * n_frames  # the synthesis is circular: half of it is used
    w = 2 * np.pi * np.fft.rfftfreq(n_long, timestep_fs)
    centers, deviations = (
        2 * np.pi * CM_PER_FS * np.asarray(x) for x in (centres_per_cm, widths_per_cm / 2.3548)
    )
    amplitudes = np.exp(-((w - centers[:, None]) ** 2) / (4 * deviations[:, None] ** 2))
    amplitudes *= n_long / 2 / np.sqrt(np.sum(amplitudes**2, axis=1))[:, None]
    noise = rng.normal(size=(2, *shape, len(centers), len(w)))
    series = np.fft.irfft(amplitudes * (noise[0] + 1j * noise[1]), n_long, axis=-1)
    return series[..., :n_frames]


def thermal_segments(
    modes: np.ndarray,
    masses: np.ndarray,
    rest: np.ndarray,
    wavenumbers_per_cm: np.ndarray,
    temperature_K: float,
    n_segments: int,
    times_fs: np.ndarray,
    seed: int,
    is_canonical: bool = True,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Segments in thermal states: canonical, or with k_B T in each mode."""
    rng = np.random.default_rng(seed)
    speed = np.sqrt(temperature_K * units.kB) * units.fs
    velocities, positions = [], []
    for _ in range(n_segments):
        shares = np.linalg.norm(rng.normal(size=(2, len(modes))), axis=0)
        v, r = oscillators(
            modes,
            masses,
            rest,
            wavenumbers_per_cm,
            speed * (shares if is_canonical else np.full(len(modes), np.sqrt(2.0))),
            times_fs,
            rng.uniform(0, 2 * np.pi, len(modes)),
        )
        velocities.append(v)
        positions.append(r)
    return velocities, positions
