"""Verlet lists against all images of all atoms, while atoms and cells move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlpotential.cell_list import half_list
from mlpotential.graph import complete_cell
from mlpotential.verlet_list import VerletList

CUTOFF = 3.0
SKIN = 0.5
TIE = 1e-8  # A; a pair as near as this to the cutoff may be in or out
NO_PERIOD = np.zeros(3, bool)

Cell = np.ndarray | None
Found = set[tuple[int, ...]]


def brute_force(positions: np.ndarray, cell: Cell, pbc: np.ndarray, radius: float) -> Found:
    """(i, j, shift) of every ordered pair nearer than the radius, from all images in reach."""
    lattice = np.eye(3) if cell is None else cell
    wraps = np.where(pbc, -np.floor(positions @ np.linalg.inv(lattice)), 0.0)
    wrapped = positions + wraps @ lattice
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(lattice), axis=0)) + 1.0
    n_images = np.where(pbc, reach, 0.0).astype(int)
    images = np.stack(np.meshgrid(*(np.arange(-n, n + 1.0) for n in n_images), indexing="ij"), -1)
    images = images.reshape(-1, 3)
    vectors = wrapped[None, :, None] - wrapped[:, None, None] + images @ lattice
    near = np.linalg.norm(vectors, axis=-1) < radius
    i, j, k = np.nonzero(near)
    shifts = images[k] + wraps[j] - wraps[i]
    edges = np.column_stack([i, j, shifts]).astype(int)
    return {tuple(e) for e in edges.tolist() if e[0] != e[1] or any(e[2:])}


def both_ways(pairs: np.ndarray, shifts: np.ndarray) -> Found:
    """(i, j, shift) of every ordered pair, after each unordered one was found to be there once."""
    forward = np.column_stack([*pairs, shifts]).astype(int)
    backward = np.column_stack([*pairs[::-1], -shifts]).astype(int)
    edges = {tuple(edge) for edge in np.concatenate([forward, backward]).tolist()}
    assert len(edges) == 2 * len(forward)
    return edges


def assert_as_brute_force(made: VerletList, positions: np.ndarray, cell: Cell) -> None:
    found = both_ways(*made.within_cutoff(positions, cell))
    assert brute_force(positions, cell, made.pbc, CUTOFF - TIE) <= found
    assert found <= brute_force(positions, cell, made.pbc, CUTOFF + TIE)


def assert_without_history(made: VerletList, positions: np.ndarray, cell: Cell) -> None:
    """A list of any age gives, bit for bit, what a new one gives."""
    new = VerletList(CUTOFF, made.pbc, SKIN)
    for old, expected in zip(
        made.within_cutoff(positions, cell), new.within_cutoff(positions, cell), strict=True
    ):
        assert old.dtype == expected.dtype
        np.testing.assert_array_equal(old, expected)
        np.testing.assert_array_equal(np.signbit(old), np.signbit(expected))


def sheared(atoms: Atoms, shear: float) -> Atoms:
    deformation = np.eye(3)
    deformation[1, 0], deformation[2, 0], deformation[2, 1] = shear, -shear, shear
    atoms.set_cell(deformation @ atoms.cell[:])
    return atoms


def scattered(atoms: Atoms, n_cells: float) -> Atoms:
    """Each atom in another cell, many cells away."""
    n = np.random.default_rng(3).integers(-n_cells, n_cells, size=(len(atoms), 3))
    atoms.positions += n @ atoms.cell[:]
    return atoms


def slanted_slab() -> Atoms:
    slab = fcc111("Al", (2, 1, 2), vacuum=4.0)
    slab.cell[2] = [4.0, -3.0, 9.0]
    slab.positions[:2] -= [0.0, 0.0, 20.0]
    return slab


STRUCTURES = {
    "molecule": lambda: molecule("C6H6"),
    "two_molecules_apart": lambda: Atoms("COCO", [[0, 0, 0], [0, 0, 1.1], [9, 9, 9], [9, 9, 8.0]]),
    "one_atom": lambda: Atoms("H"),
    "one_atom_in_a_tiny_cell": lambda: bulk("Po", "sc", a=1.3),
    "bulk": lambda: bulk("NaCl", "rocksalt", a=5.64, cubic=True),
    "smaller_than_the_cutoff": lambda: bulk("C", "diamond", a=3.57),
    "skewed": lambda: sheared(bulk("NaCl", "rocksalt", a=5.64), 0.8),
    "strongly_skewed": lambda: sheared(bulk("Cu", cubic=True), 2.1),
    "slab": lambda: fcc111("Al", (2, 1, 2), vacuum=4.0),
    "slab_without_vector": lambda: graphene(size=(2, 2, 1)),
    "slanted_slab": slanted_slab,
    "wire": lambda: Atoms("CO", [[0, 0, 0], [0.5, 0.9, 1.1]], cell=[9, 9, 2.7], pbc=[0, 0, 1]),
    "unwrapped": lambda: scattered(bulk("NaCl", "rocksalt", a=5.64, cubic=True), 3),
    "unwrapped_far_and_skewed": lambda: scattered(sheared(bulk("C", "diamond", a=3.6), 0.8), 1e6),
}


def arrays_of(structure: str) -> tuple[np.ndarray, Cell, np.ndarray]:
    atoms = STRUCTURES[structure]()
    cell = complete_cell(np.asarray(atoms.cell), atoms.pbc) if atoms.pbc.any() else None
    return atoms.positions, cell, atoms.pbc


@pytest.mark.parametrize("structure", STRUCTURES)
def test_random_walk(structure: str) -> None:
    """The list is remade now and then, and nothing is ever missing."""
    positions, cell, pbc = arrays_of(structure)
    made, rng = VerletList(CUTOFF, pbc, SKIN), np.random.default_rng(1)
    for _ in range(80):
        positions = positions + rng.normal(scale=0.04, size=positions.shape)
        assert_as_brute_force(made, positions, cell)
        assert_without_history(made, positions, cell)
    assert 3 <= made.n_builds <= 40


@pytest.mark.parametrize("atoms_follow", [True, False])
@pytest.mark.parametrize("structure", [s for s in STRUCTURES if arrays_of(s)[1] is not None])
def test_random_walk_of_the_cell(structure: str, atoms_follow: bool) -> None:
    """Strain and shear to and fro up to 20 %, whether the atoms go along or stay."""
    positions, cell, pbc = arrays_of(structure)
    made, rng = VerletList(CUTOFF, pbc, SKIN), np.random.default_rng(2)
    waves = np.sin(2.0 * np.pi * np.outer(np.arange(60) / 60.0, [1.0, 2.0, 3.0]))
    strains = np.tensordot(waves, rng.normal(size=(3, 3, 3)), 1)
    for strain in 0.2 * strains / np.abs(strains).max():
        deformation = np.eye(3) + strain
        moved = positions @ deformation if atoms_follow else positions
        moved = moved + rng.normal(scale=0.01, size=positions.shape)
        assert_as_brute_force(made, moved, cell @ deformation)
        assert_without_history(made, moved, cell @ deformation)
    if atoms_follow:
        assert 2 <= made.n_builds <= 30


RANDOM_GEOMETRIES = given(
    cell=arrays(float, (3, 3), elements=st.floats(-5.0, 5.0)),
    fractional=arrays(float, (3, 3), elements=st.floats(-3.0, 3.0)),
    strain=arrays(float, (3, 3), elements=st.floats(-0.2, 0.2)),
    step=arrays(float, (3, 3), elements=st.floats(-0.2, 0.2)),
    pbc=arrays(bool, 3),
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@RANDOM_GEOMETRIES
def test_from_any_geometry_to_any_other_nearby(**geometry: np.ndarray) -> None:
    assert_found_on_the_way(**geometry)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@RANDOM_GEOMETRIES
def test_from_many_geometries_to_others_nearby(**geometry: np.ndarray) -> None:
    assert_found_on_the_way(**geometry)


def assert_found_on_the_way(
    cell: np.ndarray, fractional: np.ndarray, strain: np.ndarray, step: np.ndarray, pbc: np.ndarray
) -> None:
    left, heights, right = np.linalg.svd(cell)
    cell = left @ np.diag(np.maximum(heights, 1.0)) @ right
    made = VerletList(CUTOFF, pbc, SKIN)
    assert_as_brute_force(made, fractional @ cell, cell)
    for size in (0.05, 0.3, 1.0):
        strained = cell @ (np.eye(3) + size * strain)
        positions = fractional @ strained + size * step
        assert_as_brute_force(made, positions, strained)
        assert_without_history(made, positions, strained)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_order_and_types(structure: str) -> None:
    positions, cell, pbc = arrays_of(structure)
    made = VerletList(CUTOFF, pbc, SKIN)
    assert made.update(positions, cell)
    assert made.half.pairs.dtype == made.half.shift_index.dtype == np.int32
    assert made.half.row_start.dtype == np.int64
    assert made.half.shifts.dtype == np.float64
    assert made.half.pairs.flags.c_contiguous
    assert made.half.shifts.flags.c_contiguous
    shifts = made.half.shifts[made.half.shift_index]
    assert both_ways(made.half.pairs, shifts) == brute_force(
        positions, cell, pbc, CUTOFF + SKIN + TIE
    )
    edges = np.column_stack([*made.half.pairs, shifts]).tolist()
    assert edges == sorted(edges)
    for i, j, *shift in edges:
        assert i < j or (i == j and shift > [0.0, 0.0, 0.0])
    distinct = made.half.shifts.tolist()
    assert distinct == sorted(distinct)
    assert {tuple(s) for s in distinct} == {tuple(s) for s in shifts.tolist()}
    assert len(made.half.row_start) == len(positions) + 1
    for atom in range(len(positions)):
        own = slice(made.half.row_start[atom], made.half.row_start[atom + 1])
        np.testing.assert_array_equal(np.flatnonzero(made.half.pairs[0] == atom), np.r_[own])


@pytest.mark.parametrize("structure", STRUCTURES)
def test_shifts_too_many_for_a_table(structure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Distinct shifts by table or by sorting are the same."""
    positions, cell, pbc = arrays_of(structure)
    one, other = VerletList(CUTOFF, pbc, SKIN), VerletList(CUTOFF, pbc, SKIN)
    one.update(positions, cell)
    monkeypatch.setattr(half_list, "MOST_CODES", 0)
    other.update(positions, cell)
    np.testing.assert_array_equal(one.half.shifts, other.half.shifts)
    np.testing.assert_array_equal(np.signbit(one.half.shifts), np.signbit(other.half.shifts))
    np.testing.assert_array_equal(one.half.shift_index, other.half.shift_index)
    np.testing.assert_array_equal(one.half.pairs, other.half.pairs)


