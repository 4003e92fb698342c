"""The settings of SchNet. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from mlpotential.models.radial_settings import RadialConfig
from mlpotential.settings_checks import check_choice

FilterOutputActivation = Literal["ssp", "none"]


@dataclass(frozen=True)
class SchNetConfig(RadialConfig):
    """Hyperparameters of SchNet; the defaults are those of the published C20 networks.

    Attributes:
        n_features: F, size of the atomic feature vectors and number of filters.
        n_interactions: T, number of interaction blocks.
        filter_output_activation: `ssp` as published, `none` as in SchNetPack and torch_geometric.

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    architecture: ClassVar[str] = "SchNet"
    largest: ClassVar[dict[str, int]] = RadialConfig.largest | {
        "n_features": 10_000,
        "n_interactions": 100,
    }

    n_features: int = 128
    n_interactions: int = 6
    filter_output_activation: FilterOutputActivation = "ssp"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(
            "model.filter_output_activation",
            self.filter_output_activation,
            get_args(FilterOutputActivation),
        )
