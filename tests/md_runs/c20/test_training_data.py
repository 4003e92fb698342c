"""Training data of the C20 model: labelled by the model that made it, kept when begun again."""

import numpy as np
import pytest
import torch
from ase.io import read
from numpy.testing import assert_allclose

from md_runs.c20 import MODEL, STRUCTURE, training_data
from md_runs.c20.training_data import DataSize, make_training_data, planned_samples
from mlpotential import Evaluator, SchNet, SchNetConfig
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import ModelRecord, save_model

SIZE = DataSize(n_train=10, n_validation=4, n_test=0, n_beads=0, n_near_minimum=0)


def test_plan():
    samples = planned_samples(DataSize(n_train=20_001))
    train = [s for s in samples if s.name == "train" and s.kind == "md"]
    assert sum(s.n_frames for s in train) == 20_001
    assert {s.temperature_K for s in train} == {300, 500, 600}
    assert len({(s.kind, s.temperature_K, s.seed) for s in samples}) == len(samples)
    only = planned_samples(DataSize(10, 0, 0, 0, 0))
    assert {(s.name, s.kind) for s in only} == {("train", "md")}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small network, whose forces hardly move atoms within a short run."""
    torch.manual_seed(0)
    config = SchNetConfig(
        n_features=8, n_interactions=2, rbf_stop=5.0, rbf_spacing=0.5, cutoff_function="cosine",
        cutoff=5.0,
    )  # fmt: skip
    potential = SchNet(config).double().eval()
    potential.scale.set(-1030.0, 1.0, {})
    potential.elements = (6,)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, potential, AtomGraph.from_atoms(read(STRUCTURE)), ModelRecord())
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_data, "EQUILIBRATION_FRAMES", 4)
        return make_training_data(model, folder, SIZE, say=lambda _: None, progress=False)


def test_labels_are_the_models(data, model):
    frames = read(data["train"], index=":")
    assert len(frames) == 10
    assert {a.info["sampling_temperature_K"] for a in frames} == {300, 500, 600}
    evaluator = Evaluator(model, frames[0].numbers, dtype="float64", backend="reference")
    answer = evaluator.evaluate(np.stack([a.positions for a in frames]))
    energies = [a.get_potential_energy() for a in frames]
    assert_allclose(energies, answer.energy, rtol=0, atol=1e-7)  # the file has 1e-8 eV
    forces = np.concatenate([a.get_forces() for a in frames])
    largest = abs(answer.forces).max()
    assert largest > 1e-2
    assert_allclose(forces, answer.forces, rtol=0, atol=1e-8 + 1e-8 * largest)


def test_frames_are_independent(data):
    """No geometry of one set is near one of another."""
    train, validation = (
        np.stack([a.positions for a in read(data[name], index=":")])
        for name in ("train", "validation")
    )
    distances = np.linalg.norm(train[:, None] - validation[None], axis=(2, 3))
    assert distances.min() > 0.1


def test_files_that_exist_are_kept(data, model):
    said = []
    folder = data["train"].parent
    content = data["train"].read_bytes()
    again = make_training_data(model, folder, SIZE, said.append, progress=False)
    assert again == data
    assert said == []
    assert data["train"].read_bytes() == content


def test_senseless_numbers(tmp_path):
    with pytest.raises(ConfigError, match="n_train"):
        make_training_data("model.safetensors", tmp_path, DataSize(0))


def test_further_kinds(tmp_path, monkeypatch):
    """Beads beside MD, and frames near rest with their weight, at the model that ships."""
    monkeypatch.setattr(training_data, "EQUILIBRATION_FRAMES", 2)
    monkeypatch.setattr(training_data, "TRAIN_SHARES", {300: 1.0})
    size = DataSize(n_train=2, n_validation=0, n_test=0, n_beads=8, n_near_minimum=5)
    files = make_training_data(MODEL, tmp_path, size, say=lambda _: None, progress=False)
    assert files.keys() == {"train", "validation"}
    train = read(files["train"], index=":")
    weights = [a.info["weight"] for a in train]
    assert sorted(weights) == [1.0] * 2 + [3.0] * 8 + [50.0] * 5
    largest = {
        near: max(abs(a.get_forces()).max() for a in train if (a.info["weight"] > 3.0) == near)
        for near in (True, False)
    }
    assert largest[True] < 1.5 < largest[False]  # eV/A
    assert len({a.positions.tobytes() for a in train}) == 15


def test_files_depend_on_the_frames_alone(tmp_path):
    frames = [read(STRUCTURE)]
    for name in ("one", "two"):
        training_data._write(tmp_path / f"{name}.gz", frames)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert len(read(tmp_path / "one.gz", format="extxyz")) == 20
