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


def test_the_architecture_may_be_named(config_file, tmp_path):
    config = read_config(config_file)
    settings = yaml.safe_load(config_file.read_text())
    settings["model"]["architecture"] = "SchNet"
    named = tmp_path / "named.yaml"
    named.write_text(yaml.safe_dump(settings))
    assert read_config(named) == config
    assert read_config(config_file, ["--model.architecture=SchNet"]) == config
    write_config(tmp_path / "written.yaml", config)
    written = yaml.safe_load((tmp_path / "written.yaml").read_text())
    assert next(iter(written["model"].items())) == ("architecture", "SchNet")


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
        ("--training.batch_size=0", "batch_size must be a whole number of at least 1"),
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


def test_paths_of_a_written_config_are_absolute(config_file, tmp_path, monkeypatch):
    """So the copy in the run's folder starts the same run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "near.yaml").write_text(
        "data: {path: a.xyz, n_validation: 2, energy_unit: eV, length_unit: Angstrom}"
    )
    config = read_config("near.yaml", ["--data.test_path=b.xyz"])
    assert config.data.path == str(tmp_path / "a.xyz")
    assert config.data.test_path == str(tmp_path / "b.xyz")


def test_words_on_the_command_line_stay_words(config_file):
    config = read_config(
        config_file,
        ["--folder=2024-13-45", "--data.energy_key=1", "--data.forces_key=null"],
    )
    assert config.folder == "2024-13-45"
    assert config.data.energy_key == "1"
    assert config.data.forces_key is None


REQUIRED = "data: {path: x, n_validation: 2, energy_unit: eV, length_unit: Angstrom}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:", "'model' must be followed by its settings"),
        ("training: [1, 2]", "'training' must be followed by its settings"),
        ("modle: {}", "unknown setting 'modle'. Did you mean 'model'"),
        ("training.seed: 3", "write 'training.seed' as 'seed', indented below 'training:'"),
        ("training: {seed: 1, seed: 2}", "'seed' is given twice"),
        ("folder: a\nfolder: b", "'folder' is given twice"),
        ("training: {targets: null}", "'training.targets' has no value"),
        ("model: {architecture: SchNett}", "unknown architecture 'SchNett'; .* mean 'SchNet'"),
        ("model: {architecture: null}", "unknown architecture None; known: SchNet"),
        ("model: {architecture: [SchNet]}", "unknown architecture"),
        ("model: {n_features: [8]}", "'model.n_features' must be one value"),
        ("model: &a {n_features: *a}", "must be one value"),
        ("folder: 2024-13-45", "not valid YAML: month"),
        ("folder: 2024-11-05", "folder"),
        ("model: {rbf_stop: .inf}", "rbf_stop"),
        ("model: {rbf_stop: .nan}", "rbf_stop"),
        ("model: {cutoff_function: hard, cutoff: .inf}", "positive radius"),
        ("model: {rbf_gamma: .inf}", "rbf_gamma"),
        ("model: {n_readout_hidden: 0}", "n_hidden of an output must be from 1"),
        ("outputs: {energy: {n_hidden: 0}}", "n_hidden of an output must be from 1"),
        ("outputs: [energy]", "'outputs:' must be followed by the names of outputs"),
        ("outputs: {}", "outputs must be at least one"),
        ("outputs: {gap: {pooling: mean}}", "needs outputs.gap.pooling .* and outputs.gap.unit"),
        ("outputs: {dipol: {unit: Debye}}", "Did you mean 'dipole'"),
        ("outputs: {energy: {unit: eV}}", "outputs.energy.unit must be left out: give data.energy"),
        ("outputs: {dipole: {weight: 2.0}}", "give outputs.dipole.unit, one of"),
        ("outputs: {energy: {wait: 2.0}}", "Did you mean 'outputs.energy.weight'"),
        ("model: {max_atomic_number: 119}", "from 1 to 118"),
        ("training: {seed: -1}", "training.seed must be from 0"),
        ("training: {checkpoint_interval_s: .nan}", "zero or positive number"),
    ],
)
def test_hostile_files(tmp_path, text, message):
    (tmp_path / "run.yaml").write_text(REQUIRED + text + "\n")
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(tmp_path / "run.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--folder=", "'folder' has no value"),
        ("--training.seed=", "'training.seed' has no value"),
        ("--training.seed=[", "cannot be"),
        ("--training.seed={a: 1}", "must be one value"),
        ("--training.seed=2024-13-45", "cannot be"),
        ("--data.split_seed=-1", "data.split_seed must be from 0"),
        ("--model={n_features: 3}", "unknown setting 'model'"),
    ],
)
def test_hostile_overrides(config_file, override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(config_file, [override])
    assert "\n" not in str(caught.value)
