"""Final features of atoms over a set of structures, on their two principal components.

Features are what the readout sees. Of different elements they differ most, so that a map of one
element shows more of its surroundings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.interpretation.atoms.bonds import bonds_of, neighbor_counts_of
from mlpotential.interpretation.network.principal_components import principal_components
from mlpotential.models.potential import Potential
from mlpotential.training.evaluation.batches import connected_batches
from mlpotential.training.metrics import predict_batches


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Atoms on a plane.

    Attributes:
        features: [n_atoms, n_features].
        coordinates: on the two leading components, [n_atoms, 2].
        explained: parts of the variance along them, [2].
        atomic_numbers: [n_atoms].
        structure_of_atom: the place of its structure in the data, [n_atoms].
        atom_in_structure: its number there, from 0, [n_atoms].
    """

    features: np.ndarray
    coordinates: np.ndarray
    explained: np.ndarray
    atomic_numbers: np.ndarray
    structure_of_atom: np.ndarray
    atom_in_structure: np.ndarray


def final_features(potential: Potential, data: ReferenceData, batch_size: int = 32) -> np.ndarray:
    """Of all atoms, one behind another, [n_atoms, n_features].

    Raises:
        StructureError: for an element that the model does not know.
    """
    found: list[np.ndarray] = []

    def visit(prediction: Prediction, graph: AtomGraph) -> None:
        found.append(prediction.features.double().cpu().numpy())

    batches = connected_batches(data, potential, batch_size)
    predict_batches(potential, batches, ("features",), visit)
    return np.concatenate(found)


def feature_map(
    features: np.ndarray, data: ReferenceData, element: int | None = None
) -> FeatureMap:
    """The map of all atoms, or of those of one element.

    Args:
        features: of all atoms of the data, [n_atoms, n_features].
        data: the structures.
        element: atomic number; None for all.

    Raises:
        DataError: if there are less than three such atoms.
    """
    arrays = data.arrays
    numbers = arrays.all_numbers
    within = np.concatenate([np.arange(n) for n in arrays.n_atoms])
    kept = np.ones(len(numbers), bool) if element is None else numbers == element
    if kept.sum() < 3:
        raise DataError(f"{data.source}: a map needs three atoms or more, not {kept.sum()}")
    components = principal_components(features[kept], 2)
    return FeatureMap(
        features[kept],
        components.coordinates(features[kept]),
        components.explained,
        numbers[kept],
        arrays.structure_of_atom[kept],
        within[kept],
    )


def neighbor_counts(data: ReferenceData) -> np.ndarray:
    """Bonds of each atom, [n_atoms]; see `bonds_of`."""
    counts = []
    for graph in data:
        cell = None if graph.cell is None else graph.cell[0].numpy()
        numbers = graph.atomic_numbers.numpy()
        bonds = bonds_of(numbers, graph.positions.numpy(), cell, graph.pbc[0].numpy())
        counts.append(neighbor_counts_of(graph.n_atoms, bonds))
    return np.concatenate(counts)
