"""A probe: an atom that feels a structure and that the structure does not feel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.probes.surroundings import Pairs


class Probe(ABC):
    """What a readout of a model says of a probe, for points without number.

    Args:
        model: in float64, in evaluation mode.
        readout: one of its own, (features, graph) -> one number per atom.
        graph: the undisturbed structure, connected.
        dtype: of the evaluation.

    Attributes:
        PAIRS_AT_ONCE: of points and atoms; bounds the memory.
    """

    PAIRS_AT_ONCE: ClassVar[int]

    @abstractmethod
    def __init__(
        self, model: Any, readout: nn.Module, graph: AtomGraph, dtype: torch.dtype
    ) -> None: ...

    @abstractmethod
    def values(self, points: Tensor, pairs: Pairs, atomic_number: int) -> Tensor:
        """In units of the scale of the readout, [n_points]; gradients flow to the points.

        Args:
            points: [n_points, 3], float64 (A).
            pairs: with all atoms within the cutoff of the model.
            atomic_number: of the probe.
        """

    @abstractmethod
    def around(self, graph: AtomGraph) -> Self:
        """The same probe around another structure; what the network alone tells is kept."""

    def reach_to(self, distance: float) -> None:  # noqa: B027 - most have nothing to prepare
        """Told before work: atoms are at most so far from points (A)."""
