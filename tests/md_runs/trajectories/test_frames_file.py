"""Trajectory files: what goes in comes out, cut files lose one frame, foreign files are refused."""

from __future__ import annotations

import numpy as np
import pytest

from md_runs.trajectories.frames_file import (
    FrameHeader,
    FrameRecorder,
    read_header,
    read_records,
    read_trajectory,
)
from mlpotential.errors import RunError

HEADER = FrameHeader(
    atomic_numbers=(6, 1),
    masses=(12.011, 1.008),
    pbc=(True, False, False),
    cell=((3.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    timestep_fs=0.25,
    stride=4,
    fields={"positions": (3, 2, 3), "forces": (3, 2, 3), "energies": (3,), "temperature_K": ()},
)


def frame(k):
    generator = np.random.default_rng(k)
    return {
        "positions": generator.normal(size=(3, 2, 3)),
        "forces": generator.normal(size=(3, 2, 3)),
        "energies": generator.normal(size=3),
        "temperature_K": 300.0 + k,
    }


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "ring.frames"
    with FrameRecorder(path, HEADER) as recorder:
        for k in range(10):
            recorder.append(**frame(k))
        recorder.flush()
    return path


def test_round_trip_is_exact(path):
    trajectory = read_trajectory(path)
    assert read_header(path) == HEADER
    assert (trajectory.n_frames, trajectory.n_beads, trajectory.n_atoms) == (10, 3, 2)
    assert trajectory.velocities_angstrom_per_fs is None
    assert trajectory.pbc == (True, False, False)
    np.testing.assert_array_equal(trajectory.atomic_numbers, [6, 1])
    np.testing.assert_array_equal(trajectory.masses, [12.011, 1.008])
    np.testing.assert_array_equal(trajectory.times_fs, np.arange(10.0))
    np.testing.assert_array_equal(trajectory.cells, [np.diag([3.0, 1.0, 1.0])] * 10)
    for k in range(10):
        np.testing.assert_array_equal(trajectory.positions[k], frame(k)["positions"])
        np.testing.assert_array_equal(trajectory.forces[k], frame(k)["forces"])
        np.testing.assert_array_equal(trajectory.energies[k], frame(k)["energies"])
    np.testing.assert_array_equal(read_records(path)["temperature_K"], 300.0 + np.arange(10))


def test_a_selection_of_frames_keeps_its_times(path):
    chosen = read_trajectory(path, start=1, stop=8, stride=3)
    np.testing.assert_array_equal(chosen.times_fs, [1.0, 4.0, 7.0])
    np.testing.assert_array_equal(chosen.positions[1], frame(4)["positions"])
    for nothing in ({"start": 10}, {"stop": 0}, {"stride": 0}, {"start": -1}):
        with pytest.raises(RunError, match="select nothing"):
            read_trajectory(path, **nothing)


def test_frames_are_mapped_and_not_read(path):
    positions = read_trajectory(path).positions
    assert isinstance(positions, np.memmap)
    assert not positions.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        positions[0] = 0.0


@pytest.mark.parametrize("n_missing", [1, HEADER.record_type.itemsize - 1])
def test_a_partial_last_frame_is_dropped_with_one_warning(path, n_missing):
    path.write_bytes(path.read_bytes()[:-n_missing])
    with pytest.warns(UserWarning, match="the 9 complete frames are used") as warned:
        trajectory = read_trajectory(path)
    assert len(warned) == 1
    assert trajectory.n_frames == 9


def test_continuing_cuts_off_what_came_after(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with FrameRecorder(path, HEADER, n_frames_to_keep=7) as recorder:
        assert read_trajectory(path).n_frames == 7
        for k in range(7, 10):
            recorder.append(**frame(k))
    assert path.read_bytes() == whole
    with FrameRecorder(path, HEADER):
        pass
    with pytest.raises(RunError, match="no complete frame"):
        read_trajectory(path)


def test_continuing_another_or_a_cut_file_is_refused(path, tmp_path):
    whole = path.read_bytes()
    other = FrameHeader(**{**vars(HEADER), "timestep_fs": 0.5, "masses": (13.0, 1.0)})
    with pytest.raises(RunError, match=r"differs in masses, timestep_fs"):
        FrameRecorder(path, other, n_frames_to_keep=2)
    with pytest.raises(RunError, match="holds 10 frames, but the checkpoint was written after 11"):
        FrameRecorder(path, HEADER, n_frames_to_keep=11)
    assert path.read_bytes() == whole


def test_a_frame_must_have_every_field(path):
    with FrameRecorder(path, HEADER, 10) as recorder:
        with pytest.raises(KeyError, match="forces"):
            recorder.append(positions=np.zeros((3, 2, 3)))
        assert recorder.n_frames == 10


def test_foreign_and_damaged_files_are_refused(path, tmp_path):
    whole = path.read_bytes()

    def refused(content: bytes, message: str) -> None:
        path.write_bytes(content)
        with pytest.raises(RunError, match=message):
            read_trajectory(path)

    refused(b"", "not a trajectory")
    refused(np.random.default_rng(0).bytes(5000), "not a trajectory")
    refused(whole[:12], "header .* is damaged")
    refused(whole[:100], "header .* is damaged")
    refused(whole[:8] + b"\xff" * 8 + whole[16:], "header .* is damaged")
    refused(whole.replace(b'"masses"', b'"massez"'), "header .* is damaged")
    refused(whole.replace(b'"fields": {', b'"fields": 7,{'), "header .* is damaged")
    refused(whole.replace(b'_version": 1', b'_version": 3'), "version 3; .* reads up to 2")
    for missing in (tmp_path / "nothing.frames", tmp_path):
        with pytest.raises(RunError, match="cannot read the trajectory"):
            read_trajectory(missing)
