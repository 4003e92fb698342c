"""The loss of SchNet training: squared errors of energies, forces and dipoles, weighted."""

from __future__ import annotations

from torch import Tensor

from mlpotential.graph import AtomGraph, Prediction
from mlpotential.training.config import TrainingConfig


def loss_per_graph(prediction: Prediction, graph: AtomGraph, config: TrainingConfig) -> Tensor:
    """rho (E - E')^2 + (1/n_atoms) sum_i |F_i - F'_i|^2 of each structure, [n_graphs].

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Eq. (9); rho = `energy_weight` (1/A^2).
    Energy alone: (E - E')^2. Forces alone: the second term. With dipoles, to each of them
    `dipole_weight` |mu - mu'|^2 is added.
    """
    loss = _loss_of_energies(prediction, graph, config)
    if config.dipole_weight:
        loss = loss + config.dipole_weight * _dipole_term(prediction, graph)
    return loss


def _loss_of_energies(prediction: Prediction, graph: AtomGraph, config: TrainingConfig) -> Tensor:
    if config.targets == "energy":
        return _energy_term(prediction, graph)
    if config.targets == "forces":
        return _forces_term(prediction, graph)
    energy = _energy_term(prediction, graph)
    return config.energy_weight * energy + _forces_term(prediction, graph)  # Eq. (9)


def _energy_term(prediction: Prediction, graph: AtomGraph) -> Tensor:
    """[n_graphs] (eV^2)."""
    assert graph.energy is not None
    return (prediction.energy - graph.energy) ** 2


def _forces_term(prediction: Prediction, graph: AtomGraph) -> Tensor:
    """[n_graphs] (eV^2/A^2)."""
    assert graph.forces is not None
    squared = ((prediction.forces - graph.forces) ** 2).sum(dim=-1)
    per_graph = squared.new_zeros(graph.n_graphs)
    per_graph = per_graph.index_add(0, graph.graph_index, squared)
    return per_graph / graph.atoms_per_graph()


def _dipole_term(prediction: Prediction, graph: AtomGraph) -> Tensor:
    """[n_graphs] ((e A)^2)."""
    assert graph.dipole is not None
    squared: Tensor = ((prediction.dipole - graph.dipole) ** 2).sum(dim=-1)
    return squared
