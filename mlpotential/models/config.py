"""The settings that every architecture has. Free of torch.

The settings of an architecture are a frozen dataclass that inherits from `PotentialConfig`; with
its name and the outputs of a model (`models.outputs`) they rebuild a network (`models.registry`).
They are stored in configurations and model files, so each has a default that keeps older ones
readable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from mlpotential.lazy_names import lazy_names
from mlpotential.settings_checks import require

# Chosen: far beyond any use, so that a slip or a hostile model file ends in words, not in memory.
LARGEST_ATOMIC_NUMBER = 118

# Version 0.1.0 had them here.
__getattr__ = lazy_names("mlpotential.models", {"schnet_config": ["SchNetConfig"]})


@dataclass(frozen=True)
class PotentialConfig:
    """What settings of every architecture have in common.

    Attributes:
        architecture: its published name, that of the class of the potential.
        largest: the largest allowed value of settings that count something.

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    architecture: ClassVar[str]
    largest: ClassVar[dict[str, int]] = {}

    @property
    def largest_element(self) -> int:
        """The largest atomic number that the network can have parameters for."""
        return LARGEST_ATOMIC_NUMBER

    def for_elements(self, elements: tuple[int, ...]) -> Self:
        """The settings of a network to be trained on these elements (atomic numbers).

        An architecture whose settings depend on them completes those that were left out.
        """
        return self

    def __post_init__(self) -> None:
        for name, most in self.largest.items():
            value = getattr(self, name)
            if value is not None:
                is_count = isinstance(value, int) and not isinstance(value, bool)
                good = is_count and 1 <= value <= most
                require(good, f"model.{name}", f"from 1 to {most}", value)
