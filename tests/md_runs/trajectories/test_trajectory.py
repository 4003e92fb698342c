"""Frames of restarted runs."""

import numpy as np

from md_runs.trajectories.trajectory import last_records


def test_frames_after_a_restart_replace_those_before() -> None:
    """Fault: duplicated or backward steps after a restart."""
    times = np.array([0, 1, 2, 3, 4, 3, 4, 5, 5, 6.0])
    assert last_records(times).tolist() == [0, 1, 2, 5, 6, 8, 9]
    assert last_records(np.arange(3.0)).tolist() == [0, 1, 2]
    assert last_records(np.array([])).tolist() == []
