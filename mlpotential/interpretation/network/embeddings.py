"""What a network knows of an element before it has seen any neighbour: its embedding a_Z.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Mueller, J. Chem. Phys. 148,
241722 (2018), doi:10.1063/1.5019779, Fig. 4: on two principal components, elements of one group of
the periodic table lie together, light to heavy along a line. The components hold a part of the
variance alone, so that neighbours in the picture need not be neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from scipy.stats import kendalltau

from mlpotential.errors import ConfigError
from mlpotential.interpretation.network.principal_components import principal_components
from mlpotential.models.dtnn import DTNN
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet

NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)  # ends of the periods
FEWEST_IN_LINE = 3  # two are in order always


@dataclass(frozen=True, eq=False)
class ElementEmbeddings:
    """Of the elements that a model was trained on.

    Attributes:
        atomic_numbers: ascending, [n_elements].
        vectors: a_Z, [n_elements, n_features].
    """

    atomic_numbers: np.ndarray
    vectors: np.ndarray

    @property
    def main_groups(self) -> np.ndarray:
        """1 to 8, [n_elements]; 0 of elements of no main group."""
        return np.array([main_group(int(z)) or 0 for z in self.atomic_numbers])

    def of_main_groups(self) -> ElementEmbeddings:
        """Without all other elements.

        Raises:
            ConfigError: if less than two are left.
        """
        kept = self.main_groups > 0
        if kept.sum() < 2:
            raise ConfigError(
                f"the model was trained on {', '.join(self.symbols)}: there are less than two "
                "main-group elements; use --all-elements"
            )
        return ElementEmbeddings(self.atomic_numbers[kept], self.vectors[kept])

    @property
    def symbols(self) -> list[str]:
        """Of the elements."""
        return [chemical_symbols[z] for z in self.atomic_numbers]

    @property
    def similarities(self) -> np.ndarray:
        """Cosines of the angles between embeddings, [n_elements, n_elements]."""
        directions = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return np.asarray(np.clip(directions @ directions.T, -1.0, 1.0))

    @property
    def similarity_in_groups(self) -> tuple[float, float]:
        """Mean cosine of pairs within main groups, and of all other pairs; NaN without pairs."""
        groups, pairs = self.main_groups, np.triu_indices(len(self.vectors), k=1)
        first, second = groups[pairs[0]], groups[pairs[1]]
        within, cosines = (first == second) & (first > 0), self.similarities[pairs]
        inside, outside = (
            float(part.mean()) if len(part) else np.nan
            for part in (cosines[within], cosines[~within])
        )
        return inside, outside

    @property
    def distances(self) -> np.ndarray:
        """|a_Z - a_Z'|, [n_elements, n_elements]."""
        return np.asarray(np.linalg.norm(self.vectors[:, None] - self.vectors, axis=-1))

    def nearest(self, n: int) -> list[list[str]]:
        """The n nearest others of each element by distance, nearest first."""
        distances = self.distances + np.diag(np.full(len(self.vectors), np.inf))
        order = np.argsort(distances, axis=1)[:, : min(n, len(distances) - 1)]
        return [[self.symbols[k] for k in row] for row in order]


def embeddings_of(potential: Potential) -> ElementEmbeddings:
    """Those of the elements that the model was trained on, as its file says.

    Raises:
        ConfigError: for an architecture that has none, or a single element.
    """
    if not isinstance(potential, SchNet | DTNN):
        raise ConfigError(
            f"{type(potential).__name__} has no embeddings of elements: give a SchNet or a DTNN"
        )
    numbers = np.array(sorted(potential.elements))
    if len(numbers) < 2:
        raise ConfigError(
            f"the model was trained on {chemical_symbols[numbers[0]]} alone: one embedding "
            "compares with none"
        )
    vectors = potential.embedding.weight.detach().double().cpu().numpy()[numbers]
    return ElementEmbeddings(numbers, vectors)


def main_group(atomic_number: int) -> int | None:
    """1 to 8 of a main-group element (helium is in the eighth), None of any other."""
    period = next(k for k, last in enumerate(NOBLE_GASES) if atomic_number <= last)
    from_start = atomic_number - NOBLE_GASES[period - 1]
    to_end = NOBLE_GASES[period] - atomic_number
    if to_end <= 5 and period > 1:
        return 8 - to_end
    if atomic_number == 2:
        return 8
    return from_start if from_start <= 2 else None


@dataclass(frozen=True)
class GroupOrder:
    """Whether the elements of a group lie along a line from light to heavy.

    Attributes:
        group: 1 to 8.
        elements: light to heavy.
        along_line: the elements as they lie along the line that fits them best; its direction is
            the one that agrees better.
        tau: Kendall's rank correlation of both orders, without its sign: 1 is in order.
    """

    group: int
    elements: tuple[str, ...]
    along_line: tuple[str, ...]
    tau: float

    @property
    def is_in_order(self) -> bool:
        """From end to end."""
        return self.elements == self.along_line


def orders_in_groups(atomic_numbers: np.ndarray, coordinates: np.ndarray) -> list[GroupOrder]:
    """Of main groups with three elements or more.

    Args:
        atomic_numbers: ascending, [n_elements].
        coordinates: where they lie, in any number of dimensions, [n_elements, n_components].
    """
    groups = np.array([main_group(int(z)) or 0 for z in atomic_numbers])
    found = []
    for group in range(1, 9):
        own = np.flatnonzero(groups == group)
        if len(own) < FEWEST_IN_LINE:
            continue
        line = principal_components(coordinates[own], 1)
        along = line.coordinates(coordinates[own])[:, 0]
        tau = float(kendalltau(np.arange(len(own)), along).statistic)
        order = np.argsort(along if tau >= 0.0 else -along, kind="stable")
        symbols = [chemical_symbols[z] for z in atomic_numbers[own]]
        along_line = tuple(symbols[k] for k in order)
        found.append(GroupOrder(group, tuple(symbols), along_line, abs(tau)))
    return found


def order_rows(orders: list[GroupOrder]) -> list[dict[str, Any]]:
    """Of a table."""
    return [
        {
            "group": order.group,
            "elements": " ".join(order.elements),
            "along_line": " ".join(order.along_line),
            "kendall_tau": order.tau,
        }
        for order in orders
    ]
