"""What the guard should find of random domains, atom by atom, for tests of every kernel."""

from __future__ import annotations

import types

import numpy as np
import torch
from ase.data import covalent_radii
from numpy.testing import assert_allclose, assert_array_equal
from random_models import ELEMENTS

from mlpotential.graph import AtomGraph
from mlpotential.inference.training_domain import TrainingDomain


def lone_atoms() -> AtomGraph:
    """Of each element of the models one, and none near another."""
    positions = 50.0 * np.arange(3.0 * len(ELEMENTS)).reshape(-1, 3)
    return AtomGraph.from_arrays(np.array(ELEMENTS), positions)


def random_domain(seed=0, n_features=16) -> TrainingDomain:
    rng = np.random.default_rng(seed)
    size = max(ELEMENTS) + 1
    shortest = rng.uniform(0.8, 2.5, (size, size))
    centers, scales = rng.normal(size=(2, size, n_features))
    alone = np.stack([rng.uniform(0.8, 1.6, size), rng.integers(0, 4, size), np.arange(size) % 2])
    return TrainingDomain(np.maximum(shortest, shortest.T), centers, np.abs(scales), alone.T.copy())


def expected_findings(model, graph, domain):
    """All that is found of each atom, pair by pair and from the model itself."""
    distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=1).numpy()
    (i, j), z = graph.pair_index.numpy(), graph.atomic_numbers.numpy()
    deficits = np.full(graph.n_atoms, -np.inf)
    partners = np.arange(graph.n_atoms)
    for a, b, distance in zip(i, j, distances, strict=True):
        deficit = domain.shortest[z[a], z[b]] - distance
        if deficit > deficits[a]:
            deficits[a], partners[a] = deficit, b
    features = model(graph, ("features",)).features.numpy()
    deviations = (np.abs(features - domain.centers[z]) * domain.scales[z]).max(axis=1)
    nearest, coordination = np.full(graph.n_atoms, np.inf), np.zeros(graph.n_atoms, int)
    for pair, distance in zip(graph.pair_index.T.tolist(), distances, strict=True):
        for atom in pair:
            nearest[atom] = min(nearest[atom], distance)
            coordination[atom] += distance < 1.3 * covalent_radii[z[pair]].sum()
    largest, least, isolated = domain.neighborhoods[z].T
    usual = np.isinf(nearest) & (isolated == 1.0)
    return Findings(
        distance_deficits=deficits,
        partners=partners,
        feature_deviations=deviations,
        nearest_ratios=np.where(usual, 0.0, nearest / largest),
        coordination_deficits=np.where(usual, 0, least - coordination),
    )


class Findings(types.SimpleNamespace):
    def assert_are(self, found, rtol):
        """The same; `rtol` of the features."""
        assert_allclose(found.distance_deficits, self.distance_deficits, atol=1e-12)
        assert_array_equal(found.partners, self.partners)
        assert_allclose(found.feature_deviations, self.feature_deviations, rtol=rtol)
        assert_allclose(found.nearest_ratios, self.nearest_ratios, rtol=1e-12)
        assert_array_equal(found.coordination_deficits, self.coordination_deficits)
        assert len(set(self.coordination_deficits)) > 2
