"""The curvature term: against exact Hessians, its gradient, its sources, and what it does."""

import csv

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import ConfigError, DataError, RunError
from mlpotential.graph import AtomGraph, collate
from mlpotential.models.model_file import load_model, save_model
from mlpotential.models.outputs import Output
from mlpotential.models.registry import build_potential, config_of
from mlpotential.neighbors import connect
from mlpotential.testing import tiny_schnet
from mlpotential.training.checkpoint import load_checkpoint
from mlpotential.training.config import TrainingConfig
from mlpotential.training.config_file import read_config
from mlpotential.training.optimization.curvature import (
    Curvature,
    derivative_along,
    differentiable,
    hessian_vector_products,
    random_directions,
)
from mlpotential.training.optimization.curvature_sources import CurvatureOfFile, CurvatureOfModel
from mlpotential.training.run import run_training
from mlpotential.units import ANGSTROM_PER_LENGTH_UNIT, EV_PER_ENERGY_UNIT

CPU = torch.device("cpu")
MODES = {
    "cosine": {},
    "none": {"cutoff_function": "none", "cutoff": None},
    "hard": {"cutoff_function": "hard", "cutoff": 3.0},
    "silu": {"outputs": {"energy": Output(activation="silu")}},
}


def structures(cutoff, *names):
    graphs = []
    for k, name in enumerate(names):
        atoms = molecule(name)
        atoms.rattle(0.05, seed=k)
        graphs.append(connect(AtomGraph.from_atoms(atoms), cutoff))
    return graphs


def exact_products(model, graphs, directions):
    parts = directions.split([graph.n_atoms for graph in graphs])
    products = [
        (model.hessian(graph) @ v.reshape(-1)).reshape(-1, 3)
        for graph, v in zip(graphs, parts, strict=True)
    ]
    return torch.cat(products)


@pytest.fixture
def saved(tmp_path):
    """Writes a model and gives its path."""

    def save(model, name="teacher"):
        path = tmp_path / f"{name}.safetensors"
        save_model(path, model, structures(None, "H2O")[0])
        return str(path)

    return save


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_products_are_those_of_the_hessian(settings):
    """By two backward passes, and by the forces of a model in training."""
    model = tiny_schnet(1, **settings)
    graphs = structures(model.cutoff, "CH3CH2OH", "H2O", "H")
    graph = collate(graphs)
    v = random_directions(graph, [(k,) for k in range(3)])
    expected = exact_products(model, graphs, v)
    tolerance = 1e-12 * float(expected.abs().max())
    found = hessian_vector_products(model, graph, v)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    graph = differentiable(graph)
    forces = model.train()(graph, ("energy", "forces")).forces
    found = derivative_along(forces, graph.positions, v)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_products_of_crystals(diamond):
    model = tiny_schnet(2)
    graphs = [connect(AtomGraph.from_atoms(diamond), model.cutoff)]
    v = random_directions(graphs[0], [(0,)])
    expected = exact_products(model, graphs, v)
    found = hessian_vector_products(model, graphs[0], v)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_atoms_that_see_nobody():
    graph = structures(5.0, "H")[0]
    v = random_directions(graph, [(0,)])
    assert not hessian_vector_products(tiny_schnet(), graph, v).any()
    graph = differentiable(graph)
    forces = tiny_schnet().train()(graph, ("energy", "forces")).forces
    assert not derivative_along(forces, graph.positions, v).any()


def test_directions_have_length_1_and_depend_on_their_seeds_alone():
    graph = collate(structures(5.0, "CH4", "H2O"))
    first = random_directions(graph, [(1, 2), (3, 4)])
    assert first.split([5, 3])[0].norm() == pytest.approx(1.0)
    assert first.split([5, 3])[1].norm() == pytest.approx(1.0)
    swapped = collate(structures(5.0, "H2O", "CH4"))
    second = random_directions(swapped, [(3, 4), (1, 2)])
    assert torch.equal(first[5:], second[:3])
    assert not torch.equal(first, random_directions(graph, [(1, 3), (3, 4)]))


def test_mean_and_variance_of_the_estimate(saved):
    """E |D v|^2 = |D|_F^2 / 3N and Eq. (2), within five standard errors of 4000 directions."""
    model, teacher = tiny_schnet(1).train(), tiny_schnet(2)
    (single,) = structures(model.cutoff, "H2O")
    n = 4000
    graph = differentiable(collate([single] * n))
    forces = model(graph, ("energy", "forces")).forces
    source = CurvatureOfModel(saved(teacher), (1, 8), CPU)
    curvature = Curvature(source, source, seed=5)
    found = curvature.of_step(forces, graph, list(range(n)), 0, model.cutoff).detach().numpy()
    difference = (model.hessian(single) - teacher.hessian(single)).numpy()
    d = len(difference)
    square = difference @ difference
    variance = 2 / (d * (d + 2)) * (np.trace(square @ square) - np.trace(square) ** 2 / d)
    mean = np.linalg.norm(difference) ** 2 / d
    assert abs(found.mean() - mean) < 5 * np.sqrt(variance / n)
    assert np.sqrt(variance / n) < 0.05 * mean  # so that the test can fail
    assert found.var() == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("settings", MODES.values(), ids=MODES)
