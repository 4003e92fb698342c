"""Second derivatives of any ASE calculator, by central differences of its forces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from md_runs.settings_checks import check_number
from mlpotential.errors import StructureError


@dataclass(frozen=True)
class FiniteDifferenceHessian:
    """A Hessian with a measure of its error.

    Attributes:
        hessian: symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2).
        asymmetry: largest |H_ij - H_ji| before it was made symmetric (eV/A^2).
    """

    hessian: np.ndarray
    asymmetry: float


def hessian_by_finite_differences(
    atoms: Atoms, displacement: float = 0.005
) -> FiniteDifferenceHessian:
    """H_ij = -(F_j(x_i + h) - F_j(x_i - h)) / 2h, from 6 n_atoms evaluations.

    The exact derivatives have H_ij = H_ji, so the asymmetry tells the error: the fourth derivatives
    times h^2, and the noise of the forces divided by h.

    Args:
        atoms: with a calculator, without constraints; not changed.
        displacement: h (A); 0.005 suits float64 forces, 0.02 float32.

    Raises:
        ConfigError: a displacement that is not positive.
        StructureError: atoms with constraints, whose forces are not those of the potential.
    """
    check_number("displacement", displacement)
    if atoms.constraints:
        raise StructureError("a Hessian needs all forces: remove the constraints of the structure")
    displaced = atoms.copy()
    displaced.calc = atoms.calc
    start = atoms.get_positions()
    rows = np.empty((start.size, start.size))
    for row, index in zip(rows, np.ndindex(start.shape), strict=True):
        for sign in (1.0, -1.0):
            positions = start.copy()
            positions[index] += sign * displacement
            displaced.positions = positions
            row_forces = displaced.get_forces().ravel()
            row[:] = row_forces if sign > 0 else (row_forces - row) / (2.0 * displacement)
    return FiniteDifferenceHessian(
        hessian=0.5 * (rows + rows.T), asymmetry=float(np.abs(rows - rows.T).max())
    )
