"""The ASE calculator: ASE's conventions, one evaluation per structure, clear refusals."""

import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.optimize import BFGS
from numpy.testing import assert_allclose

from calculators import MLPotentialCalculator
from mlpotential.errors import ModelFileError, StructureError
from mlpotential.inference.evaluator import Evaluator


@pytest.fixture
def calculator(model_path):
    return MLPotentialCalculator(model_path, device="cpu")


@pytest.fixture
def evaluations(monkeypatch):
    """Counts calls of Evaluator.evaluate."""
    calls = []
    original = Evaluator.evaluate
    monkeypatch.setattr(Evaluator, "evaluate", lambda *a, **k: calls.append(1) or original(*a, **k))
    return calls


def test_against_numerical_derivatives_of_ase(calculator, diamond):
    diamond.calc = calculator
    forces = calculate_numerical_forces(diamond, eps=1e-4)
    assert_allclose(diamond.get_forces(), forces, atol=1e-6 * np.abs(forces).max())
    stress = calculate_numerical_stress(diamond, eps=1e-4)
    assert_allclose(diamond.get_stress(), stress, atol=1e-5 * np.abs(stress).max())


def test_properties(calculator, ethanol):
    ethanol.calc = calculator
    energy = ethanol.get_potential_energy()
    assert type(energy) is float
    assert ethanol.get_potential_energy(force_consistent=True) == energy
    assert_allclose(ethanol.get_potential_energies().sum(), energy)
    assert ethanol.get_forces().shape == (9, 3)
    assert ethanol.get_forces().dtype == np.float64


@pytest.mark.parametrize(
    "order", [("energy", "forces"), ("forces", "energy"), ("stress", "forces")]
)
def test_one_evaluation_whatever_the_order(calculator, diamond, evaluations, order):
    diamond.calc = calculator
    for name in (*order, "energies", "stress", "free_energy"):
        diamond.calc.get_property(name, diamond)
    assert len(evaluations) == 1
    diamond.positions[0, 0] += 0.01
    diamond.get_forces()
    assert len(evaluations) == 2


def test_results_belong_to_the_caller(calculator, ethanol):
    ethanol.calc = calculator
    forces = ethanol.get_forces()
    kept = forces.copy()
    forces[:] = 0.0
    assert_allclose(ethanol.get_forces(), kept, rtol=0)


def test_stress_of_a_molecule_is_not_implemented(calculator, ethanol):
    ethanol.calc = calculator
    ethanol.get_forces()
    with pytest.raises(PropertyNotImplementedError, match="no volume"):
        ethanol.get_stress()


def test_cell_of_a_molecule_is_ignored(calculator, ethanol):
    ethanol.calc = calculator
    free = ethanol.get_potential_energy()
    ethanol.set_cell([3.0, 3.0, 3.0])
    assert ethanol.get_potential_energy() == free


def test_one_calculator_many_structures(calculator, ethanol, diamond):
    alone = [MLPotentialCalculator(calculator._potential, "cpu") for _ in range(2)]
    expected = []
    for atoms, own in zip((ethanol, diamond), alone, strict=True):
        atoms.calc = own
        expected.append(atoms.get_potential_energy())
    for _ in range(2):
        for atoms, energy in zip((ethanol, diamond), expected, strict=True):
            atoms.calc = calculator
            assert atoms.get_potential_energy() == energy


def test_float32_on_request(model_path, ethanol):
    energies = {}
    for dtype in ("float64", "float32"):
        ethanol.calc = MLPotentialCalculator(model_path, "cpu", dtype)
        energies[dtype] = ethanol.get_potential_energy()
        assert ethanol.get_forces().dtype == np.float64
    assert energies["float32"] != energies["float64"]
    assert_allclose(energies["float32"], energies["float64"], rtol=1e-7)


def test_inside_an_optimizer(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    before = ethanol.get_potential_energy()
    with BFGS(ethanol, logfile=None) as optimizer:
        optimizer.run(fmax=1e-3, steps=20)
    assert ethanol.get_potential_energy() < before
    assert len(evaluations) <= 22


def test_bad_structures_leave_no_stale_results(calculator, ethanol):
    ethanol.calc = calculator
    ethanol.get_forces()
    ethanol.positions[3, 0] = np.nan
    for _ in range(2):
        with pytest.raises(StructureError, match="atom 3"):
            ethanol.get_forces()


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("Au"), "does not know Au"),
        (Atoms(), "no atoms"),
        (Atoms("C", pbc=True), "has no cell"),
        (Atoms("C", pbc=True, cell=[[1, 0, 0], [2, 0, 0], [0, 0, 1]]), "singular|no cell"),
    ],
)
def test_bad_structures(calculator, atoms, message):
    atoms.calc = calculator
    with pytest.raises(StructureError, match=message):
        atoms.get_potential_energy()


def test_missing_model():
    with pytest.raises(ModelFileError, match="No such file"):
        MLPotentialCalculator("nowhere.safetensors")


def test_pickles(calculator, ethanol):
    ethanol.calc = calculator
    energy = ethanol.get_potential_energy()
    twin = ethanol.copy()
    twin.calc = pickle.loads(pickle.dumps(calculator))
    assert twin.get_potential_energy() == energy
