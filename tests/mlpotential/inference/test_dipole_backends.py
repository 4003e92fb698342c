"""Dipoles, charges and Born charges of every backend against the model in float64."""

import numpy as np
import pytest
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal
from random_models import (
    BOUND,
    EMULATED,
    INSTRUCTION_SETS,
    crystal,
    energy_and_dipole,
    random_schnet,
)

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.potential import OF_CHARGES
from mlpotential.testing import predict

BACKENDS = [*(["native"] if INSTRUCTION_SETS else []), *EMULATED, "tabulated", "reference"]
WANTED = ("energy", "forces", *sorted(OF_CHARGES))


@pytest.fixture(scope="module")
def model():
    return random_schnet(outputs=energy_and_dipole())


def geometries(n: int) -> tuple[np.ndarray, np.ndarray]:
    atoms = molecule("CH3CH2OH")
    moves = np.random.default_rng(2).normal(scale=0.05, size=(n, len(atoms), 3))
    return atoms.numbers, atoms.positions + moves


def assert_close(actual, expected, bound, names=("charges", "dipole", "born_charges")):
    for name in names:
        exact = np.asarray(getattr(expected, name))
        error = np.abs(getattr(actual, name) - exact).max()
        assert error <= bound * np.abs(exact).max(), f"{name} differ by {error:.1e}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["ssp", "silu"])
def test_replicas(backend, dtype, activation):
    model = random_schnet(outputs=energy_and_dipole(0.5, activation))
    numbers, positions = geometries(3)
    graph = collate([AtomGraph.from_arrays(numbers, p) for p in positions])
    evaluator = Evaluator(model, numbers, device="cpu", dtype=dtype, backend=backend)
    answer = evaluator.evaluate(positions, None, WANTED)
    assert_close(answer, predict(model, graph, *WANTED), BOUND[dtype])
    assert answer.dipole.shape == (3, 3)
    assert answer.born_charges.shape == (27, 3, 3)
    assert_allclose(answer.charges.reshape(3, 9).sum(axis=1), 0.5, atol=1e-12)
    only = evaluator.evaluate(positions, None, ["dipole"])
    assert_array_equal(only.dipole, answer.dipole)
    assert only.charges is only.forces is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("total", [None, 0.0])
def test_mixed_structures(backend, total):
    model = random_schnet(outputs=energy_and_dipole(total))
    graphs = [AtomGraph.from_atoms(molecule(name)) for name in ("H2O", "CH3CH2OH", "CH4", "C")]
    graph = collate(graphs)
    evaluator = Evaluator(model, [6], device="cpu", backend=backend)
    answer = evaluator.evaluate_graph(graph, WANTED)
    assert_close(answer, predict(model, graph, *WANTED), BOUND["float64"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_crystal_has_charges_but_no_dipole(model, backend):
    graph = crystal((6.4, 5.0, 4.8), skew=0.8)
    numbers = graph.atomic_numbers.numpy()
    positions, cells = graph.positions.numpy()[None], graph.cell.numpy()
    evaluator = Evaluator(model, numbers, True, device="cpu", backend=backend)
    answer = evaluator.evaluate(positions, cells, ("charges",))
    assert_close(answer, predict(model, graph, "charges"), BOUND["float64"], ["charges"])
    for name in ("dipole", "born_charges"):
        with pytest.raises(StructureError, match="periodic structure has no dipole"):
            evaluator.evaluate(positions, cells, (name,))
        with pytest.raises(StructureError, match="periodic structure has no dipole"):
            evaluator.evaluate_graph(graph, (name,))


def test_what_a_model_has_is_said(model):
    plain = random_schnet()
    assert Evaluator(model, [6], device="cpu").properties >= OF_CHARGES
    for evaluator in (Evaluator(m, [6], device="cpu") for m in (plain, [model, plain])):
        assert not evaluator.properties & OF_CHARGES
        with pytest.raises(ConfigError, match=r"no dipole: .*'dipole:' below outputs"):
            evaluator.evaluate(np.zeros((1, 1, 3)), None, ("energy", "dipole"))
    with pytest.raises(ConfigError, match="unknown property 'dipol'.*Did you mean 'dipole'"):
        Evaluator(model, [6], device="cpu").evaluate(np.zeros((1, 1, 3)), None, ("dipol",))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_committee_gives_means(backend):
    models = [random_schnet(seed=k, outputs=energy_and_dipole()) for k in range(3)]
    numbers, positions = geometries(2)
    committee = Evaluator(models, numbers, device="cpu", backend=backend)
    answer = committee.evaluate(positions, None, WANTED)
    singles = [
        Evaluator(m, numbers, device="cpu", backend=backend).evaluate(positions, None, WANTED)
        for m in models
    ]
    for name in WANTED:
        mean = np.mean([getattr(single, name) for single in singles], axis=0)
        assert_allclose(getattr(answer, name), mean, rtol=1e-12, atol=1e-13)


@pytest.mark.skipif(not INSTRUCTION_SETS, reason="no compiled kernel")
def test_threads_do_not_change_native_charges(model):
    numbers, positions = geometries(4)
    one, three = (
        Evaluator(model, numbers, device="cpu", backend="native", threads=threads).evaluate(
            positions, None, ("charges", "dipole")
        )
        for threads in (1, 3)
    )
    assert_array_equal(one.charges, three.charges)
