"""The loss: squared errors of the labels, weighted."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.properties import label_row


def loss_per_graph(
    prediction: Prediction, graph: AtomGraph, weights: Mapping[str, float]
) -> Tensor:
    """rho (E - E')^2 + (1/n_atoms) sum_i |F_i - F'_i|^2 of each structure, [n_graphs].

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Eq. (5); rho is the weight of the energy
    (1/A^2), that of the forces is 1. Each other label adds its weight times |x - x'|^2, and each
    term is multiplied by the weight that the data give the label of the structure.

    Args:
        prediction: of all labels below.
        graph: with these labels.
        weights: of the labels that count.
    """
    terms = [
        w * graph.label_weights(name) * squared_error(name, prediction, graph)  # Eq. (5)
        for name, w in weights.items()
    ]
    return sum(terms[1:], start=terms[0])


def squared_error(label: str, prediction: Prediction, graph: AtomGraph) -> Tensor:
    """|x - x'|^2 of each structure, [n_graphs]; of labels of atoms, the mean over its atoms."""
    expected = graph.label(label)
    assert expected is not None, f"the structures have no {label}"
    squared = (prediction.value(label) - expected) ** 2
    squared = squared.reshape(len(squared), -1).sum(dim=-1)
    if label_row(label).per == "graph":
        return squared
    per_graph = squared.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, squared)
    return per_graph / graph.atoms_per_graph()
