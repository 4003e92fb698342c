"""A linear molecule of three atoms with an energy that knows no place and no orientation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

CO2 = ("OCO", (1.16, 1.16), (97.0, 97.0), 4.9)  # lengths (A), stretches (eV/A^2), bend (eV)
HCN = ("HCN", (1.06, 1.15), (39.0, 117.0), 1.6)


def energy_and_forces(
    positions: np.ndarray, lengths: Sequence[float], stretches: Sequence[float], bend: float
) -> tuple[np.ndarray, np.ndarray]:
    """E = sum_k k_k/2 (d_k - l_k)^2 + b/2 |u_0 + u_1|^2, d_k u_k from the middle atom to the ends.

    |u_0 + u_1| is 2 sin(x / 2) where the angle is 180 degrees - x. From positions [..., 3, 3] the
    energies, [...], and forces, [..., 3, 3].
    """
    ends = positions[..., ::2, :] - positions[..., 1:2, :]
    d = np.linalg.norm(ends, axis=-1, keepdims=True)
    u = ends / d
    k, stretch = np.array(stretches)[:, None], d - np.array(lengths)[:, None]
    s = u.sum(axis=-2, keepdims=True)
    along = np.einsum("...kx,...kx->...k", u, np.broadcast_to(s, u.shape))[..., None]
    gradients = k * stretch * u + bend * (s - along * u) / d
    energy = 0.5 * (k * stretch**2).sum(axis=(-2, -1)) + 0.5 * bend * (s**2).sum(axis=(-2, -1))
    middle = gradients.sum(axis=-2)
    return energy, np.stack([-gradients[..., 0, :], middle, -gradients[..., 1, :]], axis=-2)


class LinearTriatomic(Calculator):
    """`energy_and_forces` for ASE."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, lengths: Sequence[float], stretches: Sequence[float], bend: float) -> None:
        super().__init__()
        self.field = (lengths, stretches, bend)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = energy_and_forces(self.atoms.positions, *self.field)
        self.results = {"energy": float(energy), "forces": forces}


def linear_triatomic(
    symbols: str, lengths: Sequence[float], stretches: Sequence[float], bend: float
) -> Atoms:
    """The molecule at rest, along a direction of no importance."""
    axis = np.array([2.0, -1.0, 2.0]) / 3
    places = np.array([-lengths[0], 0.0, lengths[1]])
    atoms = Atoms(symbols, positions=np.outer(places, axis))
    atoms.calc = LinearTriatomic(lengths, stretches, bend)
    return atoms
