"""Dipoles and all else that a dipole model adds, through ASE and i-PI."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms
from ase.outputs import Properties
from ase.vibrations import Vibrations
from ipi.utils.units import unit_to_internal
from numpy.testing import assert_allclose, assert_array_equal

from calculators import MLPotentialCalculator
from calculators.ipi_driver import answer
from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import save_model

BORN = "born_effective_charges"
BOHR = unit_to_internal("length", "angstrom", 1.0)  # per A


@pytest.fixture
def calculator(dipole_potential):
    return MLPotentialCalculator(dipole_potential, device="cpu")


@pytest.fixture
def evaluations(monkeypatch):
    """What each call of Evaluator.evaluate was asked for."""
    calls = []
    original = Evaluator.evaluate

    def noted(self, positions, cells=None, properties=()):
        calls.append(sorted(properties))
        return original(self, positions, cells, properties)

    monkeypatch.setattr(Evaluator, "evaluate", noted)
    return calls


def test_properties_are_those_of_the_model(calculator, potential):
    added = {"dipole", "charges", BORN}
    assert added < set(calculator.implemented_properties)
    assert not added & set(MLPotentialCalculator(potential, "cpu").implemented_properties)
    assert not added & set(MLPotentialCalculator.implemented_properties)


def test_a_model_without_dipoles_has_none(potential, ethanol):
    ethanol.calc = MLPotentialCalculator(potential, device="cpu")
    for ask in (ethanol.get_dipole_moment, ethanol.get_charges):
        with pytest.raises(PropertyNotImplementedError):
            ask()
    assert not {"dipole", "charges"} & set(ethanol.calc.results)


def test_one_evaluation_gives_all_but_born_charges(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    dipole = ethanol.get_dipole_moment()
    ethanol.get_forces()
    away = ethanol.positions - ethanol.get_center_of_mass()
    assert_allclose(dipole, ethanol.get_charges() @ away, rtol=0, atol=1e-12)
    assert len(evaluations) == 1
    born = calculator.get_property(BORN, ethanol)
    assert evaluations[1:] == [["born_charges"]]
    assert_array_equal(calculator.get_property(BORN, ethanol), born)
    ethanol.get_potential_energy()
    assert len(evaluations) == 2
    properties = Properties(calculator.results)  # ASE's own check of names and shapes
    assert properties[BORN].shape == (9, 3, 3)
    ethanol.positions[0, 0] += 0.1
    ethanol.get_forces()
    assert BORN not in calculator.results
    assert len(evaluations) == 3


def test_born_charges_first(calculator, ethanol):
    ethanol.calc = calculator
    born = calculator.get_property(BORN, ethanol)
    step = 1e-4
    ethanol.positions[2, 1] += step
    high = ethanol.get_dipole_moment()
    ethanol.positions[2, 1] -= 2 * step
    assert_allclose(born[2, :, 1], (high - ethanol.get_dipole_moment()) / (2 * step), atol=1e-6)


def test_a_crystal_has_charges_and_stress_but_no_dipole(calculator, diamond):
    diamond.calc = calculator
    assert diamond.get_charges().shape == (len(diamond),)
    assert diamond.get_stress().shape == (6,)
    for name in ("dipole", BORN):
        with pytest.raises(PropertyNotImplementedError, match="periodic structure has no dipole"):
            calculator.get_property(name, diamond)
    assert "dipole" not in calculator.results


@pytest.mark.parametrize("n_models", [1, 2])
def test_a_batch_equals_singles(make_dipole_potential, diamond, ethanol, n_models):
    models = [make_dipole_potential(seed) for seed in range(n_models)]
    calculator = MLPotentialCalculator(models if n_models > 1 else models[0], device="cpu")
    structures = [ethanol, diamond, molecule("H2O"), molecule("CH4"), diamond * (1, 1, 2)]
    answers = calculator.calculate_batch(structures)
    assert not calculator.results
    for atoms, results in zip(structures, answers, strict=True):
        calculator.calculate(atoms)
        assert results.keys() == calculator.results.keys()
        for name, value in calculator.results.items():
            assert np.shape(results[name]) == np.shape(value)
            assert_allclose(results[name], value, rtol=1e-11, atol=1e-11)
    assert calculator.calculate_batch([]) == []


def test_the_hessian_is_that_of_the_forces(calculator, ethanol, tmp_path):
    """Against ASE's finite differences."""
    ethanol.calc = calculator
    hessian = calculator.get_hessian(ethanol)
    vibrations = Vibrations(ethanol, delta=1e-3, name=str(tmp_path / "vib"))
    vibrations.run()
    numerical = vibrations.get_vibrations().get_hessian_2d()
    assert_allclose(hessian, numerical, atol=1e-5 * np.abs(hessian).max())
    assert_array_equal(calculator.get_vibrations(ethanol).get_hessian_2d(), hessian)
    ethanol.set_constraint(FixAtoms([0, 4]))
    free = calculator.get_vibrations(ethanol)
    assert list(free.get_indices()) == [1, 2, 3, 5, 6, 7, 8]
    rows = np.r_[3:12, 15:27]
    assert_array_equal(free.get_hessian_2d(), hessian[np.ix_(rows, rows)])


