"""Any calculator of ASE as a PES of i-PI."""

import json

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.io import write
from ase.units import Bohr, Hartree
from numpy.testing import assert_allclose

from calculators.ipi_calculator import CalculatorDriver


def driver_of(folder, atoms):
    write(folder / "structure.extxyz", atoms)
    content = {"factory": "ase.calculators.emt:EMT", "arguments": {}}
    (folder / "calculator.json").write_text(json.dumps(content))
    return CalculatorDriver(folder / "calculator.json", folder / "structure.extxyz")


def test_energies_in_hartree_of_positions_in_bohr(tmp_path):
    atoms = molecule("CH3CH2OH")
    driver = driver_of(tmp_path, atoms)
    atoms.calc = EMT()
    energy, _, virial, extras = driver.compute(np.eye(3), atoms.positions / Bohr)
    assert energy == pytest.approx(atoms.get_potential_energy() / Hartree, rel=1e-6)
    assert not virial.any()
    assert extras == "{}"


def test_forces_are_the_derivative_and_beads_keep_their_order(tmp_path):
    start, step = molecule("CH3CH2OH").positions / Bohr, 1e-4
    beads = [start.copy(), start.copy(), start]
    beads[0][3, 1] += step
    beads[1][3, 1] -= step
    driver = driver_of(tmp_path, molecule("CH3CH2OH"))
    (plus, *_), (minus, *_), (_, forces, *_) = driver.compute([np.eye(3)] * 3, beads)
    assert forces[3, 1] == pytest.approx((minus - plus) / (2 * step), rel=1e-4)


def test_the_virial_is_the_derivative_with_strain(tmp_path):
    """The skewed cell comes from i-PI, vectors as columns; virial = -dE/dstrain."""
    atoms = bulk("Cu") * (2, 1, 1)
    atoms.rattle(0.05, rng=np.random.default_rng(0))
    driver, energies = driver_of(tmp_path, atoms), []
    h, strain = atoms.cell.array.T / Bohr, np.zeros((3, 3))
    _, _, virial, _ = driver.compute(h, atoms.positions / Bohr)
    for size in (1e-4, -1e-4):
        strain[0, 1] = strain[1, 0] = size
        deform = np.eye(3) + strain
        positions = atoms.positions / Bohr @ deform.T
        energies.append(driver.compute(deform @ h, positions)[0])
    derivative = (energies[0] - energies[1]) / 2e-4  # both off-diagonal elements change
    assert_allclose(virial[0, 1] + virial[1, 0], -derivative, rtol=1e-4)
