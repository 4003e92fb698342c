"""Runs of ring polymers in their folders: files, restarts, faults, what is refused."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import trapped_beads
from numpy.testing import assert_allclose, assert_array_equal
from trapped_beads import Trap, carbons, run_trap

from md_runs.analysis.path_integrals.energies import (
    centroid_virial_kinetic_energies,
    primitive_kinetic_energies,
)
from md_runs.pimd import PimdRun, read_pimd_trajectory
from md_runs.pimd.ipi_input import RingPolymer
from md_runs.pimd.ring_polymer.bead_forces import BeadAnswer
from md_runs.pimd.ring_polymer.checkpoint import RingPolymerCheckpoint
from md_runs.pimd.ring_polymer.dynamics import make_integrator
from md_runs.pimd.ring_polymer.files import CHECKPOINT_NAME, PROPERTIES_NAME
from md_runs.pimd.ring_polymer.watchdog import stop_where_it_stands_still
from md_runs.reading import read_energy_series, read_run
from md_runs.run_folders import TRAJECTORY_NAME
from mlpotential.errors import ConfigError, ExtrapolationError, RunError, StructureError
from mlpotential.run_folder import lock_folder

PROGRAM = Path(trapped_beads.__file__)
SETTINGS = PimdRun(
    n_steps=300, n_beads=4, stride=3, properties_stride=5, checkpoint_stride=40, seed=9,
    record_forces=True, engine="native", fix_center_of_mass=False,
)  # fmt: skip
FILES = (TRAJECTORY_NAME, PROPERTIES_NAME, CHECKPOINT_NAME)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


class Killed(BaseException):
    """Not an error that anybody handles."""


class KilledTrap(Trap):
    """As if the process were killed in a call."""

    def __init__(self, call):
        super().__init__(quartic=5.0)
        self.call = call

    def evaluate(self, positions, extras=()):
        answer = super().evaluate(positions, extras)
        if self.n_calls == self.call:
            raise Killed
        return answer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    trap = Trap(quartic=5.0)
    return folder, run_trap(folder, SETTINGS, trap), trap


def test_what_a_run_records(whole):
    """Frames by the potential, energies by their definitions, extras at frames alone."""
    folder, result, trap = whole
    trajectory, properties = result.trajectory, result.properties
    assert trajectory.positions.shape == (101, 4, 3, 3)
    assert trajectory.dynamics == "PIMD"
    assert trajectory.velocities_angstrom_per_fs is None
    assert_allclose(trajectory.times_fs, 1.5 * np.arange(101))
    assert_array_equal(properties.steps, np.arange(0, 301, 5))
    assert_allclose(trajectory.positions[0], np.repeat(carbons().positions[None], 4, 0), atol=1e-13)
    answer = Trap(quartic=5.0).evaluate(trajectory.positions[50], ("dipole",))
    assert_allclose(trajectory.energies[50], answer.energies, rtol=1e-12)
    assert_allclose(trajectory.forces[50], answer.forces, atol=1e-12)
    assert_allclose(trajectory.dipoles[50], answer.extras["dipole"], atol=1e-12)
    assert trap.n_calls == 301
    assert [step for step, asked in enumerate(trap.asked) if asked] == list(range(0, 301, 3))
    kT, masses = 300.0 * 8.617330337217213e-05, trajectory.masses
    x, f = (np.asarray(a[[5]]) for a in (trajectory.positions, trajectory.forces))  # step 15
    series = read_energy_series(folder)
    virial = centroid_virial_kinetic_energies(x, f, masses, kT).sum()
    assert_allclose(series.kinetic[3], virial, rtol=1e-10)
    assert_allclose(series.primitive[3], primitive_kinetic_energies(x, masses, kT).sum(), rtol=1e-7)
    assert_allclose(series.potentials[3], trajectory.energies[5].mean(), rtol=1e-12)
    assert_array_equal(read_run(folder).positions, trajectory.positions)
    assert_array_equal(read_pimd_trajectory(folder).positions, trajectory.positions)


@pytest.mark.parametrize("thermostat", ["pile-l", "pile-g"])
def test_a_kill_in_any_step_changes_no_bit(thermostat, tmp_path):
    """In calls before, at and after frames and checkpoints, one after the other in one folder."""
    settings = replace(SETTINGS, n_steps=100, checkpoint_stride=20, thermostat=thermostat)
    run_trap(tmp_path / "whole", settings)
    folder = tmp_path / "killed"
    for call in (1, 2, 5, 22, 21, 20, 30, 19, 7):
        with pytest.raises(Killed):
            run_trap(folder, settings, KilledTrap(call))
        for name in (TRAJECTORY_NAME, PROPERTIES_NAME):
            path = folder / name
            if path.exists():
                path.write_bytes(path.read_bytes() + b"cut")  # in the midst of a record
    last = Trap(quartic=5.0)
    run_trap(folder, settings, last)
    assert contents(folder) == contents(tmp_path / "whole")
    assert last.n_calls == 100 - 60


def start(folder, settings, *more):
    words = [sys.executable, str(PROGRAM), str(folder), json.dumps(asdict(settings)), *more]
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def wait_for_size(process, path, n_bytes):
    while not path.exists() or path.stat().st_size < n_bytes:
        assert process.poll() is None, "the program ended before it was killed"
        time.sleep(0.001)


@pytest.mark.parametrize("n_kills", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_kill_9_at_random_moments_changes_no_bit(n_kills, tmp_path):
    settings = replace(SETTINGS, n_steps=1500)
    run_trap(tmp_path / "whole", settings)
    expected, folder = contents(tmp_path / "whole"), tmp_path / "killed"
    moments = random.Random(n_kills)
    for kill in range(n_kills):
        share = 0.1 + 0.6 * (kill + moments.random()) / n_kills
        process = start(folder, settings)
        n_bytes = int(share * len(expected[TRAJECTORY_NAME]))
        wait_for_size(process, folder / TRAJECTORY_NAME, n_bytes)
        with pytest.raises(RunError, match=f"in use by process {process.pid}"):
            run_trap(folder, settings)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert contents(folder) != expected
    run_trap(folder, settings)
    assert contents(folder) == expected


def test_a_signal_saves_the_state_and_the_same_command_continues(tmp_path):
    settings = replace(SETTINGS, n_steps=1500, checkpoint_stride=100_000)
    run_trap(tmp_path / "whole", settings)
    expected, folder = contents(tmp_path / "whole"), tmp_path / "stopped"
    process = start(folder, settings)
    wait_for_size(process, folder / TRAJECTORY_NAME, len(expected[TRAJECTORY_NAME]) // 4)
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[1] == ""
    assert process.returncode == 128 + signal.SIGTERM
    assert 300 < RingPolymerCheckpoint.read(folder / CHECKPOINT_NAME).step < 1500
    run_trap(folder, settings)
    assert contents(folder) == expected


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(tmp_path):
    run_trap(tmp_path / "whole", SETTINGS)
    folder = tmp_path / "full"
    process = start(folder, SETTINGS, "40000")
    assert "File too large" in process.communicate()[1]
    assert process.returncode == 1
    run_trap(folder, SETTINGS)
    assert contents(folder) == contents(tmp_path / "whole")


def test_one_folder_one_run(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole[0], folder)
    before, trap = contents(folder), Trap()
    again = run_trap(folder, SETTINGS, trap)
    assert (trap.n_calls, again.steps_per_second) == (0, None)
    assert contents(folder) == before
    for change, message in (
        ({"seed": 1}, "seed was 9 and is now 1"),
        ({"engine": "ipi"}, "engine was 'native' and is now 'ipi'"),
        ({"n_beads": 5}, "n_beads was 4 and is now 5"),
        ({"thermostat": "pile-g"}, "thermostat was 'pile-l' and is now 'pile-g'"),
        ({"n_steps": 299}, "already holds 300 steps, more than n_steps = 299"),
    ):
        with pytest.raises(RunError, match=message):
            run_trap(folder, replace(SETTINGS, **change))
    heavy = carbons()
    heavy.set_masses([13.0, 12.0, 12.0])
    with pytest.raises(RunError, match="masses of the structure differ"):
        run_trap(folder, SETTINGS, atoms=heavy)
    with lock_folder(folder), pytest.raises(RunError, match="in use by process"):
        run_trap(folder, SETTINGS)
    grown = run_trap(folder, replace(SETTINGS, n_steps=360))
    longer = run_trap(tmp_path / "longer", replace(SETTINGS, n_steps=360))
    assert_array_equal(grown.trajectory.positions, longer.trajectory.positions)


def test_damaged_folders_are_refused(whole, tmp_path):
    for name, content, message in (
        (CHECKPOINT_NAME, None, "trajectory without its checkpoint"),
        (CHECKPOINT_NAME, b"damaged", "is damaged or was written by something else"),
        (PROPERTIES_NAME, -30, "holds 60 records, but the checkpoint was written after 61"),
        ("pimd.json", None, "files of a foreign run"),
    ):
        folder = tmp_path / f"{name}{content}"
        shutil.copytree(whole[0], folder)
        if content is None:
            (folder / name).unlink()
        else:
            whole_file = (folder / name).read_bytes()
            (folder / name).write_bytes(whole_file[:content] if content == -30 else content)
        with pytest.raises(RunError, match=message):
            run_trap(folder, SETTINGS)


def test_an_exploding_run_is_stopped(tmp_path):
    with pytest.raises(RunError, match=r"the dynamics exploded at step \d+: the temperature is"):
        run_trap(tmp_path, SETTINGS, Trap(spring=-50.0))
    kept = read_pimd_trajectory(tmp_path)
    assert kept.n_frames > 1
    assert np.isfinite(kept.positions).all()


def test_a_number_that_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises(RunError, match="exploded at step 49: the temperature is nan K"):
        run_trap(tmp_path, SETTINGS, Trap(quartic=5.0, bad_call=50))
    run_trap(tmp_path, SETTINGS)
    run_trap(tmp_path / "whole", SETTINGS)
    assert contents(tmp_path) == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ExtrapolationError("far away"), "^stopped at step 4: far away"),
        (StructureError("two atoms in one place"), "exploded at step 4: two atoms in one place"),
    ],
)
def test_a_structure_that_is_refused_ends_the_run(tmp_path, error, message):
    class Refusing(Trap):
        def evaluate(self, positions, extras=()):
            answer = super().evaluate(positions, extras)
            if self.n_calls == 5:
                raise error
            return answer

    with pytest.raises(RunError, match=message):
        run_trap(tmp_path, SETTINGS, Refusing())


def test_a_run_that_stands_still_is_stopped(tmp_path):
    begin = time.monotonic()
    with pytest.raises(RunError, match="no new step within 0.4 s after step 6"):
        run_trap(tmp_path, SETTINGS, Trap(hang_call=8), stall_limit_s=0.4)
    assert time.monotonic() - begin < 30.0


def test_the_alarm_of_others_rings_after_the_run():
    """Slow work that goes on is left alone."""
    rung = threading.Event()
    previous = signal.signal(signal.SIGALRM, lambda number, frame: rung.set())
    others = signal.setitimer(signal.ITIMER_REAL, 0.05)
    steps = iter(range(100))
    try:
        with stop_where_it_stands_still(lambda: next(steps), 0.2):
            time.sleep(0.5)
        assert not rung.is_set()
        assert rung.wait(10.0)
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *others)


def test_where_the_alarm_is_not_heard_runs_go_on(tmp_path):
    worker = threading.Thread(target=run_trap, args=(tmp_path, replace(SETTINGS, n_steps=4)))
    worker.start()
    worker.join()
    assert read_pimd_trajectory(tmp_path).n_frames == 2


def test_a_start_of_its_own(tmp_path):
    """Newton's equations for beads that begin somewhere, with their velocities in the frames."""
    generator = np.random.default_rng(3)
    begin = RingPolymer(
        carbons().positions + 0.05 * generator.standard_normal((4, 3, 3)),
        0.1 * generator.standard_normal((4, 3, 3)),
    )
    settings = replace(SETTINGS, dynamics="rpmd", segment_ps=0.015, n_steps=300, timestep_fs=0.05)
    result = run_trap(tmp_path, settings, start=begin)
    trajectory = result.trajectory
    assert_allclose(trajectory.positions[0], begin.positions, atol=1e-13)
    velocities = np.asarray(trajectory.velocities_angstrom_per_fs)
    assert_allclose(velocities[0] / 0.09822694788464063, begin.velocities, rtol=1e-9, atol=1e-12)
    differences = (trajectory.positions[2] - trajectory.positions[0]) / (2 * 3 * 0.05)
    assert_allclose(velocities[1], differences, atol=1e-3 * np.abs(velocities).max())
    assert np.ptp(result.properties.conserved) < 1e-5 * result.properties.conserved[0]
    assert trajectory.dynamics == "RPMD"


