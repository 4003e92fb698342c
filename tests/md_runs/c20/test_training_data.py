"""Training data of the C20 model: labelled by the model that made it, kept when begun again."""

import numpy as np
import pytest
from ase.io import read
from numpy.testing import assert_allclose

from md_runs.c20 import MODEL
from md_runs.c20.training_data import make_training_data, planned_samples
from mlpotential import Evaluator
from mlpotential.errors import ConfigError

# A run at 600 K leaves the frames that the shipped model saw at 600 K by a hair.
pytestmark = pytest.mark.filterwarnings("ignore:outside the training data")


def test_plan():
    samples = planned_samples(20_001, 4_500, 500)
    assert sum(s.n_frames for s in samples if s.name == "train") == 20_001
    assert {s.temperature_K for s in samples if s.name == "train"} == {300, 500, 600}
    assert len({(s.temperature_K, s.seed) for s in samples}) == len(samples)
    assert {s.name for s in planned_samples(10, 0, 0)} == {"train"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return make_training_data(MODEL, folder, 10, 4, 0, say=lambda _: None, progress=False)


def test_labels_are_the_models(data):
    frames = read(data["train"], index=":")
    assert len(frames) == 10
    assert {a.info["sampling_temperature_K"] for a in frames} == {300, 500, 600}
    evaluator = Evaluator(MODEL, frames[0].numbers, dtype="float64", backend="reference")
    answer = evaluator.evaluate(np.stack([a.positions for a in frames]))
    assert_allclose([a.get_potential_energy() for a in frames], answer.energy, atol=1e-8)
    forces = np.concatenate([a.get_forces() for a in frames])
    assert_allclose(forces, answer.forces, atol=2e-8 + 1e-8 * abs(answer.forces).max())


def test_frames_are_independent(data):
    """No geometry of one set is near one of another."""
    train, validation = (
        np.stack([a.positions for a in read(data[name], index=":")])
        for name in ("train", "validation")
    )
    distances = np.linalg.norm(train[:, None] - validation[None], axis=(2, 3))
    assert distances.min() > 0.1


def test_files_that_exist_are_kept(data):
    said = []
    folder = data["train"].parent
    content = data["train"].read_bytes()
    again = make_training_data(MODEL, folder, 10, 4, 0, said.append, progress=False)
    assert again == data
    assert said == []
    assert data["train"].read_bytes() == content


def test_senseless_numbers(tmp_path):
    with pytest.raises(ConfigError, match="n_train"):
        make_training_data(MODEL, tmp_path, 0)
