"""Frames read on demand behave as the array they stand for."""

import numpy as np
import pytest

from md_runs.trajectories.frame_arrays import (
    LazyFrames,
    beads_together,
    centroid,
    changed_frames,
    chosen_frames,
    of_bead,
)

VALUES = np.random.default_rng(0).normal(size=(3000, 2, 3))


@pytest.fixture
def asked():
    return []


@pytest.fixture
def lazy(asked):
    def read(start, stop):
        asked.append((start, stop))
        return VALUES[start:stop]

    return LazyFrames(VALUES.shape, read)


@pytest.mark.parametrize(
    "key",
    [
        5,
        -1,
        np.int64(7),
        slice(10, 20),
        slice(None),
        slice(3, 2900, 700),
        slice(20, 10, -1),
        slice(5, 5),
        ...,
        (..., 1),
        (slice(4, 9), 1),
        (3, 1, 2),
        (slice(None, None, 1100), slice(None), 0),
        [2990, 4, 5, 6, 1500],
        np.arange(3000) % 1000 == 3,
    ],
    ids=str,
)
def test_indexing_is_that_of_numpy(lazy, key):
    np.testing.assert_array_equal(lazy[key], VALUES[key])


def test_only_frames_near_those_asked_for_are_read(lazy, asked):
    _ = lazy[100:110], lazy[::1500], lazy[[7, 2900]]
    assert asked == [(100, 110), (0, 1), (1500, 1501), (7, 8), (2900, 2901)]
    asked.clear()
    bead, mean = of_bead(lazy, 1), centroid(lazy)
    kept = chosen_frames(mean, np.arange(5, 2000, 2))
    assert asked == []
    np.testing.assert_array_equal(bead[8:10], VALUES[8:10, 1])
    np.testing.assert_array_equal(kept[1:3], VALUES[[7, 9]].mean(axis=1))
    assert asked == [(8, 10), (7, 10)]
    assert (bead.shape, kept.shape) == ((3000, 3), (998, 3))
    assert (lazy.ndim, lazy.nbytes, len(lazy), lazy.dtype) == (3, VALUES.nbytes, 3000, np.float64)


def test_beads_become_one_array(lazy):
    together = beads_together([of_bead(lazy, 1), of_bead(VALUES, 0)])
    np.testing.assert_array_equal(np.asarray(together), VALUES[:, ::-1])
    doubled = changed_frames(together, lambda frames: 2 * frames, (2, 3))
    np.testing.assert_array_equal(doubled[11], 2 * VALUES[11, ::-1])
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(lazy, copy=False)
    with pytest.raises(IndexError):
        _ = lazy[3000]


def test_chosen_frames_of_arrays_in_memory():
    assert chosen_frames(VALUES, np.arange(3000)) is VALUES
    assert np.shares_memory(chosen_frames(VALUES, np.arange(4, 9)), VALUES)
    np.testing.assert_array_equal(chosen_frames(VALUES, np.array([1, 4]))[...], VALUES[[1, 4]])
