"""Structures that are one for a model are found, whatever moved them; others are not."""

from __future__ import annotations

import numpy as np
import pytest

from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.same_structures import first_occurrences
from mlpotential.data.splits import check_no_overlap
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph

RANDOM = np.random.default_rng(12)
TURN = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]


def moved(graph: AtomGraph, positions: np.ndarray, order: np.ndarray | None = None) -> AtomGraph:
    order = np.arange(graph.n_atoms) if order is None else order
    cell = None if graph.cell is None else graph.cell[0].numpy()
    numbers = graph.atomic_numbers.numpy()[order]
    return AtomGraph.from_arrays(numbers, positions[order], cell, graph.pbc[0].numpy())


def test_moved_turned_and_reordered_molecules(molecules):
    for k, molecule in enumerate(molecules[:6]):
        x = molecule.positions.numpy()
        order = RANDOM.permutation(len(x))
        for twin in (
            moved(molecule, x + 7.5),
            moved(molecule, x @ TURN),
            moved(molecule, x @ np.diag([1.0, 1.0, -1.0])),
            moved(molecule, x, order),
            moved(molecule, np.round(x @ TURN + 1.0, 7), order),
        ):
            assert first_occurrences([*molecules, twin])[-1] == k


def test_crystals_by_other_images(crystals):
    for k, crystal in enumerate(crystals[:6]):
        x, cell = crystal.positions.numpy(), crystal.cell[0].numpy()
        images = RANDOM.integers(-3, 4, size=x.shape) @ cell
        for twin in (
            moved(crystal, x + images),
            moved(crystal, x + np.array([0.3, 0.2, 0.1])),
            moved(crystal, np.round(x + images + 1.0, 7), RANDOM.permutation(len(x))),
        ):
            assert first_occurrences([*crystals, twin])[-1] == k
        turned = AtomGraph.from_arrays(
            crystal.atomic_numbers.numpy(), (x + images) @ TURN, cell @ TURN, True
        )
        assert first_occurrences([*crystals, turned])[-1] == k


def test_slabs_repeat_along_their_periodic_directions_alone():
    cell, pbc = np.diag([3.0, 4.0, 20.0]), (True, True, False)
    x = RANDOM.normal(size=(5, 3)) + 5.0

    def slab(shift: list[float]) -> AtomGraph:
        places = x.copy()
        places[0] += shift
        return AtomGraph.from_arrays([13] * 5, places, cell, pbc)

    slabs = [slab([0, 0, 0]), slab([3.0, -8.0, 0.0]), slab([0.0, 0.0, 20.0])]
    assert first_occurrences(slabs).tolist() == [0, 0, 2]


def test_steps_of_finite_differences_are_different(molecules, crystals):
    """Of 1e-4 A; so are other elements, cells and periodicities."""
    for graph in (molecules[2], crystals[0]):
        x = graph.positions.numpy()
        others = [graph]
        for atom in range(graph.n_atoms):
            for axis in range(3):
                step = np.zeros_like(x)
                step[atom, axis] = 1e-4
                others.append(moved(graph, x + step))
        assert first_occurrences(others).tolist() == list(range(len(others)))
    x, cell = crystals[0].positions.numpy(), crystals[0].cell[0].numpy()
    variants = [
        AtomGraph.from_arrays([29] * 4, x, cell, True),
        AtomGraph.from_arrays([47] * 4, x, cell, True),
        AtomGraph.from_arrays([29] * 4, x, cell, (True, True, False)),
        AtomGraph.from_arrays([29] * 4, x, 1.0001 * cell, True),
        AtomGraph.from_arrays([29] * 4, x),
    ]
    assert first_occurrences(variants).tolist() == list(range(5))


def test_many_copies(molecules):
    graphs = molecules * 10
    assert first_occurrences(graphs).tolist() == list(range(60)) * 10


def test_the_message_names_frames_of_the_file(molecules):
    data = ReferenceData((*molecules, molecules[10]), "set.xyz")
    train, held_out = data.select([4, 10, 20]), data.select([30, 60])
    message = (
        "1 of 2 held-out structures are also in the training set; the first is frame 60 of set.xyz,"
        " which is frame 10 of set.xyz"
    )
    with pytest.raises(DataError, match=message):
        check_no_overlap(train, held_out)


def test_images_across_sets_are_refused(crystals):
    twin = moved(crystals[3], crystals[3].positions.numpy() + crystals[3].cell[0].numpy()[1])
    train, held_out = ReferenceData(tuple(crystals), "a"), ReferenceData((twin,), "b")
    with pytest.raises(DataError, match="frame 0 of b, which is frame 3 of a"):
        check_no_overlap(train, held_out)


def test_equal_structures_among_many_that_are_near(molecules):
    """Invariants within the window bring candidates together, which positions keep apart."""
    x = molecules[0].positions.numpy()
    steps = 1e-5 * np.arange(40)[:, None, None] * RANDOM.normal(size=(40, *x.shape))
    graphs = [moved(molecules[0], x + step) for step in steps]
    twins = [moved(graph, graph.positions.numpy() @ TURN) for graph in graphs[::3]]
    first = first_occurrences([*graphs, *twins])
    np.testing.assert_array_equal(first[40:], range(0, 40, 3))
    np.testing.assert_array_equal(first[:40], range(40))


def test_one_structure_again_and_again(molecules):
    first = first_occurrences([molecules[0]] * 300 + [molecules[3]] * 300)
    np.testing.assert_array_equal(first, [0] * 300 + [300] * 300)
