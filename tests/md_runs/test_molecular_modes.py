"""Modes of a molecule with infrared intensities, against finite differences of the calculator."""

import numpy as np
import pytest
from ase.constraints import FixAtoms
from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.analysis.vibrations.mode_intensities import infrared_intensities
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.cli import main
from md_runs.ethanol import MODEL as ETHANOL_MODEL
from md_runs.ethanol import STRUCTURE as ETHANOL
from md_runs.molecular_modes import molecular_modes
from mlpotential.errors import StructureError
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


def test_crystals_and_constraints_are_refused():
    atoms = read(STRUCTURE)
    atoms.set_constraint(FixAtoms(range(18)))
    with pytest.raises(StructureError, match=r"constraints \(FixAtoms\): remove them"):
        molecular_modes(atoms, MODEL, PRECISE)
    atoms.set_constraint()
    atoms.cell, atoms.pbc = np.eye(3) * 20.0, True
    with pytest.raises(StructureError, match="isolated molecules"):
        molecular_modes(atoms, MODEL, PRECISE)
