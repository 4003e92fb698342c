"""Free particles with friction and noise, whose motion is known exactly.

dv = -g v dt + sqrt(2 g kT / m) dW has normal velocities and displacements over a step h (S.
Chandrasekhar, Rev. Mod. Phys. 15, 1 (1943), doi:10.1103/RevModPhys.15.1), and

    < |r(t) - r(0)|^2 > = 6 kT / (m g^2) (g t - 1 + exp(-g t)),   D = kT / (m g).   (1)
"""

from __future__ import annotations

import numpy as np
from ase import units

KELVIN = 300.0


def thermal_speed_squared(masses: np.ndarray) -> np.ndarray:
    """kT / m of one direction, [n_atoms] (A^2/fs^2)."""
    speeds: np.ndarray = units.kB * KELVIN * units.fs**2 / masses
    return speeds


def mean_square(masses: np.ndarray, friction_per_fs: float, times_fs: np.ndarray) -> np.ndarray:
    """Equation (1), [n_atoms, n_times] (A^2)."""
    x = friction_per_fs * times_fs
    squares: np.ndarray = (
        6 * thermal_speed_squared(masses)[:, None] / friction_per_fs**2 * (x + np.expm1(-x))
    )
    return squares


def sample(
    masses: np.ndarray, friction_per_fs: float, timestep_fs: float, n_frames: int, seed: int = 0
) -> np.ndarray:
    """Positions in time, exactly distributed, [n_frames, n_atoms, 3] (A)."""
    rng = np.random.default_rng(seed)
    x = friction_per_fs * timestep_fs
    c, rate = np.exp(-x), friction_per_fs
    covariance = [
        [1 - c**2, (1 - c) ** 2 / rate],
        [(1 - c) ** 2 / rate, (2 * x - 3 + 4 * c - c**2) / rate**2],
    ]
    factor = np.linalg.cholesky(np.array(covariance))
    speed = np.sqrt(thermal_speed_squared(masses))[:, None]
    v = speed * rng.normal(size=(len(masses), 3))
    r = np.zeros((n_frames, len(masses), 3))
    for frame in range(1, n_frames):
        noise_v, noise_r = np.einsum("ab,bix->aix", factor, rng.normal(size=(2, *v.shape)))
        r[frame] = r[frame - 1] + v * (1 - c) / rate + speed * noise_r
        v = c * v + speed * noise_v
    return r
