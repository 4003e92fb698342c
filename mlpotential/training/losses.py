"""The loss: squared errors of the labels, weighted."""

from __future__ import annotations

from torch import Tensor

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.properties import LABELS
from mlpotential.training.config import TrainingConfig


def loss_per_graph(prediction: Prediction, graph: AtomGraph, config: TrainingConfig) -> Tensor:
    """rho (E - E')^2 + (1/n_atoms) sum_i |F_i - F'_i|^2 of each structure, [n_graphs].

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Eq. (5); rho = `energy_weight` (1/A^2).
    Energy alone: (E - E')^2. Forces alone: the second term. With dipoles, to each of them
    `dipole_weight` |mu - mu'|^2 is added, and so with each label that has a weight of its own.
    Each term is multiplied by the weight that the data give the label of the structure.
    """
    weights = {name: weight for name in LABELS if (weight := config.weight(name)) > 0.0}
    terms = [
        w * graph.label_weights(name) * squared_error(name, prediction, graph)  # Eq. (5)
        for name, w in weights.items()
    ]
    return sum(terms[1:], start=terms[0])


def squared_error(label: str, prediction: Prediction, graph: AtomGraph) -> Tensor:
    """|x - x'|^2 of each structure, [n_graphs]; of labels of atoms, the mean over its atoms."""
    expected = getattr(graph, label)
    assert expected is not None, f"the structures have no {label}"
    squared = (getattr(prediction, label) - expected) ** 2
    squared = squared.reshape(len(squared), -1).sum(dim=-1)
    if LABELS[label].per == "graph":
        return squared
    per_graph = squared.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, squared)
    return per_graph / graph.atoms_per_graph()
