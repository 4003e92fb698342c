"""The curvature of the energy as a target: products of the Hessian with random directions.

A. Rodriguez, J. S. Smith, S. Matin, N. Lubbers, K. Barros, J. L. Mendoza-Cortes, "Projected Hessian
learning", arXiv:2603.04523 (2026). With the Hessians H' of the reference and H of the model, D = H
- H', and v a random vector of length 1, drawn anew for each structure in each step, the term is

    |D v|^2,   whose mean is   E |D v|^2 = |D|_F^2 / (3 n_atoms),                           (1)

the mean square of an element of D times 3 n_atoms: no Hessian is ever made. For directions that are
uniform on the sphere in d = 3 n_atoms dimensions, A = D^T D, the variance of one such number is

    Var |D v|^2 = 2 / (d (d + 2)) [tr A^2 - (tr A)^2 / d],                                  (2)

between 0, where all singular values of D are equal, and nearly twice the square of the mean, where
there is one alone; the mean over the B structures of a batch has 1/B of it.

H v is the derivative of the forces along v, and a gradient of Eq. (1) by the weights takes a third
derivative of the energy. Departures from the paper: directions of length 1 in place of normal ones,
which changes no mean but for the factor, and makes Eq. (2) smaller; and products of another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import AtomGraph
from mlpotential.models.potential import Potential
from mlpotential.models.torch_state import own_torch_state


class CurvatureSource(Protocol):
    """Who knows the Hessian of the reference."""

    sha256: str

    def products(
        self, graph: AtomGraph, indices: Sequence[int], directions: Tensor, cutoff: float | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """H' v of each structure.

        Args:
            graph: structures with edges.
            indices: of each of them, in the data set it is from.
            directions: of length 1 over the atoms of a structure, [n_atoms, 3].
            cutoff: of the edges (A).

        Returns:
            The directions, [n_atoms, 3]: those given, or where others alone are known, these; the
            products with them, [n_atoms, 3] (eV/A^2); and whether the structure has any,
            [n_graphs], 1.0 or 0.0.
        """


def random_directions(graph: AtomGraph, seeds: Sequence[Sequence[int]]) -> Tensor:
    """For each structure a vector of length 1, uniform on the sphere, [n_atoms, 3], float64.

    Args:
        graph: of the structures.
        seeds: of each of them; directions depend on nothing else.
    """
    counts = graph.atoms_per_graph().tolist()
    parts = []
    for seed, n_atoms in zip(seeds, counts, strict=True):
        part = np.random.default_rng(list(seed)).standard_normal((n_atoms, 3))
        parts.append(part / np.linalg.norm(part))
    return torch.from_numpy(np.concatenate(parts)).to(graph.positions.device)


def differentiable(graph: AtomGraph) -> AtomGraph:
    """With positions by which the forces that a potential in training gives can be derived."""
    return replace(graph, positions=graph.positions.detach().clone().requires_grad_())


def derivative_along(forces: Tensor, positions: Tensor, directions: Tensor) -> Tensor:
    """H v = -dF/dr v, to be derived further, [n_atoms, 3] (eV/A^2).

    Args:
        forces: that can be derived, [n_atoms, 3] (eV/A).
        positions: by which, [n_atoms, 3] (A).
        directions: v, [n_atoms, 3].
    """
    if not forces.requires_grad:  # nothing interacts
        return torch.zeros_like(positions)
    (product,) = torch.autograd.grad(
        -(forces * directions).sum(),
        positions,
        create_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return product


def hessian_vector_products(model: Potential, graph: AtomGraph, directions: Tensor) -> Tensor:
    """H v of each structure by two backward passes, [n_atoms, 3] (eV/A^2).

    Args:
        model: in any mode.
        graph: structures with its edges.
        directions: v, [n_atoms, 3].
    """
    with own_torch_state(), torch.enable_grad():
        moved = differentiable(graph)
        energy = model.atomic_energies(moved).sum()
        if not energy.requires_grad:
            return torch.zeros_like(directions)
        (gradient,) = torch.autograd.grad(
            energy, moved.positions, create_graph=True, allow_unused=True, materialize_grads=True
        )
        if not gradient.requires_grad:
            return torch.zeros_like(directions)
        (products,) = torch.autograd.grad(
            (gradient * directions).sum(),
            moved.positions,
            allow_unused=True,
            materialize_grads=True,
        )
    return products


class Curvature:
    """|H v - H' v|^2 of structures, Eq. (1), beside the other terms of a loss.

    Args:
        of_training, of_validation: who knows the Hessians of the two data sets; None for nobody.
        seed: of the directions.

    Attributes:
        sha256: of what the Hessians come from.
    """

    def __init__(
        self,
        of_training: CurvatureSource,
        of_validation: CurvatureSource | None,
        seed: int,
    ) -> None:
        self._of_training, self._of_validation, self._seed = of_training, of_validation, seed
        self.sha256 = of_training.sha256

    def of_step(
        self,
        forces: Tensor,
        graph: AtomGraph,
        indices: Sequence[int],
        step: int,
        cutoff: float | None,
    ) -> Tensor:
        """Of structures in training, to be derived by the weights, [n_graphs] (eV^2/A^4).

        Args:
            forces: that the model in training gives, [n_atoms, 3] (eV/A).
            graph: made by `differentiable`.
            indices: of the structures in the data set.
            step: of the training; each has other directions.
            cutoff: of the edges (A).
        """
        directions = random_directions(graph, [(self._seed, 1, step, k) for k in indices])
        fixed = replace(graph, positions=graph.positions.detach())
        directions, expected, known = self._of_training.products(fixed, indices, directions, cutoff)
        found = derivative_along(forces, graph.positions, directions)
        return known * squared_norms(found - expected, graph)

    def of_validation(
        self, model: Potential, graph: AtomGraph, indices: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """The same in validation, where each structure keeps its direction.

        Args:
            model: to be validated.
            graph: structures with its edges.
            indices: of the structures in the data set.

        Returns:
            [n_graphs] (eV^2/A^4); and whether there is anything to compare with, [n_graphs].
        """
        if self._of_validation is None:
            nothing = graph.positions.new_zeros(graph.n_graphs)
            return nothing, nothing
        directions = random_directions(graph, [(self._seed, 0, k) for k in indices])
        directions, expected, known = self._of_validation.products(
            graph, indices, directions, model.cutoff
        )
        found = hessian_vector_products(model, graph, directions)
        return known * squared_norms(found - expected, graph), known


def squared_norms(vectors: Tensor, graph: AtomGraph) -> Tensor:
    """|x|^2 of each structure, [n_atoms, 3] -> [n_graphs]."""
    squared = (vectors**2).sum(dim=1)
    return squared.new_zeros(graph.n_graphs).index_add(0, graph.graph_index, squared)
