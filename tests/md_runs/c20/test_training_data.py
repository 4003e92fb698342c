"""Training data of the C20 model: labelled by the model that made it, kept when begun again."""

import numpy as np
import pytest
import torch
from ase.io import read
from numpy.testing import assert_allclose

from md_runs.c20 import STRUCTURE, training_data
from md_runs.c20.training_data import make_training_data, planned_samples
from mlpotential import Evaluator, SchNet, SchNetConfig
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import ModelRecord, save_model


def test_plan():
    samples = planned_samples(20_001, 4_500, 500)
    assert sum(s.n_frames for s in samples if s.name == "train") == 20_001
    assert {s.temperature_K for s in samples if s.name == "train"} == {300, 500, 600}
    assert len({(s.temperature_K, s.seed) for s in samples}) == len(samples)
    assert {s.name for s in planned_samples(10, 0, 0)} == {"train"}


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
        return make_training_data(model, folder, 10, 4, 0, say=lambda _: None, progress=False)


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
    again = make_training_data(model, folder, 10, 4, 0, said.append, progress=False)
    assert again == data
    assert said == []
    assert data["train"].read_bytes() == content


def test_senseless_numbers(tmp_path):
    with pytest.raises(ConfigError, match="n_train"):
        make_training_data("model.safetensors", tmp_path, 0)
