"""What a model file keeps of its training data, for the guard against extrapolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.statistics import shortest_distances
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph
from mlpotential.inference.training_domain import bond_lengths, neighborhoods_of
from mlpotential.models.model_file import load_model, replace_record
from mlpotential.models.potential import Potential

STRUCTURES_AT_ONCE = 64  # chosen


def named_shortest_distances(data: ReferenceData) -> dict[str, float]:
    """`data.statistics.shortest_distances` by names such as `C-H` (A)."""
    from ase.data import chemical_symbols

    return {
        f"{chemical_symbols[a]}-{chemical_symbols[b]}": distance
        for (a, b), distance in sorted(shortest_distances(data).items())
    }


def feature_ranges(
    potential: Potential, structures: Sequence[AtomGraph], batch_size: int = 32
) -> dict[str, dict[str, list[float]]]:
    """Lowest and highest of each final feature over all atoms of an element.

    Args:
        potential: with its final weights, in evaluation mode.
        structures: with or without edges.
        batch_size: structures at once.

    Returns:
        `ModelRecord.feature_ranges`, to six digits.

    Raises:
        DataError: if an element of the potential is in no structure.
    """
    from ase.data import chemical_symbols

    device = next(potential.parameters()).device
    lowest: dict[int, Any] = dict.fromkeys(potential.elements, np.inf)
    highest: dict[int, Any] = dict.fromkeys(potential.elements, -np.inf)
    for batch in _connected(structures, potential).batches(batch_size, device):
        features = potential(batch, ("features",)).features.double().cpu().numpy()
        numbers = batch.atomic_numbers.cpu().numpy()
        for z in potential.elements:
            of_element = features[numbers == z]
            lowest[z] = np.minimum(lowest[z], of_element.min(axis=0, initial=np.inf))
            highest[z] = np.maximum(highest[z], of_element.max(axis=0, initial=-np.inf))
    missing = [chemical_symbols[z] for z in lowest if not np.isfinite(lowest[z]).all()]
    if missing:
        raise DataError(
            f"no structure holds {', '.join(missing)}, which the model knows: give the data that "
            "it was trained on"
        )
    return {
        chemical_symbols[z]: {"lowest": _six_digits(lowest[z]), "highest": _six_digits(highest[z])}
        for z in potential.elements
    }


def neighborhoods(
    potential: Potential, structures: Sequence[AtomGraph]
) -> dict[str, dict[str, Any]]:
    """How alone the atoms of each element are, among those within the cutoff of the potential.

    Args:
        potential: of whose elements each must be in a structure.
        structures: with or without edges.

    Returns:
        `ModelRecord.neighborhoods`.
    """
    from ase.data import chemical_symbols

    largest, least = dict.fromkeys(potential.elements, 0.0), dict.fromkeys(potential.elements, -1)
    isolated = dict.fromkeys(potential.elements, False)
    lengths = bond_lengths(max(potential.elements) + 1)
    for graph in _connected(structures, potential).batches(STRUCTURES_AT_ONCE):
        distances = np.linalg.norm(graph.pair_displacements().numpy(), axis=1)
        numbers, pairs = graph.atomic_numbers.numpy(), graph.pair_index.numpy()
        nearest, coordination = neighborhoods_of(numbers, pairs, distances, lengths)
        for z in np.unique(numbers).tolist():
            has_neighbors = (numbers == z) & np.isfinite(nearest)
            isolated[z] |= bool(np.isinf(nearest[numbers == z]).any())
            if has_neighbors.any():
                largest[z] = max(largest[z], float(nearest[has_neighbors].max()))
                fewest = int(coordination[has_neighbors].min())
                least[z] = fewest if least[z] < 0 else min(least[z], fewest)
    return {
        chemical_symbols[z]: {
            "largest_nearest_distance": float(f"{largest[z]:.6g}"),
            "least_coordination": max(least[z], 0),
            "isolated": isolated[z],
        }
        for z in potential.elements
    }


def _connected(structures: Sequence[AtomGraph], potential: Potential) -> ConnectedStructures:
    if isinstance(structures, ConnectedStructures):
        return structures
    return ConnectedStructures(structures, potential.cutoff)


def _six_digits(values: np.ndarray) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def add_training_domain(model_path: str | Path, data: ReferenceData) -> None:
    """Adds to a model file what it was trained on: distances, feature ranges and neighborhoods.

    Args:
        model_path: a model trained elsewhere, or before model files had them; replaced in one step.
        data: its training data.

    Raises:
        ModelFileError: if it is no usable model file.
        DataError: if the data lacks an element of the model.
        RunError: if the file cannot be written.
    """
    model = load_model(model_path)
    graphs = ConnectedStructures(data.arrays, model.potential.cutoff)
    record = replace(
        model.record,
        shortest_distances=named_shortest_distances(data),
        feature_ranges=feature_ranges(model.potential, graphs),
        neighborhoods=neighborhoods(model.potential, graphs),
    )
    replace_record(model_path, record)
