"""One YAML file per training run, each field overridable on the command line. Free of torch.

`--training.learning_rate 5e-4` or `--training.learning_rate=5e-4` replaces one field. Unknown names
are refused with the nearest known one, names given twice altogether; paths in the file are relative
to the file, those on the command line to the working directory. `model.architecture` says whose
settings the others below `model:` are; each output has a section of its own below `outputs:`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from mlpotential.data.sets.named import joined_name, split_name
from mlpotential.errors import ConfigError, nearest_name
from mlpotential.models.outputs import separated
from mlpotential.models.registry import DEFAULT_ARCHITECTURE, find_architecture
from mlpotential.models.terms.settings import TermSettings
from mlpotential.run_folder import write_atomically
from mlpotential.training.config import DataConfig, OutputConfig, RunConfig, TrainingConfig
from mlpotential.training.config_schema import kind_in_words

PATH_FIELDS = {
    "data": ("path", "validation_path", "test_path", "atom_references"),
    "training": ("start_from", "curvature_from"),
}
NO_PATHS = ("none", "least_squares", "isolated_atoms")  # of reference energies
ARCHITECTURE = "model.architecture"
OUTPUTS = "outputs"
# Below them stand names that the file chooses, each with settings of one kind.
NAMED_SECTIONS = {OUTPUTS: OutputConfig, "terms": TermSettings}
DEFAULT_NAMES: dict[str, dict[str, Any]] = {OUTPUTS: {"energy": {}}, "terms": {}}
OF_EARLIER = {
    "data.dipole_unit",
    "data.dipole_key",
    "model.dipole",
    "model.total_charge",
    "model.readout_activation",
    "model.n_readout_hidden",
    "training.dipole_weight",
}


class _Loader(yaml.SafeLoader):
    """Refuses a name that is given twice, of which YAML itself would drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A checked configuration.

    Args:
        path: YAML file of a `RunConfig`.
        overrides: command line words, e.g. `["--training.seed", "1", "--folder=again"]`.

    Raises:
        ConfigError: if the file is missing or no YAML, a name is unknown, or a value does not fit.
    """
    return config_of(read_yaml(Path(path)), overrides, where=str(path), folder=Path(path).parent)


def config_of(
    settings: Mapping[str, Any], overrides: Sequence[str], where: str, folder: Path
) -> RunConfig:
    """A checked configuration from the content of a file.

    Args:
        settings: by section and name.
        overrides: as for `read_config`.
        where: what the settings stand in, for messages.
        folder: that paths in the settings are relative to.

    Raises:
        ConfigError: as `read_config`.
    """
    settings, replaced = _as_now(copy.deepcopy(dict(settings))), _parse_overrides(overrides)
    sections = _sections(settings, replaced)
    types = dict(_field_types(sections))
    _check_settings(settings, types, where=where)
    _anchor_paths(settings, folder.absolute())
    for name, text in replaced:
        _refuse_unknown(name, types, types, where="command line")
        *above, field = name.split(".")
        target = settings
        for section in above:
            target[section] = target.get(section) or {}  # `energy:` alone is null
            target = target[section]
        target[field] = _parse_value(name, text, types[name])
        _check_value(name, target[field], types[name], where="command line")
    _anchor_paths(settings, Path.cwd())
    return _build(settings, sections, types)


def write_config(path: Path, config: RunConfig) -> None:
    """Writes the complete configuration, defaults included."""
    settings = asdict(config)
    settings["model"] = {"architecture": config.model.architecture, **settings["model"]}
    write_atomically(path, yaml.safe_dump(settings, sort_keys=False))


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping, with no name given twice. Raises ConfigError for anything else."""
    try:
        content = yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a 13th month
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold `data:`, `model:` and `training:` with their fields")
    return content


def _sections(
    settings: Mapping[str, Any], replaced: Sequence[tuple[str, str]]
) -> dict[str, type[Any]]:
    """The dataclass of each section; that of the model is the one of its architecture."""
    model = settings.get("model")
    architecture = DEFAULT_ARCHITECTURE
    if isinstance(model, dict):  # what is none is refused with all other mistakes
        architecture = model.get("architecture", architecture)
    for name, text in replaced:
        architecture = text if name == ARCHITECTURE else architecture
    config_class = find_architecture(architecture).config_class
    named = {
        f"{section}.{name}": kind
        for section, kind in NAMED_SECTIONS.items()
        for name in _names_below(section, settings, replaced)
    }
    return {"data": DataConfig, "model": config_class, **named, "training": TrainingConfig}


