"""Second derivatives of any ASE calculator, by central differences of its forces (and dipoles)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from mlpotential.errors import ConfigError, StructureError
from mlpotential.settings_checks import check_number


@dataclass(frozen=True)
class FiniteDifferenceHessian:
    """A Hessian with a measure of its error.

    Attributes:
        hessian: symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2).
        asymmetry: largest |H_ij - H_ji| before it was made symmetric (eV/A^2).
        dipole_derivatives: of dipole component y with coordinate x of atom i, [n_atoms, 3, 3] (e);
            None where they were not asked for.
    """

    hessian: np.ndarray
    asymmetry: float
    dipole_derivatives: np.ndarray | None = None


def hessian_by_finite_differences(
    atoms: Atoms, displacement: float = 0.005, with_dipoles: bool = False
) -> FiniteDifferenceHessian:
    """H_ij = -(F_j(x_i + h) - F_j(x_i - h)) / 2h, from 6 n_atoms evaluations.

    The exact derivatives have H_ij = H_ji, so the asymmetry tells the error: the fourth derivatives
    times h^2, and the noise of the forces divided by h.

    Args:
        atoms: with a calculator, without constraints; not changed.
        displacement: h (A); 0.005 suits float64 forces, 0.02 float32.
        with_dipoles: differentiate the calculator's dipoles, too, for infrared intensities.

    Raises:
        ConfigError: a displacement that is not positive, or a calculator without dipoles.
        StructureError: atoms with constraints, whose forces are not those of the potential.
    """
    check_number("displacement", displacement)
    if atoms.constraints:
        raise StructureError("a Hessian needs all forces: remove the constraints of the structure")
    n_atoms = len(atoms)
    rows, dipole_rows = np.zeros((3 * n_atoms, 3 * n_atoms)), np.zeros((3 * n_atoms, 3))
    for index, sign, displaced in _displaced(atoms, displacement):
        rows[index] -= sign * displaced.get_forces().ravel() / (2.0 * displacement)
        if with_dipoles:
            dipole_rows[index] += sign * _dipole(displaced) / (2.0 * displacement)
    return FiniteDifferenceHessian(
        hessian=0.5 * (rows + rows.T),
        asymmetry=float(np.abs(rows - rows.T).max()),
        dipole_derivatives=dipole_rows.reshape(n_atoms, 3, 3) if with_dipoles else None,
    )


def _displaced(atoms: Atoms, displacement: float) -> Iterator[tuple[int, float, Atoms]]:
    """Every coordinate moved to both sides: its index, the side (1 or -1) and the structure."""
    displaced = atoms.copy()
    displaced.calc = atoms.calc
    start = atoms.get_positions()
    for index in range(start.size):
        for sign in (1.0, -1.0):
            positions = start.copy()
            positions.flat[index] += sign * displacement
            displaced.positions = positions
            yield index, sign, displaced


def _dipole(atoms: Atoms) -> np.ndarray:
    """The dipole (e A). Raises ConfigError where the calculator has none."""
    try:
        return np.asarray(atoms.get_dipole_moment(), np.float64)
    except PropertyNotImplementedError as error:
        raise ConfigError(
            "infrared intensities need dipoles, which this calculator (or its model) does not give"
        ) from error
