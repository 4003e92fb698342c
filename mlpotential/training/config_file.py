"""One YAML file per training run, each field overridable on the command line. Free of torch.

`--training.learning_rate 5e-4` or `--training.learning_rate=5e-4` replaces one field. Unknown names
are refused with the nearest known one; paths in the file are relative to the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace

from mlpotential.errors import ConfigError, nearest_name
from mlpotential.run_folder import write_atomically
from mlpotential.training.config import RunConfig

PATH_FIELDS = ("path", "validation_path", "test_path")


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """A checked configuration.

    Args:
        path: YAML file of a `RunConfig`.
        overrides: command line words, e.g. `["--training.seed", "1", "--folder=again"]`.

    Raises:
        ConfigError: if the file is missing or no YAML, a name is unknown, or a value does not fit.
    """
    settings = _read_yaml(Path(path))
    known = set(_field_names(RunConfig))
    _refuse_unknown(_flat_names(settings), known, where=str(path))
    _anchor_paths(settings, Path(path).parent)
    for name, text in _parse_overrides(overrides, known):
        _assign(settings, name, text)
    return _build(settings)


def write_config(path: Path, config: RunConfig) -> None:
    """Writes the complete configuration, defaults included."""
    write_atomically(path, yaml.safe_dump(asdict(config), sort_keys=False))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold `data:`, `model:` and `training:` with their fields")
    return content


def _field_names(kind: type[Any], prefix: str = "") -> Iterator[str]:
    """`data.path`, `model.n_features`, ... of a nested dataclass."""
    hints = get_type_hints(kind)
    for f in fields(kind):
        if is_dataclass(hints[f.name]):
            yield from _field_names(hints[f.name], f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}"


def _flat_names(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat_names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _refuse_unknown(names: Iterator[str] | Sequence[str], known: set[str], where: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{where}: unknown setting {name!r}.{nearest_name(name, known)}")


def _anchor_paths(settings: dict[str, Any], folder: Path) -> None:
    """Relative data paths in a file are relative to that file."""
    data = settings.get("data")
    if not isinstance(data, dict):
        return
    for name in PATH_FIELDS:
        if isinstance(data.get(name), str):
            data[name] = str(folder / data[name])
    references = data.get("atom_references", "none")
    if isinstance(references, str) and references not in ("none", "least_squares"):
        data["atom_references"] = str(folder / references)


def _parse_overrides(words: Sequence[str], known: set[str]) -> Iterator[tuple[str, str]]:
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"expected --name value, not {word!r}")
        name, equals, value = word.removeprefix("--").partition("=")
        _refuse_unknown([name], known, where="command line")
        if not equals:
            if not remaining:
                raise ConfigError(f"--{name} needs a value")
            value = remaining.pop(0)
        yield name, value


def _assign(settings: dict[str, Any], name: str, text: str) -> None:
    section, _, field = name.rpartition(".")
    target = settings.setdefault(section, {}) if section else settings
    target[field] = yaml.safe_load(text)


def _build(settings: dict[str, Any]) -> RunConfig:
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(RunConfig, None)
    try:
        namespace: Namespace = parser.parse_object(settings)
        config = parser.instantiate(namespace)
        return RunConfig(**{f.name: getattr(config, f.name) for f in fields(RunConfig)})
    except ConfigError:
        raise
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        cause = _config_error_within(error)
        if cause is not None:
            raise cause from error
        raise ConfigError(" ".join(str(error).split())) from error


def _config_error_within(error: BaseException | None) -> ConfigError | None:
    """The ConfigError of a dataclass that a parser wrapped in its own exception."""
    while error is not None:
        if isinstance(error, ConfigError):
            return error
        error = error.__cause__ or error.__context__
    return None