def _names_below(
    section: str, settings: Mapping[str, Any], replaced: Sequence[tuple[str, str]]
) -> dict[str, None]:
    """Of outputs or terms, in the file and on the command line; energies where there is nothing."""
    found = settings.get(section, DEFAULT_NAMES[section])
    if not isinstance(found, dict):
        raise ConfigError(
            f"'{section}:' must be followed by the names of {section}, indented, each followed by "
            f"its settings, not by {found!r}; leave it out for the default"
        )
    names = dict.fromkeys(map(str, found))
    for name, _ in replaced:
        above, _, rest = name.partition(".")
        if above == section and "." in rest:
            names[rest.partition(".")[0]] = None
    return names


def _as_now(settings: dict[str, Any]) -> dict[str, Any]:
    """A configuration of version 0.1 or 0.2, whose readouts were settings of the model."""
    if not all(isinstance(settings.get(name, {}), dict) for name in ("data", "model", "training")):
        return settings  # refused with all other mistakes
    data, model, training = (dict(settings.get(name, {})) for name in ("data", "model", "training"))
    if not OF_EARLIER.intersection(
        f"{section}.{name}"
        for section, values in (("data", data), ("model", model), ("training", training))
        for name in values
    ):
        return settings
    if OUTPUTS in settings:
        raise ConfigError(
            f"settings of earlier versions, {', '.join(sorted(OF_EARLIER))}, and '{OUTPUTS}:' do "
            "not go together: write the former as settings of outputs"
        )
    model, outputs = separated(model)
    options = {"unit": data.pop("dipole_unit", None), "key": data.pop("dipole_key", None)}
    options["weight"] = training.pop("dipole_weight", None)
    if "dipole" in outputs:
        outputs["dipole"] |= {k: v for k, v in options.items() if v is not None}
    sections = {"data": data, "model": model, OUTPUTS: outputs, "training": training}
    return settings | {k: v for k, v in sections.items() if v or k in settings}


def _field_types(sections: Mapping[str, type[Any]]) -> Iterator[tuple[str, Any]]:
    """`data.path`, `model.n_features`, ..., `folder`, with their types."""
    yield ARCHITECTURE, str
    for section, kind in sections.items():
        hints = get_type_hints(kind)
        yield from ((f"{section}.{f.name}", hints[f.name]) for f in fields(kind))
    yield "folder", str


def _check_settings(settings: dict[Any, Any], types: Mapping[str, Any], where: str) -> None:
    """Refuses unknown names, sections that are none, and values where there cannot be one."""
    named = {f"{s}.{k}": v for s in NAMED_SECTIONS for k, v in settings.get(s, {}).items()}
    sections = {name.rpartition(".")[0] for name in types if "." in name}
    alone = [name for name in types if "." not in name]
    others = {k: v for k, v in settings.items() if k not in NAMED_SECTIONS}
    for name, value in (others | named).items():
        if name not in sections:
            _refuse_unknown(str(name), alone, [*types, *sections], where)
            _check_value(name, value, types[name], where)
            continue
        if value is None and name in named:
            continue  # all defaults
        if not isinstance(value, dict):
            raise ConfigError(
                f"{where}: {name!r} must be followed by its settings, indented, not by {value!r}; "
                "leave it out to have the defaults"
            )
        for field, field_value in value.items():
            _refuse_unknown(f"{name}.{field}", types, types, where)
            _check_value(f"{name}.{field}", field_value, types[f"{name}.{field}"], where)


def _refuse_unknown(
    name: str, known: Collection[str], suggested: Collection[str], where: str
) -> None:
    if name in known:
        return
    if name in suggested:
        section, _, field = name.rpartition(".")
        raise ConfigError(f"{where}: write {name!r} as {field!r}, indented below '{section}:'")
    raise ConfigError(f"{where}: unknown setting {name!r}.{nearest_name(name, suggested)}")


