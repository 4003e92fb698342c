"""Atoms followed through the faces of the cell."""

import numpy as np
import pytest

from md_runs.analysis.structure.periodic_images import unwrapped
from mlpotential.errors import DataError

SKEWED = np.array([[9.0, 0, 0], [3.0, 8.0, 0], [-2.0, 2.5, 10.0]])  # A
PERIODIC = (True, True, True)


def walk(n_frames: int = 200, step: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.cumsum(step * rng.normal(size=(n_frames, 5, 3)), axis=0)


def wrapped(positions: np.ndarray, cell: np.ndarray, pbc=PERIODIC) -> np.ndarray:
    fractional = positions @ np.linalg.inv(cell)
    return (fractional - np.where(pbc, np.floor(fractional), 0.0)) @ cell


def test_what_was_wrapped_is_unwrapped():
    r = walk()
    inside = wrapped(r, SKEWED)
    assert np.abs(np.diff(inside, axis=0)).max() > 5
    found = unwrapped(inside, SKEWED, PERIODIC)
    np.testing.assert_allclose(found - found[0], r - r[0], atol=1e-9)
    np.testing.assert_array_equal(found[0], inside[0])


def test_only_periodic_directions_have_images():
    r = walk()
    pbc = (True, False, True)
    found = unwrapped(wrapped(r, np.diag([6.0, 1.0, 7.0]), pbc), np.diag([6.0, 1.0, 7.0]), pbc)
    np.testing.assert_allclose(found - found[0], r - r[0], atol=1e-9)
    np.testing.assert_array_equal(unwrapped(r, SKEWED, (False,) * 3), r)


def test_what_is_unwrapped_stays_to_the_last_bit():
    r = walk()
    np.testing.assert_array_equal(unwrapped(r, SKEWED, PERIODIC), r)


def test_cells_that_vary_do_not_move_what_has_travelled_far():
    """An atom far from its first cell stands still while the cell breathes by one per cent."""
    cells = (1 + 0.01 * np.sin(np.arange(200)))[:, None, None] * SKEWED
    r = walk()
    inside = np.array([wrapped(frame, cell) for frame, cell in zip(r, cells, strict=True)])
    found = unwrapped(inside, cells, PERIODIC)
    shifts = (found - found[0]) - (r - r[0])
    assert np.abs(shifts).max() < 0.02 * 200  # nothing that grows with the distance in cells
    same = unwrapped(r, cells, PERIODIC)
    np.testing.assert_array_equal(same, r)


def test_steps_that_nobody_can_follow_are_refused():
    with pytest.raises(DataError, match="between frames 1007 and 1008|record frames more often"):
        unwrapped(wrapped(walk(step=3.0), SKEWED), SKEWED, PERIODIC, first_frame=1000)
