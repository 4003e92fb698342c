"""Checks of ASE calculators: one periodic structure, described in many ways.

Structures are compared with larger, equivalent ones, so the interaction must be short-ranged.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atoms

from mlpotential.testing.answers import FLOAT64, Accuracy, CalculatorFactory, answer, assert_same

VACUUM = 40.0  # A; chosen: twice the range of a network with 4 interactions and a cutoff of 5 A


def check_descriptions_of_the_cell(
    factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64
) -> None:
    """One crystal in a skewed and in a left-handed cell has the same energy, forces and stress."""
    expected = answer(factory(), atoms)
    periodic = np.flatnonzero(atoms.pbc)
    skew = np.eye(3)
    for i, j in zip(periodic[1:], periodic[:-1], strict=True):
        skew[i, j] = 2.0
    skewed = atoms.copy()
    skewed.set_cell(skew @ atoms.cell[:])
    assert_same(answer(factory(), skewed), expected, accuracy, "in a skewed cell")
    mirrored = atoms.copy()
    mirrored.set_cell(atoms.cell[:][[1, 0, 2]])
    mirrored.pbc = atoms.pbc[[1, 0, 2]]
    assert_same(answer(factory(), mirrored), expected, accuracy, "with two vectors exchanged")


def check_atoms_outside_the_cell(
    factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64
) -> None:
    """Atoms may be cells away from each other, and all of them a million A from the cell."""
    expected = answer(factory(), atoms)
    random = np.random.default_rng(0)
    scattered = atoms.copy()
    cells_away = random.integers(-3, 4, (len(atoms), 3)) * atoms.pbc
    scattered.positions += cells_away @ atoms.cell[:]
    assert_same(answer(factory(), scattered), expected, accuracy, "scattered over cells")
    first = int(np.flatnonzero(atoms.pbc)[0])
    far = atoms.copy()
    far.positions += round(1e6 / atoms.cell.lengths()[first]) * atoms.cell[:][first]
    coarse = replace(accuracy, energy=max(accuracy.energy, 1e-6), same=max(accuracy.same, 1e-4))
    assert_same(answer(factory(), far), expected, coarse, "a million A away")


def check_supercell(factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64) -> None:
    """Repeated along each periodic direction: the energy multiplies, forces and stress repeat."""
    expected = answer(factory(), atoms)
    for axis in np.flatnonzero(atoms.pbc):
        repeats = [1, 1, 1]
        repeats[axis] = 2
        doubled = answer(factory(), atoms.repeat(repeats))
        for half in np.split(doubled["forces"], 2):
            one = {**doubled, "energy": doubled["energy"] / 2.0, "forces": half}
            assert_same(one, expected, accuracy, f"repeated along vector {axis}")


def check_open_directions(
    factory: CalculatorFactory, atoms: Atoms, accuracy: Accuracy = FLOAT64
) -> None:
    """A slab, a wire, a molecule: as with periodic images far away, whatever their cell is."""
    names = ("energy", "forces")
    for n_periodic in range(np.count_nonzero(atoms.pbc)):
        opened = atoms.copy()
        opened.pbc[np.flatnonzero(atoms.pbc)[n_periodic:]] = False
        is_open = ~opened.pbc
        isolated = opened.copy()
        isolated.center(VACUUM, np.flatnonzero(is_open).tolist())
        isolated.pbc = atoms.pbc
        longer = opened.copy()
        longer.set_cell(np.where(is_open[:, None], 3.0, 1.0) * opened.cell[:])
        expected = answer(factory(), opened, names)
        for description, other in (("images far away", isolated), ("a longer cell", longer)):
            what = f"pbc {opened.pbc.tolist()} and {description}"
            assert_same(answer(factory(), other, names), expected, accuracy, what)
