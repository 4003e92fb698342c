"""Frames that cannot be analysed, and their division into blocks."""

import numpy as np
import pytest

from md_runs.analysis.sampling.frames import (
    block_slices,
    check_finite_frames,
    check_masses,
    uniform_timestep_fs,
)
from mlpotential.errors import ConfigError, DataError


@pytest.mark.parametrize(("n_frames", "n_blocks"), [(10, 10), (101, 10), (13, 4), (5, 1)])
def test_blocks_hold_every_frame_once_and_are_of_even_length(n_frames: int, n_blocks: int) -> None:
    blocks = block_slices(n_frames, n_blocks)
    frames = np.concatenate([np.arange(n_frames)[block] for block in blocks])
    lengths = [block.stop - block.start for block in blocks]
    assert np.array_equal(frames, np.arange(n_frames))
    assert len(blocks) == n_blocks
    assert max(lengths) - min(lengths) <= 1


def test_fewer_frames_than_blocks_say_what_to_do() -> None:
    with pytest.raises(DataError, match=r"3 frames cannot be divided into 10 blocks.*fewer blocks"):
        block_slices(3, 10)
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        block_slices(3, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_frame_is_named(bad: float) -> None:
    values = np.zeros((5, 2, 3))
    values[3, 1, 2] = bad
    with pytest.raises(DataError, match="positions of frame 103 are not finite"):
        check_finite_frames(values, "positions", first_frame=100)


@pytest.mark.parametrize(
    ("masses", "message"),
    [
        ([1.0, 2.0], r"3 atoms need masses of shape \(3,\), not \(2,\)"),
        ([1.0, 0.0, 2.0], "mass of atom 1 is 0.0"),
        ([1.0, 2.0, np.nan], "mass of atom 2 is nan"),
        ([np.inf, 2.0, 1.0], "mass of atom 0 is inf"),
    ],
)
def test_bad_masses_are_named(masses: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_masses(np.array(masses), 3)


def test_the_timestep_of_rounded_times() -> None:
    assert uniform_timestep_fs(np.round(np.arange(1000) * 0.25, 2)) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0], "at least 2 frames"),
        ([0.0, 1.0, 2.0, 2.0, 3.0], "2.0 fs is followed by 2.0 fs at frame 3"),
        ([0.0, 1.0, 2.0, 1.0, 2.0, 3.0], "2.0 fs is followed by 1.0 fs at frame 3"),
        ([0.0, -1.0, -2.0], "not evenly spaced"),
        ([0.0, 0.0, 0.0], "not evenly spaced"),
        ([0.0, 1.0, np.nan], "frame 2 are not finite"),
    ],
)
def test_times_that_are_no_even_steps_are_refused(times: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        uniform_timestep_fs(np.array(times))
