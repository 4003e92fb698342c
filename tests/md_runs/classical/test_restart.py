"""Runs that are killed, stopped or run out of disk, and are then continued by the same command."""

from __future__ import annotations

import functools
import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import spring_network
from spring_network import SpringNetwork, spring_cluster

from calculators import MLPotentialCalculator
from md_runs.classical.checkpoint import ClassicalState
from md_runs.classical.run import ClassicalRun, run_classical
from md_runs.run_folders import CHECKPOINT_NAME, TRAJECTORY_NAME
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

PROGRAM = Path(spring_network.__file__)
SETTINGS = ClassicalRun(
    ensemble="langevin", n_steps=1000, stride=3, checkpoint_stride=70, timestep_fs=0.5, seed=9
)


def start(folder: Path, settings: ClassicalRun, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), str(folder), json.dumps(asdict(settings)), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_size(process: subprocess.Popen[str], path: Path, n_bytes: int) -> None:
    """Returns when the file has grown to the size; fails if the program ends before."""
    while not path.exists() or path.stat().st_size < n_bytes:
        assert process.poll() is None, "the program ended before it was killed"
        time.sleep(0.001)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (TRAJECTORY_NAME, CHECKPOINT_NAME)}


def uninterrupted(folder: Path, settings: ClassicalRun) -> dict[str, bytes]:
    run_classical(spring_cluster(6), settings, folder)
    return contents(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of uninterrupted runs, each made once."""
    return functools.cache(
        lambda settings: uninterrupted(tmp_path_factory.mktemp("whole"), settings)
    )


@pytest.mark.parametrize(
    ("ensemble", "n_kills"),
    [
        ("langevin", 1),
        *(pytest.param(name, 2, marks=pytest.mark.slow) for name in ("bussi", "nose-hoover")),
    ],
)
def test_kill_9_at_random_moments_changes_no_bit(ensemble, n_kills, whole, tmp_path):
    settings = replace(SETTINGS, ensemble=ensemble)
    expected = whole(settings)
    folder = tmp_path / "killed"
    moments = random.Random(ensemble)
    for kill in range(n_kills):
        share = 0.35 * (kill + moments.random()) / n_kills
        n_bytes = int(share * len(expected[TRAJECTORY_NAME]))
        process = start(folder, settings)
        wait_for_size(process, folder / TRAJECTORY_NAME, n_bytes)
        with pytest.raises(RunError, match=f"in use by process {process.pid}"):
            run_classical(spring_cluster(6), settings, folder)
        time.sleep(moments.uniform(0.0, 0.01))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert contents(folder) != expected
    assert uninterrupted(folder, settings) == expected


@pytest.mark.parametrize(
    "signal_number",
    [
        signal.SIGTERM,
        *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGHUP)),
    ],
)
def test_a_signal_saves_the_state_and_the_same_command_continues(signal_number, whole, tmp_path):
    settings = replace(SETTINGS, checkpoint_stride=100_000)
    expected = whole(settings)
    folder = tmp_path / "stopped"
    process = start(folder, settings)
    wait_for_size(process, folder / TRAJECTORY_NAME, len(expected[TRAJECTORY_NAME]) // 3)
    process.send_signal(signal_number)
    assert process.communicate()[1] == ""
    assert process.returncode == 128 + signal_number
    saved = ClassicalState.read(folder / CHECKPOINT_NAME)
    assert 300 < saved.step < 1000
    assert saved.n_frames == read_trajectory(folder / TRAJECTORY_NAME).n_frames
    assert uninterrupted(folder, settings) == expected


def test_another_dtype_is_another_run(model_path, ethanol, tmp_path):
    """Not so for runs of version 0.1.0, which did not write it."""
    settings = ClassicalRun(n_steps=2, stride=1, temperature_K=1.0)
    for atoms, dtype in ((ethanol, None), (ethanol.copy(), "float32"), (ethanol.copy(), "float64")):
        atoms.calc = MLPotentialCalculator(model_path, "cpu", dtype=dtype)
        if dtype == "float32":
            words = "dtype was 'float64' and is now 'float32'. Choose another folder"
            with pytest.raises(RunError, match=words):
                run_classical(atoms, settings, tmp_path)
        else:
            run_classical(atoms, settings, tmp_path)
    state = ClassicalState.read(tmp_path / CHECKPOINT_NAME)
    old = {name: value for name, value in state.settings.items() if name != "dtype"}
    replace(state, settings=old).write(tmp_path / CHECKPOINT_NAME)
    run_classical(atoms, replace(settings, n_steps=3), tmp_path)


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_keeps_the_last_good_state(whole, tmp_path):
    expected = whole(SETTINGS)
    folder = tmp_path / "full"
    process = start(folder, SETTINGS, str(len(expected[TRAJECTORY_NAME]) // 2 + 13))
    message = process.communicate()[1]
    assert process.returncode == 1
    assert "cannot write frame" in message
    assert len(message.splitlines()) == 1
    with pytest.warns(UserWarning, match="ends inside a frame"):
        read_trajectory(folder / TRAJECTORY_NAME)
    assert uninterrupted(folder, SETTINGS) == expected


def test_more_steps_continue_a_finished_run(whole, tmp_path):
    short, long = replace(SETTINGS, n_steps=100), replace(SETTINGS, n_steps=250)
    expected = whole(long)
    uninterrupted(tmp_path / "grown", short)
    assert uninterrupted(tmp_path / "grown", long) == expected
    with pytest.raises(RunError, match="already holds 250 steps"):
        run_classical(spring_cluster(6), short, tmp_path / "grown")


def test_a_finished_run_is_returned_at_once(tmp_path):
    settings = replace(SETTINGS, n_steps=100)
    first = run_classical(spring_cluster(6), settings, tmp_path)
    atoms = spring_cluster(6)
    atoms.calc.calculate = None  # any evaluation would fail
    again = run_classical(atoms, settings, tmp_path)
    np.testing.assert_array_equal(again.atoms.positions, first.atoms.positions)
    assert again.mean_temperature_K == first.mean_temperature_K


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": 310.0}, "temperature_K was 300.0 and is now 310.0"),
        ({"seed": 1}, "seed was 9 and is now 1"),
        ({"ensemble": "nve", "stride": 5}, "ensemble was 'langevin' and is now 'nve'; stride was"),
    ],
)
def test_other_settings_are_refused(change, message, tmp_path):
    settings = replace(SETTINGS, n_steps=50)
    before = uninterrupted(tmp_path, settings)
    with pytest.raises(RunError, match=message):
        run_classical(spring_cluster(6), replace(settings, **change), tmp_path)
    assert contents(tmp_path) == before


def test_another_structure_or_potential_is_refused(tmp_path):
    settings = replace(SETTINGS, n_steps=50)
    uninterrupted(tmp_path, settings)
    with pytest.raises(RunError, match="atomic numbers of the structure differ"):
        run_classical(spring_cluster(5), settings, tmp_path)
    moved = spring_cluster(6)
    moved.positions[0, 0] += 0.01
    with pytest.raises(RunError, match="the positions of the structure differ"):
        run_classical(moved, settings, tmp_path)
    stiffer = spring_cluster(6)
    stiffer.calc = SpringNetwork(stiffer.get_positions(), 3.0)
    with pytest.raises(RunError, match="the potential is another one"):
        run_classical(stiffer, replace(settings, n_steps=100), tmp_path)


def test_damaged_folders_are_refused(tmp_path):
    settings, more = replace(SETTINGS, n_steps=50), replace(SETTINGS, n_steps=100)
    good = uninterrupted(tmp_path, settings)
    checkpoint, trajectory = tmp_path / CHECKPOINT_NAME, tmp_path / TRAJECTORY_NAME

    def refused(message: str) -> None:
        with pytest.raises(RunError, match=message):
            run_classical(spring_cluster(6), more, tmp_path)

    flipped = bytearray(good[CHECKPOINT_NAME])
    flipped[len(flipped) // 2] ^= 1
    for content in (b"", good[CHECKPOINT_NAME][:-200], b"text" * 100, bytes(flipped)):
        checkpoint.write_bytes(content)
        refused("damaged or was written by something else")
    checkpoint.unlink()
    refused("without its checkpoint")
    write_atomically(checkpoint, good[CHECKPOINT_NAME])
    trajectory.write_bytes(good[TRAJECTORY_NAME][:-1000])
    refused("the file was cut")
    trajectory.unlink()
    refused("cannot read the trajectory")
