"""Networks of the original program: the published C20 networks against that program's outputs, and
a tiny one against the published equations written out in NumPy.

Units are kcal/mol and A here. `<model>_*` of the reference are a float64 evaluation by others that
was compared with the original program; `tf_<model>_*` are that program itself, in float32.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_writer import write_bundle
from torch import Tensor, nn

from mlpotential.errors import ModelFileError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.importers.foreign_network import translate
from mlpotential.models.importers.refusal import refusals_of
from mlpotential.models.importers.schnet_tensorflow import read_schnet_tensorflow
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect
from mlpotential.nn.activations import READOUT_ACTIVATIONS
from mlpotential.units import EV_PER_KCAL_PER_MOL

MODELS = ("force_model", "energy_model")


def load(folder: Path) -> SchNet:
    with refusals_of(folder):
        return translate(read_schnet_tensorflow(folder), "kcal/mol", "Angstrom")


@pytest.fixture
def published(public_data: Path) -> Path:
    return public_data / "c20_paper_models"


def deviations(folder: Path, name: str, dtype: str, prefix: str = "") -> tuple[float, float]:
    """Largest of relative energies (kcal/mol) and of force components (kcal/mol/A)."""
    with np.load(folder / "reference_outputs.npz", allow_pickle=False) as reference:
        numbers, positions = reference["numbers"], reference["positions"]
        mean = float(reference[f"{name}_mean_per_atom"])
        energies = reference[f"{prefix}{name}_energy_rel"]
        forces = reference[f"{prefix}{name}_forces"]
    model = load(folder / name)
    evaluator = Evaluator(model, numbers, device="cpu", dtype=dtype, backend="reference")
    answer = evaluator.evaluate(positions)
    relative = answer.energy / EV_PER_KCAL_PER_MOL - len(numbers) * mean
    ours = answer.forces.reshape(forces.shape) / EV_PER_KCAL_PER_MOL
    return float(np.abs(relative - energies).max()), float(np.abs(ours - forces).max())


@pytest.mark.slow
@pytest.mark.public_data
@pytest.mark.parametrize("name", MODELS)
def test_float64(published: Path, name: str) -> None:
    energy, force = deviations(published, name, "float64")
    assert energy < 1e-8
    assert force < 1e-11


@pytest.mark.slow
@pytest.mark.public_data
@pytest.mark.parametrize("name", MODELS)
def test_the_shortcut_of_the_readout_is_seen(
    published: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact where that program takes x - ln 2 for ssp(x), forces are off by more than 1e-6."""
    monkeypatch.setitem(READOUT_ACTIVATIONS, "ssp_linear_from_14", READOUT_ACTIVATIONS["ssp"])
    energy, force = deviations(published, name, "float64")
    assert 1e-8 < energy < 1e-6
    assert 1e-6 < force < 1e-5


