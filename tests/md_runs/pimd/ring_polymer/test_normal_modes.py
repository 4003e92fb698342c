"""The free ring polymer against its equations of motion, solved as a matrix exponential."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm

from md_runs.pimd.ring_polymer.normal_modes import FreeMotion, mode_frequencies, normal_mode_matrix


def springs(n_beads, omega_P):
    """Second derivatives of sum_j omega_P^2 (x_j+1 - x_j)^2 / 2, [n_beads, n_beads]."""
    steps = np.roll(np.eye(n_beads), 1, axis=1) - np.eye(n_beads)
    return omega_P**2 * steps.T @ steps


@pytest.mark.parametrize("n_beads", [1, 2, 3, 4, 5, 8, 32, 33])
def test_modes_diagonalise_the_springs(n_beads):
    c = normal_mode_matrix(n_beads)
    assert_allclose(c @ c.T, np.eye(n_beads), atol=1e-14 * n_beads)
    frequencies = mode_frequencies(n_beads, kT=0.3, hbar=0.7)
    diagonal = c @ springs(n_beads, n_beads * 0.3 / 0.7) @ c.T
    assert_allclose(diagonal, np.diag(frequencies**2), atol=1e-13 * np.abs(diagonal).max())
    assert_allclose(c[0] @ np.arange(n_beads), np.sqrt(n_beads) * (n_beads - 1) / 2)


@pytest.mark.parametrize("n_beads", [1, 2, 5, 8])
def test_free_motion_is_exact(n_beads):
    """Whatever the time step: here a whole period of the stiffest mode is shorter than it."""
    timestep, omega_P = 7.0, n_beads * 0.3
    matrix = np.block(
        [
            [np.zeros((n_beads, n_beads)), np.eye(n_beads)],
            [-springs(n_beads, omega_P), np.zeros((n_beads, n_beads))],
        ]
    )
    generator = np.random.default_rng(1)
    x, p = generator.standard_normal((2, n_beads, 4))
    expected = expm(timestep * matrix) @ np.concatenate([x, p])
    c = normal_mode_matrix(n_beads)
    motion = FreeMotion.of(mode_frequencies(n_beads, kT=0.3, hbar=1.0), timestep)
    q, p = c @ x, c @ p
    moved = np.concatenate([
        c.T @ (motion.stays * q + motion.drifts * p), c.T @ (motion.stays * p + motion.pulls * q)
    ])  # fmt: skip
    assert_allclose(moved, expected, atol=1e-12 * np.abs(expected).max())
