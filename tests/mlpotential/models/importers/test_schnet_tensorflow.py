"""The published C20 networks against outputs of the program that they come from.

Units are kcal/mol and A here. `<model>_*` of the reference are a float64 evaluation by others that
was compared with the original program; `tf_<model>_*` are that program itself, in float32.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from torch import Tensor

from mlpotential.errors import ModelFileError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models import readouts, schnet
from mlpotential.models.importers.schnet_tensorflow import load_schnet_tensorflow
from mlpotential.nn.activations import LOG_2
from mlpotential.units import EV_PER_KCAL_PER_MOL

pytestmark = pytest.mark.public_data

MODELS = ("force_model", "energy_model")


@pytest.fixture
def published() -> Path:
    folder = os.environ.get("MLPOTENTIAL_PUBLIC_DATA")
    if not folder:
        pytest.skip("MLPOTENTIAL_PUBLIC_DATA is not set")
    return Path(folder) / "c20_paper_models"


def deviations(folder: Path, name: str, dtype: str, prefix: str = "") -> tuple[float, float]:
    """Largest of relative energies (kcal/mol) and of force components (kcal/mol/A)."""
    with np.load(folder / "reference_outputs.npz", allow_pickle=False) as reference:
        numbers, positions = reference["numbers"], reference["positions"]
        mean = float(reference[f"{name}_mean_per_atom"])
        energies = reference[f"{prefix}{name}_energy_rel"]
        forces = reference[f"{prefix}{name}_forces"]
    model = load_schnet_tensorflow(folder / name)
    answer = Evaluator(model, numbers, device="cpu", dtype=dtype).evaluate(positions)
    relative = answer.energy / EV_PER_KCAL_PER_MOL - len(numbers) * mean
    ours = answer.forces.reshape(forces.shape) / EV_PER_KCAL_PER_MOL
    return float(np.abs(relative - energies).max()), float(np.abs(ours - forces).max())


@pytest.mark.parametrize("name", MODELS)
def test_float64(published: Path, name: str) -> None:
    """What is left comes from that program's shortcut in ssp, as the next test shows."""
    energy, force = deviations(published, name, "float64")
    assert energy < 1e-6
    assert force < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_float64_with_their_shortcut(
    published: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ssp(x) = x - ln 2 from x = 14 on, as in the original program."""

    def shortcut(x: Tensor) -> Tensor:
        return F.softplus(x, threshold=14.0) - LOG_2

    for module in (schnet, readouts):
        monkeypatch.setattr(module, "shifted_softplus", shortcut)
    energy, force = deviations(published, name, "float64")
    assert energy < 1e-8
    assert force < 1e-11


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_original_program(published: Path, name: str, dtype: str) -> None:
    energy, force = deviations(published, name, dtype, prefix="tf_")
    assert energy < 5e-4
    assert force < 5e-4


def test_hyperparameters_come_from_the_shapes(published: Path) -> None:
    model = load_schnet_tensorflow(published / "force_model")
    assert (model.config.n_interactions, model.config.n_features) == (6, 128)
    assert (model.config.n_gaussians, model.config.n_readout_hidden) == (200, 64)
    assert model.elements == tuple(range(1, 100))
    assert model.cutoff is None
    centers = np.linspace(0.0, 20.0, 200).astype(np.float32)
    np.testing.assert_array_equal(model.radial_basis.centers, centers)


def test_truncated_checkpoint(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    shutil.copytree(published / "force_model/validation", folder)
    data = folder / "best_model.data-00000-of-00001"
    content = data.read_bytes()
    data.chmod(0o644)
    data.write_bytes(content[:-1])
    with pytest.raises(ModelFileError, match="std_per_atom.*truncated"):
        load_schnet_tensorflow(tmp_path)


def test_folder_without_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot read .*best_model\.index"):
        load_schnet_tensorflow(tmp_path)
