"""The template and the schema of configurations are what the program reads."""

import json
from dataclasses import replace

import pytest
import yaml

from mlpotential.cli import main
from mlpotential.errors import ConfigError
from mlpotential.training.config_file import read_config
from mlpotential.training.config_schema import (
    EXAMPLE,
    commented_yaml,
    json_schema,
    sections_of,
    settings_of,
)

TYPES = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict,
    "null": type(None),
}  # fmt: skip


def has_type(value, name):
    is_right = isinstance(value, TYPES[name])
    return is_right and (name == "boolean" or not isinstance(value, bool))


def fits(value, schema):
    """Whether a value is valid, as far as the words go that our schema uses."""
    known = {"$schema", "title", "description", "default", "type", "enum", "const", "anyOf"}
    assert schema.keys() <= known | {"properties", "required", "additionalProperties"}
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(has_type(value, name) for name in names):
            return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    if "properties" not in schema:
        return True
    assert schema["additionalProperties"] is False
    return (
        value.keys() <= schema["properties"].keys()
        and set(schema["required"]) <= value.keys()
        and all(fits(value[name], schema["properties"][name]) for name in value)
    )


@pytest.fixture
def template(tmp_path, capsys):
    """The file that `mlpotential train --print-config` makes."""
    assert main(["train", "--print-config"]) == 0
    path = tmp_path / "run.yaml"
    path.write_text(capsys.readouterr().out)
    return path


def test_the_template_is_valid_input(template):
    expected = replace(
        EXAMPLE, data=replace(EXAMPLE.data, path=str(template.parent / "train.extxyz"))
    )
    assert read_config(template) == expected


def test_the_template_explains_every_setting(template):
    lines = template.read_text().splitlines()
    assert max(map(len, lines)) <= 110
    assert "terms: {}" in lines
    sections = sections_of("SchNet")
    del sections["terms"]
    for section, kind in sections.items():
        start = lines.index(f"{section}:")
        for setting in settings_of(kind):
            indent = "    " if section == "outputs" else "  "
            begins = f"{indent}{setting.name}:"
            k = next(k for k in range(start, len(lines)) if lines[k].startswith(begins))
            assert lines[k].endswith(f"  # {setting.in_words}")
            assert lines[k - 1].startswith(f"{indent}# ")
            assert len(setting.explanation.split()) >= 2
    assert any(line.startswith("  cutoff: null  # number | null; default null") for line in lines)
    assert any(line.startswith("  path: train.extxyz  # text; required") for line in lines)


def test_a_file_of_ones_own_is_explained_too(config_file, tmp_path, capsys):
    overrides = ["--training.seed", "7"]
    assert main(["train", str(config_file), "--print-config", *overrides]) == 0
    (tmp_path / "explained.yaml").write_text(capsys.readouterr().out)
    assert read_config(tmp_path / "explained.yaml") == read_config(config_file, overrides)


def test_the_schema_knows_what_is_valid(config_file, capsys):
    assert main(["train", "--print-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == json_schema()
    assert fits(yaml.safe_load(commented_yaml()), schema)
    settings = yaml.safe_load(config_file.read_text())
    assert fits(settings, schema)
    assert fits(settings | {"model": {"architecture": "SchNet", "cutoff": 5}}, schema)
    mistakes = [
        {"folder": 3},
        {"fold": "x"},
        {"data": {"energy_unit": "eV", "length_unit": "Angstrom"}},
        {"model": {"n_feature": 3}},
        {"model": {"architecture": "DTN"}},
        {"model": {"cutoff": "5"}},
        {"training": {"batch_size": 2.5}},
        {"training": {"targets": "force"}},
        {"training": {"tabulated_filters": 1}},
    ]
    for mistake in mistakes:
        assert not fits(settings | mistake, schema), mistake


def test_help_names_the_settings(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for kind in sections_of("SchNet").values():
        for setting in settings_of(kind):
            assert f"  {setting.name} " in text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--model.cutoff=abc", r"model.cutoff must be a number or null, not 'abc'"),
        ("--training.batch_size=2.5", r"training.batch_size must be a whole number, not 2.5"),
        ("--training.targets=force", r"energy_and_forces or energy or forces, not 'force'"),
        ("--training.tabulated_filters=perhaps", r"filters must be true or false, not 'perhaps'"),
        ("--outputs.gap.weight=much", r"outputs.gap.weight must be a number, not 'much'"),
        ("--training.max_gradient_norm=x", r"must be a number or null, not 'x'"),
    ],
)
def test_values_of_another_type_are_refused_in_our_words(override, message, config_file):
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(config_file, [override])
    for foreign in ("Parser key", "Union", "class", "typing"):
        assert foreign not in str(caught.value)


def test_what_is_required_is_named(tmp_path):
    (tmp_path / "run.yaml").write_text("data: {n_validation: 3, path: a.xyz}")
    with pytest.raises(ConfigError, match=r"lacks data.energy_unit, data.length_unit, .* none$"):
        read_config(tmp_path / "run.yaml")


def test_train_without_a_file_says_how_to_get_one(capsys):
    assert main(["train"]) == 2
    assert "mlpotential train --print-config > run.yaml" in capsys.readouterr().err
