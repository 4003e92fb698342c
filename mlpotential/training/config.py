"""Everything a training run is told, as plain settings. Free of torch.

One YAML file holds a `RunConfig`; each field can be overridden on the command line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from mlpotential.errors import ConfigError
from mlpotential.models.config import SchNetConfig
from mlpotential.units import E_ANGSTROM_PER_DIPOLE_UNIT

LARGEST_SEED = 2**32 - 1  # what every generator takes


@dataclass(frozen=True)
class DataConfig:
    """Reference data, its labels and its units.

    Attributes:
        path: training data (.xyz/.extxyz(.gz), .npz, .db), relative to the configuration file.
        energy_unit: unit of the energies in the file, e.g. eV, kcal/mol, Hartree.
        length_unit: unit of the positions, e.g. Angstrom, Bohr; forces are energy / length.
        energy_key: name of the energy label; None for `energy` or `REF_energy`.
        forces_key: name of the forces label; None for `forces` or `REF_forces`.
        dipole_unit: unit of the dipoles in the file: e*Angstrom, Debye or a.u.; needed where
            `training.dipole_weight` is not zero.
        dipole_key: name of the dipole label; None for `dipole` or `REF_dipole`.
        validation_path: validation data; None draws `n_validation` frames from `path`.
        test_path: test data; None takes what the split leaves over.
        n_train: frames to train on; None for all that remain.
        n_validation: validation frames; of `validation_path` the first so many, None for all.
        split_seed: seed of the random split.
        atom_references: `none`, `least_squares`, or a file of energies per element in
            `energy_unit`.
    """

    path: str
    energy_unit: str
    length_unit: str
    energy_key: str | None = None
    forces_key: str | None = None
    dipole_unit: str | None = None
    dipole_key: str | None = None
    validation_path: str | None = None
    test_path: str | None = None
    n_train: int | None = None
    n_validation: int | None = None
    split_seed: int = 0
    atom_references: str = "none"

    def __post_init__(self) -> None:
        if self.validation_path is None and self.n_validation is None:
            raise ConfigError(
                "early stopping and the choice of the best model need validation data: "
                "give data.validation_path or data.n_validation"
            )
        for name in ("n_train", "n_validation"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"data.{name} must be at least 1, not {value}")
        if not 0 <= self.split_seed <= LARGEST_SEED:
            raise ConfigError(
                f"data.split_seed must be from 0 to {LARGEST_SEED}, not {self.split_seed}"
            )


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is fitted; the defaults are those of the paper where it states them.

    Attributes:
        targets: what the loss sees. `forces` fits the integration constant afterwards.
        energy_weight: rho, the trade-off of energy against forces in the combined loss (1/A^2).
        dipole_weight: of the dipole term |mu - mu'|^2 of a structure in the loss, whose other terms
            are in eV^2/A^2 (targets energy: eV^2), hence in eV^2/A^2 (eV^2) per (e A)^2; 0 for a
            model without dipoles.
        batch_size: structures per step.
        max_epochs: passes over the training data.
        learning_rate: of Adam, at the start.
        schedule: `exponential` (factor per `decay_steps`, continuously), `plateau` (factor when the
            validation loss stalls), `cosine` (to zero at `max_epochs`).
        decay_factor: factor of the exponential and plateau schedules.
        decay_steps: steps per factor of the exponential schedule.
        plateau_patience: epochs without improvement before the plateau schedule acts.
        early_stopping_patience: epochs without improvement before training ends; None for never.
        ema_decay: decay per step of the exponential moving average of the weights that is
            validated and stored; None for none.
        max_gradient_norm: gradients are clipped to this norm; None for never.
        tabulated_filters: in each step, filters come from a table made from the filter networks,
            which is exact to about 1e-6 and faster where there are many more pairs than knots.
        dtype: of the network during training; positions, energies and sums are float64 always.
        device: auto, cpu, cuda or cuda:N.
        seed: of the initial weights and of the order of the data.
        checkpoint_interval_s: seconds between checkpoints; killing the run loses at most these.
    """

    targets: Literal["energy_and_forces", "energy", "forces"] = "energy_and_forces"
    energy_weight: float = 0.01
    dipole_weight: float = 0.0
    batch_size: int = 32
    max_epochs: int = 1000
    learning_rate: float = 1e-3
    schedule: Literal["exponential", "plateau", "cosine"] = "exponential"
    decay_factor: float = 0.96
    decay_steps: int = 100_000
    plateau_patience: int = 25
    early_stopping_patience: int | None = None
    ema_decay: float | None = None
    max_gradient_norm: float | None = None
    tabulated_filters: bool = False
    dtype: Literal["float32", "float64"] = "float32"
    device: str = "auto"
    seed: int = 0
    checkpoint_interval_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_epochs", "decay_steps", "plateau_patience"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require_positive(self, "learning_rate")
        _require(0 <= self.seed <= LARGEST_SEED, "seed", f"from 0 to {LARGEST_SEED}", self.seed)
        interval = self.checkpoint_interval_s
        _require(interval >= 0.0, "checkpoint_interval_s", "0 or more", interval)
        _require(
            0.0 < self.decay_factor < 1.0, "decay_factor", "between 0 and 1", self.decay_factor
        )
        weight = self.energy_weight
        _require(0.0 <= weight < math.inf, "energy_weight", "0 or more", weight)
        dipole_weight = self.dipole_weight
        _require(0.0 <= dipole_weight < math.inf, "dipole_weight", "0 or more", dipole_weight)
        if self.targets == "energy_and_forces":
            _require(weight > 0.0, "energy_weight", "positive, or use targets: forces", weight)
        if self.ema_decay is not None:
            _require(0.0 < self.ema_decay < 1.0, "ema_decay", "between 0 and 1", self.ema_decay)
        if self.max_gradient_norm is not None:
            _require_positive(self, "max_gradient_norm")
        if self.early_stopping_patience is not None:
            patience = self.early_stopping_patience
            _require(patience >= 1, "early_stopping_patience", "at least 1", patience)

    @property
    def uses_forces(self) -> bool:
        """Whether the loss sees forces."""
        return self.targets != "energy"

    @property
    def properties(self) -> tuple[str, ...]:
        """What the loss sees of a prediction."""
        forces = ("forces",) if self.uses_forces else ()
        return ("energy", *forces, *(("dipole",) if self.dipole_weight else ()))


@dataclass(frozen=True)
class RunConfig:
    """One training run.

    Attributes:
        data: reference data.
        model: architecture.
        training: optimisation.
        folder: where checkpoints, history and the model go, relative to the working directory.
    """

    data: DataConfig
    model: SchNetConfig = field(default_factory=SchNetConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    folder: str = "training"

    def __post_init__(self) -> None:
        if self.model.dipole != (self.training.dipole_weight > 0.0):
            raise ConfigError(
                "a model with dipoles needs model.dipole: true and a positive "
                "training.dipole_weight (1.0 to begin with), one without needs neither; found "
                f"{self.model.dipole} and {self.training.dipole_weight}"
            )
        if self.model.dipole and self.data.dipole_unit is None:
            raise ConfigError(
                "dipoles are read in a declared unit: give data.dipole_unit, one of "
                f"{', '.join(E_ANGSTROM_PER_DIPOLE_UNIT)}"
            )


def _require(holds: bool, name: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"training.{name} must be {expected}, not {value!r}")


def _require_positive(config: TrainingConfig, name: str) -> None:
    value = getattr(config, name)
    _require(0.0 < value < math.inf, name, "a positive number", value)
