"""The settings of architectures that see distances through Gaussians. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar, Literal, get_args

from mlpotential.errors import ConfigError
from mlpotential.models.config import LARGEST_ATOMIC_NUMBER, PotentialConfig
from mlpotential.settings_checks import check_choice, check_count, check_number, require

MOST_GAUSSIANS = 100_000  # chosen: as elsewhere, and so are those below
SHORTEST_CUTOFF, LARGEST_DISTANCE = 0.1, 1000.0  # A
WIDEST_GAMMA, NARROWEST_GAMMA = 1e-6, 1e9  # 1/A^2

CutoffFunction = Literal["none", "hard", "cosine"]


@dataclass(frozen=True)
class RadialConfig(PotentialConfig):
    """Embeddings of elements, Gaussians of distances, and how interactions end.

    Attributes:
        max_atomic_number: largest atomic number the network has parameters for, at most 118.
        rbf_start: first Gaussian centre (A).
        rbf_stop: last Gaussian centre (A).
        n_rbf: number of Gaussians; exclusive with `rbf_spacing`. Neither: spacing 0.1 A.
        rbf_spacing: distance of neighbouring centres (A), rounded so that the last one is at
            `rbf_stop`; exclusive with `n_rbf`.
        rbf_gamma: 1 / (2 width^2) (1/A^2); None makes the width equal to the spacing.
        cutoff_function: `none` (all pairs of a molecule), `cosine` (smooth), or `hard` (messages
            averaged over the neighbours inside; forces jump at the cutoff).
        cutoff: cutoff radius (A); None with `cutoff_function: none`.

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    largest: ClassVar[dict[str, int]] = {"max_atomic_number": LARGEST_ATOMIC_NUMBER}

    max_atomic_number: int = 100
    rbf_start: float = 0.0
    rbf_stop: float = 20.0
    n_rbf: int | None = None
    rbf_spacing: float | None = None
    rbf_gamma: float | None = 10.0
    cutoff_function: CutoffFunction = "none"
    cutoff: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("model.cutoff_function", self.cutoff_function, get_args(CutoffFunction))
        self._check_radial_basis()
        if self.cutoff_function == "none":
            expected = "none with cutoff_function none"
            require(self.cutoff is None, "model.cutoff", expected, self.cutoff)
        else:
            expected = f"a positive radius from {SHORTEST_CUTOFF:g} to {LARGEST_DISTANCE:g} A"
            self._check_range("cutoff", SHORTEST_CUTOFF, LARGEST_DISTANCE, expected)

    @property
    def largest_element(self) -> int:
        """The largest atomic number that the network can have parameters for."""
        return self.max_atomic_number

    def _check_radial_basis(self) -> None:
        if self.n_rbf is not None and self.rbf_spacing is not None:
            raise ConfigError("give model.n_rbf or model.rbf_spacing, not both")
        check_number("model.rbf_start", self.rbf_start, zero_allowed=True)
        require(
            _is_number(self.rbf_stop) and self.rbf_start < self.rbf_stop < math.inf,
            "model.rbf_stop",
            f"a distance beyond rbf_start = {self.rbf_start} A, which must not be negative",
            self.rbf_stop,
        )
        if self.rbf_spacing is not None:
            check_number("model.rbf_spacing", self.rbf_spacing)
        if self.rbf_gamma is not None:
            check_number("model.rbf_gamma", self.rbf_gamma)
            expected = f"from {WIDEST_GAMMA:g} to {NARROWEST_GAMMA:g} 1/A^2"
            self._check_range("rbf_gamma", WIDEST_GAMMA, NARROWEST_GAMMA, expected)
        if self.n_rbf is not None:
            check_count("model.n_rbf", self.n_rbf)
        n = self.n_gaussians
        require(2 <= n <= MOST_GAUSSIANS, "model.n_rbf", f"from 2 to {MOST_GAUSSIANS}", n)
        self._check_range("rbf_stop", 0.0, LARGEST_DISTANCE, f"at most {LARGEST_DISTANCE:g} A")

    def _check_range(self, name: str, least: float, most: float, expected: str) -> None:
        value = getattr(self, name)
        require(_is_number(value) and least <= value <= most, f"model.{name}", expected, value)

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


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
