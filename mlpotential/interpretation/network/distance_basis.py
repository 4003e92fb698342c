"""Why distances are expanded in Gaussians: a bond stretched, fitted by linear regression.

K. T. Schuett, A. Tkatchenko and K.-R. Mueller, "Learning representations of molecules and materials
with atomistic neural networks", arXiv:1812.04690 (2018), Fig. 3: a linear function of the distance
itself cannot follow the energy of H2, one of Gaussians

    e_k(r) = exp(-gamma (r - mu_k)^2),   gamma = 10 / A^2, mu_k every 0.1 A,              (1)

can. Departure: their energies are of PBE; these are a Morse potential of H2 with the spectroscopic
constants of K. P. Huber and G. Herzberg, Constants of Diatomic Molecules (1979),

    V(r) = D [1 - exp(-a (r - r_e))]^2 - D,   a = 2 pi c w_e sqrt(m / (2 D)),            (2)

with the reduced mass m = m_H / 2 and D = D_0 + (w_e - w_e x_e / 2) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import units

# H2, X 1Sigma_g+ (Huber and Herzberg, 1979).
BOND_LENGTH = 0.74144  # A
WAVENUMBER_PER_CM = 4401.213  # w_e
ANHARMONICITY_PER_CM = 121.336  # w_e x_e
DISSOCIATION_ENERGY = 4.47813  # D_0, eV
HYDROGEN_MASS = 1.00782503  # of 1H, amu; CODATA 2018

GAMMA, SPACING = 10.0, 0.1  # 1/A^2 and A: as in the paper


@dataclass(frozen=True, eq=False)
class BasisFit:
    """A curve and what two linear regressions make of it.

    Attributes:
        sampled: distances that were fitted, [n_sampled] (A).
        distances: between them, [n_distances] (A).
        energies: of the curve there, [n_distances] (eV).
        of_distance: the fit by 1 and r, [n_distances] (eV).
        of_gaussians: the fit by Gaussians, [n_distances] (eV).
        n_gaussians: how many.
    """

    sampled: np.ndarray
    distances: np.ndarray
    energies: np.ndarray
    of_distance: np.ndarray
    of_gaussians: np.ndarray
    n_gaussians: int

    @property
    def errors(self) -> tuple[float, float]:
        """Root mean squares of both fits between the samples (eV)."""
        fits = (self.of_distance, self.of_gaussians)
        first, second = (float(np.sqrt(np.mean((fit - self.energies) ** 2))) for fit in fits)
        return first, second


def hydrogen_energy(distances: np.ndarray) -> np.ndarray:
    """V of H2, [n] (A) -> [n] (eV), zero for separated atoms. Eq. (2)."""
    zero_point = 0.5 * (WAVENUMBER_PER_CM - 0.5 * ANHARMONICITY_PER_CM) * units.invcm
    depth = DISSOCIATION_ENERGY + zero_point
    angular = WAVENUMBER_PER_CM * units.invcm / units._hbar * units._e  # 1/s
    mass = 0.5 * HYDROGEN_MASS * units._amu  # kg
    steepness = angular * np.sqrt(mass / (2.0 * depth * units._e)) * 1e-10  # 1/A
    return depth * (1.0 - np.exp(-steepness * (distances - BOND_LENGTH))) ** 2 - depth


def gaussians(distances: np.ndarray, centers: np.ndarray, gamma: float = GAMMA) -> np.ndarray:
    """[n] and [n_rbf] (A) -> [n, n_rbf]. Eq. (1)."""
    return np.asarray(np.exp(-gamma * (distances[:, None] - centers) ** 2))


def fit_bond(
    shortest: float = 0.5, longest: float = 2.0, n_samples: int = 31, n_points: int = 301
) -> BasisFit:
    """Both fits of the bond of H2.

    Args:
        shortest, longest: distances (A).
        n_samples: that are fitted.
        n_points: that are compared.
    """
    sampled = np.linspace(shortest, longest, n_samples)
    r = np.linspace(shortest, longest, n_points)
    centers = np.arange(0.0, longest + 1e-9, SPACING)  # as of a network with this cutoff
    target = hydrogen_energy(sampled)

    def fitted(at_samples: np.ndarray, at_points: np.ndarray) -> np.ndarray:
        weights, *_ = np.linalg.lstsq(at_samples, target, rcond=1e-8)
        return np.asarray(at_points @ weights)

    line = fitted(np.stack([np.ones_like(sampled), sampled], 1), np.stack([np.ones_like(r), r], 1))
    curve = fitted(gaussians(sampled, centers), gaussians(r, centers))
    return BasisFit(sampled, r, hydrogen_energy(r), line, curve, len(centers))
