"""Architectures by their published names: how configurations and model files find their classes.

An architecture is two modules of `mlpotential.models`, which nothing else names: `NAME_config` with
its settings, at hand without torch, and `NAME` with the network, imported when it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from mlpotential import models
from mlpotential.errors import ConfigError, nearest_name
from mlpotential.models.config import PotentialConfig
from mlpotential.models.outputs import ENERGY_ALONE, Outputs

if TYPE_CHECKING:
    from mlpotential.models.potential import Potential

DEFAULT_ARCHITECTURE = "SchNet"  # of configurations and runs that name none
SETTINGS_SUFFIX = "_config"  # of modules


@dataclass(frozen=True)
class Architecture:
    """The two classes of an architecture.

    Attributes:
        config_class: its settings, `PotentialConfig` and its own.
        potential_class: imports and returns the network, which takes these settings and the outputs
            of a model.
    """

    config_class: type[PotentialConfig]
    potential_class: Callable[[], Callable[[Any, Outputs], Potential]]


def _architectures() -> dict[str, Architecture]:
    """Those of this package, the default first."""
    found = {}
    for module in iter_modules(models.__path__, f"{models.__name__}."):
        if module.name.endswith(SETTINGS_SUFFIX):
            config_class = _config_class(module.name)
            network = module.name.removesuffix(SETTINGS_SUFFIX)
            found[config_class.architecture] = Architecture(
                config_class, partial(_potential_class, network, config_class.architecture)
            )
    return {DEFAULT_ARCHITECTURE: found.pop(DEFAULT_ARCHITECTURE)} | found


def _config_class(module: str) -> type[PotentialConfig]:
    """The settings that are defined in this module."""
    (config_class,) = (
        item
        for item in vars(import_module(module)).values()
        if isinstance(item, type)
        and issubclass(item, PotentialConfig)
        and item.__module__ == module
    )
    return config_class


def _potential_class(module: str, name: str) -> Callable[[Any, Outputs], Potential]:
    potential_class: Callable[[Any, Outputs], Potential] = getattr(import_module(module), name)
    return potential_class


ARCHITECTURES = _architectures()


def find_architecture(name: object) -> Architecture:
    """The architecture of this name. Raises ConfigError where it is unknown."""
    if not isinstance(name, str) or name not in ARCHITECTURES:
        hint = nearest_name(str(name), ARCHITECTURES)
        known = ", ".join(ARCHITECTURES)
        raise ConfigError(f"unknown architecture {name!r}; known: {known}.{hint}")
    return ARCHITECTURES[name]


def build_potential(config: PotentialConfig, outputs: Outputs = ENERGY_ALONE) -> Potential:
    """A fresh network with these settings and outputs.

    Raises:
        ConfigError: where its architecture is unknown, or outputs are none.
    """
    return find_architecture(config.architecture).potential_class()(config, outputs)


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