@pytest.mark.slow
@pytest.mark.public_data
@pytest.mark.parametrize("name", MODELS)
def test_the_shortcut_matters_nowhere_else(published: Path, name: str) -> None:
    """No activation but the readout's gets to 14: filters beyond 0.94 A, atomwise layers of C20."""
    model = load(published / name)
    largest: dict[str, float] = defaultdict(float)

    def watch(layer: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(module: nn.Module, _: object, output: Tensor) -> None:
            largest[layer] = max(largest[layer], float(output.detach().max()))

        return note

    for block in model.blocks:
        block.filter_to_out.register_forward_hook(watch("atomwise"))
        block.filter_network.hidden.register_forward_hook(watch("filter"))
        block.filter_network.output.register_forward_hook(watch("filter"))
    model.readout.hidden.register_forward_hook(watch("readout"))
    with np.load(published / "reference_outputs.npz", allow_pickle=False) as reference:
        graphs = [AtomGraph.from_arrays(reference["numbers"], p) for p in reference["positions"]]
    model(connect(collate(graphs), None), ("energy",))
    for block in model.blocks:
        block.filter_network(model.radial_basis(torch.linspace(0.94, 25.0, 2000)))
    assert largest["filter"] < 14.0
    assert largest["atomwise"] < 10.0
    assert largest["readout"] > 30.0


@pytest.mark.public_data
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_original_program(published: Path, name: str, dtype: str) -> None:
    energy, force = deviations(published, name, dtype, prefix="tf_")
    assert energy < 5e-4
    assert force < 5e-4


@pytest.mark.public_data
def test_hyperparameters_come_from_the_shapes(published: Path) -> None:
    model = load(published / "force_model")
    assert (model.config.n_interactions, model.config.n_features) == (6, 128)
    assert (model.config.n_gaussians, model.outputs["energy"].n_hidden) == (200, 64)
    assert model.elements == tuple(range(1, 100))
    assert model.cutoff is None
    centers = np.linspace(0.0, 20.0, 200).astype(np.float32)
    np.testing.assert_array_equal(model.radial_basis.centers, centers)


@pytest.mark.slow
@pytest.mark.public_data
def test_truncated_checkpoint(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    shutil.copytree(published / "force_model/validation", folder)
    data = folder / "best_model.data-00000-of-00001"
    content = data.read_bytes()
    data.chmod(0o644)
    data.write_bytes(content[:-1])
    with pytest.raises(ModelFileError, match=r"std_per_atom.*truncated"):
        load(tmp_path)


N_ROWS, N_FEATURES, N_RBF, N_HIDDEN, N_INTERACTIONS = 9, 4, 50, 3, 2


@pytest.fixture
def tiny() -> dict[str, np.ndarray]:
    """A checkpoint of random numbers, as that program would write it."""
    rng = np.random.default_rng(4)
    shapes: dict[str, tuple[int, ...]] = {
        "atom_embedding/embeddings/W": (N_ROWS, N_FEATURES),
        "Dense/W": (N_FEATURES, N_HIDDEN),
        "Dense/b": (N_HIDDEN,),
        "Dense_1/W": (N_HIDDEN, 1),
        "Dense_1/b": (1,),
        "atomref/embeddings/W": (N_ROWS, 1),
        "mean_per_atom": (1,),
        "std_per_atom": (1,),
    }
    for k in range(N_INTERACTIONS):
        shapes[f"interaction_{k}/SchNetFilter/Dense/W"] = (N_RBF, N_FEATURES)
        shapes[f"interaction_{k}/CFConv/in2fac/W"] = (N_FEATURES, N_FEATURES)
        for layer in ("SchNetFilter/Dense_1", "CFConv/fac2out", "Dense"):
            shapes[f"interaction_{k}/{layer}/W"] = (N_FEATURES, N_FEATURES)
        for layer in ("SchNetFilter/Dense", "SchNetFilter/Dense_1", "CFConv/fac2out", "Dense"):
            shapes[f"interaction_{k}/{layer}/b"] = (N_FEATURES,)
    return {f"{name}:0": rng.normal(size=shape).astype("<f4") for name, shape in shapes.items()}


def write(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    (folder / "validation").mkdir()
    write_bundle(folder / "validation/best_model", tensors)


def energy_in_numpy(
    tensors: dict[str, np.ndarray], numbers: np.ndarray, positions: np.ndarray
) -> float:
    """The equations of the paper, atom by atom (kcal/mol)."""
    w = {name.removesuffix(":0"): array.astype(float) for name, array in tensors.items()}

    def dense(layer: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"{layer}/W"] + w[f"{layer}/b"]

    def ssp(x: np.ndarray) -> np.ndarray:
        return np.log(0.5 * np.exp(x) + 0.5)

    centers = np.linspace(0.0, 20.0, N_RBF).astype(np.float32)
    x = w["atom_embedding/embeddings/W"][numbers]
    for k in range(N_INTERACTIONS):
        block = f"interaction_{k}"
        messages = np.zeros_like(x)
        for i, j in np.ndindex(len(x), len(x)):
            if i != j:
                distance = np.linalg.norm(positions[i] - positions[j])
                filters = ssp(
                    dense(f"{block}/SchNetFilter/Dense", np.exp(-((distance - centers) ** 2) / 0.1))
                )
                filters = ssp(dense(f"{block}/SchNetFilter/Dense_1", filters))
                messages[i] += (x[j] @ w[f"{block}/CFConv/in2fac/W"]) * filters
        x = x + dense(f"{block}/Dense", ssp(dense(f"{block}/CFConv/fac2out", messages)))
    atomic = dense("Dense_1", ssp(dense("Dense", x)))
    atomic = atomic * w["std_per_atom"] + w["mean_per_atom"] + w["atomref/embeddings/W"][numbers]
    return float(atomic.sum())


def test_tiny_network(tmp_path: Path, tiny: dict[str, np.ndarray]) -> None:
    write(tmp_path, tiny)
    numbers = np.array([8, 1, 1, 6])
    positions = np.array([[0.0, 0.0, 0.0], [0.9, 0.1, 0.0], [-0.2, 1.0, 0.3], [2.5, 0.4, -1.1]])
    model = load(tmp_path).double()
    graph = connect(AtomGraph.from_arrays(numbers, positions), None)
    energy = float(model(graph).energy) / EV_PER_KCAL_PER_MOL
    assert energy == pytest.approx(energy_in_numpy(tiny, numbers, positions), rel=1e-11)


@pytest.mark.parametrize(
    ("name", "replacement", "problem"),
    [
        ("Dense/b", None, r"it lacks \['Dense/b'\] and has nothing besides"),
        ("interaction_1/Dense/W", None, r"it lacks \['interaction_1/Dense/W'\]"),
        ("extra", np.zeros(2, "<f4"), r"it lacks nothing and has \['extra'\] besides"),
        ("Dense/W", None, r"it lacks \['Dense/W'\]"),
        ("interaction_0/SchNetFilter/Dense/W", None, "it lacks .*SchNetFilter/Dense/W"),
        ("Dense_1/W", np.zeros((1, 3), "<f4"), r"'readout.output.weight' would be .*\[3, 1\]"),
        ("mean_per_atom", np.zeros(2, "<f4"), r"'mean_per_atom' of shape \[2\], not one number"),
        ("Dense/b", np.array([0.0, np.nan, 0.0], "<f4"), "not finite"),
    ],
)
def test_other_networks_are_refused(
    tmp_path: Path,
    tiny: dict[str, np.ndarray],
    name: str,
    replacement: np.ndarray | None,
    problem: str,
) -> None:
    if replacement is None:
        del tiny[f"{name}:0"]
    else:
        tiny[f"{name}:0"] = replacement
    write(tmp_path, tiny)
    with pytest.raises(ModelFileError, match=problem):
        load(tmp_path)


def test_folder_without_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot read .*best_model\.index"):
        load(tmp_path)


def write_arguments(folder: Path, **arguments: object) -> None:
    with open(folder / "args.npy", "wb") as handle:
        np.save(handle, argparse.Namespace(**arguments))  # type: ignore[arg-type]


def test_cutoff_of_the_arguments(tmp_path: Path, tiny: dict[str, np.ndarray]) -> None:
    """The last Gaussian is at the cutoff of the training; without arguments, at 20 A."""
    write(tmp_path, tiny)
    assert load(tmp_path).config.rbf_stop == 20.0
    write_arguments(tmp_path, cutoff=5, filter_pool_mode="sum", lr=1e-4)
    assert load(tmp_path).radial_basis.centers[-1] == 5.0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"intensive": True}, "trained with intensive = True, which is refused: only False"),
        ({"filter_pool_mode": "mean"}, "trained with filter_pool_mode = 'mean'"),
        ({"cutoff": "far"}, "cutoff that is no number: 'far'"),
        ({"cutoff": -1.0}, "model.rbf_stop must be a distance"),
    ],
)
def test_other_trainings_are_refused(
    tmp_path: Path, tiny: dict[str, np.ndarray], arguments: dict[str, object], problem: str
) -> None:
    write(tmp_path, tiny)
    write_arguments(tmp_path, **arguments)
    with pytest.raises(ModelFileError, match=problem):
        load(tmp_path)


def test_arguments_are_not_executed(tmp_path: Path, tiny: dict[str, np.ndarray]) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {tmp_path / 'crater'}",)

    write(tmp_path, tiny)
    write_arguments(tmp_path, cutoff=Bomb())
    with pytest.raises(ModelFileError, match=r"refers to 'posix\.system', which is refused"):
        load(tmp_path)
    assert not (tmp_path / "crater").exists()
