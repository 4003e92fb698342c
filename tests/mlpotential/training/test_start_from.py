"""Training that begins with the network of a model file."""

import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from mlpotential.cli import main
from mlpotential.data.read import read_reference_data
from mlpotential.errors import ConfigError, RunError
from mlpotential.models.model_file import load_model
from mlpotential.training.config_file import read_config
from mlpotential.training.evaluation.evaluate import evaluate_model
from mlpotential.training.run import run_training
from mlpotential.training.starting_point import starting_model

UNITS = {"energy_unit": "eV", "length_unit": "Angstrom"}


@pytest.fixture
def first(config_file, tmp_path):
    """A model of a few epochs."""
    return run(config_file, tmp_path / "first", "--training.max_epochs", "20").model_path


def run(config_file, folder, *overrides):
    return run_training(configured(config_file, folder, *overrides), progress=False)


def configured(config_file, folder, *overrides):
    return read_config(config_file, ["--folder", str(folder), *overrides])


def start_from(model, *more):
    return ["--training.start_from", str(model), "--data.atom_references", "none", *more]


def test_it_goes_on_from_the_errors_of_the_model(config_file, first, tmp_path):
    """Five epochs of a small rate are enough where a fresh network has learned nothing yet."""
    few = ["--training.max_epochs", "5", "--training.learning_rate", "1e-3"]
    before = load_model(first).record.errors["validation"]["forces_mae"]
    tuned = run(config_file, tmp_path / "tuned", *start_from(first, *few))
    fresh = run(config_file, tmp_path / "fresh", *few)
    assert tuned.errors["validation"].forces_mae < 0.97 * before
    assert fresh.errors["validation"].forces_mae > 2.0 * before
    record = load_model(tuned.model_path).record
    assert record.training["started_from"] == load_model(first).sha256


def test_energies_of_another_level_are_met_at_once(config_file, water_file, first, tmp_path):
    """A constant per element is fitted before the first step; the network stays as it is."""
    frames = read(water_file, index=":")
    for atoms in frames:
        energy, forces = atoms.get_potential_energy() - 2000.0, atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    other = tmp_path / "other.extxyz"
    write(other, frames, format="extxyz")
    config = configured(config_file, tmp_path / "run", *start_from(first))
    models = [
        starting_model(config, read_reference_data(path, **UNITS)) for path in (water_file, other)
    ]
    shift = models[1].scale.atom_references - models[0].scale.atom_references
    np.testing.assert_allclose(float(shift[8] + 2 * shift[1]), -2000.0, atol=1e-6)
    for name, value in load_model(first).potential.state_dict().items():
        if name != "scale.atom_references":
            assert all(torch.equal(value, model.state_dict()[name]) for model in models)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["--model.n_features", "8"], "write below model: n_features: 16"),
        (["--data.atom_references", "least_squares"], "leave out data.atom_references"),
    ],
)
def test_what_does_not_fit_is_refused(config_file, first, overrides, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        run(config_file, tmp_path / "run", *start_from(first, *overrides))


@pytest.mark.filterwarnings("ignore:sulfur")  # its bonds are those of oxygen
def test_unknown_elements_are_refused(config_file, first, tmp_path):
    frames = read(configured(config_file, "x").data.path, index=":")
    for atoms in frames:
        atoms.symbols[0] = "S"
    write(tmp_path / "sulfur.extxyz", frames, format="extxyz")
    other = ["--data.path", str(tmp_path / "sulfur.extxyz")]
    with pytest.raises(ConfigError, match=r"not \[16\]"):
        run(config_file, tmp_path / "run", *start_from(first, *other))


def test_a_run_is_continued_only_with_the_model_it_began_with(config_file, first, tmp_path):
    few = ["--training.max_epochs", "2"]
    run(config_file, tmp_path / "run", *start_from(first, *few))
    other = run(config_file, tmp_path / "other", *few).model_path
    with pytest.raises(RunError, match="started_from"):
        run(config_file, tmp_path / "run", *start_from(other, *few))
    moved = first.rename(tmp_path / "moved.safetensors")  # the content counts, not the name
    run(config_file, tmp_path / "run", *start_from(moved, *few))


def test_errors_are_kept_in_the_model_file(first, water_file, capsys):
    options = [str(first), str(water_file), "--energy-unit", "eV", "--length-unit", "Angstrom"]
    assert main(["evaluate", *options, "--record-as", "everything"]) == 0
    assert "everything" in capsys.readouterr().out
    model = load_model(first)
    assert model.record.errors.keys() == {"validation", "test", "everything"} - (
        set() if "test" in model.record.errors else {"test"}
    )
    found = evaluate_model(first, water_file, **UNITS).errors
    assert model.record.errors["everything"]["forces_mae"] == found.forces_mae
