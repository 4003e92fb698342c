"""Second derivatives of any ASE calculator, by central differences of its forces (and dipoles)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from md_runs.trajectories.structure_file import fixed_atoms, other_constraints
from mlpotential.errors import ConfigError, StructureError
from mlpotential.settings_checks import check_number


@dataclass(frozen=True)
class FiniteDifferenceHessian:
    """A Hessian with a measure of its error.

    Attributes:
        hessian: symmetric, of the atoms that are free to move, [3 n_free, 3 n_free] (eV/A^2).
        asymmetry: largest |H_ij - H_ji| before it was made symmetric (eV/A^2).
        dipole_derivatives: of dipole component y with coordinate x of atom i, [n_atoms, 3, 3] (e),
            0 of fixed atoms; None where they were not asked for.
    """

    hessian: np.ndarray
    asymmetry: float
    dipole_derivatives: np.ndarray | None = None


def hessian_by_finite_differences(
    atoms: Atoms, displacement: float = 0.005, with_dipoles: bool = False
) -> FiniteDifferenceHessian:
    """H_ij = -(F_j(x_i + h) - F_j(x_i - h)) / 2h, from 6 evaluations for each atom that can move.

    The exact derivatives have H_ij = H_ji, so the asymmetry tells the error: the fourth derivatives
    times h^2, and the noise of the forces divided by h. Atoms that `FixAtoms` holds are not moved,
    and are not in the Hessian.

    Args:
        atoms: with a calculator, without constraints but fixed atoms; not changed.
        displacement: h (A); 0.005 suits float64 forces, 0.02 float32.
        with_dipoles: differentiate the calculator's dipoles, too, for infrared intensities.

    Raises:
        ConfigError: a displacement that is not positive, or a calculator without dipoles.
        StructureError: other constraints, whose forces are not those of the potential, or no atom
            that can move.
    """
    check_number("displacement", displacement)
    if names := other_constraints(atoms):
        raise StructureError(
            f"a Hessian needs all forces: remove the constraints of the structure ({names}), or "
            "fix whole atoms (FixAtoms)"
        )
    is_free = np.repeat(~fixed_atoms(atoms), 3)
    if not is_free.any():
        raise StructureError("all atoms are fixed: a Hessian needs one that can move")
    n_atoms, coordinates = len(atoms), np.flatnonzero(is_free)
    rows, dipole_rows = np.zeros((len(coordinates),) * 2), np.zeros((3 * n_atoms, 3))
    for row, coordinate in enumerate(coordinates):
        for sign, displaced in _displaced(atoms, int(coordinate), displacement):
            forces = displaced.get_forces(apply_constraint=False).ravel()
            rows[row] -= sign * forces[is_free] / (2.0 * displacement)
            if with_dipoles:
                dipole_rows[coordinate] += sign * _dipole(displaced) / (2.0 * displacement)
    return FiniteDifferenceHessian(
        hessian=0.5 * (rows + rows.T),
        asymmetry=float(np.abs(rows - rows.T).max()),
        dipole_derivatives=dipole_rows.reshape(n_atoms, 3, 3) if with_dipoles else None,
    )


def _displaced(atoms: Atoms, coordinate: int, displacement: float) -> Iterator[tuple[float, Atoms]]:
    """One coordinate moved to both sides: the side (1 or -1) and the structure."""
    for sign in (1.0, -1.0):
        displaced = atoms.copy()
        displaced.calc = atoms.calc
        displaced.positions.flat[coordinate] += sign * displacement
        yield sign, displaced


def _dipole(atoms: Atoms) -> np.ndarray:
    """The dipole (e A). Raises ConfigError where the calculator has none."""
    try:
        return np.asarray(atoms.get_dipole_moment(), np.float64)
    except PropertyNotImplementedError as error:
        raise ConfigError(
            "infrared intensities need dipoles, which this calculator (or its model) does not give"
        ) from error
