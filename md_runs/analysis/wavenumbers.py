"""From frequencies and curvatures to wavenumbers in 1/cm."""

from __future__ import annotations

import numpy as np
from scipy.constants import speed_of_light

from mlpotential.units import ASE_TIME_PER_FS

WAVENUMBER_PER_INVERSE_FS = 1e13 / speed_of_light  # 1/cm for a frequency of 1/fs; c is exact (SI)


def wavenumbers_of_curvatures(curvatures: np.ndarray) -> np.ndarray:
    """Wavenumbers of eigenvalues of a mass-weighted Hessian, omega^2.

    Args:
        curvatures: of any shape (eV/A^2/amu).

    Returns:
        omega / (2 pi c) (1/cm); negative where the curvature is negative (an imaginary mode).
    """
    omega_per_fs = np.sqrt(np.abs(curvatures)) * ASE_TIME_PER_FS
    return np.sign(curvatures) * omega_per_fs / (2 * np.pi) * WAVENUMBER_PER_INVERSE_FS