def test_translations_depend_on_their_own_shift_alone() -> None:
    """To the last bit, in lists of one shift or of many."""
    positions, cell, pbc = arrays_of("unwrapped_far_and_skewed")
    made = VerletList(CUTOFF, pbc, SKIN)
    made.update(positions, cell)
    shifts, translations = made.half.shifts, made.translations(cell)
    assert len(shifts) > 20
    far = np.abs(translations).max()  # 4e6 A
    np.testing.assert_allclose(translations, shifts @ cell, rtol=0.0, atol=1e-13 * far)
    for n in (1, 2, 7, len(shifts)):
        made.half = replace(made.half, shifts=shifts[-n:])
        some = made.translations(cell)
        assert some.flags.c_contiguous
        np.testing.assert_array_equal(some, translations[-n:])


def test_empty_list() -> None:
    made = VerletList(CUTOFF, NO_PERIOD, SKIN)
    pairs, shifts = made.within_cutoff(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 8.0]]), None)
    assert pairs.shape == (2, 0)
    assert shifts.shape == (0, 3)
    np.testing.assert_array_equal(made.half.row_start, [0, 0, 0])


def test_not_remade_when_nothing_moves() -> None:
    positions, cell, pbc = arrays_of("bulk")
    made = VerletList(CUTOFF, pbc, skin=0.0)
    assert [made.update(positions.copy(), cell.copy()) for _ in range(3)] == [True, False, False]
    assert made.n_builds == 1


