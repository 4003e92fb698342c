"""Run configurations: every field can be set, every mistake is named."""

import pytest
import yaml

from mlpotential.errors import ConfigError
from mlpotential.training.config_file import read_config, write_config


def test_fields_and_overrides(config_file):
    config = read_config(
        config_file, ["--training.learning_rate", "1e-4", "--model.n_features=8", "--folder=x"]
    )
    assert config.training.learning_rate == 1e-4
    assert config.model.n_features == 8
    assert config.folder == "x"
    assert config.data.n_train == 32


def test_written_config_reads_back(config_file, tmp_path):
    config = read_config(config_file)
    write_config(tmp_path / "written.yaml", config)
    assert read_config(tmp_path / "written.yaml") == config


def test_data_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "run.yaml").write_text(
        "data: {path: sets/train.xyz, validation_path: sets/v.xyz, energy_unit: eV, "
        "length_unit: Angstrom}"
    )
    config = read_config(tmp_path / "run.yaml")
    assert config.data.path == str(tmp_path / "sets/train.xyz")
    assert config.data.validation_path == str(tmp_path / "sets/v.xyz")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--training.learnin_rate=1", "Did you mean 'training.learning_rate'"),
        ("--model.n_feature=1", "Did you mean 'model.n_features'"),
        ("--training.learning_rate=fast", "learning_rate"),
        ("--training.learning_rate=.nan", "positive number"),
        ("--training.learning_rate=-1", "positive number"),
        ("--training.batch_size=0", "batch_size must be at least 1"),
        ("--training.batch_size=2.5", "batch_size"),
        ("--training.targets=force", "energy_and_forces"),
        ("--training.energy_weight=0", "targets: forces"),
        ("--model.cutoff=5", "cutoff_function none"),
        ("--model.cutoff_function=cosine", "positive radius"),
        ("--model.n_rbf=20", "not both"),
        ("--data.n_train=0", "at least 1"),
        ("learning_rate", "expected --name value"),
        ("--folder", "needs a value"),
    ],
)
def test_mistakes_on_the_command_line(config_file, override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(config_file, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [", "not valid YAML"),
        ("just words", "must hold"),
        ("", "must hold"),
        ("data: {pth: x}", "Did you mean 'data.path'"),
        ("data: {path: x, energy_unit: eV}", "length_unit"),
        ("data: {path: x, energy_unit: eV, length_unit: Angstrom}", "validation data"),
    ],
)
def test_mistakes_in_the_file(tmp_path, text, message):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_config(tmp_path / "absent.yaml")


def test_null_section(config_file):
    settings = yaml.safe_load(config_file.read_text())
    settings["training"] = None
    config_file.write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="training"):
        read_config(config_file)
