"""The evaluator: the model's own numbers for every replica, and clear words for bad structures."""

import contextlib

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from random_models import EMULATED

from mlpotential import testing
from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.neighbors import connect
from mlpotential.testing import tiny_schnet


@pytest.fixture
def evaluator(potential, ethanol):
    return Evaluator(potential, ethanol.numbers, device="cpu", backend="reference")


def replicas(atoms, n):
    rng = np.random.default_rng(0)
    return atoms.positions + rng.normal(scale=0.05, size=(n, len(atoms), 3))


def test_replicas_equal_the_model_one_by_one(evaluator, potential, ethanol):
    positions = replicas(ethanol, 3)
    answer = evaluator.evaluate(positions, properties=("energy", "forces", "virial"))
    assert answer.energy.shape == (3,)
    assert answer.forces.shape == (3 * len(ethanol), 3)
    for k, single in enumerate(positions):
        graph = AtomGraph.from_arrays(ethanol.numbers, single)
        expected = testing.predict(potential, graph, "energy", "forces", "virial")
        assert_allclose(answer.energy[k], expected.energy.item(), rtol=1e-12)
        forces = answer.forces.reshape(3, -1, 3)[k]
        assert_allclose(forces, expected.forces.numpy(), rtol=1e-11, atol=1e-13)
        assert_allclose(answer.virial[k], expected.virial[0].numpy(), rtol=1e-11, atol=1e-13)


def test_cells_of_replicas(potential, diamond):
    evaluator = Evaluator(potential, diamond.numbers, diamond.pbc, "cpu", backend="reference")
    cells = np.stack([diamond.cell[:], 1.02 * diamond.cell[:]])
    positions = np.stack([diamond.positions, 1.02 * diamond.positions])
    answer = evaluator.evaluate(positions, cells, ("energy", "stress"))
    assert answer.energy[0] != answer.energy[1]
    for k in range(2):
        graph = AtomGraph.from_arrays(diamond.numbers, positions[k], cells[k], True)
        expected = testing.predict(potential, graph, "energy", "stress")
        assert_allclose(answer.stress[k], expected.stress[0].numpy(), rtol=1e-10, atol=1e-13)


def test_mixed_structures_in_one_graph(evaluator, potential, ethanol, diamond):
    graphs = [AtomGraph.from_atoms(atoms) for atoms in (ethanol, diamond)]
    answer = evaluator.evaluate_graph(collate(graphs), ("energy", "forces", "stress"))
    alone = [testing.predict(potential, g, "energy", "forces", "stress") for g in graphs]
    assert_allclose(answer.energy, [float(p.energy) for p in alone], rtol=1e-12)
    forces = np.concatenate([p.forces.numpy() for p in alone])
    assert_allclose(answer.forces, forces, rtol=1e-10, atol=1e-12)
    assert np.isnan(answer.stress[0]).all()
    assert_allclose(answer.stress[1], alone[1].stress[0].numpy(), rtol=1e-10, atol=1e-13)


def test_graph_with_an_unknown_element(evaluator):
    gold = AtomGraph.from_arrays(np.array([79]), np.zeros((1, 3)))
    with pytest.raises(StructureError, match="does not know Au"):
        evaluator.evaluate_graph(gold)


def test_unknown_property(evaluator, ethanol):
    with pytest.raises(ConfigError, match="Did you mean 'forces'"):
        evaluator.evaluate(ethanol.positions[None], properties=("energy", "force"))


def test_fractional_atomic_numbers(potential):
    with pytest.raises(StructureError, match="must be whole"):
        Evaluator(potential, [6.7], device="cpu")


def test_results_are_fresh_float64(evaluator, ethanol):
    first = evaluator.evaluate(ethanol.positions[None])
    kept = first.forces.copy()
    assert first.forces.dtype == np.float64
    assert first.forces.flags.c_contiguous
    first.forces[:] = 0.0
    second = evaluator.evaluate(ethanol.positions[None])
    assert_allclose(second.forces, kept, rtol=0)


