"""What physical terms leave of reference energies and forces, for a network to learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.reference_data import ReferenceData
from mlpotential.graph import stress_of
from mlpotential.models.terms.evaluation import evaluate_terms
from mlpotential.models.terms.settings import Terms
from mlpotential.nn.zbl import ranges

STRUCTURES_AT_ONCE = 64
NO_PAIRS = 0.1  # A: dispersion finds its own


def without_terms(data: ReferenceData, terms: Terms) -> ReferenceData:
    """The same structures, their energies, forces and stresses less those of the terms.

    Args:
        data: with any of these labels.
        terms: none gives `data` itself.

    Returns:
        Reference data of the network. Raises ConfigError as `Dispersion` does.
    """
    if not terms or not len(data):
        return data
    z = torch.tensor(data.elements)
    reach = float(ranges(z, z).max()) if "zbl" in terms else NO_PAIRS
    arrays = data.arrays
    labels = {name: np.array(values, np.float64) for name, values in arrays.labels.items()}
    connected = ConnectedStructures(arrays, reach)
    for start in range(0, len(data), STRUCTURES_AT_ONCE):
        chosen = np.arange(start, min(start + STRUCTURES_AT_ONCE, len(data)))
        graph = connected.batch(chosen)
        answer = evaluate_terms(terms, graph)
        if "energy" in labels:
            energies = np.zeros(len(chosen))
            np.add.at(energies, graph.graph_index.numpy(), answer.atomic_energies.numpy())
            labels["energy"][arrays.rows[chosen]] -= energies
        if "stress" in labels:
            stress = stress_of(answer.virial, graph.cell)
            assert stress is not None, "read with cells"
            labels["stress"][arrays.rows[chosen]] -= stress.numpy()
        if "forces" in labels:
            labels["forces"][arrays.atom_index(chosen)] -= answer.forces.numpy()
    return replace(data, graphs=replace(arrays, labels=labels))
