"""Puts together what several networks say of the structures of one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from mlpotential.graph import Prediction
from mlpotential.inference.structures import Atoms
from mlpotential.inference.training_domain import Outliers, TrainingDomain
from mlpotential.properties import PROPERTIES

# Where nothing is outside; partners are numbers of atoms, and apart.
INSIDE = {
    "distance_deficits": -np.inf,
    "feature_deviations": 0.0,
    "nearest_ratios": 0.0,
    "coordination_deficits": 0,
}


@dataclass(frozen=True)
class Part:
    """Some structures of an evaluation.

    Attributes:
        graphs: their numbers in it, ascending.
        prediction, outliers: as of these alone.
    """

    graphs: np.ndarray
    prediction: Prediction
    outliers: Outliers | None


def merged(
    parts: Sequence[Part], whole: Atoms, domain: TrainingDomain
) -> tuple[Prediction, Outliers | None]:
    """All structures in their order.

    Args:
        parts: each structure is in one of them.
        whole: of all structures.
        domain: of the model.
    """
    atoms = [whole.atoms_of(part.graphs) for part in parts]
    found = {}
    for name in (f.name for f in fields(Prediction) if f.name in PROPERTIES):
        values = [getattr(part.prediction, name) for part in parts]
        given = [value for value in values if value is not None]
        if not given:
            continue
        per_atom = PROPERTIES[name].per == "atom"
        rows = atoms if per_atom else [part.graphs for part in parts]
        found[name] = _in_order(given, rows, whole.n_atoms if per_atom else whole.n_graphs)
    return Prediction(**found), _outliers(parts, atoms, whole, domain)


def _in_order(values: Sequence[np.ndarray], rows: Sequence[np.ndarray], n_rows: int) -> np.ndarray:
    """Values of each part in its rows of the whole; all parts have them."""
    whole = np.empty((n_rows, *values[0].shape[1:]))
    for value, own in zip(values, rows, strict=True):
        whole[own] = value
    return whole


def _outliers(
    parts: Sequence[Part], atoms: Sequence[np.ndarray], whole: Atoms, domain: TrainingDomain
) -> Outliers | None:
    if all(part.outliers is None for part in parts):
        return None
    columns = {name: np.full(whole.n_atoms, value) for name, value in INSIDE.items()}
    partners = np.arange(whole.n_atoms)
    for part, own in zip(parts, atoms, strict=True):
        if part.outliers is not None:
            for name, column in columns.items():
                column[own] = getattr(part.outliers, name)
            partners[own] = own[part.outliers.partners]
    return Outliers(
        domain=domain,
        partners=partners,
        atomic_numbers=whole.atomic_numbers,
        graph_start=whole.graph_start,
        **columns,
    )
