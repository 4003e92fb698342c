"""Where a model was trained: how near atoms came, how far features went, how alone an atom was.

A structure is outside where two atoms are nearer than any such pair in training, or where a final
feature of an atom lies beyond the range it had for that element. With the range [a, b] of a feature
x, its middle c = (a + b)/2 and scale s = 2/(b - a), the feature deviation of an atom is

    D = max_x |x - c| s,   (1)

so D <= 1 for every atom of the training data, and an atom is outside for D > 1 + 2 FEATURE_MARGIN.

Features do not tell an atom that left: those of a free atom lie inside the box of Eq. (1). So an
atom has, of its distances r_ij within the cutoff of the model, the least and a coordination number:

    d_i = min_j r_ij (infinite without neighbours),   n_i = number of j with r_ij < b_ij,   (2)
    b_ij = BOND_FACTOR (R_i + R_j)

with covalent radii R (Cordero et al., Dalton Trans. 2832 (2008), doi:10.1039/b801115j). It is
outside for d_i > (1 + NEAREST_MARGIN) times the largest d, or n_i less than the least n, of its
element in training. Atoms without neighbours are inside where training had such atoms of the
element, and count for neither of the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers as NUMBER_OF_SYMBOL
from ase.data import chemical_symbols, covalent_radii

from mlpotential.errors import ModelFileError
from mlpotential.models.config import LARGEST_ATOMIC_NUMBER

if TYPE_CHECKING:
    from mlpotential.models.model_file import ModelRecord
    from mlpotential.models.potential import Potential

DISTANCE_TOLERANCE = 1e-6  # A; chosen: above the rounding of i-PI's units
# Of the width of a range; chosen by C20: with ranges of 900 frames, one frame in 1,000 others of
# the same temperature is farther outside; a bond stretched by 0.4 A is at 0.5.
FEATURE_MARGIN = 0.1
MAX_FEATURE_DEVIATION = 1.0 + 2.0 * FEATURE_MARGIN
NARROWEST = 1e-3  # chosen: half the width of a range whose feature hardly varied
SHORTEST_NEAREST = 1e-3  # A; chosen: of an element that was always alone
NEAREST_MARGIN = 0.1  # chosen: no other sample of the same temperature goes so far beyond
BOND_FACTOR = 1.3  # chosen: between first and second neighbours of molecules, Si and Cu


@dataclass(frozen=True)
class TrainingDomain:
    """What a model file says of its training data, by atomic number.

    Attributes:
        shortest: least distance of each two elements, [n_elements, n_elements] (A); None where the
            file has none.
        centers, scales: c and s of Eq. (1), [n_elements, n_features]; zero for elements the model
            does not know. None where the file has none.
        neighborhoods: of Eq. (2) the largest d (A), the least n, and 1 where there were atoms
            without neighbours, else 0, [n_elements, 3]; None where the file has none.
        feature_names: of each element, as far as the architecture has names for its features.
    """

    shortest: np.ndarray | None = None
    centers: np.ndarray | None = None
    scales: np.ndarray | None = None
    neighborhoods: np.ndarray | None = None
    feature_names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of_record(cls, record: ModelRecord, potential: Potential) -> TrainingDomain:
        """Raises ModelFileError where the record does not fit the network."""
        n_elements = LARGEST_ATOMIC_NUMBER + 1
        shortest = centers = scales = neighborhoods = None
        try:
            if record.shortest_distances:
                shortest = _shortest(record.shortest_distances, n_elements)
            if record.feature_ranges:
                ranges = _ranges(record.feature_ranges, potential)
                centers, scales = np.zeros((2, n_elements, ranges.shape[-1]))
                elements = list(potential.elements)
                centers[elements] = ranges.mean(axis=1)
                scales[elements] = 1.0 / np.maximum(np.ptp(ranges, axis=1) / 2.0, NARROWEST)
            if record.neighborhoods:
                neighborhoods = np.zeros((n_elements, 3))
                neighborhoods[list(potential.elements)] = _neighborhoods(record, potential)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"what the model file says of its training data cannot be used: {error!r}"
            ) from error
        names = {z: potential.feature_names(z) for z in potential.elements}
        return cls(shortest, centers, scales, neighborhoods, names)

    @property
    def checks(self) -> tuple[str, ...]:
        """What can be checked against it: distances, features, neighborhoods."""
        known = {
            "distances": self.shortest,
            "features": self.centers,
            "neighborhoods": self.neighborhoods,
        }
        return tuple(name for name, what in known.items() if what is not None)


UNKNOWN_DOMAIN = TrainingDomain()  # nothing is known


@dataclass(frozen=True)
class Outliers:
    """An evaluation of one model with atoms outside its domain.

    Attributes:
        domain: of the model.
        distance_deficits: how much nearer than any such pair in training an atom is to its partner,
            [n_atoms] (A); -infinity where it has none. Each pair is with one of its atoms.
        partners: the other atom of that pair, [n_atoms].
        feature_deviations: D of Eq. (1), [n_atoms].
        nearest_ratios: d of Eq. (2) over the largest of its element in training, [n_atoms].
        coordination_deficits: the least n of its element in training less its own, [n_atoms].
        atomic_numbers: [n_atoms].
        graph_start: first atom of each structure and the end of the last, [n_graphs + 1].
        farthest_features: number of the feature that D is of, [n_atoms]; None where it is not kept.
    """

    domain: TrainingDomain
    distance_deficits: np.ndarray
    partners: np.ndarray
    feature_deviations: np.ndarray
    nearest_ratios: np.ndarray
    coordination_deficits: np.ndarray
    atomic_numbers: np.ndarray
    graph_start: np.ndarray
    farthest_features: np.ndarray | None = None

    def feature_name(self, atom: int) -> str | None:
        """The feature of an atom that is farthest beyond its range; None where it has no name."""
        names = self.domain.feature_names.get(int(self.atomic_numbers[atom]), ())
        if self.farthest_features is None:
            return None
        number = int(self.farthest_features[atom])
        return names[number] if number < len(names) else None

    def graphs_outside(self) -> np.ndarray:
        """Which structures are outside, [n_graphs], bool."""
        atoms_outside = is_outside(
            self.distance_deficits,
            self.feature_deviations,
            self.nearest_ratios,
            self.coordination_deficits,
        )
        return np.logical_or.reduceat(atoms_outside, self.graph_start[:-1])

    def graph_of(self, atom: int) -> int | None:
        """The structure of an atom; None where there is only one."""
        if len(self.graph_start) == 2:
            return None
        return int(np.searchsorted(self.graph_start, atom, side="right")) - 1

    def number_in_graph(self, atom: int) -> int:
        """The number of an atom within its own structure."""
        return atom - int(self.graph_start[self.graph_of(atom) or 0])


def bond_lengths(n_elements: int) -> np.ndarray:
    """b of Eq. (2), [n_elements, n_elements] (A)."""
    radii = covalent_radii[:n_elements]
    return BOND_FACTOR * (radii[:, None] + radii)


def watched_bond_lengths(n_elements: int) -> np.ndarray:
    """The same for evaluations: no rounding makes the coordination of training data less."""
    return bond_lengths(n_elements) + DISTANCE_TOLERANCE


def neighborhoods_of(
    atomic_numbers: np.ndarray, pairs: np.ndarray, distances: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """d and n of Eq. (2).

    Args:
        atomic_numbers: [n_atoms].
        pairs: each once, [2, n_pairs].
        distances: [n_pairs] (A).
        lengths: `bond_lengths`.

    Returns:
        nearest [n_atoms] (A), infinite where an atom is alone; coordination [n_atoms].
    """
    nearest = np.full(len(atomic_numbers), np.inf)
    np.minimum.at(nearest, pairs.ravel(), np.tile(distances, 2))
    bonded = pairs[:, distances < lengths[tuple(atomic_numbers[pairs])]]
    return nearest, np.bincount(bonded.ravel(), minlength=len(atomic_numbers))


def is_outside(
    distance_deficit: Any, feature_deviation: Any, nearest_ratio: Any, coordination_deficit: Any
) -> Any:
    """Whether an atom, or each of many, is outside its domain."""
    near_or_unusual = (distance_deficit > DISTANCE_TOLERANCE) | (
        feature_deviation > MAX_FEATURE_DEVIATION
    )
    return near_or_unusual | is_alone(nearest_ratio, coordination_deficit)


def is_alone(nearest_ratio: Any, coordination_deficit: Any) -> Any:
    """Whether an atom, or each of many, has too few neighbours, or none near enough."""
    return (nearest_ratio > 1.0 + NEAREST_MARGIN) | (coordination_deficit > 0)


def _shortest(distances: Mapping[str, float], n_elements: int) -> np.ndarray:
    """Symmetric, [n_elements, n_elements] (A)."""
    # a pair that is absent was never as near as it was looked for
    from mlpotential.data.statistics import PERIODIC_SEARCH_RADIUS  # torch comes with it

    table = np.full((n_elements, n_elements), PERIODIC_SEARCH_RADIUS)
    for pair, distance in distances.items():
        a, b = (NUMBER_OF_SYMBOL[symbol] for symbol in pair.split("-"))
        if not 0.0 < distance < np.inf:
            raise ValueError(f"a shortest distance of {distance}")
        table[a, b] = table[b, a] = distance
    return table


def _neighborhoods(record: ModelRecord, potential: Potential) -> np.ndarray:
    """Rows of `TrainingDomain.neighborhoods`, [n_known_elements, 3], in their order."""
    rows = [record.neighborhoods[chemical_symbols[z]] for z in potential.elements]
    names = ("largest_nearest_distance", "least_coordination", "isolated")
    table = np.array([[row[name] for name in names] for row in rows], np.float64)
    if not np.isfinite(table).all() or (table < 0.0).any():
        raise ValueError(f"its neighborhoods are not finite and positive: {record.neighborhoods}")
    table[:, 0] = np.maximum(table[:, 0], SHORTEST_NEAREST)
    return table


def _ranges(ranges: Mapping[str, Mapping[str, list[float]]], potential: Potential) -> np.ndarray:
    """Lowest and highest of each feature, [n_known_elements, 2, n_features], in their order."""
    n_features = potential.n_features
    rows = [ranges[chemical_symbols[z]] for z in potential.elements]
    table = np.array([[row["lowest"], row["highest"]] for row in rows], np.float64)
    if table.shape[2:] != (n_features,) or not np.isfinite(table).all():
        raise ValueError(f"its feature ranges are not of {n_features} finite numbers each")
    return table
