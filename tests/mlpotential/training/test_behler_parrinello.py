"""Behler-Parrinello potentials are trained, stored and used as SchNet is."""

import numpy as np
import pytest
import torch
import yaml
from ase.io import read

from calculators.ase_calculator import MLPotentialCalculator
from mlpotential.cli import main
from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.models.model_file import load_model
from mlpotential.neighbors import connect
from mlpotential.training.config_file import read_config, write_config
from mlpotential.training.run import run_training

SMALL = {"architecture": "BehlerParrinello", "cutoff": 4.0, "n_radial": 6, "n_angular": 1}
SMALL |= {"hidden_layers": 8} | {"activations": "t l"}


@pytest.fixture
def with_model(config_file):
    """Writes the configuration with another model section."""

    def write(model, **training):
        settings = yaml.safe_load(config_file.read_text())
        settings["model"] = model
        settings["training"] |= {"schedule": "exponential"} | training
        config_file.write_text(yaml.safe_dump(settings))
        return config_file

    return write


@pytest.mark.parametrize("architecture", ["SchNet", "BehlerParrinello"])
def test_one_word_makes_the_difference(architecture, with_model, tmp_path, capsys):
    path = with_model({"architecture": architecture}, max_epochs=1, batch_size=16)
    assert main(["train", str(path), "--folder", str(tmp_path / "run")]) == 0
    model = tmp_path / "run" / "model.safetensors"
    assert main(["info", str(model), "--check"]) == 0
    shown = capsys.readouterr().out
    assert f"architecture: {architecture}, " in shown
    assert "check on cpu: passed" in shown
    assert len(shown.splitlines()) < 50


def test_it_learns(with_model, tmp_path, water_file):
    path = with_model(SMALL, max_epochs=25, learning_rate=0.03)
    config = read_config(path, ["--folder", str(tmp_path / "run")])
    result = run_training(config, progress=False)
    forces = np.concatenate([atoms.get_forces() for atoms in read(water_file, ":")])
    assert result.errors["test"].forces_rmse < 0.25 * forces.std()
    model = load_model(result.model_path)
    assert isinstance(model.potential.config, BehlerParrinelloConfig)
    assert not model.potential.config.is_rule
    scaled = features_of(model.potential, read(water_file, ":"))
    spread = scaled.std(dim=0)
    assert float(spread.max()) < 1.5  # by the deviation of each function in the training data
    assert float(spread.median()) == pytest.approx(1.0, abs=0.2)


def features_of(potential, frames):
    graphs = [connect(AtomGraph.from_atoms(atoms), potential.cutoff) for atoms in frames]
    return torch.cat([potential(graph, ("features",)).features[1:] for graph in graphs])


def test_a_run_in_two_parts_is_one(with_model, tmp_path):
    path = with_model(SMALL)
    whole = read_config(path, ["--folder", str(tmp_path / "whole"), "--training.max_epochs=3"])
    run_training(whole, progress=False)
    for n_epochs in (1, 3):
        options = ["--folder", str(tmp_path / "parts"), f"--training.max_epochs={n_epochs}"]
        run_training(read_config(path, options), progress=False)
    one, two = (
        load_model(tmp_path / name / "model.safetensors").potential.state_dict()
        for name in ("whole", "parts")
    )
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_evaluator_and_calculator(with_model, tmp_path, water_file):
    path = with_model(SMALL, max_epochs=1)
    options = ["--folder", str(tmp_path / "run")]
    model_path = run_training(read_config(path, options), progress=False).model_path
    model = load_model(model_path)
    frames = read(water_file, ":5")
    evaluator = Evaluator(model_path, frames[0].numbers, device="cpu", dtype="float64")
    assert evaluator.backend == "reference"
    found = evaluator.evaluate(np.stack([atoms.positions for atoms in frames]), None)
    for k, atoms in enumerate(frames):
        graph = connect(AtomGraph.from_atoms(atoms), model.potential.cutoff)
        expected = model.potential(graph)
        assert found.energy[k] == pytest.approx(float(expected.energy), rel=1e-13)
        forces = expected.forces.numpy()
        np.testing.assert_allclose(found.forces[3 * k : 3 * k + 3], forces, atol=1e-11)
        atoms.calc = MLPotentialCalculator(model_path, device="cpu", dtype="float64")
        assert atoms.get_potential_energy() == pytest.approx(float(expected.energy), rel=1e-13)
        np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-11)


