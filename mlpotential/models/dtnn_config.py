"""The settings of DTNN. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mlpotential.models.radial_settings import RadialConfig
from mlpotential.settings_checks import require


@dataclass(frozen=True)
class DTNNConfig(RadialConfig):
    """Hyperparameters of DTNN; the defaults are those of its authors' program for QM9.

    Attributes:
        n_features: size of the coefficient vector of an atom.
        n_factors: rank of the factorised tensor layer.
        n_interactions: T, how often the one interaction is applied.
        rbf_spacing: distance of neighbouring Gaussian centres (A), rounded so that the last one is
            at `rbf_stop`; exclusive with `n_rbf`.
        rbf_gamma: 1 / (2 width^2) (1/A^2); None makes the width equal to the spacing.
        cutoff_function: `none` (all pairs of a molecule) or `cosine` (smooth; not in the paper).

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    architecture: ClassVar[str] = "DTNN"
    largest: ClassVar[dict[str, int]] = RadialConfig.largest | {
        "n_features": 10_000,
        "n_factors": 10_000,
        "n_interactions": 100,
    }

    n_features: int = 30
    n_factors: int = 60
    n_interactions: int = 3
    rbf_spacing: float | None = 0.2
    rbf_gamma: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        expected = "none or cosine with DTNN"
        is_known = self.cutoff_function != "hard"
        require(is_known, "model.cutoff_function", expected, self.cutoff_function)
