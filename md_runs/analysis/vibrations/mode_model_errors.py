"""The model error of wavenumbers: what each member of a committee says of each mode.

The modes q (mass-weighted, of length 1) are those of the mean Hessian of the committee. To first
order in what the Hessian H_k of a member differs from it, the member has the curvature

    omega_k^2 = q M^-1/2 H_k M^-1/2 q   (1)

along it, the mean over the modes of a degenerate group, whose choice of axes means nothing. No mode
of one has to be found among those of another, and the mean over members is that of the committee.
The standard deviation of the wavenumbers is the model error; a calibrated committee counts its
differences times the scale of its forces, of which Hessians are the derivatives.
"""

from __future__ import annotations

import numpy as np

from md_runs.analysis.vibrations.normal_modes import NormalModes, wavenumbers_of_curvatures
from mlpotential.errors import DataError
from mlpotential.units import EV_PER_WAVENUMBER


def member_wavenumbers_per_cm(
    modes: NormalModes, hessians: np.ndarray, scale: float = 1.0
) -> np.ndarray:
    """Wavenumbers of each member along the modes of the committee, [n_members, n_modes].

    Args:
        modes: of the mean Hessian.
        hessians: of all atoms, [n_members, 3 n_atoms, 3 n_atoms] (eV/A^2).
        scale: of the differences between members.

    Raises:
        DataError: for less than two members, or Hessians of other atoms.
    """
    size = 3 * len(modes.masses)
    if hessians.shape[1:] != (size, size) or len(hessians) < 2:
        raise DataError(
            f"Hessians of two members or more, [n_members, {size}, {size}], are needed, not "
            f"{list(hessians.shape)}"
        )
    vectors = (modes.modes / np.sqrt(modes.masses)[:, None]).reshape(modes.n_modes, size)
    curvatures = np.einsum("mi,kij,mj->km", vectors, hessians, vectors, optimize=True)  # (1)
    for group in modes.degenerate_groups():
        curvatures[:, group] = curvatures[:, group].mean(axis=1, keepdims=True)
    middle = curvatures.mean(axis=0)
    return wavenumbers_of_curvatures(middle + scale * (curvatures - middle))


def errors_of_modes(of_members: np.ndarray) -> np.ndarray:
    """Model errors of wavenumbers [n_members, n_modes], [n_modes] (1/cm)."""
    return np.asarray(of_members.std(axis=0, ddof=1))


def error_of_zero_point_energy(of_members: np.ndarray) -> float:
    """Model error of half a quantum of all real modes (eV), from [n_members, n_modes] (1/cm)."""
    energies = 0.5 * EV_PER_WAVENUMBER * np.maximum(of_members, 0.0).sum(axis=1)
    return float(energies.std(ddof=1))
