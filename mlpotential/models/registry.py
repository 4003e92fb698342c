"""Architectures by their published names: how a model file finds the class that rebuilds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from mlpotential.errors import ConfigError, nearest_name
from mlpotential.models.config import SchNetConfig
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet

ARCHITECTURES: dict[str, tuple[Callable[[Any], Potential], type[Any]]] = {
    "SchNet": (SchNet, SchNetConfig)
}


def build_potential(architecture: str, settings: dict[str, Any]) -> Potential:
    """A fresh network of a known architecture.

    Raises:
        ConfigError: for an unknown architecture, or settings it does not have or accept.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        hint = nearest_name(architecture, ARCHITECTURES)
        raise ConfigError(f"unknown architecture {architecture!r}; known: {known}.{hint}")
    potential_class, config_class = ARCHITECTURES[architecture]
    known_settings = {f.name for f in fields(config_class)}
    unknown = sorted(set(settings) - known_settings)
    if unknown:
        hint = nearest_name(unknown[0], known_settings)
        raise ConfigError(f"{architecture} has no setting {unknown[0]!r}.{hint}")
    try:
        return potential_class(config_class(**settings))
    except TypeError as error:
        raise ConfigError(f"the settings do not make a {architecture}: {error}") from error