def test_hessian_is_the_models(evaluator, potential, ethanol):
    hessian = evaluator.hessian(ethanol.positions)
    assert_allclose(hessian, hessian.T, rtol=0)
    graph = connect(AtomGraph.from_atoms(ethanol), potential.cutoff)
    assert_allclose(hessian, potential.hessian(graph).numpy(), rtol=1e-10, atol=1e-12)


def test_atoms_far_from_the_cell(potential, diamond):
    """Positions 1e6 A away give the same energy to 1e-6 relative."""
    evaluator = Evaluator(potential, diamond.numbers, True, "cpu")
    away = diamond.positions + np.array([2e5, -1e5, 3e5]) @ diamond.cell[:]
    near = evaluator.evaluate(diamond.positions[None], diamond.cell[:][None])
    far = evaluator.evaluate(away[None], diamond.cell[:][None])
    assert_allclose(far.energy, near.energy, rtol=1e-9)
    assert_allclose(far.forces, near.forces, atol=1e-6)


def test_slab_equals_slab_in_vacuum(potential, diamond):
    diamond.center(vacuum=20.0, axis=2)
    fully = Evaluator(potential, diamond.numbers, True, "cpu")
    slab = Evaluator(potential, diamond.numbers, (True, True, False), "cpu")
    arguments = diamond.positions[None], diamond.cell[:][None]
    assert_allclose(slab.evaluate(*arguments).forces, fully.evaluate(*arguments).forces, atol=1e-10)


def test_large_energies_keep_their_digits(ethanol):
    """Float32 totals of -1e5 eV would resolve 8 meV; sums are float64."""
    torch.manual_seed(0)
    model = SchNet(SchNetConfig(n_features=8, n_interactions=1, rbf_stop=5.0))
    model.scale.set(-1e5 / 9, 0.01)
    energy = Evaluator(model, ethanol.numbers, device="cpu").evaluate(ethanol.positions[None])
    model.scale.set(0.0, 0.01)
    relative = Evaluator(model, ethanol.numbers, device="cpu").evaluate(ethanol.positions[None])
    assert_allclose(energy.energy + 1e5, relative.energy, atol=1e-9)


def test_the_given_potential_is_left_alone(potential, ethanol):
    Evaluator(potential, ethanol.numbers, device="cpu", dtype="float32")
    assert potential.dtype == torch.float64


def test_single_atom(potential):
    answer = Evaluator(potential, [6], device="cpu").evaluate(np.zeros((1, 1, 3)))
    assert np.isfinite(answer.energy).all()
    assert_allclose(answer.forces, 0.0)


@pytest.mark.parametrize(
    ("numbers", "pbc", "message"),
    [
        ([], False, "no atoms"),
        ([6, 79], False, "does not know Au: it was trained on H, C, O"),
        ([0, 6], False, "atomic number 0"),
        ([6, 119], False, "atomic number 119"),
    ],
)
def test_unusable_atoms(potential, numbers, pbc, message):
    with pytest.raises(StructureError, match=message):
        Evaluator(potential, numbers, pbc, "cpu")


def test_periodic_without_cutoff_is_refused():
    model = SchNet(SchNetConfig(n_features=8, n_interactions=1))
    with pytest.raises(StructureError, match="has no cutoff"):
        Evaluator(model, [6], True, "cpu")


def test_nan_position_names_the_atom(evaluator, ethanol):
    positions = ethanol.positions[None].copy()
    positions[0, 4, 1] = np.nan
    with pytest.raises(StructureError, match="atom 4 is not finite"):
        evaluator.evaluate(positions)


def test_coincident_atoms(evaluator, ethanol):
    positions = ethanol.positions[None].copy()
    positions[0, 5] = positions[0, 2]
    with pytest.raises(StructureError, match="atoms 2 and 5 are in one place"):
        evaluator.evaluate(positions)


