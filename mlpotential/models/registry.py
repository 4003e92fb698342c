"""Architectures by their published names: how configurations and model files find their classes.

The settings are at hand without torch; the network, which needs it, is imported when it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from mlpotential.errors import ConfigError, nearest_name
from mlpotential.models.config import PotentialConfig
from mlpotential.models.schnet_config import SchNetConfig

if TYPE_CHECKING:
    from mlpotential.models.potential import Potential

DEFAULT_ARCHITECTURE = SchNetConfig.architecture  # of configurations and runs that name none


@dataclass(frozen=True)
class Architecture:
    """The two classes of an architecture.

    Attributes:
        config_class: its settings, `PotentialConfig` and its own.
        potential_class: imports and returns the network, which takes these settings.
    """

    config_class: type[PotentialConfig]
    potential_class: Callable[[], Callable[[Any], Potential]]


def _schnet() -> Callable[[Any], Potential]:
    from mlpotential.models.schnet import SchNet

    return SchNet


ARCHITECTURES = {SchNetConfig.architecture: Architecture(SchNetConfig, _schnet)}


def find_architecture(name: object) -> Architecture:
    """The architecture of this name. Raises ConfigError where it is unknown."""
    if not isinstance(name, str) or name not in ARCHITECTURES:
        hint = nearest_name(str(name), ARCHITECTURES)
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(f"unknown architecture {name!r}; known: {known}.{hint}")
    return ARCHITECTURES[name]


def build_potential(config: PotentialConfig) -> Potential:
    """A fresh network with these settings. Raises ConfigError where its architecture is unknown."""
    return find_architecture(config.architecture).potential_class()(config)


def config_of(architecture: object, settings: dict[str, Any]) -> PotentialConfig:
    """The settings of an architecture, checked.

    Raises:
        ConfigError: for an unknown architecture, or settings it does not have or accept.
    """
    config_class = find_architecture(architecture).config_class
    known = {f.name for f in fields(config_class)}
    unknown = sorted(set(settings) - known)
    if unknown:
        hint = nearest_name(unknown[0], known)
        raise ConfigError(f"{architecture} has no setting {unknown[0]!r}.{hint}")
    try:
        return config_class(**settings)
    except TypeError as error:
        raise ConfigError(f"the settings do not make a {architecture}: {error}") from error