def test_the_global_thermostat_heats_what_can_move():
    """Of two atoms whose center of mass is held: another count would be 25 % off."""

    def bond(x):
        step = x[:, 1] - x[:, 0]
        return 5.0 * (step**2).sum(axis=1), 10.0 * np.stack([step, -step], axis=1)

    settings = PimdRun(
        n_steps=1, n_beads=2, thermostat="pile-g", thermostat_time_fs=5.0, engine="native"
    )
    moving = make_integrator(carbons(2), settings, bond)
    moving.begin(np.zeros((2, 2, 3)))
    temperatures_K = []
    for step in range(1, 12_001):
        moving.step(step)
        temperatures_K.append(moving.thermal_of(moving.hottest) / 8.617330337e-05)
    blocks = [block.mean() for block in np.array_split(np.array(temperatures_K[500:]), 20)]
    error = np.std(blocks, ddof=1) / np.sqrt(20)
    assert abs(np.mean(temperatures_K[500:]) - 300.0) < 3.5 * error < 30.0


def test_guarded_beads_are_counted(tmp_path):
    """Each once, over a run that was killed; the report is that of the whole."""
    from mlpotential.inference.guard import ExtrapolationGuard

    class Guarded(KilledTrap):
        def __init__(self, call):
            super().__init__(call)
            self.guard = ExtrapolationGuard("warn", [])

        def evaluate(self, positions, extras=()):
            answer = super().evaluate(positions, extras)
            self.guard.assess(len(positions), [])
            return BeadAnswer(answer.energies, answer.forces, answer.extras)

    with pytest.raises(Killed):
        run_trap(tmp_path, SETTINGS, Guarded(100))
    result = run_trap(tmp_path, SETTINGS, Guarded(0))
    assert result.extrapolation.n_evaluated == 4 * 301


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thermostat": "pile-g", "n_beads": 1}, "pile-g with one bead is a classical run"),
        ({"thermostat": "gle"}, "pile-l"),
        ({"engine": "ipy"}, "native"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        PimdRun(n_steps=1, **settings)


@pytest.mark.parametrize(
    ("dynamics", "thermostat", "strength", "centroid"),
    [
        ("pimd", "pile-l", 1.0, 1.0 / 20.0),
        ("pimd", "pile-g", 1.0, 0.0),
        ("trpmd", "pile-l", 0.5, 0.0),
        ("trpmd", "pile-g", 0.5, 0.0),
    ],
)
def test_frictions(dynamics, thermostat, strength, centroid):
    """What a step without forces leaves of momenta: exp(-gamma dt) cos(omega dt), and of the
    centroid all but for its friction; the momenta of 3000 atoms are compared."""
    settings = PimdRun(
        n_steps=1, n_beads=4, timestep_fs=2.0, dynamics=dynamics, thermostat=thermostat, stride=1,
        fix_center_of_mass=False, thermostat_time_fs=20.0, segment_ps=0.002, engine="native",
    )  # fmt: skip
    atoms = carbons(3000)
    moving = make_integrator(atoms, settings, lambda x: (np.zeros(4), np.zeros(x.shape)))
    moving.begin(np.repeat(atoms.positions[None], 4, axis=0))
    start = moving.state
    before = start.momenta
    moving.step(1)
    omega = 8.0 * 0.0392758 * np.sin(np.pi * np.arange(4) / 4)  # kT / hbar at 300 K (1/fs)
    left = (moving.state.momenta * before).sum(axis=1) / (before**2).sum(axis=1)
    gamma = np.where(omega == 0.0, centroid, 2.0 * strength * omega)
    expected = np.exp(-2.0 * gamma) * np.cos(2.0 * omega)
    width = 4.0 / np.sqrt(9000)
    assert_allclose(left[1:], expected[1:], atol=width)
    assert_allclose(left[0], expected[0], atol=0.1 if thermostat == "pile-g" else width)
