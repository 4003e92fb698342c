"""The PES that i-PI samples beads with, another calculator in the place of tblite."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.io import write
from ase.units import Bohr, Hartree

from md_runs.ethanol import gfn2_pes


@pytest.fixture
def driver(monkeypatch, tmp_path):
    monkeypatch.setattr(gfn2_pes, "gfn2", EMT)
    write(tmp_path / "structure.extxyz", molecule("CH3CH2OH"))
    return gfn2_pes.Gfn2Driver(tmp_path / "structure.extxyz")


def test_energies_in_hartree_of_positions_in_bohr(driver):
    atoms = molecule("CH3CH2OH")
    atoms.calc = EMT()
    energy, _, virial, extras = driver.compute(np.eye(3), atoms.positions / Bohr)
    assert energy == pytest.approx(atoms.get_potential_energy() / Hartree, rel=1e-6)
    assert not virial.any()
    assert extras == "{}"


def test_forces_are_the_derivative_and_beads_keep_their_order(driver):
    start, step = molecule("CH3CH2OH").positions / Bohr, 1e-4
    beads = [start.copy(), start.copy(), start]
    beads[0][3, 1] += step
    beads[1][3, 1] -= step
    (plus, *_), (minus, *_), (_, forces, *_) = driver.compute([np.eye(3)] * 3, beads)
    assert forces[3, 1] == pytest.approx((minus - plus) / (2 * step), rel=1e-4)