def test_hessian_of_a_crystal_and_of_nothing(calculator, diamond):
    hessian = calculator.get_hessian(diamond)
    assert_allclose(hessian.reshape(-1, len(diamond), 3).sum(axis=1), 0.0, atol=1e-10)
    with pytest.raises(StructureError, match="has no atoms yet"):
        MLPotentialCalculator(calculator._members[0], "cpu").get_hessian()


def results_of(calculator, atoms):
    calculator.calculate(atoms, [BORN])
    return calculator.results


@pytest.mark.parametrize("from_file", [True, False])
def test_pickles(dipole_potential, ethanol, tmp_path, from_file):
    model = dipole_potential
    if from_file:
        model = tmp_path / "model.safetensors"
        save_model(model, dipole_potential, AtomGraph.from_atoms(ethanol))
    calculator = MLPotentialCalculator(model, device="cpu", guard="off")
    expected = results_of(calculator, ethanol)
    content = pickle.dumps(calculator)
    if from_file:
        model.unlink()  # the copy brings the model along
    copied = pickle.loads(content)
    assert copied.implemented_properties == calculator.implemented_properties
    copied.reset()
    for name, value in results_of(copied, ethanol).items():
        assert_array_equal(value, expected[name])


def test_threads(calculator, ethanol):
    """Each with a calculator of its own, all with the same answers."""
    structures = [ethanol.copy() for _ in range(4)]
    for k, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=k)
    expected = [dict(results_of(calculator, atoms)) for atoms in structures]
    copies = [pickle.loads(pickle.dumps(calculator)) for _ in structures]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(results_of, copies, structures))
    for results, correct in zip(answers, expected, strict=True):
        assert {"energy", "forces", "dipole", "charges"} <= set(results)
        for name, value in results.items():
            rounding = 1e-12 * np.abs(correct[name]).max()
            assert_allclose(value, correct[name], rtol=0, atol=rounding)


def test_ipi_gets_dipole_and_charges_of_each_bead(dipole_potential, ethanol):
    evaluator = Evaluator(dipole_potential, ethanol.numbers, device="cpu")
    moved = ethanol.copy()
    moved.rattle(0.05, seed=3)
    beads = [ethanol.positions * BOHR, moved.positions * BOHR]
    answers = answer(evaluator, [np.eye(3)] * 2, beads)
    for atoms, (_, _, _, text) in zip((ethanol, moved), answers, strict=True):
        extras = json.loads(text)
        atoms.calc = MLPotentialCalculator(dipole_potential, device="cpu")
        assert_allclose(extras["dipole"], atoms.get_dipole_moment() * BOHR, rtol=1e-7, atol=1e-8)
        assert_allclose(extras["charges"], atoms.get_charges(), rtol=1e-7, atol=1e-8)


def test_ipi_gets_charges_of_a_crystal_and_nothing_of_other_models(
    dipole_potential, potential, diamond
):
    for model, names in ((dipole_potential, {"charges"}), (potential, set())):
        evaluator = Evaluator(model, diamond.numbers, True, device="cpu")
        h, positions = diamond.cell.array.T * BOHR, diamond.positions * BOHR
        ((_, _, _, text),) = answer(evaluator, [h], [positions])
        assert json.loads(text).keys() & {"dipole", "charges"} == names
