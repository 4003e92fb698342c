"""Frames of restarted runs, and motion in a cell that moves."""

import numpy as np
import pytest

from md_runs.trajectories.trajectory import (
    Trajectory,
    has_moving_cell,
    in_mean_cell,
    last_records,
    with_velocities,
)


def test_frames_after_a_restart_replace_those_before() -> None:
    """Fault: duplicated or backward steps after a restart."""
    times = np.array([0, 1, 2, 3, 4, 3, 4, 5, 5, 6.0])
    assert last_records(times).tolist() == [0, 1, 2, 5, 6, 8, 9]
    assert last_records(np.arange(3.0)).tolist() == [0, 1, 2]
    assert last_records(np.array([])).tolist() == []


def test_velocities_of_positions_are_those_relative_to_the_cell() -> None:
    """Atoms that swing in a cell that grows: its growth is none of their velocity."""
    times = np.arange(400) * 0.5
    swing = np.array([[[0.0, 0, 0], [0.05, 0.02, 0]]]) * np.sin(0.1 * times)[:, None, None, None]
    places = np.array([[1.0, 2, 3], [7.0, 5, 4]]) + swing
    growth = np.linspace(0.95, 1.05, 400)
    cells = growth[:, None, None] * np.diag([9.0, 8.0, 10.0])
    run = Trajectory(
        np.array([6, 8]),
        np.array([12.0, 16.0]),
        times,
        places * growth[:, None, None, None],
        cells=cells,
        pbc=(True, True, True),
    )
    assert has_moving_cell(run)
    followed = in_mean_cell(run)
    np.testing.assert_allclose(followed.positions[10:20], places[10:20], atol=1e-12)
    np.testing.assert_allclose(followed.cells[3], np.diag([9.0, 8.0, 10.0]))
    assert not has_moving_cell(followed)
    assert in_mean_cell(followed) is followed
    with pytest.warns(UserWarning, match="central differences"):
        velocities = with_velocities(run).velocities_angstrom_per_fs[:]
    expected = (places[2:] - places[:-2]) / 1.0
    np.testing.assert_allclose(velocities, expected, atol=1e-12)