def test_gradient_by_the_weights(settings, saved):
    """Along random directions in the space of some weights, against differences of fourth order."""
    model, teacher = tiny_schnet(3, **settings).train(), tiny_schnet(4)
    graph = collate(structures(model.cutoff, "CH3OH", "H2O"))
    curvature = Curvature(CurvatureOfModel(saved(teacher), (1, 6, 8), CPU), None, seed=1)

    def term():
        moved = differentiable(graph)
        forces = model(moved, ("energy", "forces")).forces
        return curvature.of_step(forces, moved, [0, 1], 7, model.cutoff).sum()

    model.zero_grad()
    term().backward()
    gradients = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    assert all(name in gradients for name, _ in model.interactions.named_parameters("interactions"))
    generator = torch.Generator().manual_seed(0)
    for layer in ("embedding", "filter_network", "filter_to_out", "readout.hidden"):
        parameters = [(k, p) for k, p in model.named_parameters() if layer in k and k in gradients]
        along = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for _, p in parameters]
        expected = sum(
            float((gradients[k] * u).sum()) for (k, _), u in zip(parameters, along, strict=True)
        )

        def moved_by(step, parameters=parameters, along=along):
            with torch.no_grad():
                for (_, p), u in zip(parameters, along, strict=True):
                    p += step * u
            value = float(term().detach())
            with torch.no_grad():
                for (_, p), u in zip(parameters, along, strict=True):
                    p -= step * u
            return value

        h = 1e-3
        near, far = (moved_by(s * h) - moved_by(-s * h) for s in (1, 2))
        assert (8 * near - far) / (12 * h) == pytest.approx(expected, rel=1e-6), layer


SMALL = {"n_features": 6, "n_factors": 6, "n_interactions": 2, "rbf_stop": 5.0}
OTHERS = {
    "DTNN": ("DTNN", SMALL | {"cutoff_function": "cosine", "cutoff": 4.0}),
    "BehlerParrinello": (
        "BehlerParrinello",
        {"hidden_layers": "5 4", "activations": "t t l", "n_radial": 3, "n_angular": 2},
    ),
}


