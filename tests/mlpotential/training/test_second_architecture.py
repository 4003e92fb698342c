"""An architecture that the package does not know, through all doors that SchNet goes through."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from ase.io import read
from torch import Tensor, nn

from mlpotential.cli import main
from mlpotential.errors import ConfigError, ModelFileError, RunError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.config import PotentialConfig
from mlpotential.models.model_file import check_golden, load_model
from mlpotential.models.outputs import ENERGY_ALONE, Output, Outputs
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.models.readouts.atomwise import N_ROWS
from mlpotential.models.registry import ARCHITECTURES, Architecture
from mlpotential.training.config_file import read_config, write_config
from mlpotential.training.run import run_training


@dataclass(frozen=True)
class ExponentialsConfig(PotentialConfig):
    """`n_decays`: number of exponentials of the distance."""

    architecture: ClassVar[str] = "Exponentials"
    largest: ClassVar[dict[str, int]] = {"n_decays": 50}

    n_decays: int = 3
    n_elements: int = 100

    @property
    def largest_element(self) -> int:
        return self.n_elements


class PerElement(nn.Module):
    """A linear network of its own for each element: what a readout of features alone cannot be."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(0.1 * torch.randn(N_ROWS, n_features))

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        return (self.weights[graph.atomic_numbers] * features).sum(dim=-1)


class Exponentials(Potential):
    """Feature k of an atom is the sum of exp(-k r) over all others."""

    def __init__(self, config: ExponentialsConfig, outputs: Outputs = ENERGY_ALONE) -> None:
        super().__init__(config, outputs)
        self.n_features, self.cutoff = config.n_decays, None
        self.traits = ModelTraits(
            smooth_at_cutoff=True, additive=False, radial_filters=False, periodic=False
        )
        self._add_readouts()

    def new_readout(self, output: Output, n_outputs: int = 1) -> nn.Module:
        return PerElement(self.n_features)

    def representation(self, graph: AtomGraph) -> Tensor:
        i, j = graph.pair_index
        distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1)
        decays = torch.arange(1, self.n_features + 1, device=distances.device)
        values = torch.exp(-decays * distances[:, None]).to(self.dtype)
        total = values.new_zeros(graph.n_atoms, self.n_features)
        return total.index_add(0, i, values).index_add(0, j, values)


@pytest.fixture
def registered(monkeypatch):
    entry = Architecture(ExponentialsConfig, lambda: Exponentials)
    monkeypatch.setitem(ARCHITECTURES, "Exponentials", entry)


@pytest.fixture
def exponentials_file(config_file, registered):
    """Two steps of training."""
    settings = yaml.safe_load(config_file.read_text())
    settings["model"] = {"architecture": "Exponentials", "n_decays": 4}
    settings["training"] |= {"batch_size": 16, "max_epochs": 1, "schedule": "exponential"}
    config_file.write_text(yaml.safe_dump(settings))
    return config_file


def test_it_is_trained_stored_and_evaluated(exponentials_file, water_file, tmp_path, capsys):
    path = tmp_path / "run" / "model.safetensors"
    assert main(["train", str(exponentials_file), "--folder", str(path.parent)]) == 0
    assert main(["info", str(path), "--check"]) == 0
    shown = capsys.readouterr().out
    assert "architecture: Exponentials, 476 parameters" in shown
    assert "check on cpu: passed" in shown
    model = load_model(path)
    assert model.potential.config == ExponentialsConfig(n_decays=4)
    assert model.record.title == "Exponentials trained on water.extxyz"
    assert model.record.training["steps"] == 2
    frames = read(water_file, ":5")
    evaluator = Evaluator(path, frames[0].numbers, device="cpu", dtype="float64", guard="off")
    assert evaluator.backend == "reference"
    found = evaluator.evaluate(np.stack([atoms.positions for atoms in frames]), None)
    for k, atoms in enumerate(frames):
        expected = model.potential(connected(atoms))
        assert found.energy[k] == pytest.approx(float(expected.energy), rel=1e-14)
        np.testing.assert_allclose(found.forces[3 * k : 3 * k + 3], expected.forces, atol=1e-12)


def connected(atoms):
    from mlpotential.neighbors import connect

    return connect(AtomGraph.from_atoms(atoms), None)


def test_its_run_goes_on_and_is_of_no_other(exponentials_file, tmp_path):
    options = ["--folder", str(tmp_path / "run")]
    run_training(read_config(exponentials_file, options), progress=False)
    longer = read_config(exponentials_file, [*options, "--training.max_epochs=2"])
    model_path = run_training(longer, progress=False).model_path
    assert load_model(model_path).record.training["steps"] == 4
    settings = yaml.safe_load(exponentials_file.read_text())
    del settings["model"]
    exponentials_file.write_text(yaml.safe_dump(settings))
    with pytest.raises(RunError, match="architecture: 'Exponentials' -> 'SchNet'"):
        run_training(read_config(exponentials_file, options), progress=False)


def test_its_settings_are_typed_and_checked(exponentials_file, tmp_path):
    config = read_config(exponentials_file, ["--model.n_decays=5"])
    assert config.model == ExponentialsConfig(n_decays=5)
    write_config(tmp_path / "written.yaml", config)
    assert read_config(tmp_path / "written.yaml") == config
    for override, message in (
        ("--model.n_decays=0", "n_decays must be from 1 to 50"),
        ("--model.n_decays=many", "n_decays"),
        ("--model.n_decay=1", "Did you mean 'model.n_decays'"),
        ("--model.n_features=8", "unknown setting 'model.n_features'"),
        ("--model.architecture=exponential", "Did you mean 'Exponentials'"),
        ("--model.architecture=SchNet", "unknown setting 'model.n_decays'"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_config(exponentials_file, [override])


def test_filters_that_it_has_not_are_not_tabulated(exponentials_file, tmp_path):
    options = ["--folder", str(tmp_path / "run"), "--training.tabulated_filters=true"]
    with pytest.raises(ConfigError, match="Exponentials has no filters .* leave out training"):
        run_training(read_config(exponentials_file, options), progress=False)


def test_elements_beyond_its_parameters(exponentials_file, tmp_path):
    options = ["--folder", str(tmp_path / "run"), "--model.n_elements=7"]
    with pytest.raises(ConfigError, match=r"elements 1 to 7, not for \[8\]"):
        run_training(read_config(exponentials_file, options), progress=False)


def test_its_file_where_it_is_unknown(exponentials_file, tmp_path, monkeypatch):
    options = ["--folder", str(tmp_path / "run")]
    path = run_training(read_config(exponentials_file, options), progress=False).model_path
    assert check_golden(load_model(path)).passed
    monkeypatch.delitem(ARCHITECTURES, "Exponentials")
    with pytest.raises(ModelFileError, match="unknown architecture 'Exponentials'; known: SchNet"):
        load_model(path)
