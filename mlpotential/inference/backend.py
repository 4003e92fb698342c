"""What a backend is: one way to evaluate a potential, which says itself what it supports.

    supports(potential, device) -> whether it can
    predict(structures, properties, monitored) -> (Prediction, Outliers or None)

A new one is a class here or in a folder of its own, a row in `prepared_model.BACKENDS` and a name
in `execution.Backend`; nobody else asks which one is at work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Container
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from mlpotential.errors import StructureError
from mlpotential.graph import Prediction
from mlpotential.inference.structures import Structures
from mlpotential.inference.training_domain import Outliers, TrainingDomain
from mlpotential.models.potential import Potential
from mlpotential.properties import OF_DIPOLES, PROPERTIES

SMALLEST_DISTANCE = 1e-3  # A; chosen: closer atoms are one atom written twice


OF_EVERY_BACKEND = frozenset(
    {"energy", "forces", "virial", "stress", "atomic_energies", "charges", *OF_DIPOLES}
)


@dataclass(frozen=True)
class Everything(Container[str]):
    """All that a potential has, but for one property."""

    but: str = ""

    def __contains__(self, name: object) -> bool:
        return name != self.but


@dataclass(frozen=True)
class TableError:
    """Largest deviations of tabulated filters from their network between knots.

    Measured where the interpolation error t^3 (1 - t)^3 and its slope are largest.

    Attributes:
        filters: of W, relative to the largest |W|, at t = 1/2.
        slopes: of dW/dr, relative to the largest |dW/dr|, at t = (1 - 1/sqrt(5)) / 2.
    """

    filters: float
    slopes: float


@dataclass(frozen=True)
class Obstacle:
    """Why a backend cannot evaluate a potential on a device.

    Attributes:
        error: for those who ask for this backend: what is wrong and what to do.
        notice: for those who ask for the fastest: what they miss, with `{backend}` for the one
            that is taken instead; None where nothing is amiss, as with a CPU kernel on a GPU.
    """

    error: str
    notice: str | None = None


class EvaluationBackend(ABC):
    """One way to evaluate a potential; prepared once, it never changes.

    Args:
        potential: that it supports; in evaluation mode, on the device, for nobody else.
        domain: where the potential was trained, as far as that is known.
        threads: that may share an evaluation; those of torch are set elsewhere.

    Attributes:
        name: one of `execution.Backend`.
        gives: what it can evaluate of a potential that has it.
        adds_terms: whether the physical terms of the potential are in what it gives.
        table_error: of tabulated filters, measured; None where there are none.
    """

    name: ClassVar[str]
    gives: ClassVar[Container[str]] = OF_EVERY_BACKEND
    adds_terms: ClassVar[bool] = False
    table_error: TableError | None = None

    @abstractmethod
    def __init__(self, potential: Potential, domain: TrainingDomain, threads: int) -> None: ...

    def at_work(self, dtype: str) -> str:
        """What evaluates, and in which dtype, in words."""
        return f"{self.name} backend, {dtype}"

    @classmethod
    @abstractmethod
    def obstacle(cls, potential: Potential, device: torch.device) -> Obstacle | None:
        """Why it cannot evaluate this potential on this device; None where it can."""

    @classmethod
    def supports(cls, potential: Potential, device: torch.device) -> bool:
        """Whether it can evaluate this potential on this device."""
        return cls.obstacle(potential, device) is None

    @classmethod
    def installation(cls) -> list[str]:
        """What was installed for it, and can be used on this machine, in lines."""
        return []

    @classmethod
    def describe(cls, potential: Potential) -> list[str]:
        """What a user may want to know of it here, in lines; `potential` need not be supported."""
        return []

    @abstractmethod
    def predict(
        self, structures: Structures, properties: Collection[str], monitored: bool
    ) -> tuple[Prediction, Outliers | None]:
        """Evaluates structures.

        Args:
            structures: of elements that the potential knows.
            properties: any of `gives` that the potential has.
            monitored: look for atoms outside the training domain.

        Returns:
            Fresh float64 NumPy arrays, and outliers if there are any.

        Raises:
            StructureError: for two atoms in one place, or a result that is not finite.
        """


def coincident_atoms(i: int, j: int, distance: float) -> StructureError:
    """Of two atoms, numbered within their structure, nearer than `SMALLEST_DISTANCE` (A)."""
    return StructureError(f"atoms {i} and {j} are in one place ({distance:.2g} A apart)")


FINITE = tuple(PROPERTIES.keys() - {"stress", "features"})  # stress is NaN beside molecules


def check_finite(prediction: Prediction) -> None:
    """Raises StructureError if the network is lost on a structure."""
    named = [(name, getattr(prediction, name)) for name in FINITE]
    for name, values in (*named, *(prediction.scalars or {}).items()):
        if values is not None and not np.isfinite(values).all():
            raise StructureError(
                f"the model gives a number in {name} that is not finite: the structure is far "
                "from all it was trained on"
            )
