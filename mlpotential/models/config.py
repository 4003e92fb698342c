"""The settings that every architecture has: what its readouts are. Free of torch.

The settings of an architecture are a frozen dataclass that inherits from `PotentialConfig`; with
its name they rebuild a network (`models.registry`). They are stored in configurations and model
files, so each has a default that keeps older ones readable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, get_args

from mlpotential.lazy_names import lazy_names
from mlpotential.settings_checks import check_choice, require

LARGEST_ATOMIC_NUMBER = 118
# Chosen: far beyond any use, so that a slip or a hostile model file ends in words, not in memory.
LARGEST_CHARGE = 1e6  # e; chosen: likewise
LARGEST = {"n_readout_hidden": 10_000, "max_atomic_number": LARGEST_ATOMIC_NUMBER}

# Version 0.1.0 had them here.
__getattr__ = lazy_names("mlpotential.models", {"schnet_config": ["SchNetConfig"]})

ReadoutActivation = Literal["ssp", "ssp_linear_from_14", "silu"]


@dataclass(frozen=True)
class PotentialConfig:
    """What settings of every architecture have in common.

    Attributes:
        architecture: its published name, that of the class of the potential.
        largest: the largest allowed value of settings that count something.
        readout_activation: of the hidden layer of the atomwise readout: `ssp` as published,
            `ssp_linear_from_14` as in the original program (x - ln 2 beyond 14), `silu` as
            SchNetPack 2 has it by default.
        n_readout_hidden: width of the hidden layer of the atomwise readout; None for half the
            number of features.
        max_atomic_number: largest atomic number the network has parameters for, at most 118.
        dipole: a second readout, of latent charges and their dipole moment; `n_readout_hidden` and
            `readout_activation` are its, too.
        total_charge: what the latent charges of each structure add up to (e): 0 for neutral
            molecules, whose dipole then has no origin; None leaves them free, and the dipole is
            that about the centre of mass.

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    architecture: ClassVar[str]
    largest: ClassVar[dict[str, int]] = LARGEST

    readout_activation: ReadoutActivation = "ssp"
    n_readout_hidden: int | None = None
    max_atomic_number: int = 100
    dipole: bool = False
    total_charge: float | None = None

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
        check_choice(
            "model.readout_activation", self.readout_activation, get_args(ReadoutActivation)
        )
        require(isinstance(self.dipole, bool), "model.dipole", "true or false", self.dipole)
        if self.total_charge is not None:
            total = self.total_charge
            require(self.dipole, "model.total_charge", "none without model.dipole", total)
            is_number = isinstance(total, int | float) and not isinstance(total, bool)
            finite = is_number and -LARGEST_CHARGE <= total <= LARGEST_CHARGE
            require(finite, "model.total_charge", "a finite charge (e)", total)