@pytest.mark.parametrize(("architecture", "settings"), OTHERS.values(), ids=OTHERS)
def test_other_architectures(architecture, settings):
    """Products, and their gradient by all weights together."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = config_of(architecture, settings).for_elements((1, 6, 8))
        model = build_potential(config).double()
    graphs = structures(model.cutoff, "CH3OH", "H2O")
    graph = collate(graphs)
    v = random_directions(graph, [(0,), (1,)])
    expected = exact_products(model.eval(), graphs, v)
    assert expected.abs().max() > 0.0
    tolerance = 1e-10 * float(expected.abs().max())
    found = hessian_vector_products(model, graph, v)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    model.train()

    def term():
        moved = differentiable(graph)
        forces = model(moved, ("energy", "forces")).forces
        return (derivative_along(forces, moved.positions, v) ** 2).sum()

    term().backward(inputs=list(model.parameters()))
    parameters = [p for p in model.parameters() if p.grad is not None]
    generator = torch.Generator().manual_seed(0)
    along = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    expected = sum(float((p.grad * u).sum()) for p, u in zip(parameters, along, strict=True))

    def moved_by(step):
        with torch.no_grad():
            torch._foreach_add_(parameters, along, alpha=step)
        value = float(term().detach())
        with torch.no_grad():
            torch._foreach_add_(parameters, along, alpha=-step)
        return value

    h = 3e-4
    near, far = (moved_by(k * h) - moved_by(-k * h) for k in (1, 2))
    assert (8 * near - far) / (12 * h) == pytest.approx(expected, rel=1e-6)


def test_a_teacher_with_another_cutoff(saved):
    teacher = tiny_schnet(5, cutoff=2.0)
    graphs = structures(5.0, "CH3OH", "H2O")
    graph = collate(graphs)
    v = random_directions(graph, [(0,), (1,)])
    source = CurvatureOfModel(saved(teacher), (1, 6, 8), CPU)
    _, found, known = source.products(graph, [0, 1], v, 5.0)
    expected = exact_products(teacher, [connect(g, 2.0) for g in graphs], v)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))
    assert known.tolist() == [1.0, 1.0]


def test_a_teacher_that_lacks_an_element(saved):
    with pytest.raises(ConfigError, match=r"not trained on the atomic numbers \[7\]"):
        CurvatureOfModel(saved(tiny_schnet()), (1, 7), CPU)


@pytest.fixture
def hessians():
    """Of three molecules, of which the data have the third and the second."""
    model = tiny_schnet(6)
    graphs = structures(model.cutoff, "CH4", "H2O", "CH3OH")
    exact = [model.hessian(graph).numpy() for graph in graphs]
    data = ReferenceData((graphs[2], graphs[1]), "some file", frame_numbers=(2, 1))
    return data, exact


def assert_products(source, data, exact, factor=1.0):
    graph = collate(list(data))
    v = random_directions(graph, [(0,), (1,)])
    used, found, known = source.products(graph, [0, 1], v, 5.0)
    assert known.tolist() == [1.0, 1.0]
    parts = used.split([6, 3])
    expected = [exact[k] @ part.numpy().ravel() for k, part in zip((2, 1), parts, strict=True)]
    expected = factor * np.concatenate(expected).reshape(-1, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * abs(expected).max())
    for part in parts:
        assert part.norm() == pytest.approx(1.0)
    return v, used


def test_hessians_of_a_file(hessians, tmp_path):
    """By number of the frame, in units of the data."""
    data, exact = hessians
    path = tmp_path / "hessians.npz"
    arrays = {"hessian_2": exact[2].reshape(6, 3, 6, 3), "hessian_1": exact[1]}
    np.savez(path, **arrays)
    unit = EV_PER_ENERGY_UNIT["Hartree"] / ANGSTROM_PER_LENGTH_UNIT["Bohr"] ** 2
    v, used = assert_products(CurvatureOfFile(str(path), data, unit, CPU), data, exact, unit)
    torch.testing.assert_close(used, v, rtol=1e-14, atol=0)


def test_products_of_a_file(hessians, tmp_path):
    """Directions need not be at right angles or of length 1; random ones are mixed of them."""
    data, exact = hessians
    rng = np.random.default_rng(0)
    arrays = {}
    for k, n in ((2, 6), (1, 3)):
        v = rng.normal(size=(4, 3 * n))
        arrays[f"directions_{k}"] = v.reshape(4, n, 3)
        arrays[f"products_{k}"] = (v @ exact[k]).reshape(4, n, 3)
    path = tmp_path / "products.npz"
    np.savez(path, **arrays)
    _, used = assert_products(CurvatureOfFile(str(path), data, 1.0, CPU), data, exact)
    span = arrays["directions_1"].reshape(4, 9)
    mixed = used[6:].numpy().ravel()
    coefficients = np.linalg.lstsq(span.T, mixed, rcond=None)[0]
    np.testing.assert_allclose(span.T @ coefficients, mixed, atol=1e-12)


def test_frames_without_a_hessian_do_not_contribute(hessians, tmp_path):
    data, exact = hessians
    path = tmp_path / "hessians.npz"
    np.savez(path, hessian_1=exact[1], hessian_7=exact[0])
    source = CurvatureOfFile(str(path), data, 1.0, CPU)
    model = tiny_schnet(7).train()
    graph = differentiable(collate([connect(graph, model.cutoff) for graph in data]))
    forces = model(graph, ("energy", "forces")).forces
    found = Curvature(source, None, 0).of_step(forces, graph, [0, 1], 0, model.cutoff)
    assert found[0] == 0.0
    assert found[1] > 0.0


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"hessian_0": np.eye(15)}, "no Hessian of any of the 2 frames"),
        ({"hessian_2": np.eye(9)}, r"shape \(9, 9\), but its frame needs \(18, 18\)"),
        ({"hessian_1": np.triu(np.ones((9, 9)))}, "is not symmetric"),
        ({"hessian_1": np.full((9, 9), np.nan)}, "finite numbers"),
        ({"hessian_1": np.array([None])}, "Object arrays"),
        ({"hessians": np.eye(9)}, "holds 'hessians': expected are hessian_N"),
        ({"directions_1": np.ones((1, 3, 3))}, "without products_1"),
        ({"directions_1": np.ones((2, 3, 3)), "products_1": np.ones((1, 3, 3))}, "has the shape"),
        ({"directions_1": np.ones((2, 3, 3)), "products_1": np.ones((2, 3, 3))}, "depend on each"),
    ],
)
def test_files_that_cannot_be_used(hessians, tmp_path, arrays, what):
    path = tmp_path / "hessians.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=what):
        CurvatureOfFile(str(path), hessians[0], 1.0, CPU)


def test_no_file_and_no_archive(hessians, tmp_path):
    with pytest.raises(DataError, match="No such file"):
        CurvatureOfFile(str(tmp_path / "absent.npz"), hessians[0], 1.0, CPU)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(DataError, match="cannot read the curvature"):
        CurvatureOfFile(str(tmp_path / "text.npz"), hessians[0], 1.0, CPU)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"curvature_weight": 0.1}, "training.curvature_from"),
        ({"curvature_from": "m.safetensors"}, "positive training.curvature_weight"),
        ({"curvature_weight": 0.1, "curvature_from": "m.xyz"}, ".safetensors or .npz"),
        (
            {"curvature_weight": 0.1, "curvature_from": "m.npz", "tabulated_filters": True},
            "tabulated_filters gives the right energies",
        ),
        (
            {"curvature_weight": 0.1, "curvature_from": "m.npz", "targets": "energy"},
            "goes with forces in the loss",
        ),
    ],
)
def test_settings_that_do_not_fit(settings, what):
    with pytest.raises(ConfigError, match=what):
        TrainingConfig(**settings)


def test_neither_a_student_nor_a_teacher_has_physical_terms(config_file, saved):
    """Those of a teacher are no part of its network, whose curvature is learned."""
    config_file.write_text(config_file.read_text() + "terms: {zbl: {}}\n")
    words = ["--training.curvature_weight=0.01", "--training.curvature_from=teacher.safetensors"]
    with pytest.raises(ConfigError, match="terms must be left out where the curvature is learned"):
        read_config(config_file, words)
    teacher = tiny_schnet()
    teacher.terms = read_config(config_file).terms
    with pytest.raises(ConfigError, match="has physical terms"):
        CurvatureOfModel(saved(teacher), (1, 8), CPU)


def history(folder):
    with open(folder / "history.csv") as handle:
        return list(csv.DictReader(handle))


def train(config_file, folder, *words):
    config = read_config(config_file, ["--folder", str(folder), *words])
    return run_training(config, progress=False)


@pytest.mark.slow
def test_a_student_learns_the_curvature_of_its_teacher(config_file, tmp_path):
    teacher = train(config_file, tmp_path / "teacher", "--training.max_epochs=40").model_path
    common = ["--training.max_epochs=10", "--training.schedule=exponential", "--training.seed=7"]
    common += ["--training.decay_steps=40", "--training.decay_factor=0.3"]
    common += [f"--training.curvature_from={teacher}"]
    train(config_file, tmp_path / "student", *common, "--training.curvature_weight=0.02")
    train(config_file, tmp_path / "hardly", *common, "--training.curvature_weight=1e-9")
    column = "validation_curvature_rmse_eV_per_angstrom2"
    last = [float(history(tmp_path / name)[-1][column]) for name in ("student", "hardly")]
    assert last[0] < 0.7 * last[1]


def test_training_goes_on_exactly_with_the_same_teacher_alone(config_file, tmp_path, saved):
    """Another one under the same name is refused."""
    teacher = saved(tiny_schnet(1))
    words = ["--training.curvature_weight=0.02", f"--training.curvature_from={teacher}"]
    words += ["--training.schedule=exponential"]
    train(config_file, tmp_path / "whole", *words, "--training.max_epochs=2")
    for n_epochs in (1, 2):
        train(config_file, tmp_path / "parts", *words, f"--training.max_epochs={n_epochs}")
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    states = [load_checkpoint(tmp_path / name)["model"] for name in ("parts", "whole")]
    assert all(torch.equal(tensor, states[1][k]) for k, tensor in states[0].items())
    record = load_model(tmp_path / "whole/model.safetensors").record
    assert record.training["curvature_source"] == load_model(teacher).sha256
    saved(tiny_schnet(2))
    with pytest.raises(RunError, match="curvature_source"):
        train(config_file, tmp_path / "whole", *words, "--training.max_epochs=2")


def test_training_with_hessians_of_a_file(config_file, tmp_path):
    """Elements that are far from any curvature of the network stand in the history."""
    size = 1e3
    np.savez(tmp_path / "h.npz", **{f"hessian_{k}": size * np.eye(9) for k in range(48)})
    words = ["--training.curvature_from", str(tmp_path / "h.npz"), "--training.max_epochs=1"]
    train(config_file, tmp_path / "run", *words, "--training.curvature_weight=1e-9")
    found = history(tmp_path / "run")[0]["validation_curvature_rmse_eV_per_angstrom2"]
    assert float(found) == pytest.approx(size / 3, rel=0.01)  # a third of the elements
