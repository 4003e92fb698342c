"""The compiled cell list against sorted pairs of another search."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from mlpotential.cell_list import half_list as module
from mlpotential.cell_list import library
from mlpotential.cell_list.half_list import HalfList, by_sorting, half_list
from mlpotential.graph import complete_cell
from mlpotential.neighbors import neighbor_pairs

RADIUS = 3.1
CHAIN = [[0.0, 0.0, 1.4 * k] for k in range(12)]
CORNERS = [[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [-1e-17, 10.0, 10.0], [10.0, 10.0, 9.9]]

pytestmark = pytest.mark.skipif(library.library() is None, reason="there is no compiled cell list")


def rattled(atoms: Atoms) -> Atoms:
    atoms.rattle(0.1, seed=1)
    return atoms


def crystal() -> Atoms:
    return rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat((2, 3, 4)))


def scattered(atoms: Atoms, n_cells: int) -> Atoms:
    n = np.random.default_rng(3).integers(-n_cells, n_cells, size=(len(atoms), 3))
    atoms.positions += n @ atoms.cell[:]
    return atoms


def slanted() -> Atoms:
    atoms = crystal()
    atoms.set_cell(atoms.cell[:] @ [[1.0, 0.2, 0.0], [0.0, 1.0, 0.0], [0.1, -0.3, 1.0]], True)
    return atoms


def gas(n_atoms: int, edge: float, pbc: bool) -> Atoms:
    places = edge * np.random.default_rng(2).random((n_atoms, 3))
    return Atoms("H" * n_atoms, places, cell=edge * np.eye(3), pbc=pbc)


def left_handed() -> Atoms:
    atoms = crystal()
    atoms.set_cell(atoms.cell[:][[1, 0, 2]])
    return atoms


STRUCTURES = {
    "crystal": crystal,
    "atoms_in_other_cells": lambda: scattered(crystal(), 3),
    "two_boxes": lambda: rattled(bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat((1, 3, 3))),
    "primitive_cell": lambda: rattled(bulk("C", "diamond", a=3.57)),
    "one_atom": lambda: bulk("Po", "sc", a=1.3),
    "one_atom_elsewhere": lambda: scattered(bulk("Po", "sc", a=1.3), 9),
    "slanted": slanted,
    "left_handed": left_handed,
    "slab": lambda: rattled(fcc111("Al", (5, 5, 3), vacuum=6.0)),
    "slab_without_vacuum": lambda: rattled(fcc111("Al", (5, 5, 3))),
    "chain": lambda: rattled(Atoms("C12", CHAIN, cell=[0, 0, 16.8], pbc=[0, 0, 1])),
    "cluster": lambda: Atoms("Cu256", rattled(bulk("Cu", cubic=True).repeat(4)).positions),
    "molecule": lambda: molecule("C60"),
    "plane": lambda: Atoms("C" * 9, [[x, y, 0.0] for x in range(3) for y in range(3)]),
    "dilute_gas": lambda: gas(300, 90.0, True),
    "gas_without_cell": lambda: gas(300, 20.0, False),
    "parts_far_apart": lambda: molecule("C60") + Atoms("C60", molecule("C60").positions + 1e5),
    "one_atom_in_a_large_cell": lambda: gas(1, 20.0, True),
    "corner_atoms": lambda: Atoms("He4", CORNERS, cell=10.0 * np.eye(3), pbc=True),
}


def arrays_of(name: str) -> tuple[np.ndarray, float, np.ndarray | None, np.ndarray]:
    atoms = STRUCTURES[name]()
    cell = complete_cell(np.asarray(atoms.cell), atoms.pbc) if atoms.pbc.any() else None
    return atoms.positions, RADIUS, cell, atoms.pbc


def assert_same(found: HalfList, expected: HalfList) -> None:
    for name in ("row_start", "neighbors", "shift_index", "shifts"):
        made, known = getattr(found, name), getattr(expected, name)
        assert made.dtype == known.dtype, name
        np.testing.assert_array_equal(made, known, err_msg=name)
        assert made.flags.c_contiguous
    assert not np.signbit(found.shifts[found.shifts == 0.0]).any()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", STRUCTURES)
def test_as_by_sorting(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pairs in the same order, and really by the compiled search."""
    arrays = arrays_of(name)
    expected = by_sorting(*neighbor_pairs(*arrays), n_atoms=len(arrays[0]))
    monkeypatch.setattr(module, "neighbor_pairs", None)
    monkeypatch.setattr(module, "ATOMS_OF_A_THREAD", 1)
    assert_same(half_list(*arrays, threads=threads), expected)


FALLING_BACK = {
    "skewed": lambda: Atoms("H", cell=[[20, 0, 0], [200, 20, 0], [0, 0, 20]], pbc=True),
    "atoms_very_far_away": lambda: scattered(crystal(), 100_000),
}


@pytest.mark.parametrize("name", FALLING_BACK)
def test_other_cells(name: str) -> None:
    """Where boxes are no good."""
    atoms = FALLING_BACK[name]()
    cell = np.asarray(atoms.cell)
    assert module._boxes(atoms.positions, RADIUS, cell, atoms.pbc) is None
    found = half_list(atoms.positions, RADIUS, cell, atoms.pbc)
    pairs, _ = neighbor_pairs(atoms.positions, RADIUS, cell, atoms.pbc)
    assert found.row_start[-1] == pairs.shape[1] == found.pairs.shape[1]


def test_without_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same list, made more slowly."""
    arrays = arrays_of("crystal")
    expected = half_list(*arrays)
    monkeypatch.setattr(library, "library", lambda: None)
    assert_same(half_list(*arrays), expected)
    assert len(expected.neighbors) > 100
