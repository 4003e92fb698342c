"""The ASE calculator: ASE's conventions, one evaluation per structure, clear refusals."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.calculators.mixing import SumCalculator
from ase.io import read, write
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS
from numpy.testing import assert_allclose, assert_array_equal

from calculators import MLPotentialCalculator
from mlpotential.errors import ConfigError, ModelFileError, StructureError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.neighbors import connect


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
    # energies of 8,000 eV are rounded by 2e-12 eV: that divided by 2e-4 A, of forces of 0.02 eV/A
    assert_allclose(diamond.get_forces(), forces, atol=1e-5 * np.abs(forces).max())
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


def move(atoms):
    atoms.positions[1, 2] += 1e-9


def replace(atoms):
    atoms.numbers[0] = 8


def stretch(atoms):
    atoms.cell[0] *= 1.01


def open_up(atoms):
    atoms.pbc[2] = False


@pytest.mark.parametrize(
    ("change", "name"),
    [(move, "positions"), (replace, "numbers"), (stretch, "cell"), (open_up, "pbc")],
)
def test_changes_in_place_are_seen(calculator, potential, diamond, evaluations, change, name):
    diamond.calc = calculator
    before = diamond.get_forces()
    change(diamond)
    assert calculator.check_state(diamond) == [name]
    assert calculator.calculation_required(diamond, ["energy"])
    forces = diamond.get_forces()
    assert len(evaluations) == 2
    assert np.abs(forces - before).max() > 0.0
    assert calculator.check_state(diamond) == []
    diamond.calc = MLPotentialCalculator(potential, device="cpu")
    assert_allclose(forces, diamond.get_forces(), rtol=0)


def test_atoms_come_and_go(calculator, potential, ethanol, evaluations):
    ethanol.calc = calculator
    ethanol.get_forces()
    del ethanol[-1]
    assert set(calculator.check_state(ethanol)) == {"positions", "numbers"}
    assert ethanol.get_forces().shape == (8, 3)
    assert len(evaluations) == 2


def test_what_the_model_does_not_see_costs_nothing(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    energy = ethanol.get_potential_energy()
    ethanol.set_initial_charges(np.full(9, 0.1))
    ethanol.set_initial_magnetic_moments(np.full(9, 0.1))
    ethanol.set_momenta(np.ones((9, 3)))
    assert calculator.check_state(ethanol) == []
    assert calculator.check_state(ethanol, tol=1e-3) == []
    assert ethanol.get_potential_energy() == energy
    assert len(evaluations) == 1


def test_tolerance_of_the_check(calculator, ethanol):
    ethanol.calc = calculator
    ethanol.get_forces()
    ethanol.positions[0, 0] += 1e-6
    assert calculator.check_state(ethanol) == ["positions"]
    assert calculator.check_state(ethanol, tol=1e-3) == []
    ethanol.positions[0, 0] += 1e-2
    assert calculator.check_state(ethanol, tol=1e-3) == ["positions"]


def test_nothing_is_calculated_where_that_is_not_allowed(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    assert calculator.get_property("energy", ethanol, allow_calculation=False) is None
    energy = ethanol.get_potential_energy()
    assert calculator.get_property("energy", ethanol, allow_calculation=False) == energy
    assert calculator.get_property("energy") == energy
    move(ethanol)
    assert calculator.get_property("energy", ethanol, allow_calculation=False) is None
    assert len(evaluations) == 1
    with pytest.raises(PropertyNotImplementedError, match="dipole"):
        calculator.get_property("dipole", ethanol, allow_calculation=False)


@pytest.mark.parametrize("forget", [lambda c: c.reset(), lambda c: setattr(c, "atoms", None)])
def test_forgets_on_request(calculator, ethanol, evaluations, forget):
    ethanol.calc = calculator
    energy = ethanol.get_potential_energy()
    forget(calculator)
    assert calculator.atoms is None
    assert calculator.check_state(ethanol) == all_changes
    assert calculator.calculation_required(ethanol, ["energy"])
    assert ethanol.get_potential_energy() == energy
    assert len(evaluations) == 2


def test_atoms_are_a_copy_of_those_evaluated(calculator, diamond, evaluations):
    diamond.calc = calculator
    assert calculator.atoms is None
    energy = diamond.get_potential_energy()
    evaluated = diamond.copy()
    move(diamond)
    assert calculator.atoms == evaluated
    replace(calculator.atoms)
    assert calculator.atoms == evaluated
    assert calculator.get_atoms().get_potential_energy() == energy
    assert len(evaluations) == 1
    calculator.atoms = diamond
    stretch(diamond)
    assert calculator.check_state(diamond) == ["cell"]


def test_calculate_without_being_asked_for_a_property(calculator, ethanol, evaluations):
    with pytest.raises(StructureError, match="no atoms yet"):
        calculator.get_potential_energy()
    calculator.calculate(ethanol, ["energy"], all_changes)
    kept = calculator.results
    calculator.calculate()
    assert calculator.results["energy"] == kept["energy"]
    ethanol.calc = calculator
    assert ethanol.get_potential_energy() == kept["energy"]
    assert len(evaluations) == 2
    assert ethanol.get_properties(["energy", "forces"])["energy"] == kept["energy"]


@pytest.mark.parametrize("name", ["forces", "energies", "stress"])
def test_results_belong_to_the_caller(calculator, diamond, name):
    diamond.calc = calculator
    values = calculator.get_property(name, diamond)
    kept = values.copy()
    values[:] = 1e3
    assert_allclose(calculator.get_property(name, diamond), kept, rtol=0)


def test_stress_of_a_molecule_is_not_implemented(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    ethanol.get_forces()
    with pytest.raises(PropertyNotImplementedError, match="no volume"):
        ethanol.get_stress()
    assert calculator.get_property("stress", ethanol, allow_calculation=False) is None
    ethanol.get_forces()
    assert len(evaluations) == 1


@pytest.mark.parametrize("missing", [[2], [1, 2]])
def test_no_stress_where_a_cell_vector_is_missing(calculator, diamond, evaluations, missing):
    """A slab or a wire; with a vector, even if nothing repeats along it, there is a volume."""
    thin = diamond.copy()
    thin.pbc = [k not in missing for k in range(3)]
    thick = thin.copy()
    thin.cell[missing] = 0.0
    thin.calc = calculator
    thin.get_forces()
    assert "stress" not in calculator.results
    with pytest.raises(PropertyNotImplementedError, match="a cell vector missing, has no volume"):
        thin.get_stress()
    thin.get_forces()
    assert len(evaluations) == 1
    assert thick.cell.rank == 3
    results = calculator.calculate_batch([thin, thick])
    assert ["stress" in found for found in results] == [False, True]
    thick.calc = calculator
    # 1e-7 eV/A^3 of the numerical derivative
    assert_allclose(thick.get_stress(), calculate_numerical_stress(thick, eps=1e-4), atol=1e-7)


def test_cell_of_a_molecule_is_ignored(calculator, ethanol):
    ethanol.calc = calculator
    free = ethanol.get_potential_energy()
    ethanol.set_cell([3.0, 3.0, 3.0])
    assert ethanol.get_potential_energy() == free


def test_one_calculator_many_structures(calculator, potential, ethanol, diamond):
    alone = [MLPotentialCalculator(potential, "cpu") for _ in range(2)]
    expected = []
    for atoms, own in zip((ethanol, diamond), alone, strict=True):
        atoms.calc = own
        expected.append(atoms.get_potential_energy())
    for atoms in (ethanol, diamond):
        atoms.calc = calculator
    for _ in range(2):
        for atoms, energy in zip((ethanol, diamond), expected, strict=True):
            assert atoms.get_potential_energy() == energy


def test_images_of_a_band_share_a_calculator(calculator, potential, ethanol, evaluations):
    images = [ethanol.copy() for _ in range(4)]
    images[-1].rattle(0.1, seed=3)
    band = NEB(images, allow_shared_calculator=True, method="aseneb")
    band.interpolate()
    band.set_calculators(calculator)
    band.get_forces()
    assert len(evaluations) == 2  # the inner images, once each
    own = MLPotentialCalculator(potential, "cpu")
    for image, energy in zip(images[1:-1], band.energies[1:-1], strict=True):
        assert own.get_potential_energy(image) == energy


def test_devices_of_torch(model_path, ethanol):
    """By their name, too; all else is refused in the words of other unknown devices."""
    energy = MLPotentialCalculator(model_path, "cpu").get_potential_energy(ethanol)
    own = MLPotentialCalculator(model_path, device=torch.device("cpu"))
    assert own.get_potential_energy(ethanol) == energy
    assert pickle.loads(pickle.dumps(own)).get_potential_energy(ethanol) == energy
    for device in (None, 0, "gpu", torch.device("meta"), torch.device("mps")):
        with pytest.raises(ConfigError, match="device must be auto, cpu, cuda or cuda:N, not "):
            MLPotentialCalculator(model_path, device=device).get_potential_energy(ethanol)


def test_descriptors(model_path, ethanol, diamond, potential):
    """Those of the model before its readout, whatever the backend; they follow the atoms."""
    graph = connect(AtomGraph.from_atoms(ethanol), potential.cutoff)
    expected = potential(graph, ("features",)).features.numpy()
    order = np.random.default_rng(0).permutation(len(ethanol))
    turned = ethanol[order]
    turned.rotate(70.0, (1, 2, 3))
    turned.translate([1e3, 0, 0])
    for backend in ("auto", "tabulated", "reference"):
        calculator = MLPotentialCalculator(model_path, "cpu", backend=backend)
        found = calculator.get_descriptors(ethanol)
        assert (found.shape, found.dtype) == ((9, potential.n_features), np.float64)
        assert_allclose(found, expected, rtol=1e-13)
        assert_allclose(calculator.get_descriptors(turned), expected[order], rtol=1e-9)
        assert calculator.get_descriptors(diamond).shape == (len(diamond), potential.n_features)
    ethanol.calc = calculator
    ethanol.get_forces()
    assert_allclose(calculator.get_descriptors(), expected, rtol=1e-13)
    committee = MLPotentialCalculator([potential, potential], "cpu")
    with pytest.raises(ConfigError, match="no features in common"):
        committee.get_descriptors(ethanol)


def test_threads_share_a_calculator(calculator, ethanol, diamond):
    """Each gets what it asked for."""
    structures = []
    for seed in range(12):
        atoms = (ethanol if seed % 2 else diamond).copy()
        atoms.rattle(0.02, seed=seed)
        structures.append(atoms)
    expected = [calculator.get_forces(atoms).copy() for atoms in structures]

    def forces(k):
        return structures[k].calc.get_forces(structures[k])

    for atoms in structures:
        atoms.calc = calculator
    with ThreadPoolExecutor(8) as threads:
        numbers = [k for _ in range(20) for k in range(12)]
        for k, found in zip(numbers, threads.map(forces, numbers), strict=True):
            assert_array_equal(found, expected[k])


def test_in_a_sum_of_calculators(calculator, potential, diamond, evaluations):
    diamond.calc = calculator
    energy, forces = diamond.get_potential_energy(), diamond.get_forces()
    diamond.calc = SumCalculator([calculator, MLPotentialCalculator(potential, "cpu")])
    assert_allclose(diamond.get_potential_energy(), 2 * energy, rtol=1e-13)
    assert_allclose(diamond.get_forces(), 2 * forces, rtol=0, atol=1e-12 * np.abs(forces).max())
    assert len(evaluations) == 2


@pytest.mark.parametrize("suffix", ["traj", "extxyz", "json"])
def test_files_keep_the_results(calculator, diamond, evaluations, tmp_path, suffix):
    diamond.calc = calculator
    forces, stress = diamond.get_forces(), diamond.get_stress()
    write(tmp_path / f"frames.{suffix}", diamond)
    again = read(tmp_path / f"frames.{suffix}")
    assert_allclose(again.get_potential_energy(), diamond.get_potential_energy(), rtol=1e-12)
    assert_allclose(again.get_forces(), forces, atol=1e-7)  # extxyz: 8 digits
    assert_allclose(again.get_stress(), stress, atol=1e-7)
    assert len(evaluations) == 1


def test_float32_on_request(model_path, ethanol):
    energies = {}
    for dtype in ("float64", "float32"):
        ethanol.calc = MLPotentialCalculator(model_path, "cpu", dtype)
        energies[dtype] = ethanol.get_potential_energy()
        assert ethanol.get_forces().dtype == np.float64
    assert energies["float32"] != energies["float64"]
    assert_allclose(energies["float32"], energies["float64"], rtol=1e-7)


def test_one_evaluation_for_each_step(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    dynamics = VelocityVerlet(ethanol, 0.5 * units.fs)
    visited = []
    dynamics.attach(lambda: visited.append(ethanol.get_potential_energy()))
    dynamics.run(5)
    assert len(evaluations) == len(set(visited)) == 6


def test_inside_an_optimizer(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    before = ethanol.get_potential_energy()
    with BFGS(ethanol, logfile=None) as optimizer:
        optimizer.run(fmax=1e-3, steps=20)
    assert ethanol.get_potential_energy() < before
    assert len(evaluations) <= 22


def test_bad_structures_leave_no_stale_results(calculator, ethanol, evaluations):
    ethanol.calc = calculator
    kept = ethanol.get_forces()
    good = ethanol.copy()
    ethanol.positions[3, 0] = np.nan
    for _ in range(2):
        with pytest.raises(StructureError, match="atom 3"):
            ethanol.get_forces()
        with pytest.raises(StructureError, match="atom 3"):
            calculator.calculate(ethanol)
        assert calculator.results == {}
        assert calculator.atoms is None
    assert len(evaluations) == 5
    assert_allclose(calculator.get_forces(good), kept, rtol=0)
    with pytest.raises(StructureError, match="atom 3"):
        calculator.calculate(ethanol)
    assert calculator.results == {}
    assert calculator.atoms is None


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


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_are_independent(calculator, ethanol, evaluations, monkeypatch, duplicate):
    def refuse(evaluator):
        raise TypeError("an evaluator may hold what cannot be copied")

    monkeypatch.setattr(Evaluator, "__getstate__", refuse)
    ethanol.calc = calculator
    energy = ethanol.get_potential_energy()
    twin = duplicate(calculator)
    assert twin.get_potential_energy(ethanol) == energy
    assert len(evaluations) == 1
    moved = ethanol.copy()
    moved.positions[0, 0] += 0.1
    assert twin.get_potential_energy(moved) != energy
    assert twin.get_potential_energy(ethanol) == energy
    assert len(evaluations) == 3
    ethanol.get_potential_energy()
    assert len(evaluations) == 3


@pytest.fixture
def preparations(monkeypatch):
    """What each `Evaluator` was made with by keyword; those made of another are not among them."""
    made = []
    original = Evaluator.__init__

    def noted(self, *arguments, **options):
        made.append(options)
        original(self, *arguments, **options)

    monkeypatch.setattr(Evaluator, "__init__", noted)
    return made


def test_backend_threads_and_guard_reach_the_evaluator(potential, ethanol, preparations):
    for options in ({}, {"backend": "tabulated", "threads": 2, "guard": "off"}):
        ethanol.calc = MLPotentialCalculator(potential, "cpu", **options)
        ethanol.get_forces()
    assert preparations == [
        {"backend": "auto", "threads": 1, "guard": "warn"},
        {"backend": "tabulated", "threads": 2, "guard": "off"},
    ]
    ethanol.calc = MLPotentialCalculator(potential, "cpu", backend="slow")
    with pytest.raises(ConfigError, match="slow"):
        ethanol.get_forces()


def test_the_model_is_prepared_once(calculator, ethanol, diamond, preparations):
    for atoms in (ethanol, diamond, ethanol):
        calculator.get_forces(atoms)
    assert len(preparations) == 1