@pytest.mark.parametrize("cell", [None, 20.0 * np.eye(3)])
def test_remade_when_two_atoms_have_approached_by_the_skin(cell: Cell) -> None:
    """Each by half the skin: the pair was not in the list, and is within the cutoff only beyond."""
    start = np.array([[0.0, 0.0, 0.0], [CUTOFF + SKIN + 1e-4, 0.0, 0.0]])
    made = VerletList(CUTOFF, np.full(3, cell is not None), SKIN)
    made.update(start, cell)
    assert made.half.pairs.shape == (2, 0)
    towards = np.array([[0.5 * SKIN, 0.0, 0.0], [-0.5 * SKIN, 0.0, 0.0]])
    assert not made.update(start + towards * (1.0 - 1e-9), cell)
    assert made.update(start + towards * (1.0 + 1e-9), cell)
    pairs, _ = made.within_cutoff(start + towards * 1.001, cell)
    np.testing.assert_array_equal(pairs, [[0], [1]])


def test_remade_when_the_cell_has_shrunk_by_the_skin() -> None:
    """Without atoms that move beside the cell: along one axis alone, as it is the worst."""
    positions, cell, pbc = arrays_of("bulk")
    for axis in range(3):
        shrink = np.ones(3)
        shrink[axis] = CUTOFF / (CUTOFF + SKIN)
        for factor, remade in ((1.0 + 1e-9, False), (1.0 - 1e-9, True)):
            made = VerletList(CUTOFF, pbc, SKIN)
            made.update(positions, cell)
            assert made.update(positions * shrink * factor, cell * shrink * factor) == remade


