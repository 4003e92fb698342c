"""Architectures as plain settings: what a model file needs to rebuild a network. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from mlpotential.errors import ConfigError

# Chosen: far beyond any use, so that a slip or a hostile model file ends in words, not in memory.
LARGEST = {
    "n_features": 10_000,
    "n_interactions": 100,
    "n_readout_hidden": 10_000,
    "max_atomic_number": 118,
}
MOST_GAUSSIANS = 100_000

CutoffFunction = Literal["none", "hard", "cosine"]
FilterOutputActivation = Literal["ssp", "none"]
ReadoutActivation = Literal["ssp", "ssp_linear_from_14", "silu"]


@dataclass(frozen=True)
class SchNetConfig:
    """Hyperparameters of SchNet; the defaults are those of the published C20 networks.

    Attributes:
        n_features: F, size of the atomic feature vectors and number of filters.
        n_interactions: T, number of interaction blocks.
        rbf_start: first Gaussian centre (A).
        rbf_stop: last Gaussian centre (A).
        n_rbf: number of Gaussians; exclusive with `rbf_spacing`. Neither: spacing 0.1 A.
        rbf_spacing: distance of neighbouring centres (A), rounded so that the last one is at
            `rbf_stop`; exclusive with `n_rbf`.
        rbf_gamma: 1 / (2 width^2) (1/A^2); None makes the width equal to the spacing.
        cutoff_function: `none` (all pairs of a molecule), `cosine` (smooth), or `hard` (messages
            averaged over the neighbours inside; forces jump at the cutoff).
        cutoff: cutoff radius (A); None with `cutoff_function: none`.
        filter_output_activation: `ssp` as published, `none` as in SchNetPack and torch_geometric.
        readout_activation: of the hidden layer of the atomwise readout: `ssp` as published,
            `ssp_linear_from_14` as in the original program (x - ln 2 beyond 14), `silu` as
            SchNetPack 2 has it by default.
        n_readout_hidden: width of the hidden layer of the atomwise readout; None for F / 2.
        max_atomic_number: largest atomic number the embedding has a row for, at most 118.
        dipole: a second readout, of latent charges and their dipole moment; `n_readout_hidden` and
            `readout_activation` are its, too.
        total_charge: what the latent charges of each structure add up to (e): 0 for neutral
            molecules, whose dipole then has no origin; None leaves them free, and the dipole is
            that about the centre of mass.

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    n_features: int = 128
    n_interactions: int = 6
    rbf_start: float = 0.0
    rbf_stop: float = 20.0
    n_rbf: int | None = None
    rbf_spacing: float | None = None
    rbf_gamma: float | None = 10.0
    cutoff_function: CutoffFunction = "none"
    cutoff: float | None = None
    filter_output_activation: FilterOutputActivation = "ssp"
    readout_activation: ReadoutActivation = "ssp"
    n_readout_hidden: int | None = None
    max_atomic_number: int = 100
    dipole: bool = False
    total_charge: float | None = None

    def __post_init__(self) -> None:
        for name, most in LARGEST.items():
            value = getattr(self, name)
            if value is not None:
                _require(1 <= value <= most, f"model.{name}", f"from 1 to {most}", value)
        for name, choices in (
            ("cutoff_function", get_args(CutoffFunction)),
            ("filter_output_activation", get_args(FilterOutputActivation)),
            ("readout_activation", get_args(ReadoutActivation)),
        ):
            value = getattr(self, name)
            _require(value in choices, f"model.{name}", f"one of {', '.join(choices)}", value)
        self._check_radial_basis()
        if self.cutoff_function == "none":
            _require(
                self.cutoff is None, "model.cutoff", "none with cutoff_function none", self.cutoff
            )
        else:
            radius = self.cutoff if self.cutoff is not None else math.nan
            _require(0.0 < radius < math.inf, "model.cutoff", "a positive radius (A)", self.cutoff)
        if self.total_charge is not None:
            total = self.total_charge
            _require(self.dipole, "model.total_charge", "none without model.dipole", total)
            _require(math.isfinite(total), "model.total_charge", "a finite charge (e)", total)

    def _check_radial_basis(self) -> None:
        if self.n_rbf is not None and self.rbf_spacing is not None:
            raise ConfigError("give model.n_rbf or model.rbf_spacing, not both")
        _require(
            0.0 <= self.rbf_start < self.rbf_stop < math.inf,
            "model.rbf_stop",
            f"a distance beyond rbf_start = {self.rbf_start} A, which must not be negative",
            self.rbf_stop,
        )
        spacing, gamma = self.rbf_spacing, self.rbf_gamma
        if spacing is not None:
            _require(spacing > 0.0, "model.rbf_spacing", "a positive distance (A)", spacing)
        if gamma is not None:
            _require(0.0 < gamma < math.inf, "model.rbf_gamma", "a positive number", gamma)
        n = self.n_gaussians
        _require(2 <= n <= MOST_GAUSSIANS, "model.n_rbf", f"from 2 to {MOST_GAUSSIANS}", n)

    @property
    def n_gaussians(self) -> int:
        """Number of Gaussians, whichever way it was given."""
        if self.n_rbf is not None:
            return self.n_rbf
        spacing = 0.1 if self.rbf_spacing is None else self.rbf_spacing
        return round((self.rbf_stop - self.rbf_start) / spacing) + 1

    @property
    def gamma(self) -> float:
        """Inverse squared width of the Gaussians (1/A^2)."""
        if self.rbf_gamma is not None:
            return self.rbf_gamma
        spacing = (self.rbf_stop - self.rbf_start) / (self.n_gaussians - 1)
        return 0.5 / spacing**2


def _require(holds: bool, name: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {expected}, not {value!r}")
