"""Normal modes of the free ring polymer, and its exact motion.

    M. Ceriotti, M. Parrinello, T. E. Markland, D. E. Manolopoulos, J. Chem. Phys. 133, 124104
    (2010), doi:10.1063/1.3489925

    C_0j = 1 / sqrt(P)                           C_kj = sqrt(2 / P) cos(2 pi j k / P)   0 < k < P/2
    C_kj = (-1)^j / sqrt(P)             k = P/2  C_kj = sqrt(2 / P) sin(2 pi j k / P)   P/2 < k < P
                                                                                                (1)
    omega_k = 2 omega_P sin(k pi / P),  omega_P = P kT / hbar                                   (2)

    p(t + dt) = cos(omega_k dt) p - omega_k sin(omega_k dt) q
    q(t + dt) = sin(omega_k dt) / omega_k p + cos(omega_k dt) q                                 (3)

Departures: j counts from 0, and momenta and positions are mass-weighted. The first row
of C gives the centroid times sqrt(P).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def normal_mode_matrix(n_beads: int) -> np.ndarray:
    """C of equation (1), orthogonal, [n_modes, n_beads]."""
    k, j = np.arange(n_beads)[:, None], np.arange(n_beads)[None, :]
    angle = 2.0 * np.pi * ((j * k) % n_beads) / n_beads
    rows = np.sqrt(2.0 / n_beads) * np.where(2 * k < n_beads, np.cos(angle), np.sin(angle))
    rows[0] = 1.0 / np.sqrt(n_beads)
    if n_beads % 2 == 0:
        rows[n_beads // 2] = (-1.0) ** j[0] / np.sqrt(n_beads)
    return rows


def mode_frequencies(n_beads: int, kT: float, hbar: float) -> np.ndarray:
    """Of the free ring polymer by equation (2), the centroid's, 0, first, [n_modes] (1 / time).

    Args:
        n_beads: of the ring polymer.
        kT: thermal energy.
        hbar: in the same unit of energy, times that of time.
    """
    return 2.0 * n_beads * kT / hbar * np.sin(np.pi * np.arange(n_beads) / n_beads)  # (2)


@dataclass(frozen=True)
class FreeMotion:
    """The matrix of equation (3) for one time step, each [n_modes, 1].

    Attributes:
        stays: cos(omega dt).
        drifts: sin(omega dt) / omega, from momenta to positions; dt for the centroid (time).
        pulls: -omega sin(omega dt), from positions to momenta (1 / time).
    """

    stays: np.ndarray
    drifts: np.ndarray
    pulls: np.ndarray

    @classmethod
    def of(cls, frequencies: np.ndarray, timestep: float) -> FreeMotion:
        """Of modes with these frequencies, [n_modes] (1 / time)."""
        angle = (frequencies * timestep)[:, None]
        drifts = timestep * np.sinc(angle / np.pi)  # sinc(x) is sin(pi x) / (pi x)
        return cls(np.cos(angle), drifts, -frequencies[:, None] * np.sin(angle))
