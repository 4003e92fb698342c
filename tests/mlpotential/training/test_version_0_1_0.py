"""What version 0.1.0 wrote is read: its configuration, its model file and its checkpoint."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from mlpotential.errors import ExtrapolationWarning
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import check_golden, load_model
from mlpotential.neighbors import connect
from mlpotential.training.checkpoint import load_checkpoint
from mlpotential.training.config_file import read_config
from mlpotential.training.run import run_training

FOLDER = Path(__file__).parents[2] / "reference" / "version_0_1_0"
NAMES = ("energy", "forces", "dipole")


@pytest.fixture(scope="module")
def frames():
    return read(FOLDER / "water.extxyz", ":")


@pytest.fixture(scope="module")
def expected():
    return np.load(FOLDER / "predictions.npz", allow_pickle=False)


def said_of(model_path, frames):
    model = load_model(model_path).potential
    graph = collate([connect(AtomGraph.from_atoms(atoms), model.cutoff) for atoms in frames])
    return model(graph, NAMES)


def test_the_model_says_what_it_said(frames, expected):
    found = said_of(FOLDER / "model.safetensors", frames)
    for name in NAMES:
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(getattr(found, name), expected[name], atol=1e-12 * largest)
    assert check_golden(load_model(FOLDER / "model.safetensors")).passed


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_evaluators_take_it_with_its_guard(frames, expected, backend):
    model, numbers = FOLDER / "model.safetensors", frames[0].numbers
    evaluator = Evaluator(model, numbers, device="cpu", dtype="float64", backend=backend)
    positions = np.stack([atoms.positions for atoms in frames])
    with pytest.warns(ExtrapolationWarning, match=r"0\.741 A apart, .* of any O by 0\.8"):
        found = evaluator.evaluate(positions, None, NAMES)
    largest = np.abs(expected["forces"]).max()
    assert np.abs(found.forces - expected["forces"]).max() < 1e-6 * largest


def test_its_checkpoint_goes_on(frames, expected, tmp_path):
    shutil.copy(FOLDER / "checkpoint.pt", tmp_path)
    options = ["--folder", str(tmp_path), "--training.max_epochs", "3"]
    result = run_training(read_config(FOLDER / "train.yaml", options), progress=False)
    assert load_checkpoint(tmp_path)["step"] == 6
    found = said_of(result.model_path, frames)
    for name in NAMES:  # three epochs of rounding in another order of sums
        wanted = expected[f"continued_{name}"]
        np.testing.assert_allclose(getattr(found, name), wanted, atol=1e-9 * np.abs(wanted).max())
