"""Screened repulsion of nuclei, which no data teach a network.

J. F. Ziegler, J. P. Biersack, U. Littmark, The Stopping and Range of Ions in Solids (1985):

    E_ij = e^2 / (4 pi eps_0) Z_i Z_j / r  phi(r / a) u(r / r_c),                  (1)
    phi(x) = sum_k c_k exp(-d_k x),   a = 0.46850 / (Z_i^0.23 + Z_j^0.23) A.       (2)

As in MACE (Batatia et al., arXiv:2206.07697, and its later models), u ends it smoothly at
r_c, the sum of the covalent radii, where chemistry begins: a polynomial whose first two
derivatives vanish there (Gasteiger, Gross, Guennemann, ICLR 2020, Eq. (8)).
"""

from __future__ import annotations

import torch
from ase.data import covalent_radii
from ase.units import Bohr, Hartree
from torch import Tensor

COULOMB = Hartree * Bohr  # e^2 / (4 pi eps_0), eV A
COEFFICIENTS = (0.18175, 0.50986, 0.28022, 0.02817)  # c_k
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)  # d_k
SCREENING_LENGTH, SCREENING_POWER = 0.46850, 0.23  # A
ENVELOPE_POWER = 6  # chosen: that of both sources


def ranges(first: Tensor, second: Tensor) -> Tensor:
    """r_c of pairs of elements, [n_pairs] (A)."""
    radii = torch.tensor(covalent_radii, dtype=torch.float64, device=first.device)
    return radii[first] + radii[second]


def zbl_energies(distances: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Eq. (1) of each pair.

    Args:
        distances: [n_pairs], float64 (A).
        first, second: atomic numbers, [n_pairs].

    Returns:
        [n_pairs] (eV).
    """
    z1, z2 = first.to(distances.dtype), second.to(distances.dtype)
    a = SCREENING_LENGTH / (z1**SCREENING_POWER + z2**SCREENING_POWER)
    x = distances / a
    phi = sum(c * torch.exp(-d * x) for c, d in zip(COEFFICIENTS, DECAYS, strict=True))  # (2)
    u = _envelope(distances / ranges(first, second))
    return COULOMB * z1 * z2 / distances * phi * u  # (1)


def _envelope(x: Tensor) -> Tensor:
    """1 at 0; 0, as its first two derivatives, from 1 on."""
    p = ENVELOPE_POWER
    x = x.clamp(max=1.0)
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    return 1.0 - a * x**p + b * x ** (p + 1) - c * x ** (p + 2)
