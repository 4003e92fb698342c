"""Walking through segments piece by piece."""

import numpy as np
import pytest

from md_runs.analysis.sampling import frame_pieces as module
from md_runs.analysis.sampling.frame_pieces import frame_pieces, window_lags
from mlpotential.errors import ConfigError, DataError


def test_pieces_are_small_and_know_where_segments_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 8 * 6 * 4)  # four frames of two atoms
    x = np.arange(2 * 10 * 6, dtype=np.float32).reshape(2, 10, 2, 3)
    pieces = list(frame_pieces(False, velocities=x, positions=2 * x))
    assert [len(p.arrays[0]) for p in pieces] == [4, 4, 2, 4, 4, 2]
    assert [p.starts_segment for p in pieces] == [True, False, False, True, False, False]
    assert all(p.arrays[0].dtype == np.float64 for p in pieces)
    joined = np.concatenate([p.arrays[1] for p in pieces])
    assert np.array_equal(joined, 2 * x.reshape(20, 2, 3))
    joined_on = list(frame_pieces(True, velocities=iter(x)))
    assert [p.starts_segment for p in joined_on] == [True] + [False] * 5


def test_a_bad_frame_is_told_by_its_number() -> None:
    """Fault: NaN frames."""
    x = np.zeros((3, 5, 3))
    x[2, 3] = np.nan
    with pytest.raises(DataError, match=r"dipoles \(segment 2\) of frame 3 are not finite"):
        list(frame_pieces(False, dipoles=x))
    with pytest.raises(DataError, match=r"dipoles \(piece 2\) of frame 13 are not finite"):
        list(frame_pieces(True, dipoles=x))


def test_quantities_that_do_not_belong_together_are_refused() -> None:
    """Faults: a file shorter than another, atoms that change."""
    x = np.zeros((2, 5, 4, 3))
    with pytest.raises(DataError, match="4 frames of dipoles: dipoles were cut short"):
        list(frame_pieces(False, velocities=x, dipoles=[np.zeros((5, 3)), np.zeros((4, 3))]))
    with pytest.raises(DataError, match="positions end before segment 1"):
        list(frame_pieces(False, velocities=x, positions=x[:1]))
    with pytest.raises(DataError, match="atoms must neither come, go nor change"):
        list(frame_pieces(False, velocities=[x[0], x[1, :, :3]]))
    with pytest.raises(DataError, match="no velocities"):
        list(frame_pieces(False, velocities=[]))


def test_the_window_is_half_of_the_shortest_segment_unless_told() -> None:
    segments = [np.zeros((101, 3)), np.zeros((60, 3))]
    assert window_lags(None, segments, contiguous=False) == 30
    assert window_lags(None, segments, contiguous=True) == 80
    assert window_lags(7, iter(segments), contiguous=False) == 7
    with pytest.raises(ConfigError, match="give n_lags"):
        window_lags(None, iter(segments), contiguous=False)
    with pytest.raises(ConfigError, match="at least 2 frames"):
        window_lags(1, segments, contiguous=False)
    with pytest.raises(DataError, match="at least 2 frames, not 1"):
        window_lags(None, [np.zeros((1, 3))], contiguous=False)
    with pytest.raises(DataError, match="at least one segment"):
        window_lags(None, [], contiguous=False)
