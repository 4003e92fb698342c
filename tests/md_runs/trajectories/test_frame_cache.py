"""Numbers of many files, kept in few."""

import gc
import os
import sys

import numpy as np
import pytest

from md_runs.trajectories.frame_cache import FrameCache


def batches(seed, sizes=(3, 1, 2)):
    generator = np.random.default_rng(seed)
    for n in sizes:
        yield {"steps": generator.normal(size=n), "positions": generator.normal(size=(n, 2, 3))}


def whole(seed, name):
    return np.concatenate([batch[name] for batch in batches(seed)])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_thousand_beads_take_two_open_files(tmp_path):
    gc.collect()  # of what earlier tests left open
    n_before = len(os.listdir("/proc/self/fd"))
    cache = FrameCache()
    beads = [cache.cached_frames(batches(bead), tmp_path) for bead in range(1000)]
    del cache
    assert len(os.listdir("/proc/self/fd")) == n_before + 2
    for bead in (0, 999):
        for name in ("steps", "positions"):
            np.testing.assert_array_equal(beads[bead][name], whole(bead, name))
    np.testing.assert_array_equal(beads[7]["positions"][[4, 1]], whole(7, "positions")[[4, 1]])
    del beads
    assert len(os.listdir("/proc/self/fd")) == n_before
