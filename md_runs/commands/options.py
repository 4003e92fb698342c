"""What several sub-commands of `md-runs` share: settings from options, checks of what they name."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from mlpotential.errors import ConfigError

Settings = TypeVar("Settings")


def taken(options: dict[str, Any], settings: type[Settings]) -> Settings:
    """Settings from the options of their names, which are taken out of `options`."""
    names = [field.name for field in fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: options.pop(name) for name in names})


def check_folder(path: Path, option: str) -> None:
    """Raises ConfigError, before the work, for a folder that is a file."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file: name a folder")


def check_file(path: Path | None) -> None:
    """Raises ConfigError, before the work, for a file in a folder that does not exist."""
    if path is not None and not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the output does not exist: make it first")
