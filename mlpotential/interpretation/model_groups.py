"""Models side by side: single files, and named groups such as trainings on several splits.

A word is the path of a model file, a pattern of such paths, or either with a name before it:
`model.safetensors`, `'splits/*/model.safetensors'`, `'SchNet=splits/*/model.safetensors'`.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.input_files import require_model_files

USUAL_NAME = "model.safetensors"  # of the file in the folder of a training, which tells more


@dataclass(frozen=True)
class ModelGroup:
    """Models that are one line, or one row of a picture.

    Attributes:
        name: for legends.
        paths: of model files, at least one.
    """

    name: str
    paths: tuple[Path, ...]

    @property
    def model_names(self) -> tuple[str, ...]:
        """One for each path."""
        return tuple(_name_of(path) for path in self.paths)


def model_groups(words: Sequence[str]) -> list[ModelGroup]:
    """A group for each word.

    Raises:
        ModelFileError: if a file is not there, or none matches a pattern.
        ConfigError: if two groups have one name.
    """
    groups = [_group(word) for word in words]
    names = [group.name for group in groups]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} names two groups of models: write NAME=MODEL for each")
    return groups


def one_model(word: str) -> Path:
    """The file of a word that means one model.

    Raises:
        ModelFileError: if it is not there.
        ConfigError: if several files match: their parameters have nothing in common.
    """
    (group,) = model_groups([word])
    if len(group.paths) > 1:
        raise ConfigError(
            f"{word!r} are {len(group.paths)} models, but parameters and features are those of one "
            "network: give one model file"
        )
    return group.paths[0]


def _group(word: str) -> ModelGroup:
    name, equals, pattern = word.partition("=")
    if not equals or Path(word).exists():
        name, pattern = "", word
    elif not (name and pattern):
        raise ConfigError(f"{word!r} names no model: write NAME=MODEL, or MODEL alone")
    is_one = glob.escape(pattern) == pattern or Path(pattern).exists()
    paths = [Path(pattern)] if is_one else [Path(path) for path in sorted(glob.glob(pattern))]
    if not paths:
        raise ModelFileError(f"no model file matches {pattern!r}")
    require_model_files(paths)
    return ModelGroup(name or (_name_of(paths[0]) if is_one else pattern), tuple(paths))


def _name_of(path: Path) -> str:
    return path.absolute().parent.name if path.name == USUAL_NAME else path.stem
