"""Descriptors, and points that are far from each other."""

import numpy as np
import pytest
from ase.build import molecule

from md_runs.learning.geometry import bonded_pairs, descriptors, farthest_points


def test_descriptors_see_neither_motion_nor_numbers_of_atoms(ethanol):
    turned = ethanol.copy()
    turned.rotate(40, (1, 2, 3))
    turned.translate((1.0, -2.0, 0.5))
    swapped = turned.positions.copy()
    hydrogens = np.flatnonzero(ethanol.numbers == 1)
    swapped[hydrogens] = swapped[hydrogens[::-1]]
    other = ethanol.positions.copy()
    other[hydrogens[0]] += 0.1
    found = descriptors(np.array([ethanol.positions, swapped, other]), ethanol.numbers)
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    assert abs(found[2] - found[0]).max() > 0.01


def test_far_points_are_new():
    points = np.array([[0.0], [1.0], [1.004], [5.0], [5.0], [2.9]])
    assert farthest_points(points, np.array([[0.0]]), 10) == [3, 5, 2]
    assert farthest_points(points, points, 3) == []
    assert farthest_points(points[:0], points, 3) == []


def test_bonds_are_those_of_the_structure():
    atoms = molecule("CH3CH2OH")
    found = bonded_pairs(atoms.positions, atoms.numbers)
    assert len(found) == 8
    assert (0, 1) in found
