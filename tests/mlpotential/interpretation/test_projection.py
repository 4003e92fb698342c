"""Molecules on the planes of their atoms."""

import numpy as np
from ase.build import molecule
from numpy.testing import assert_allclose

from mlpotential.interpretation.projection import flat_molecule


def test_distances_stay_and_the_plane_is_flat(rng):
    atoms = molecule("C6H6")
    atoms.rotate(50.0, "x")
    atoms.rotate(20.0, "z")
    atoms.positions += rng.normal(size=3)
    ring = np.flatnonzero(atoms.numbers == 6)
    found = flat_molecule(atoms.numbers, atoms.positions, ring)
    assert_allclose(found.positions[:, 2], 0.0, atol=1e-6)  # of the geometry that ASE has
    assert len(found.bonds) == 12
    distances = np.linalg.norm(found.positions[:, None] - found.positions, axis=-1)
    assert_allclose(distances, atoms.get_all_distances(), rtol=1e-12, atol=1e-12)
    tilted = flat_molecule(atoms.numbers, atoms.positions, ring, tilt_degrees=20.0)
    assert np.ptp(tilted.positions[:, 2]) > 1.0
    of_tilted = np.linalg.norm(tilted.positions[:, None] - tilted.positions, axis=-1)
    assert_allclose(of_tilted, distances, rtol=1e-12, atol=1e-12)