def test_training_goes_on_from_a_file(with_model, tmp_path):
    path = with_model(SMALL, max_epochs=1)
    first = run_training(read_config(path, ["--folder", str(tmp_path / "a")]), progress=False)
    options = ["--folder", str(tmp_path / "b"), f"--training.start_from={first.model_path}"]
    options.append("--data.atom_references=none")
    second = run_training(read_config(path, options), progress=False)
    one, two = (load_model(r.model_path).potential for r in (first, second))
    assert one.config == two.config
    assert torch.equal(one.scaling.mean, two.scaling.mean)
    with pytest.raises(ConfigError, match="To begin with it, write below model: ") as error:
        run_training(read_config(path, [*options, "--model.n_radial=5"]), progress=False)
    message = str(error.value)
    assert "\n" not in message
    written = yaml.safe_load(message.partition("below model: ")[2])
    assert written == {"symmetry_functions": one.config.symmetry_functions}


def test_readouts_of_other_architectures_are_refused(with_model, tmp_path):
    config = read_config(
        with_model(SMALL), ["--outputs.energy.n_hidden=4", f"--folder={tmp_path}/run"]
    )
    with pytest.raises(ConfigError, match="n_hidden of an output of BehlerParrinello must be left"):
        run_training(config, progress=False)


def test_settings_are_checked(with_model, tmp_path):
    path = with_model(SMALL)
    config = read_config(path)
    write_config(tmp_path / "written.yaml", config)
    assert read_config(tmp_path / "written.yaml") == config
    for override, message in (
        ("--model.symmetry_functions=wacfs", r"'wacfs' is no symmetry function.*rule: acsf"),
        ("--model.symmetry_functions=H 2 H 1 0 5", "model.cutoff must be left out unless"),
        ("--model.n_features=8", "unknown setting 'model.n_features'"),
        ("--model.activations=t t l", "one letter for each of 1 hidden layers and the output"),
        ("--model.activations=t r", "one letter"),
        ("--model.hidden_layers=many", "model.hidden_layers must be"),
        ("--model.cutoff_type=9", "model.cutoff_type must be from 0 to 8"),
        ("--model.inner_cutoff=1.0", "model.inner_cutoff must be less than 1"),
        ("--model.cutoff=0.5", "model.cutoff must be from 1.0"),
        ("--model.n_radial=1", "model.n_radial must be at least 2"),
        ("--model.scaling=sigmas", "model.scaling must be none or scale"),
        ("--model.length_unit=Bohr", "model.length_unit must be Angstrom with acsf"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_config(path, [override])


def test_functions_of_your_own_for_other_elements(with_model, tmp_path):
    model = {"architecture": "BehlerParrinello", "symmetry_functions": "H 2 H 1 0 5"}
    config = read_config(with_model(model), ["--folder", str(tmp_path / "run")])
    with pytest.raises(ConfigError, match=r"symmetry functions for H, not for \[8\]"):
        run_training(config, progress=False)


def test_a_file_whose_settings_do_not_fit_its_tensors(with_model, tmp_path):
    path = with_model(SMALL, max_epochs=1)
    options = ["--folder", str(tmp_path / "run")]
    model_path = run_training(read_config(path, options), progress=False).model_path
    content = model_path.read_bytes()
    assert content.count(b"hidden_layers") == 1
    model_path.write_bytes(content.replace(b"H 2 O ", b"C 2 O ", 1))
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(model_path)
