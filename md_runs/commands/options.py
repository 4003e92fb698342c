"""What several sub-commands of `md-runs` share: settings from options, checks of what they name."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mlpotential.errors import ConfigError, ExtrapolationWarning
from mlpotential.input_files import require_model_files

Settings = TypeVar("Settings")


def taken(options: dict[str, Any], settings: type[Settings]) -> Settings:
    """Settings from the options of their names, which are taken out of `options`."""
    names = [field.name for field in fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: options.pop(name) for name in names})


@contextmanager
def printed_extrapolation() -> Iterator[None]:
    """For commands that print what a path-integral run says of it at its end: once is enough."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "extrapolation: ", ExtrapolationWarning)
        yield


def check_model(model: Path) -> None:
    """Raises ModelFileError, before torch is imported, for a file that cannot be read."""
    if glob.escape(str(model)) == str(model):  # no pattern of a committee
        require_model_files([str(model)])


def check_folder(path: Path, option: str) -> None:
    """Raises ConfigError, before the work, for a folder that is a file."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file: name a folder")


def check_file(path: Path | None) -> None:
    """Raises ConfigError, before the work, for a file in a folder that does not exist."""
    if path is not None and not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the output does not exist: make it first")
