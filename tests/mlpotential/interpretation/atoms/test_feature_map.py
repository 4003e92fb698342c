"""Features of a set against those of an evaluator."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mlpotential.errors import DataError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.interpretation.atoms.feature_map import (
    feature_map,
    final_features,
    neighbor_counts,
)
from mlpotential.testing import tiny_schnet


def test_features_and_their_atoms(molecules, frames):
    model = tiny_schnet()
    features = final_features(model, molecules, batch_size=2)
    found = feature_map(features, molecules, element=6)
    assert (found.atomic_numbers == 6).all()
    for feature, structure, atom in zip(
        found.features, found.structure_of_atom, found.atom_in_structure, strict=True
    ):
        atoms = frames[structure]
        assert atoms.numbers[atom] == 6
        evaluator = Evaluator(model, atoms.numbers, device="cpu", guard="off")
        expected = evaluator.descriptors(atoms.positions[None])[atom]
        assert_allclose(feature, expected, rtol=1e-9, atol=1e-12)
    variances = found.coordinates.var(axis=0, ddof=1)
    total = found.features.var(axis=0, ddof=1).sum()
    assert_allclose(variances / total, found.explained, rtol=1e-10)
    assert len(feature_map(features, molecules).features) == sum(map(len, frames))


def test_neighbors(molecules, frames):
    counts = neighbor_counts(molecules)
    numbers = np.concatenate([atoms.numbers for atoms in frames])
    assert (counts[numbers == 1] == 1).all()
    assert sorted(counts[numbers == 6].tolist()) == [3] * 7 + [4] * 3


def test_too_few_atoms(molecules):
    with pytest.raises(DataError, match="three atoms or more, not 0"):
        feature_map(np.zeros((len(molecules.arrays.all_numbers), 3)), molecules, element=9)
