"""Structures with atoms that see no other within the cutoff."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from mlpotential.data.lone_atoms import have_lone_atoms
from mlpotential.data.structure_arrays import StructureArrays
from mlpotential.graph import AtomGraph


@pytest.fixture
def graphs() -> list[AtomGraph]:
    pair = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    far = np.vstack([pair, [[0.0, 0.0, 5.0]]])
    copper = bulk("Cu", cubic=True)
    alone = np.diag([9.0, 9.0, 9.0])
    return [
        AtomGraph.from_arrays([1, 1], pair),
        AtomGraph.from_arrays([1, 1, 8], far),
        AtomGraph.from_arrays([2], pair[:1]),  # nobody is there
        AtomGraph.from_atoms(copper),
        AtomGraph.from_arrays([29], pair[:1], alone, True),
        AtomGraph.from_arrays([1, 1, 8], far[[2, 0, 1]]),
    ]


@pytest.mark.parametrize(
    ("cutoff", "expected"),
    [
        (3.0, [False, True, False, False, True, True]),
        (5.01, [False, False, False, False, True, False]),
        (9.01, [False, False, False, False, False, False]),
        (0.5, [True, True, False, True, True, True]),
    ],
)
@pytest.mark.parametrize("largest", [300, 1])
def test_by_cutoff(graphs, cutoff, expected, largest, monkeypatch):
    monkeypatch.setattr("mlpotential.data.lone_atoms.MOST_ATOMS_PAIRED", largest)
    arrays = StructureArrays.of(graphs)
    np.testing.assert_array_equal(have_lone_atoms(arrays, cutoff), expected)
    some = arrays.select([5, 0, 4])
    np.testing.assert_array_equal(have_lone_atoms(some, cutoff), np.array(expected)[[5, 0, 4]])
