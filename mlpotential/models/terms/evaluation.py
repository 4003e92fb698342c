"""Physical terms beside a network: energies that no network has to learn.

    E = E_network + sum of terms

They are part of a model file. Networks are trained on what the terms leave; whatever evaluates a
model adds them: energies, forces, virial, stress and Hessian.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, Prediction, stress_of
from mlpotential.models.terms.dispersion import Dispersion
from mlpotential.models.terms.settings import Terms
from mlpotential.nn.finite_differences import five_point
from mlpotential.nn.zbl import ranges, zbl_energies

STEP = 2e-3  # A, of the Hessian of dispersion; chosen: five points are good to 1e-7 eV/A^2


@dataclass(frozen=True)
class TermAnswer:
    """What terms add.

    Attributes:
        atomic_energies: [n_atoms], float64 (eV).
        forces: [n_atoms, 3] (eV/A).
        virial: -dE/dstrain, [n_graphs, 3, 3] (eV).
    """

    atomic_energies: Tensor
    forces: Tensor
    virial: Tensor

    def __add__(self, other: TermAnswer) -> TermAnswer:
        return TermAnswer(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def check_reach(terms: Terms, elements: Collection[int], cutoff: float | None) -> None:
    """Raises ConfigError where pairs that repel each other are beyond the cutoff of the model."""
    if "zbl" in terms and cutoff is not None:
        z = torch.tensor(sorted(elements))
        longest = float(ranges(z, z).max())
        if longest > cutoff:
            raise ConfigError(
                f"the zbl term reaches {longest:.2f} A between the largest atoms, beyond the "
                f"cutoff of the model, {cutoff:g} A: choose a larger model.cutoff"
            )


def evaluate_terms(terms: Terms, graph: AtomGraph) -> TermAnswer:
    """What all terms add to connected structures."""
    answers = [
        _repulsion(graph) if name == "zbl" else _dispersion(name, term.functional or "", graph)
        for name, term in terms.items()
    ]
    return sum(answers[1:], start=answers[0])


def with_terms(prediction: Prediction, terms: Terms, graph: AtomGraph) -> Prediction:
    """A prediction of the network of tensors or of arrays, with the terms added."""
    answer = evaluate_terms(terms, graph)
    index, n_graphs = graph.graph_index, graph.n_graphs
    energy = answer.atomic_energies.new_zeros(n_graphs).index_add(0, index, answer.atomic_energies)
    added: dict[str, Any] = {
        "energy": energy,
        "forces": answer.forces,
        "virial": answer.virial,
        "stress": stress_of(answer.virial, graph.cell),
        "atomic_energies": answer.atomic_energies,
    }
    sums = {
        name: value + (more.cpu().numpy() if isinstance(value, np.ndarray) else more.to(value))
        for name, more in added.items()
        if (value := getattr(prediction, name)) is not None and more is not None
    }
    return replace(prediction, **sums)


def hessian_of_terms(terms: Terms, graph: AtomGraph) -> Tensor:
    """Of one structure, [3 n_atoms, 3 n_atoms], float64 (eV/A^2): differences of exact forces."""

    def forces(moved: Tensor) -> Tensor:
        return evaluate_terms(terms, replace(graph, positions=graph.positions + moved)).forces

    directions = torch.eye(3 * graph.n_atoms).to(graph.positions).unflatten(1, (-1, 3))
    rows = [-five_point(forces, direction, STEP).reshape(-1) for direction in directions]
    hessian = torch.stack(rows)
    return 0.5 * (hessian + hessian.T)


def _repulsion(graph: AtomGraph) -> TermAnswer:
    i, j = graph.pair_index
    with torch.enable_grad():
        displacements = graph.pair_displacements().detach().requires_grad_()
        distances = torch.linalg.vector_norm(displacements, dim=-1)
        z = graph.atomic_numbers
        energies = zbl_energies(distances, z[i], z[j])
        (slopes,) = torch.autograd.grad(energies.sum(), displacements)  # dE/d(r_j - r_i)
    zeros = graph.positions.new_zeros
    half = 0.5 * energies.detach()
    atomic = zeros(graph.n_atoms).index_add(0, i, half).index_add(0, j, half)
    forces = zeros(graph.n_atoms, 3).index_add(0, i, slopes).index_add(0, j, -slopes)
    of_pairs = -displacements.detach()[:, :, None] * slopes[:, None, :]
    virial = zeros(graph.n_graphs, 3, 3).index_add(0, graph.graph_index[i], of_pairs)
    return TermAnswer(atomic, forces, 0.5 * (virial + virial.transpose(1, 2)))


_dispersion_of = cache(Dispersion)


def _dispersion(method: str, functional: str, graph: AtomGraph) -> TermAnswer:
    calculation = _dispersion_of(method, functional)
    numbers, positions = graph.atomic_numbers.cpu().numpy(), graph.positions.detach().cpu().numpy()
    starts = np.cumsum([0, *graph.atoms_per_graph().tolist()])
    answers = []
    for k in range(graph.n_graphs):
        atoms, pbc = slice(starts[k], starts[k + 1]), graph.pbc[k].cpu().numpy()
        is_periodic = graph.cell is not None and bool(pbc.any())
        cell = (
            graph.cell[k].detach().cpu().numpy() if is_periodic and graph.cell is not None else None
        )
        answers.append(calculation.evaluate(numbers[atoms], positions[atoms], cell, pbc))
    atomic, forces, virials = zip(*answers, strict=True)
    arrays = (np.concatenate(atomic), np.concatenate(forces), np.stack(virials))
    return TermAnswer(*(torch.from_numpy(a).to(graph.positions) for a in arrays))
