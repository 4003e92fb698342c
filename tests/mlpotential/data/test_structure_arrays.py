"""Flat arrays give back the structures that they were made of, one by one and joined."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.structure_arrays import StructureArrays
from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.neighbors import connect


def assert_equal(found: AtomGraph, expected: AtomGraph) -> None:
    for name in (f.name for f in fields(AtomGraph)):
        a, b = getattr(found, name), getattr(expected, name)
        if isinstance(b, torch.Tensor):
            assert a.dtype == b.dtype, name
            assert torch.equal(a, b), name
        else:
            assert a == b, name


@pytest.fixture
def mixed(molecules, crystals) -> list[AtomGraph]:
    graphs = [graph for pair in zip(molecules, crystals[:10], strict=False) for graph in pair]
    weights = ({}, {"energy": 0.0}, {"forces": 2.0})
    return [graph.with_weights(weights[k % 3]) for k, graph in enumerate(graphs)]


@pytest.mark.parametrize("kind", ["molecules", "crystals", "mixed"])
def test_there_and_back(kind, request):
    graphs = request.getfixturevalue(kind)
    arrays = StructureArrays.of(graphs)
    assert len(arrays) == len(graphs)
    for found, expected in zip(arrays, graphs, strict=True):
        assert_equal(found, expected)
    assert_equal(arrays[-1], graphs[-1])
    assert_equal(arrays[2:5][1], graphs[3])
    with pytest.raises(IndexError):
        arrays[len(graphs)]
    chosen = [7, 3, 3, 0]
    assert_equal(arrays.batch(chosen), collate([graphs[k] for k in chosen]))
    some = arrays.select([9, 4, 2])
    assert_equal(some.batch([2, 0]), collate([graphs[2], graphs[9]]))
    np.testing.assert_array_equal(
        some.label("energy"), [graphs[k].energy.item() for k in (9, 4, 2)]
    )
    np.testing.assert_array_equal(some.label("forces")[-1], graphs[2].forces[-1])
    np.testing.assert_array_equal(some.has_cell, [graphs[k].cell is not None for k in (9, 4, 2)])


def test_arrays_one_behind_another(molecules, crystals):
    a = StructureArrays.of(molecules).select([5, 1])
    joined = StructureArrays.joined([a, StructureArrays.of(crystals[:2]), a[:1]])
    for found, expected in zip(
        joined, [molecules[5], molecules[1], *crystals[:2], molecules[5]], strict=True
    ):
        assert torch.equal(found.positions, expected.positions)
        assert torch.equal(found.atomic_numbers, expected.atomic_numbers)
        assert torch.equal(found.pbc, expected.pbc)
        assert (found.cell is None) == (expected.cell is None)
    of_one = StructureArrays.joined([a, a[1:]])
    assert of_one.positions is a.positions
    assert torch.equal(of_one[2].positions, molecules[1].positions)


def test_read_only_arrays_give_tensors_of_their_own(molecules):
    arrays = StructureArrays.of(molecules)
    arrays.positions.flags.writeable = False
    before = arrays.positions.copy()
    arrays[0].positions.zero_()
    np.testing.assert_array_equal(arrays.positions, before)


def test_sizes_together(molecules):
    arrays = StructureArrays.of(molecules)
    seen = []
    for places, numbers, positions in arrays.by_size():
        for place, z, x in zip(places, numbers, positions, strict=True):
            np.testing.assert_array_equal(z, molecules[place].atomic_numbers)
            np.testing.assert_array_equal(x, molecules[place].positions)
        seen += places.tolist()
    assert sorted(seen) == list(range(len(molecules)))


@pytest.mark.parametrize(
    ("kind", "cutoff"), [("molecules", None), ("molecules", 1.2), ("crystals", 3.0), ("mixed", 3.0)]
)
def test_edges_are_those_of_connected_structures(kind, cutoff, request):
    """Bit for bit and in order: a training run gives the same numbers."""
    graphs = request.getfixturevalue(kind)
    connected = ConnectedStructures(graphs, cutoff)
    expected = [connect(graph, cutoff) for graph in graphs]
    chosen = [3, 0, 7, 3]
    for _ in range(2):  # searched for, and kept
        assert_equal(connected.batch(chosen), collate([expected[k] for k in chosen]))
    assert_equal(connected[-2], expected[-2])
    batches = list(connected.batches(8))
    assert sum(batch.n_graphs for batch in batches) == len(graphs)
    assert_equal(batches[-1], collate(expected[8 * (len(batches) - 1) :]))


def test_what_is_not_kept_is_searched_for_again(molecules, monkeypatch):
    monkeypatch.setattr("mlpotential.data.connected_structures.MOST_KEPT", 100)
    connected = ConnectedStructures(molecules, 2.0)
    once = connected.batch(range(8))
    assert len(connected._kept) < 8
    assert_equal(connected.batch(range(8)), once)


def test_no_cutoff_for_crystals(crystals):
    with pytest.raises(StructureError, match="no cutoff, so it cannot be used with periodic"):
        ConnectedStructures(crystals, None)