def _check_value(name: str, value: object, kind: Any, where: str) -> None:
    """What the parser would let pass, or not say well."""
    if isinstance(value, dict | list):
        raise ConfigError(f"{where}: {name!r} must be one value")
    if value is None and NoneType not in get_args(kind):
        raise ConfigError(f"{where}: {name!r} has no value")


def _anchor_paths(settings: dict[str, Any], folder: Path) -> None:
    """Makes relative paths absolute, so that a written configuration works anywhere."""
    for section, names in PATH_FIELDS.items():
        values = settings.get(section)
        if not isinstance(values, dict):
            continue
        for name in names:
            if isinstance(values.get(name), str) and values[name] not in NO_PATHS:
                of_set, path = split_name(values[name])  # `md17:x.npz`, and `qm9` without any
                anchored = str(folder / path) if path else path
                values[name] = anchored if of_set is None else joined_name(of_set, anchored)


def _parse_overrides(words: Sequence[str]) -> list[tuple[str, str]]:
    """Names and texts of `--name value` and `--name=value`."""
    remaining, parsed = list(words), []
    while remaining:
        word = remaining.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"expected --name value, not {word!r}")
        name, equals, value = word.removeprefix("--").partition("=")
        if not equals:
            if not remaining:
                raise ConfigError(f"--{name} needs a value")
            value = remaining.pop(0)
        parsed.append((name, value))
    return parsed


def _parse_value(name: str, text: str, kind: Any) -> Any:
    """Words as they are typed, where words are expected; numbers and null as in a file."""
    expects_words = str in (kind, *get_args(kind)) or get_origin(kind) is Literal
    if expects_words and not (NoneType in get_args(kind) and text == "null"):
        return text or None
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"command line: {name!r} cannot be {text!r}") from error


def _build(
    settings: dict[str, Any], sections: Mapping[str, type[Any]], types: Mapping[str, Any]
) -> RunConfig:
    parser = _parser(tuple(sections.items()))
    model = {k: v for k, v in settings.get("model", {}).items() if k != "architecture"}
    named = {
        section: {name: values or {} for name, values in settings.get(section, {}).items()}
        for section in NAMED_SECTIONS
    }
    try:
        namespace: Namespace = parser.parse_object({**settings, "model": model, **named})
        config = parser.instantiate(namespace)
        values: dict[str, Any] = {f.name: getattr(config, f.name, {}) for f in fields(RunConfig)}
        for section in NAMED_SECTIONS:
            names = [s.partition(".")[2] for s in sections if s.startswith(f"{section}.")]
            values[section] = {name: getattr(values[section], name) for name in names}
        return RunConfig(**values)
    except ConfigError:
        raise
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        cause = _config_error_within(error)
        if cause is not None:
            raise cause from error
        raise ConfigError(_in_our_words(str(error), settings, types)) from error


def _in_our_words(text: str, settings: Mapping[str, Any], types: Mapping[str, Any]) -> str:
    """What the parser says of a value of the wrong type, or of one that is missing."""
    if found := re.match(r"Parser key \"([\w.]+)\":", text):
        name = found[1]
        value: Any = settings
        for part in name.split("."):
            value = value[part]
        expected = re.sub(r"^(?=number|whole)", "a ", kind_in_words(types[name]))
        return f"{name} must be {expected.replace(' | ', ' or ')}, not {value!r}"
    if found := re.match(r"the following arguments are required: (.*)", text):
        return f"the configuration lacks {found[1]}"
    return " ".join(text.split())


@cache
def _parser(sections: tuple[tuple[str, type[Any]], ...]) -> ArgumentParser:
    """Of one architecture's configurations: making it takes longer than reading any of them."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    for section, kind in sections:
        parser.add_class_arguments(kind, section)
    parser.add_argument("--folder", type=str, default=RunConfig.folder)
    return parser


def _config_error_within(error: BaseException | None) -> ConfigError | None:
    """The ConfigError of a dataclass that a parser wrapped in its own exception."""
    while error is not None:
        if isinstance(error, ConfigError):
            return error
        error = error.__cause__ or error.__context__
    return None
