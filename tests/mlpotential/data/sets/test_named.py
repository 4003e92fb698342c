"""Published sets by name: their units, their paths, and training runs on them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlpotential.cli import main
from mlpotential.data.read import read_reference_data
from mlpotential.data.sets.named import known_units, split_name
from mlpotential.errors import ConfigError, DataError
from mlpotential.training.config_file import read_config
from mlpotential.training.run import read_data_sets, run_training
from mlpotential.training.starting_point import starting_model
from mlpotential.units import EV_PER_HARTREE, EV_PER_KCAL_PER_MOL

SMALL = {"n_features": 8, "n_interactions": 1, "n_rbf": 8, "rbf_stop": 5.0, "rbf_gamma": 2.0}
ENERGIES = {"targets": "energy", "max_epochs": 1, "batch_size": 8, "device": "cpu"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("qm9", ("qm9", "")),
        ("md17:a/b.npz", ("md17", "a/b.npz")),
        ("./qm9", (None, "./qm9")),
        ("qm9:x", (None, "qm9:x")),
        ("C:/data/x.npz", (None, "C:/data/x.npz")),
        ("train.extxyz", (None, "train.extxyz")),
    ],
)
def test_names_and_paths(text, expected):
    assert split_name(text) == expected


def test_a_name_that_needs_a_file():
    with pytest.raises(DataError, match="md17 is read from a file: give md17:PATH"):
        split_name("md17")


def test_units_are_known_by_the_name():
    assert known_units("md17:x.npz", None, None) == ("kcal/mol", "Angstrom")
    assert known_units("md17:x.npz", "kcal/mol", None) == ("kcal/mol", "Angstrom")
    assert known_units("x.npz", None, "Bohr") == (None, "Bohr")
    with pytest.raises(DataError, match="md17 has the energy unit 'kcal/mol', but 'eV' was"):
        known_units("md17:x.npz", "eV", None)


def test_a_file_of_a_named_set(tmp_path: Path):
    random = np.random.default_rng(5)
    shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    energies = -1e4 + random.normal(size=(4, 1))
    np.savez(
        tmp_path / "water.npz",
        z=np.array([8, 1, 1]),
        R=shape + 0.02 * random.normal(size=(4, 3, 3)),
        E=energies,
        F=random.normal(size=(4, 3, 3)),
    )
    data = read_reference_data(f"md17:{tmp_path}/water.npz")
    np.testing.assert_allclose(data.energies, energies[:, 0] * EV_PER_KCAL_PER_MOL)
    (tmp_path / "run.yaml").write_text("data: {path: 'md17:water.npz', n_validation: 1}")
    assert read_config(tmp_path / "run.yaml").data.path == f"md17:{tmp_path}/water.npz"


def configuration(tmp_path: Path, **data):
    settings = {
        "data": {"path": "qm9", "n_train": 30, "n_validation": 10, **data},
        "model": SMALL,
        "training": ENERGIES,
        "folder": str(tmp_path / "run"),
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    return read_config(tmp_path / "run.yaml")


def test_a_run_on_qm9(package, tmp_path):
    """References of free atoms are at hand, and nobody is warned of them."""
    config = configuration(tmp_path, atom_references="isolated_atoms")
    assert config.data.path == "qm9"
    data = read_data_sets(config)
    model = starting_model(config, data.train)
    assert model.scale.atom_references[8].item() == -75.064579 * EV_PER_HARTREE
    result = run_training(config, progress=False)
    assert result.errors["test"].n_structures == 64 - 40
    assert result.model_path.exists()


def test_the_commands_know_names(package, tmp_path, capsys):
    configuration(tmp_path, atom_references="isolated_atoms")
    assert main(["train", str(tmp_path / "run.yaml")]) == 0
    model = str(tmp_path / "run/model.safetensors")
    assert main(["evaluate", model, "qm9", "--no-forces"]) == 0
    assert "64" in capsys.readouterr().out
    assert main(["evaluate", model, "md17:absent.npz", "--no-forces"]) == 2
    assert "cannot read absent.npz" in capsys.readouterr().err
    assert main(["add-domain", model, "qm9"]) == 0


def test_no_warning_of_references_that_are_not_used(package, tmp_path):
    config = configuration(tmp_path, atom_references="least_squares")
    starting_model(config, read_data_sets(config).train)  # a warning would be an error


def test_what_training_has_too_is_left_out_of_the_other_sets(
    tmp_path, monkeypatch, small_qm9, caplog
):
    found = small_qm9.rows(8)
    for k in range(8):  # eight molecules are there twice
        twin = dict(found[k])
        twin["XYZ_file"] = f"dsgdb9nsd_{100 + k:06d}.xyz"
        found.append(twin)
    folder = small_qm9.write(tmp_path / "data", found)
    monkeypatch.setattr("mlpotential.data.sets.qm9._package_folder", lambda: folder)
    with caplog.at_level(logging.INFO, "mlpotential"):
        data = read_data_sets(configuration(tmp_path, n_train=40))
    (message,) = [m for m in caplog.messages if "left out" in m]
    n_left_out = int(message.split()[0])
    assert 0 < n_left_out <= 8
    assert len(data.train) == 40
    assert len(data.validation) + len(data.test) == 72 - 40 - n_left_out
    assert data.split["test"] == list(data.test.frame_numbers)
    used = [n for numbers in data.split.values() for n in numbers]
    assert len(set(used)) == 72 - n_left_out


def test_a_validation_set_of_training_molecules_alone(package, tmp_path):
    config = configuration(tmp_path, validation_path="qm9", n_train=None)
    with pytest.raises(DataError, match="10 of 10 held-out structures are also in the training"):
        read_data_sets(config)


def test_forces_are_asked_of_qm9(package, tmp_path):
    config = configuration(tmp_path)
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({"data": {"path": "qm9", "n_validation": 10}, "model": SMALL})
    )
    with pytest.raises(DataError, match="it has no forces: train on energies alone"):
        read_data_sets(read_config(tmp_path / "run.yaml"))
    assert config.training.targets == "energy"


def test_a_file_needs_units(tmp_path):
    (tmp_path / "run.yaml").write_text("data: {path: set.npz, energy_unit: eV, n_validation: 1}")
    np.savez(tmp_path / "set.npz", z=[1], r_unit=np.array("Ang"))
    with pytest.raises(ConfigError, match=r"lacks data.length_unit, .* it states r_unit: Ang"):
        read_config(tmp_path / "run.yaml")
