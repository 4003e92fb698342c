"""Planes through molecules and crystals."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mlpotential.errors import ConfigError
from mlpotential.interpretation.fields.maps import atoms_near, grid_of_cut
from mlpotential.interpretation.fields.planes import plane_of_words

WORDS = ("atoms=0,1,7", "normal=0,1,0.5", "best")


@pytest.mark.parametrize("words", WORDS)
def test_axes_are_orthogonal_and_the_grid_lies_in_the_plane(words, ethanol):
    plane = plane_of_words(words, ethanol)
    frame = np.vstack([plane.axes, plane.normal])
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)
    grid = grid_of_cut(plane, ethanol, 0.2, None)
    u, v, height = plane.coordinates(grid.points).T
    np.testing.assert_allclose(height, 0.0, atol=1e-12)
    np.testing.assert_allclose(u.reshape(len(grid.v), -1)[3], grid.u, atol=1e-12)
    np.testing.assert_allclose(v.reshape(len(grid.v), -1)[:, 3], grid.v, atol=1e-12)
    inside = plane.coordinates(ethanol.positions)
    for axis, ends in enumerate((grid.u, grid.v)):
        assert ends[0] < inside[:, axis].min() - 2.4
        assert ends[-1] > inside[:, axis].max() + 2.4


def test_the_plane_of_atoms_holds_them(ethanol):
    plane = plane_of_words("atoms=2,0,5", ethanol)
    heights = plane.coordinates(ethanol.positions)[:, 2]
    np.testing.assert_allclose(heights[[2, 0, 5]], 0.0, atol=1e-12)
    assert np.abs(heights).max() > 0.5


def test_the_best_plane_is_that_of_the_ring():
    benzene = molecule("C6H6")
    benzene.rotate(40, (1, 2, 3))
    plane = plane_of_words("best", benzene)
    np.testing.assert_allclose(plane.coordinates(benzene.positions)[:, 2], 0.0, atol=1e-4)
    propane = molecule("C3H8")  # the plane of its carbon atoms
    heights = plane_of_words("best", propane).coordinates(propane.positions)[:, 2]
    np.testing.assert_allclose(heights[propane.numbers == 6], 0.0, atol=1e-12)


def test_lattice_planes():
    """(1 1 0) of the cubic cell holds [1 -1 0] and [0 0 1], and goes through an atom."""
    diamond = bulk("C", cubic=True)
    plane = plane_of_words("lattice=1,1,0", diamond)
    for vector in ([1, -1, 0], [0, 0, 1]):
        assert abs(plane.normal @ np.array(vector)) < 1e-12
    assert np.abs(plane.normal @ [1, 1, 0]) == pytest.approx(2**0.5)
    near = atoms_near(grid_of_cut(plane, diamond, 0.5, 8.0), diamond)
    in_plane = near.positions[np.abs(near.positions[:, 2]) < 1e-6]
    area = 3.57**2 * 2**0.5
    assert len(in_plane) == pytest.approx(64.0 * 4.0 / area, rel=0.35)  # four to a rectangle
    assert np.abs(in_plane[:, :2]).max() <= 4.0


def test_images_of_the_atoms_are_all_there():
    """As many as a large crystal has."""
    crystal = bulk("NaCl", "rocksalt", a=5.6)
    crystal.positions += [9.0, -20.0, 3.3]
    plane = plane_of_words("normal=1,2,3", crystal, [0.3, 0.2, 0.1])
    grid = grid_of_cut(plane, crystal, 0.5, 9.0)
    near = atoms_near(grid, crystal)
    large = crystal.repeat(24)
    middle = np.linalg.solve(crystal.cell.T, large.positions.mean(axis=0))
    large.positions -= np.round(middle) @ np.asarray(crystal.cell)
    expected = atoms_near(grid, Atoms(large.numbers, large.positions))
    assert len(near) == len(expected) > 5
    assert sorted(near.symbols) == sorted(expected.symbols)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("worst", "must be best, atoms=0,1,2, normal"),
        ("atoms=0,1", "needs three numbers"),
        ("atoms=0,1,x", "needs three numbers"),
        ("atoms=0,1,1", "three different atoms from 0 to 2"),
        ("atoms=0,1,3", "three different atoms from 0 to 2"),
        ("normal=0,0,0", "a vector other than 0"),
        ("lattice=1,0,0", "of a crystal, and the structure has no cell"),
    ],
)
def test_what_names_no_plane_is_told(words, told):
    with pytest.raises(ConfigError, match=told):
        plane_of_words(words, molecule("H2O"))


def test_degenerate_molecules():
    with pytest.raises(ConfigError, match="lie in a line: no plane"):
        plane_of_words("atoms=0,1,2", molecule("CO2"))
    for name in ("CO2", "CH4", "H2"):
        with pytest.raises(ConfigError, match="no plane is nearer"):
            plane_of_words("best", molecule(name))
    with pytest.raises(ConfigError, match="--origin must be three"):
        plane_of_words("best", molecule("H2O"), [0.0, 1.0])
    with pytest.raises(ConfigError, match="one is not 0"):
        plane_of_words("lattice=0,0,0", bulk("C"))
