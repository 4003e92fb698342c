"""Modes with infrared intensities, of crystals and beside fixed atoms, against differences."""

import numpy as np
import pytest
from ase.build import molecule
from ase.constraints import FixAtoms, FixBondLength
from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.analysis.vibrations.mode_intensities import infrared_intensities
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.cli import main
from md_runs.ethanol import MODEL as ETHANOL_MODEL
from md_runs.ethanol import STRUCTURE as ETHANOL
from md_runs.molecular_modes import molecular_modes
from mlpotential.errors import DataError, StructureError
from mlpotential.inference.execution import Execution

PRECISE = Execution(device="cpu", dtype="float64")


def test_ethanol():
    atoms = read(ETHANOL)
    found = molecular_modes(atoms, ETHANOL_MODEL, PRECISE)
    assert (str(found.group).split()[0], found.modes.n_imaginary) == ("Cs", 0)
    assert found.max_force < 1e-3
    differences = molecular_modes(atoms, ETHANOL_MODEL, PRECISE, displacement=0.002)
    assert differences.modes.wavenumbers_per_cm == pytest.approx(
        found.modes.wavenumbers_per_cm, rel=1e-3
    )
    derivatives = differences.born_charges
    expected = infrared_intensities(found.modes, derivatives).intensities_km_per_mol
    atoms.calc = MLPotentialCalculator(ETHANOL_MODEL, device="cpu", dtype="float64")
    assert atoms.get_potential_energy() == pytest.approx(found.energy, abs=1e-6)
    np.testing.assert_allclose(
        found.columns["IR (km/mol)"], expected, rtol=0, atol=1e-3 * expected.max()
    )


def test_a_model_without_dipoles(model_path, capsys, tmp_path):
    found = molecular_modes(read(ETHANOL), model_path, PRECISE)
    assert found.infrared is None
    assert list(found.columns) == ["symmetry"]
    path = tmp_path / "intensities.json"
    command = ["modes", ETHANOL, "--model", model_path, "--intensities", path]
    assert main([str(word) for word in command]) == 2
    assert "need a model with dipoles" in capsys.readouterr().err
    assert not path.exists()


@pytest.fixture
def c20_with_18_fixed():
    atoms = read(STRUCTURE)
    atoms.set_constraint(FixAtoms(range(18)))
    return atoms


def test_atoms_beside_fixed_ones(c20_with_18_fixed):
    """Six modes of two atoms: by their block of the whole Hessian, and by moving them alone."""
    found = molecular_modes(c20_with_18_fixed, MODEL, PRECISE)
    assert (found.group, found.symmetries, found.columns) == (None, None, {})
    assert found.modes.n_modes == 6
    differences = molecular_modes(c20_with_18_fixed, MODEL, PRECISE, displacement=0.002)
    assert differences.modes.wavenumbers_per_cm == pytest.approx(
        found.modes.wavenumbers_per_cm, rel=1e-3
    )


def test_a_crystal_at_gamma(potential, diamond):
    """Exact and by finite differences of forces; three acoustic modes are left out."""
    diamond.rattle(0.02, seed=1)
    found = molecular_modes(diamond, potential, PRECISE)
    differences = molecular_modes(diamond, potential, PRECISE, displacement=0.002)
    assert found.modes.n_modes == 21
    assert found.group is None
    curvatures = found.modes.wavenumbers_per_cm * np.abs(found.modes.wavenumbers_per_cm)
    others = differences.modes.wavenumbers_per_cm * np.abs(differences.modes.wavenumbers_per_cm)
    np.testing.assert_allclose(curvatures, others, rtol=0, atol=1e-4 * np.abs(others).max())
    assert np.abs(found.modes.residual_wavenumbers_per_cm).max() < 0.01
    diamond.set_constraint(FixAtoms([0]))
    assert molecular_modes(diamond, potential, PRECISE).modes.n_modes == 21  # of 7 free atoms


def test_a_nearly_linear_molecule_has_a_way_on(potential):
    atoms = molecule("HCN")
    atoms.numbers[atoms.numbers == 7] = 8
    atoms.positions[2, 0] += 0.05
    with pytest.raises(DataError, match=r"larger one of 0\.01\d? A \(--symmetry-tolerance\)"):
        molecular_modes(atoms, potential, PRECISE)
    found = molecular_modes(atoms, potential, PRECISE, symmetry_tolerance=0.03)
    assert (found.group.schoenflies, found.modes.n_modes) == ("Cinfv", 4)
    atoms.positions[2, 0] += 0.2  # beyond what its bond angle calls linear
    found = molecular_modes(atoms, potential, PRECISE, symmetry_tolerance=0.3)
    assert (found.group.schoenflies, found.modes.n_modes) == ("Cinfv", 4)


def test_near_misses_are_told(potential):
    atoms = molecule("CH4")
    atoms.rattle(0.01, seed=1)
    found = molecular_modes(atoms, potential, PRECISE)
    assert "Td" in found.near_misses
    found = molecular_modes(atoms, potential, PRECISE, symmetry_tolerance=0.05)
    assert (found.group.schoenflies, found.near_misses) == ("Td", {})


def test_what_is_held_otherwise_is_refused(c20_with_18_fixed):
    c20_with_18_fixed.set_constraint(FixBondLength(0, 1))
    with pytest.raises(StructureError, match=r"other constraints \(FixBondLengths\): remove them"):
        molecular_modes(c20_with_18_fixed, MODEL, PRECISE)
    c20_with_18_fixed.set_constraint(FixAtoms(range(20)))
    with pytest.raises(StructureError, match="all atoms are fixed"):
        molecular_modes(c20_with_18_fixed, MODEL, PRECISE)
