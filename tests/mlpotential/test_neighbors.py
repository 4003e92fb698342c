"""Neighbour lists against ASE's, over every kind of cell."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from ase.neighborlist import neighbor_list, primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, collate, complete_cell
from mlpotential.neighbors import (
    _estimated_pairs,
    all_pairs,
    connect,
    neighbor_pairs,
    split,
)

CUTOFF = 4.0
TIE = 1e-8  # A; a pair as near as this to the cutoff may be in or out

Edges = Counter[tuple[int, ...]]


def edges_of(i: np.ndarray, j: np.ndarray, shifts: np.ndarray, distances: np.ndarray) -> Edges:
    """(i, j, shift, distance in 1e-7 A) of each edge, with its number; without ties."""
    clear = np.abs(distances - CUTOFF) > TIE
    columns = np.column_stack([i, j, np.rint(shifts), np.rint(distances * 1e7)])[clear]
    return Counter(map(tuple, columns.astype(int).tolist()))


def our_edges(graph: AtomGraph) -> Edges:
    """Of a connected graph, after the order of its edges has been checked."""
    edge_index, edge_shift = graph.edge_index, graph.edge_shift
    n_pairs = graph.n_pairs
    assert torch.equal(edge_index[:, n_pairs:], edge_index[:, :n_pairs].flip(0))
    shifts = torch.zeros(edge_index.shape[1], 3, dtype=torch.float64)
    if edge_shift is not None:
        assert torch.equal(edge_shift[n_pairs:], -edge_shift[:n_pairs])
        shifts = edge_shift
    i, j = edge_index
    displacements = graph.positions[j] - graph.positions[i]
    if graph.cell is not None:
        displacements = displacements + shifts @ graph.cell[0]
    half = graph.pair_displacements()
    torch.testing.assert_close(displacements, torch.cat([half, -half]), rtol=0.0, atol=1e-9)
    distances = torch.linalg.vector_norm(displacements, dim=1)
    return edges_of(i.numpy(), j.numpy(), shifts.numpy(), distances.numpy())


def assert_as_ase(atoms: Atoms) -> None:
    ours = our_edges(connect(AtomGraph.from_atoms(atoms), CUTOFF))
    theirs = edges_of(*neighbor_list("ijSd", atoms, CUTOFF))
    assert differences(ours, theirs) == {}


def differences(ours: Edges, theirs: Edges) -> dict[tuple[int, ...], tuple[int, int]]:
    """Edges whose numbers differ; distances may be rounded either way."""
    unlike = (ours - theirs) + (theirs - ours)
    return {
        edge: (ours[edge], theirs[edge])
        for edge in unlike
        if _nearly(ours, edge) != _nearly(theirs, edge)
    }


def _nearly(edges: Edges, edge: tuple[int, ...]) -> int:
    return sum(edges[(*edge[:-1], edge[-1] + step)] for step in (-1, 0, 1))


def rattled(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=1)
    return atoms


def sheared(atoms: Atoms, shear: float) -> Atoms:
    deformation = np.eye(3)
    deformation[1, 0], deformation[2, 0], deformation[2, 1] = shear, -shear, shear
    atoms.set_cell(deformation @ atoms.cell[:])
    return atoms


def left_handed(atoms: Atoms) -> Atoms:
    atoms.set_cell(atoms.cell[[1, 0, 2]])
    return atoms


def far_away(atoms: Atoms, distance: float = 1e6) -> Atoms:
    """Every other atom moved by many cells and by what is no multiple of a cell."""
    n_cells = np.round(distance / np.linalg.norm(atoms.cell, axis=1))
    atoms.positions[::2] += (n_cells * [1, -1, 0]) @ atoms.cell[:]
    atoms.positions += [-17.3, 41.1, 3.9]
    return atoms


def slab_without_vector() -> Atoms:
    """Two periodic directions; the third vector is missing."""
    sheet = graphene(size=(3, 2, 1))
    sheet.pbc = (True, True, False)
    assert not sheet.cell[2].any()
    return sheet


def far_above_a_slanted_slab() -> Atoms:
    slab = slanted_slab()
    slab.positions[8:] += [0.0, 0.0, 3e3]
    return slab


def wire_without_vectors() -> Atoms:
    wire = Atoms("CO", [[0.0, 0.0, 0.0], [0.5, 0.9, 1.1]], cell=np.zeros((3, 3)))
    wire.cell[2] = [0.3, -0.2, 2.7]
    wire.pbc = (False, False, True)
    return wire


def slanted_slab() -> Atoms:
    """A vector of no period that leans over the periodic plane, and atoms beyond its ends."""
    slab = fcc111("Cu", (2, 2, 3), vacuum=5.0)
    slab.cell[2] = [6.0, -4.0, 9.0]
    slab.positions[:4] -= [0.0, 0.0, 30.0]
    return slab


STRUCTURES = {
    "molecule": lambda: molecule("C6H6"),
    "molecule_in_an_ignored_cell": lambda: Atoms(molecule("C6H6"), cell=[3.0, 3.0, 3.0]),
    "one_atom": lambda: Atoms("H"),
    "two_far_atoms": lambda: Atoms("H2", [[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]]),
    "cubic": lambda: bulk("Cu", cubic=True) * (3, 3, 3),
    "tiny": lambda: bulk("C", "diamond", a=3.57),
    "one_atom_in_a_tiny_cell": lambda: bulk("Po", "sc", a=1.1),
    "thin": lambda: Atoms("HO", [[0, 0, 0], [0.2, 4.0, 3.0]], cell=[0.6, 9.0, 11.0], pbc=True),
    "skewed": lambda: sheared(bulk("NaCl", "rocksalt", a=5.64), 0.8),
    "strongly_skewed": lambda: sheared(bulk("Cu", cubic=True), 2.1),
    "left_handed": lambda: left_handed(bulk("C", "diamond", a=3.57)),
    "left_handed_skewed": lambda: left_handed(sheared(bulk("NaCl", "rocksalt", a=5.64), 0.8)),
    "slab": lambda: fcc111("Cu", (2, 2, 3), vacuum=6.0),
    "slab_in_no_vacuum": lambda: fcc111("Cu", (2, 2, 3), vacuum=0.0),
    "slab_without_vector": slab_without_vector,
    "slanted_slab": slanted_slab,
    "far_above_a_slanted_slab": far_above_a_slanted_slab,
    "wire_without_vectors": wire_without_vectors,
    "far_away": lambda: far_away(bulk("NaCl", "rocksalt", a=5.64) * (2, 1, 1)),
    "far_away_skewed": lambda: far_away(sheared(bulk("C", "diamond", a=3.57), 0.8)),
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_as_ase(structure: str) -> None:
    atoms = STRUCTURES[structure]()
    assert_as_ase(atoms)
    assert_as_ase(rattled(atoms))


@pytest.mark.parametrize("pbc", list(np.ndindex(2, 2, 2)))
def test_every_mixture_of_directions(pbc: tuple[int, int, int]) -> None:
    atoms = rattled(sheared(bulk("NaCl", "rocksalt", a=4.2), 0.6))
    atoms.positions += [30.0, -20.0, 3.0]
    atoms.pbc = [bool(direction) for direction in pbc]
    assert_as_ase(atoms)


RANDOM_CELLS = given(
    cell=arrays(float, (3, 3), elements=st.floats(-5.0, 5.0)),
    fractional=arrays(float, (4, 3), elements=st.floats(-3.0, 3.0)),
    pbc=arrays(bool, 3),
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@RANDOM_CELLS
def test_random_cells(cell: np.ndarray, fractional: np.ndarray, pbc: np.ndarray) -> None:
    assert_pairs_as_ase(cell, fractional, pbc)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@RANDOM_CELLS
def test_many_random_cells(cell: np.ndarray, fractional: np.ndarray, pbc: np.ndarray) -> None:
    assert_pairs_as_ase(cell, fractional, pbc)


def assert_pairs_as_ase(cell: np.ndarray, fractional: np.ndarray, pbc: np.ndarray) -> None:
    """`neighbor_pairs` itself, as multisets; cells too thin to be allowed are lifted a little."""
    left, heights, right = np.linalg.svd(cell)
    cell = left @ np.diag(np.maximum(heights, 0.8)) @ right
    positions = fractional @ cell
    pairs, shifts = neighbor_pairs(positions, CUTOFF, cell, pbc)
    distances = np.linalg.norm(positions[pairs[1]] + shifts @ cell - positions[pairs[0]], axis=1)
    forward = edges_of(*pairs, shifts, distances)
    backward = edges_of(*pairs[::-1], -shifts, distances)
    theirs = edges_of(*primitive_neighbor_list("ijSd", pbc, cell, positions, CUTOFF))
    assert differences(forward + backward, theirs) == {}


def test_shifts_are_whole_numbers_and_pairs_are_unique() -> None:
    """A self-image pair (i, i, S) and its reverse (i, i, -S) are one pair."""
    cell = np.eye(3) * 1.5
    pairs, shifts = neighbor_pairs(np.array([[7.1, -3.0, 0.2]]), CUTOFF, cell, np.ones(3, bool))
    np.testing.assert_array_equal(shifts, np.rint(shifts))
    assert pairs.dtype == np.int64
    seen = {tuple(shift) for shift in shifts} | {tuple(-shift) for shift in shifts}
    assert len(seen) == 2 * len(shifts)
    assert (0.0, 0.0, 0.0) not in seen


def test_all_pairs() -> None:
    assert all_pairs(1).shape == (2, 0)
    np.testing.assert_array_equal(all_pairs(3), [[0, 0, 1], [1, 2, 2]])
    graph = connect(AtomGraph.from_atoms(molecule("C6H6")), None)
    assert graph.edge_shift is None
    ordered = {(int(i), int(j)) for i, j in graph.edge_index.T}
    assert ordered == {(i, j) for i in range(12) for j in range(12) if i != j}


def test_no_cutoff_with_periodic_directions() -> None:
    graph = collate(
        [AtomGraph.from_atoms(molecule("CO")), AtomGraph.from_atoms(bulk("Cu", cubic=True))]
    )
    with pytest.raises(StructureError, match="no cutoff, so it cannot be used with periodic"):
        connect(graph, None)


def test_many_structures_are_connected_one_by_one() -> None:
    """A molecule, a crystal and a slab together have the edges that they have alone."""
    atoms = [molecule("CO"), bulk("Cu", cubic=True), slab_without_vector(), Atoms("H")]
    together = connect(collate([AtomGraph.from_atoms(a) for a in atoms]), CUTOFF)
    i, j = together.edge_index
    assert torch.equal(together.graph_index[i], together.graph_index[j])
    half = together.n_pairs
    assert torch.equal(together.edge_index[:, half:], together.edge_index[:, :half].flip(0))
    assert torch.equal(together.edge_shift[half:], -together.edge_shift[:half])
    starts = np.cumsum([0, *(len(a) for a in atoms)])
    distances = torch.linalg.vector_norm(together.pair_displacements(), dim=1).repeat(2)
    for k, single in enumerate(atoms):
        own = together.graph_index[i] == k
        ours = edges_of(
            i[own].numpy() - starts[k],
            j[own].numpy() - starts[k],
            together.edge_shift[own].numpy(),
            distances[own].numpy(),
        )
        assert differences(ours, edges_of(*neighbor_list("ijSd", single, CUTOFF))) == {}


def test_split_undoes_collate_of_connected_graphs() -> None:
    graphs = [AtomGraph.from_atoms(a) for a in (molecule("CO"), bulk("Cu", cubic=True))]
    alone = split(connect(collate(graphs), CUTOFF))
    for before, after in zip(graphs, alone, strict=True):
        assert after.edge_index is None
        assert our_edges(connect(after, CUTOFF)) == our_edges(connect(before, CUTOFF))


def test_distances_keep_their_digits_far_outside_the_cell() -> None:
    """Fault 17."""
    atoms = bulk("NaCl", "rocksalt", a=5.64) * (2, 1, 1)
    near = connect(AtomGraph.from_atoms(atoms), CUTOFF)
    far = connect(AtomGraph.from_atoms(far_away(atoms.copy())), CUTOFF)
    lengths = [np.sort(g.pair_displacements().norm(dim=1).numpy()) for g in (near, far)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("pbc", [(False, False, False), (True, False, False), (True, True, False)])
@pytest.mark.parametrize("distance", [1e4, 1e6, 1e12])
def test_atoms_far_apart_where_nothing_repeats(
    pbc: tuple[bool, bool, bool], distance: float
) -> None:
    """Neither time nor memory for the vacuum between them, and no end of the process."""
    positions = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 0.9, 1.0], [1.0, 0.0, -1.0]])
    positions[1:3, 2] *= distance
    positions[3, 2 if pbc[1] else 1] = -distance
    start = time.process_time()
    pairs, shifts = neighbor_pairs(positions, CUTOFF, np.eye(3) * 9.0, np.array(pbc))
    assert time.process_time() - start < 1.0
    assert [sorted(pair) for pair in pairs.T.tolist()] == [[1, 2]]
    assert not shifts.any()


def test_an_exploded_molecule() -> None:
    """Thirty fragments flying apart: each keeps its own pairs and no others."""
    rng = np.random.default_rng(6)
    centers = np.cumsum(rng.uniform(10.0, 1e5, size=(30, 3)), axis=0)
    rng.shuffle(centers)
    atoms = sum((Atoms("CO", [c, c + np.array([0.0, 0.7, 0.9])]) for c in centers), Atoms())
    graph = connect(AtomGraph.from_atoms(atoms), CUTOFF)
    pairs = {tuple(sorted(pair)) for pair in graph.pair_index.T.tolist()}
    assert pairs == {(2 * k, 2 * k + 1) for k in range(30)}


def test_more_pairs_than_memory_are_refused_before_they_are_searched() -> None:
    """The estimate is in the words; twice too large at most where atoms are spread evenly."""
    atoms = bulk("Si", cubic=True)
    box = atoms.cell.array
    words = r"8 atoms have about 1\.6e\+12 pairs within 10000 A, which need about 3.2e\+05 GB"
    with pytest.raises(StructureError, match=words):
        neighbor_pairs(atoms.positions, 1e4, box, atoms.pbc)
    with pytest.raises(StructureError, match=r"about 5\.0e\+11 pairs without a cutoff"):
        all_pairs(10**6)
    for structure in (atoms * (3, 3, 3), fcc111("Cu", (6, 6, 3), vacuum=4.0), molecule("C60")):
        cell = structure.cell.array if structure.pbc.any() else None
        arguments = (structure.positions, 5.0, cell, structure.pbc)
        n_pairs = len(neighbor_pairs(*arguments)[0].T)
        assert 0.9 * n_pairs < _estimated_pairs(*arguments) < 3.0 * n_pairs


def test_missing_vectors_are_unit_normals() -> None:
    cell = complete_cell(np.array([[3.0, 0, 0], [0, 0, 0], [0, 0, 4.0]]), np.array([1, 0, 1], bool))
    np.testing.assert_allclose(np.abs(cell), np.diag([3.0, 1.0, 4.0]), atol=1e-13)


def test_strongly_skewed_cell_equals_its_reduced_form():
    """Rows of a sheared cube: the same lattice, the same distances."""
    cube = 3.61 * np.eye(3)
    sheared = np.array([[1, 0, 0], [4, 1, 0], [-11, 4, 1]]) @ cube
    positions = np.array([[0.1, 0.2, 0.3], [1.9, 1.7, 2.0]])
    distances = []
    for cell in (cube, sheared):
        pairs, shifts = neighbor_pairs(positions, 5.0, cell, np.ones(3, bool))
        vectors = positions[pairs[1]] + shifts @ cell - positions[pairs[0]]
        distances.append(np.sort(np.linalg.norm(vectors, axis=1)))
    assert len(distances[0]) == 14
    np.testing.assert_allclose(distances[1], distances[0], atol=1e-10)


def test_wide_thin_cell():
    """Very many search boxes of very unequal number, where vesin's cell list ends the process."""
    positions, cell = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 1.0]]), np.diag([3.0, 1700.0, 1700.0])
    with pytest.warns(UserWarning, match="slower neighbour list of ASE"):
        pairs, shifts = neighbor_pairs(positions, 5.0, cell, np.ones(3, bool))
    vectors = positions[pairs[1]] + shifts @ cell - positions[pairs[0]]
    expected = neighbor_list("d", Atoms("H2", positions, cell=cell, pbc=True), 5.0)
    assert len(expected) == 2 * pairs.shape[1]
    found = np.repeat(np.linalg.norm(vectors, axis=1), 2)
    np.testing.assert_allclose(np.sort(found), np.sort(expected))
