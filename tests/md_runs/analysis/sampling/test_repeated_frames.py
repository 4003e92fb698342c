"""Frames of restarted, damaged and mismatched runs."""

import warnings

import numpy as np
import pytest

from md_runs.analysis.sampling.repeated_frames import evenly_spaced_frames
from mlpotential.errors import DataError


def test_even_frames_pass_as_they_are() -> None:
    values = np.arange(20.0).reshape(10, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        even = evenly_spaced_frames(0.5 * np.arange(10), dipoles=values)
    assert (even.timestep_fs, even.n_repeated) == (0.5, 0)
    assert np.array_equal(even.quantities["dipoles"], values)


def test_frames_after_a_restart_replace_those_before() -> None:
    """Fault: duplicated or backward steps after a restart."""
    times = np.array([0, 1, 2, 3, 4, 3, 4, 5, 5, 6.0])
    with pytest.warns(UserWarning, match="3 frames were recorded again"):
        even = evenly_spaced_frames(times, frame=np.arange(10))
    assert even.quantities["frame"].tolist() == [0, 1, 2, 5, 6, 8, 9]
    assert (even.timestep_fs, even.n_repeated) == (1.0, 3)


def test_a_gap_or_a_variable_step_is_refused() -> None:
    """Fault: variable time step, missing time."""
    with pytest.raises(DataError, match="not evenly spaced"):
        evenly_spaced_frames(np.array([0, 1, 2, 4, 5.0]))
    with pytest.raises(DataError, match="times of frame 2 are not finite"):
        evenly_spaced_frames(np.array([0, 1, np.nan, 3]))
    with pytest.raises(DataError, match="at least 2 frames"):
        evenly_spaced_frames(np.array([1.0]))


@pytest.mark.parametrize(("n_dipoles", "word"), [(8, "shorter"), (11, "longer")])
def test_a_file_of_another_length_is_refused(n_dipoles: int, word: str) -> None:
    """Fault: dipole file shorter than the positions."""
    with pytest.raises(DataError, match=f"10 frames have times, but {n_dipoles} .* file is {word}"):
        evenly_spaced_frames(np.arange(10.0), dipoles=np.zeros((n_dipoles, 3)))
