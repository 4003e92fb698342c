"""Finite-difference Hessians against analytic ones."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.constraints import FixAtoms, FixCom
from harmonic_molecules import HarmonicCharges, water
from spring_network import SpringNetwork, spring_cluster

from md_runs.hessian import hessian_by_finite_differences
from mlpotential.errors import ConfigError, StructureError


def network_hessian(atoms: Atoms, spring: float) -> np.ndarray:
    """At rest each pair contributes k e e^T, with e along the pair: [3 n_atoms, 3 n_atoms]."""
    n_atoms = len(atoms)
    hessian = np.zeros((n_atoms, 3, n_atoms, 3))
    for i in range(n_atoms):
        for j in range(i):
            e = atoms.positions[i] - atoms.positions[j]
            block = spring * np.outer(e, e) / (e @ e)
            hessian[i, :, i] += block
            hessian[j, :, j] += block
            hessian[i, :, j] -= block
            hessian[j, :, i] -= block
    return hessian.reshape(3 * n_atoms, 3 * n_atoms)


def test_spring_network_is_exact_to_second_order_in_the_displacement():
    atoms = spring_cluster(6)
    atoms.calc = SpringNetwork(atoms.get_positions(), 5.0)
    exact = network_hessian(atoms, 5.0)
    errors = {}
    for h in (0.02, 0.01):
        result = hessian_by_finite_differences(atoms, h)
        np.testing.assert_array_equal(result.hessian, result.hessian.T)
        errors[h] = np.abs(result.hessian - exact).max()
        assert result.asymmetry < 10 * errors[h]
    assert errors[0.01] < 1e-3
    assert errors[0.02] / errors[0.01] == pytest.approx(4.0, rel=0.05)


class Curl(Calculator):
    """Linear forces that no energy has: F = -A x with A not symmetric."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        matrix = np.diag(np.arange(1.0, 7.0))
        matrix[0, 4] = 0.25
        forces = -(matrix @ self.atoms.positions.ravel()).reshape(-1, 3)
        self.results = {"energy": 0.0, "forces": forces}


def test_asymmetry_tells_forces_that_have_no_energy():
    atoms = Atoms("H2", positions=np.ones((2, 3)), calculator=Curl())
    result = hessian_by_finite_differences(atoms)
    assert result.asymmetry == pytest.approx(0.25)
    expected = np.diag(np.arange(1.0, 7.0))
    expected[0, 4] = expected[4, 0] = 0.125
    np.testing.assert_allclose(result.hessian, expected, atol=1e-10)
    np.testing.assert_array_equal(atoms.positions, np.ones((2, 3)))


def test_dipoles_are_differentiated_beside_the_forces():
    """Of fixed charges d mu_y / d x_i = q_i where x is y, else nothing."""
    atoms, hessian = water()
    charges = np.array([-0.7, 0.3, 0.4])
    atoms.calc = HarmonicCharges(atoms.get_positions(), hessian, charges)
    result = hessian_by_finite_differences(atoms, with_dipoles=True)
    np.testing.assert_allclose(result.hessian, hessian, atol=1e-9)
    expected = charges[:, None, None] * np.eye(3)
    np.testing.assert_allclose(result.dipole_derivatives, expected, atol=1e-12)
    assert hessian_by_finite_differences(atoms).dipole_derivatives is None


def test_a_calculator_without_dipoles_is_told():
    atoms = spring_cluster(3)
    with pytest.raises(ConfigError, match="infrared intensities need dipoles"):
        hessian_by_finite_differences(atoms, with_dipoles=True)


def test_impossible_input_is_refused():
    atoms = spring_cluster(3)
    with pytest.raises(ConfigError, match="displacement"):
        hessian_by_finite_differences(atoms, 0.0)
    atoms.set_constraint(FixCom())
    with pytest.raises(StructureError, match=r"remove the constraints of the structure \(FixCom\)"):
        hessian_by_finite_differences(atoms)
    atoms.set_constraint(FixAtoms(range(3)))
    with pytest.raises(StructureError, match="all atoms are fixed"):
        hessian_by_finite_differences(atoms)


def test_fixed_atoms_are_not_moved_and_not_in_the_hessian():
    atoms = spring_cluster(5)
    atoms.calc = SpringNetwork(atoms.get_positions(), 5.0)
    whole = hessian_by_finite_differences(atoms).hessian
    atoms.set_constraint(FixAtoms([0, 3]))
    part = hessian_by_finite_differences(atoms).hessian
    free = np.repeat([False, True, True, False, True], 3)
    np.testing.assert_allclose(part, whole[np.ix_(free, free)], rtol=0, atol=1e-12)
    atoms, hessian = water()
    atoms.calc = HarmonicCharges(atoms.get_positions(), hessian, np.array([-0.7, 0.3, 0.4]))
    atoms.set_constraint(FixAtoms([1]))
    found = hessian_by_finite_differences(atoms, with_dipoles=True).dipole_derivatives
    np.testing.assert_allclose(found[:, 0, 0], [-0.7, 0.0, 0.4], atol=1e-12)