def test_shrinking_takes_its_part_of_the_skin() -> None:
    """(cutoff + 2 |u|) sigma = cutoff + skin, sigma = 1.1: atoms may move by 0.0909 A."""
    positions, cell, pbc = arrays_of("bulk")
    farthest = 0.5 * ((CUTOFF + SKIN) / 1.1 - CUTOFF)
    assert farthest == pytest.approx(0.0909, abs=1e-4)
    for factor, remade in ((1.0 - 1e-9, False), (1.0 + 1e-9, True)):
        made = VerletList(CUTOFF, pbc, SKIN)
        made.update(positions, cell)
        moved = positions / 1.1
        moved[3, 1] += factor * farthest
        assert made.update(moved, cell / 1.1) == remade


def test_not_remade_when_all_turns_or_grows() -> None:
    positions, cell, pbc = arrays_of("skewed")
    made = VerletList(CUTOFF, pbc, SKIN)
    made.update(positions, cell)
    rotation = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    for change in (rotation, 1.2 * np.eye(3), np.diag([1.0, 1.3, 1.1])):
        assert not made.update(positions @ change, cell @ change)
        assert_as_brute_force(made, positions @ change, cell @ change)


def test_atoms_wrapped_by_the_user() -> None:
    """A jump by lattice vectors remakes the list once; shifts are those of the new positions."""
    atoms = scattered(bulk("NaCl", "rocksalt", a=5.64, cubic=True), 2)
    made, cell = VerletList(CUTOFF, atoms.pbc, SKIN), atoms.cell[:]
    before = made.within_cutoff(atoms.positions, cell)
    atoms.wrap()
    assert made.update(atoms.positions, cell)
    assert_as_brute_force(made, atoms.positions, cell)
    after = made.within_cutoff(atoms.positions, cell)
    assert made.n_builds == 2
    np.testing.assert_array_equal(before[0].sum(), after[0].sum())
    assert np.abs(before[1]).max() > np.abs(after[1]).max()


def test_positions_changed_in_place() -> None:
    positions, cell, pbc = arrays_of("bulk")
    positions, cell = positions.copy(), cell.copy()
    made = VerletList(CUTOFF, pbc, SKIN)
    made.update(positions, cell)
    positions[0] += SKIN
    assert made.update(positions, cell)
    cell *= 0.8
    assert made.update(positions, cell)


def test_other_atoms() -> None:
    """One atom, whose row would fit any number of others."""
    made = VerletList(CUTOFF, NO_PERIOD, SKIN)
    made.update(np.zeros((1, 3)), None)
    assert made.update(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]]), None)
    assert made.half.pairs.tolist() == [[0], [1]]


def repulsion(positions: np.ndarray, cell: np.ndarray, made: VerletList) -> np.ndarray:
    """Forces of sum (1 - r / cutoff)^2, [n_atoms, 3], added up in the order of the pairs."""
    (i, j), shifts = made.within_cutoff(positions, cell)
    vectors = positions[j] - positions[i] + (shifts[:, :, None] * cell).sum(axis=1)
    r = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    pushes = 2.0 * (1.0 - r / CUTOFF) / CUTOFF * vectors / r
    forces = np.zeros_like(positions)
    np.add.at(forces, j, pushes)
    np.subtract.at(forces, i, pushes)
    return forces


def test_resumed_dynamics_equal_uninterrupted_ones() -> None:
    """Bit for bit, from wherever it is resumed: the age of the list leaves no trace."""
    positions, cell, pbc = arrays_of("unwrapped")
    rng = np.random.default_rng(5)
    made, states = VerletList(CUTOFF, pbc, SKIN), []
    velocities = rng.normal(size=positions.shape)
    for _ in range(60):
        velocities = velocities + 0.05 * repulsion(positions, cell, made)
        positions = positions + 0.05 * velocities
        states.append((positions, velocities))
    assert 4 < made.n_builds < 40
    for start in range(0, 59, 7):
        resumed = VerletList(CUTOFF, pbc, SKIN)
        positions, velocities = states[start]
        for _ in range(start, 59):
            velocities = velocities + 0.05 * repulsion(positions, cell, resumed)
            positions = positions + 0.05 * velocities
        np.testing.assert_array_equal(positions, states[-1][0])
        np.testing.assert_array_equal(velocities, states[-1][1])