def test_coincident_through_a_periodic_image(potential):
    evaluator = Evaluator(potential, [6, 6], True, "cpu")
    positions = np.array([[[0.1, 0.0, 0.0], [4.1, 0.0, 0.0]]])
    with pytest.raises(StructureError, match="in one place"):
        evaluator.evaluate(positions, 4.0 * np.eye(3)[None])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (None, "has no cell"),
        (np.zeros((3, 3)), "has no cell"),
        (np.array([[4.0, 0, 0], [8.0, 0, 0], [0, 0, 4.0]]), "singular"),
        (np.diag([4.0, 0.3, 4.0]), "only 0.3 A high along periodic axis 1"),
        (np.diag([4.0, np.nan, 4.0]), "finite"),
    ],
)
def test_bad_cells(potential, cell, message):
    evaluator = Evaluator(potential, [6], True, "cpu")
    with pytest.raises(StructureError, match=message):
        evaluator.evaluate(np.zeros((1, 1, 3)), None if cell is None else cell[None])


def test_wrong_shapes(evaluator):
    with pytest.raises(StructureError, match=r"must be \[n_replicas, 9, 3\], not \[9, 3\]"):
        evaluator.evaluate(np.zeros((9, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "auto, cpu, cuda"),
        ({"device": "cuda:99"}, "not there"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"backend": "magic"}, "backend"),
    ],
)
def test_unknown_options(potential, options, message):
    with pytest.raises(ConfigError, match=message):
        Evaluator(potential, [6], **options)


MODES = {
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly": lambda: torch.autograd.detect_anomaly(check_nan=True),
    "default device": lambda: torch.device("meta"),
    "default dtype": lambda: default_dtype(torch.float16),
}


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["auto", *EMULATED, "tabulated", "reference"])
def test_callers_modes_change_nothing(model_path, ethanol, diamond, backend, dtype, mode):
    """Neither while a model is read and prepared nor while it is evaluated."""

    def answers():
        made = Evaluator(model_path, ethanol.numbers, device="cpu", dtype=dtype, backend=backend)
        periodic = made.for_atoms(diamond.numbers, True)
        cells = diamond.cell.array[None]
        yield made  # to be used in another mode
        graph = collate([AtomGraph.from_atoms(ethanol), AtomGraph.from_atoms(ethanol)])
        for answer in (
            made.evaluate(ethanol.positions[None]),
            periodic.evaluate(diamond.positions[None], cells, ("energy", "forces", "stress")),
            made.evaluate_graph(graph),
        ):
            yield from (answer.energy, answer.forces)
        yield made.hessian(ethanol.positions)
        yield made.descriptors(ethanol.positions[None])

    made, *expected = answers()
    with MODES[mode]():
        found = list(answers())[1:]
        found.append(made.evaluate(ethanol.positions[None]).forces)
        found.append(made.hessian(ethanol.positions))
    for one, other in zip([*expected, expected[1], expected[6]], found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_potential_made_in_inference_mode(ethanol):
    expected = Evaluator(tiny_schnet(), ethanol.numbers, device="cpu").hessian(ethanol.positions)
    with torch.inference_mode():
        potential = tiny_schnet()
    found = Evaluator(potential, ethanol.numbers, device="cpu").hessian(ethanol.positions)
    np.testing.assert_array_equal(found, expected)


def test_callers_modes_do_not_reach_the_model(potential, ethanol):
    graph = connect(AtomGraph.from_atoms(ethanol), potential.cutoff)
    forces = potential(graph).forces
    for mode in (torch.inference_mode(), torch.autocast("cpu", torch.bfloat16)):
        with mode:
            assert torch.equal(potential(graph).forces, forces)


@pytest.mark.parametrize("name", ["energy", "forces"])
def test_numbers_that_are_not_finite(evaluator, ethanol, monkeypatch, name):
    own = SchNet.forward

    def broken(*given):
        answer = own(*given)
        getattr(answer, name)[0] = torch.nan
        return answer

    monkeypatch.setattr(SchNet, "forward", broken)
    with pytest.raises(StructureError, match=f"in {name} that is not finite"):
        evaluator.evaluate(ethanol.positions[None])


@pytest.mark.parametrize("numbers", [["C", "H"], [[6, 1]], [None]])
def test_atomic_numbers_of_another_kind(potential, numbers):
    with pytest.raises(StructureError, match="list of whole numbers"):
        Evaluator(potential, numbers, device="cpu")
