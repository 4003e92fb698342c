"""Structures laid on each other in the Eckart frame."""

import numpy as np
import pytest
from ase.build import molecule
from scipy.spatial.transform import Rotation

from md_runs.analysis.vibrations.rigid_body import frames_on_their_mean, in_eckart_frame


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def moved(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each frame turned and shifted somewhere."""
    turns = Rotation.random(len(frames), random_state=5).as_matrix()
    return frames @ turns.swapaxes(1, 2) + rng.normal(scale=3.0, size=(len(frames), 1, 3))


def test_structures_come_to_lie_on_the_reference(rng):
    ethanol = molecule("CH3CH2OH")
    masses, reference = ethanol.get_masses(), ethanol.positions
    frames = np.tile(reference, (6, 1, 1))
    found = in_eckart_frame(moved(frames, rng), reference, masses, False)
    np.testing.assert_allclose(found, frames, atol=1e-12)
    frames = moved(frames + rng.normal(scale=0.1, size=frames.shape), rng)
    found = in_eckart_frame(frames, reference, masses, False)
    center = masses @ reference / masses.sum()
    np.testing.assert_allclose(masses @ found / masses.sum(), np.tile(center, (6, 1)), atol=1e-12)
    a, r = reference - center, found - center
    moments = np.einsum("i,fix->fx", masses, np.cross(a, r))  # of Eckart: zero
    np.testing.assert_allclose(moments, 0.0, atol=1e-10)
    aligned = [
        Rotation.align_vectors(a, frame - masses @ frame / masses.sum(), weights=masses)[0].apply(
            frame - masses @ frame / masses.sum()
        )
        for frame in frames
    ]
    np.testing.assert_allclose(r, aligned, atol=1e-7)


def test_a_linear_molecule_is_laid_along_its_axis(rng):
    dioxide = molecule("CO2")
    frames = moved(np.tile(dioxide.positions, (4, 1, 1)), rng)
    found = in_eckart_frame(frames, dioxide.positions, dioxide.get_masses(), True)
    np.testing.assert_allclose(found, np.tile(dioxide.positions, (4, 1, 1)), atol=1e-12)


def test_the_mean_of_turned_frames_is_the_frame(rng):
    water = molecule("H2O")
    masses = water.get_masses()
    frames, mean = frames_on_their_mean(
        moved(np.tile(water.positions, (5, 1, 1)), rng), masses, water.positions, False
    )
    expected = water.positions - masses @ water.positions / masses.sum()
    np.testing.assert_allclose(mean, expected, atol=1e-12)
    np.testing.assert_allclose(frames, np.tile(expected, (5, 1, 1)), atol=1e-12)
