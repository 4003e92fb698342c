"""CUDA against the CPU in float64: the same numbers, single, batched and periodic."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import check_golden, load_model, save_model

DEVICE = "cuda"
TOLERANCE = {"float64": 1e-9, "float32": 2e-5}  # relative to the largest value
PROPERTIES = ("energy", "forces", "virial")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(params=TOLERANCE)
def dtype(request):
    return request.param


@pytest.fixture
def potential(potential):
    """Without atom references, beside which an error of the network could hide."""
    potential.scale.set(0.0, 0.3)
    return potential


def assert_same(actual, expected, dtype):
    for name in PROPERTIES:
        reference = getattr(expected, name)
        tolerance = TOLERANCE[dtype] * np.abs(reference).max()
        assert_allclose(getattr(actual, name), reference, rtol=0.0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("n_replicas", [1, 8])
def test_molecule(potential, ethanol, dtype, n_replicas):
    rng = np.random.default_rng(0)
    positions = ethanol.positions + rng.normal(scale=0.05, size=(n_replicas, len(ethanol), 3))
    expected = Evaluator(potential, ethanol.numbers, device="cpu").evaluate(
        positions, properties=PROPERTIES
    )
    evaluator = Evaluator(potential, ethanol.numbers, device=DEVICE, dtype=dtype)
    assert_same(evaluator.evaluate(positions, properties=PROPERTIES), expected, dtype)


@pytest.mark.parametrize("n_replicas", [1, 8])
def test_crystal(potential, diamond, dtype, n_replicas):
    rng = np.random.default_rng(0)
    positions = diamond.positions + rng.normal(scale=0.05, size=(n_replicas, len(diamond), 3))
    cells = diamond.cell[:] * np.linspace(1.0, 1.02, n_replicas)[:, None, None]
    answers = [
        Evaluator(potential, diamond.numbers, True, device, kind).evaluate(
            positions, cells, PROPERTIES
        )
        for device, kind in (("cpu", None), (DEVICE, dtype))
    ]
    assert_same(answers[1], answers[0], dtype)


def test_mixed_structures(potential, ethanol, diamond, dtype):
    graph = collate([AtomGraph.from_atoms(atoms) for atoms in (ethanol, diamond)])
    answers = [
        Evaluator(potential, [6], False, device, kind).evaluate_graph(graph, PROPERTIES)
        for device, kind in (("cpu", None), (DEVICE, dtype))
    ]
    assert_same(answers[1], answers[0], dtype)


def test_crystals_have_the_same_bits(potential, diamond):
    """In every run, and from lists of any age."""
    rng = np.random.default_rng(0)
    evaluator = Evaluator(potential, diamond.numbers, True, DEVICE)
    assert evaluator.backend == "cuda"
    for _ in range(20):
        positions = diamond.positions + rng.normal(scale=0.1, size=(1, len(diamond), 3))
        found = evaluator.evaluate(positions, diamond.cell[None]).forces
        fresh = Evaluator(potential, diamond.numbers, True, DEVICE)
        assert np.array_equal(fresh.evaluate(positions, diamond.cell[None]).forces, found)
        assert np.array_equal(evaluator.evaluate(positions, diamond.cell[None]).forces, found)


def test_molecules_go_to_the_kernel(potential, ethanol):
    evaluator = Evaluator(potential, ethanol.numbers, device=DEVICE)
    assert evaluator.backend == "cuda"
    first = evaluator.evaluate(ethanol.positions[None]).forces
    for _ in range(20):
        assert np.array_equal(evaluator.evaluate(ethanol.positions[None]).forces, first)


def test_hessian(potential, ethanol):
    expected, actual = (
        Evaluator(potential, ethanol.numbers, device=device).hessian(ethanol.positions)
        for device in ("cpu", DEVICE)
    )
    assert_allclose(actual, expected, rtol=0.0, atol=1e-9 * np.abs(expected).max())


def test_isolated_atom(potential):
    answer = Evaluator(potential, [6], device=DEVICE).evaluate(np.zeros((1, 1, 3)))
    assert np.isfinite(answer.energy).all()
    assert_allclose(answer.forces, 0.0)


def test_golden_structures(model_path, dtype):
    assert check_golden(load_model(model_path), DEVICE, dtype).passed


def test_model_on_the_device_is_saved_for_every_machine(potential, ethanol, tmp_path):
    graph = AtomGraph.from_atoms(ethanol)
    save_model(tmp_path / "a", potential, graph)
    save_model(tmp_path / "b", potential.to(DEVICE), graph.to(DEVICE))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
