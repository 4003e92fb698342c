"""The same training with other settings: every combination of the values that are given."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlpotential.errors import ConfigError
from mlpotential.training.config import RunConfig
from mlpotential.training.config_file import read_config
from mlpotential.training.studies.members import Member
from mlpotential.training.studies.table import SEED

FREE_OF_DATA = ("data.atom_references",)  # others would change the sets that errors are over


def sweep_members(path: str | Path, words: Sequence[str], folder: Path) -> list[Member]:
    """The trainings of all combinations, the last setting running fastest.

    Args:
        path: YAML file of what they have in common.
        words: `--model.n_interactions 1 2 3 --training.max_epochs 50`: settings with several values
            are combined, one value is that of all. Those of `training.seed` are averaged over.
        folder: of the study.

    Raises:
        ConfigError: for settings or values that cannot be, or if nothing has several values.
    """
    given = parse_values(words)
    varied = {name: values for name, values in given.items() if len(values) > 1}
    for name in varied:
        if name.startswith("data.") and name not in FREE_OF_DATA:
            raise ConfigError(
                f"a sweep compares errors over the same structures, so --{name} has one value; for "
                "numbers of structures to train on see mlpotential learning-curve"
            )
    if not varied.keys() - {SEED}:
        raise ConfigError(
            "a sweep needs several values of a setting besides the seed, such as "
            "--model.n_interactions 1 2 3"
        )
    members = []
    for texts in itertools.product(*given.values()):
        chosen = dict(zip(given, texts, strict=True))
        place = str(folder / "_".join(_named(name, chosen[name]) for name in varied))
        overrides = [f"--{name}={text}" for name, text in chosen.items()]
        config = read_config(path, [*overrides, f"--folder={place}"])
        members.append(Member({name: value_of(config, name) for name in varied}, config))
    if len({member.name for member in members}) < len(members):
        raise ConfigError("two combinations would have the same folder: shorten their values")
    return members


def parse_values(words: Sequence[str]) -> dict[str, list[str]]:
    """The values of each setting as they were typed.

    Raises:
        ConfigError: for a word before any setting, or a setting or value that comes twice.
    """
    given: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            if name in given:
                raise ConfigError(f"--{name} is given twice: write all its values after one")
            given[name] = [value] if equals else []
        elif not name:
            raise ConfigError(f"expected --name value value ..., not {word!r}")
        else:
            given[name].append(word)
    for name, values in given.items():
        if not values:
            raise ConfigError(f"--{name} needs a value")
        if len(set(values)) < len(values):
            raise ConfigError(f"--{name} has a value twice: {' '.join(values)}")
    return given


def value_of(config: RunConfig, name: str) -> Any:
    """`value_of(config, "model.n_features")` is `config.model.n_features`."""
    found: Any = config
    for part in name.split("."):  # outputs have names of their own
        found = found[part] if isinstance(found, Mapping) else getattr(found, part)
    return found


def _named(name: str, text: str) -> str:
    """A setting and its value as part of the name of a folder."""
    return re.sub(r"[^\w.+-]", "_", f"{name.rpartition('.')[2]}_{text}")
