"""Runs on an emulated CUDA device: files, restarts, faults and what is refused, as on the host."""

import signal
from dataclasses import replace
from pathlib import Path

import emulated
import numpy as np
import pytest
import torch
from ase import Atoms
from device_noise import SameNoise
from emulated import needs_compiler
from numpy.testing import assert_allclose, assert_array_equal
from rings import ResidentTrap
from trapped_beads import Trap, run_trap

from md_runs.checkpoint_archive import read_archive
from md_runs.cli import main
from md_runs.pimd import PimdRun, read_pimd_trajectory, run_pimd, run_ring_polymer_segments
from md_runs.pimd.ring_polymer import device, dynamics
from md_runs.pimd.ring_polymer.checkpoint import FORMAT_VERSION
from md_runs.pimd.ring_polymer.device import DeviceRingPolymer
from md_runs.pimd.ring_polymer.files import CHECKPOINT_NAME, PROPERTIES_NAME, read_properties
from md_runs.reading import read_energy_series, read_run
from md_runs.run_folders import TRAJECTORY_NAME
from mlpotential.errors import ConfigError, ExtrapolationWarning, RunError
from mlpotential.graph import AtomGraph
from mlpotential.inference.execution import Execution
from mlpotential.interruption import RunInterrupted
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.models.terms.settings import TermSettings

SETTINGS = PimdRun(
    n_steps=25, n_beads=3, stride=3, properties_stride=2, checkpoint_stride=10, seed=4,
    record_forces=True, engine="cuda", timestep_fs=0.5,
)  # fmt: skip
FLOAT64 = Execution("cpu", "float64", guard="off")
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
FILES = (TRAJECTORY_NAME, PROPERTIES_NAME, CHECKPOINT_NAME)


@pytest.fixture
def on_cpu(monkeypatch):
    emulated.install(monkeypatch)


@pytest.fixture
def water() -> Atoms:
    return Atoms("OHH", [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize(
    ("n_beads", "place", "dtype", "backend", "tolerance"),
    [
        pytest.param(1, "cpu", "float64", "cuda", 1e-9, marks=needs_compiler),
        pytest.param(3, "cpu", "float64", "cuda", 1e-9, marks=needs_compiler),
        pytest.param(2, "cpu", "float32", "cuda", 1e-5, marks=needs_compiler),
        pytest.param(3, "cpu", "float64", "reference", 1e-6, marks=needs_compiler),
        pytest.param(3, "cuda", "float64", "cuda", 1e-9, marks=ON_GPU),
        pytest.param(3, "cuda", "float64", "reference", 1e-6, marks=ON_GPU),
    ],
)
def test_files_of_the_host(
    n_beads, place, dtype, backend, tolerance, model_path, water, tmp_path, on_cpu, monkeypatch
):
    """Of the same steps and fields, and to rounding the same numbers, given the same noise."""
    settings = replace(SETTINGS, n_beads=n_beads)
    execution = replace(FLOAT64, device=place, dtype=dtype)
    here = run_pimd(water, model_path, settings, tmp_path / "device", execution=execution)
    execution = replace(execution, backend=backend)
    monkeypatch.setattr(dynamics, "CountedNoise", SameNoise)
    on_host = replace(settings, engine="native")
    there = run_pimd(water, model_path, on_host, tmp_path / "host", execution=execution)
    assert np.abs(there.trajectory.positions[-1] - there.trajectory.positions[0]).max() > 0.02
    for found, expected in (
        (here.trajectory, there.trajectory),
        (here.properties, there.properties),
    ):
        for name, value in vars(expected).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                size = np.abs(value).max()
                error = np.abs(getattr(found, name) - value).max()
                assert error <= tolerance * size, name
            elif value is not None and not isinstance(value, np.ndarray):
                assert getattr(found, name) == value, name
    assert (tmp_path / "device/pimd.json").exists()
    assert_allclose(
        read_energy_series(tmp_path / "device").primitive,
        read_energy_series(tmp_path / "host").primitive,
        rtol=10 * tolerance,
    )
    assert_array_equal(read_run(tmp_path / "device").positions, here.trajectory.positions)
    checkpoints = [
        read_archive(tmp_path / d / CHECKPOINT_NAME, FORMAT_VERSION) for d in ("device", "host")
    ]
    assert checkpoints[0][0] == checkpoints[1][0]
    assert checkpoints[0][1].keys() == checkpoints[1][1].keys()


class Killed(BaseException):
    """Not an error that anybody handles."""


@needs_compiler
def test_kills_and_rounds_change_no_bit(model_path, water, tmp_path, on_cpu, monkeypatch):
    """In steps within rounds and at their ends, one after the other in one folder."""
    settings, step = replace(SETTINGS, checkpoint_stride=6), DeviceRingPolymer.step
    run_pimd(water, model_path, settings, tmp_path / "whole", execution=FLOAT64)
    monkeypatch.setattr(device, "STEPS_OF_A_ROUND", 4)
    folder, last = tmp_path / "killed", 0

    def killed(self, number):
        if number == last:
            raise Killed
        step(self, number)

    monkeypatch.setattr(DeviceRingPolymer, "step", killed)
    for last in (1, 5, 15, 13, 24):  # noqa: B007
        with pytest.raises(Killed):
            run_pimd(water, model_path, settings, folder, execution=FLOAT64)
    last = 0
    run_pimd(water, model_path, settings, folder, execution=FLOAT64)
    assert contents(folder) == contents(tmp_path / "whole")
    longer = replace(settings, n_steps=28)
    for path in (folder, tmp_path / "longer"):
        run_pimd(water, model_path, longer, path, execution=FLOAT64)
    assert contents(folder) == contents(tmp_path / "longer")


@needs_compiler
def test_what_is_outside_the_training_data_is_counted(model_path, water, tmp_path, on_cpu):
    """Every bead of every step once."""
    reports = {}
    for engine in ("cuda", "native"):
        settings = replace(SETTINGS, engine=engine, n_steps=8, temperature_K=2.0)
        result = run_pimd(
            water, model_path, settings, tmp_path / engine, execution=replace(FLOAT64, guard="warn")
        )
        reports[engine] = result.extrapolation
    assert reports["cuda"] == reports["native"]
    assert reports["cuda"].n_evaluated == 3 * 9


@pytest.fixture
def narrow_path(potential, water, tmp_path):
    """A model that never saw the bonds of this water shorter than 0.85 A."""
    path = tmp_path / "narrow.safetensors"
    record = ModelRecord(title="a test", shortest_distances={"H-O": 0.85, "H-H": 0.5, "O-O": 0.5})
    save_model(path, potential, AtomGraph.from_atoms(water), record)
    return path


@needs_compiler
def test_the_guard_stops_at_the_step_of_the_host(narrow_path, water, tmp_path, on_cpu, monkeypatch):
    """And keeps what came before it."""
    stopped = {}
    for engine in ("cuda", "native"):
        settings = replace(SETTINGS, engine=engine, temperature_K=900.0, checkpoint_stride=1)
        if engine == "native":
            monkeypatch.setattr(dynamics, "CountedNoise", SameNoise)
        with pytest.raises(RunError, match=r"^stopped at step \d+: outside") as caught:
            run_pimd(
                water, narrow_path, settings, tmp_path / engine,
                execution=replace(FLOAT64, guard="stop"),
            )  # fmt: skip
        stopped[engine] = str(caught.value), read_pimd_trajectory(tmp_path / engine).n_frames
    assert stopped["cuda"] == stopped["native"]
    assert int(stopped["cuda"][0].split()[3][:-1]) > 2


@needs_compiler
def test_the_guard_warns(narrow_path, water, tmp_path, on_cpu):
    warm = replace(SETTINGS, temperature_K=900.0, n_steps=5)
    execution = replace(FLOAT64, guard="warn")
    with pytest.warns(ExtrapolationWarning, match="outside the training data"):
        result = run_pimd(water, narrow_path, warm, tmp_path / "run", execution=execution)
    assert 0 < result.extrapolation.n_outside < result.extrapolation.n_evaluated


class TrapOnDevice(Trap):
    """A trap whose forces stay on the emulated device."""

    def resident(self, n_beads, n_evaluations):
        def potential(positions):
            answer = self.evaluate(positions)
            return answer.energies, answer.forces

        return ResidentTrap(n_beads, 3, n_evaluations, potential=potential)

    def unwatched(self):
        return Trap()


FREE = replace(SETTINGS, fix_center_of_mass=False, n_steps=300, n_beads=4)


@needs_compiler
def test_an_exploding_run_is_stopped(tmp_path):
    """With what came before it on the disk."""
    with pytest.raises(RunError, match=r"the dynamics exploded at step \d+: the temperature is"):
        run_trap(tmp_path, FREE, TrapOnDevice(spring=-50.0))
    kept = read_pimd_trajectory(tmp_path)
    assert kept.n_frames > 1
    assert np.isfinite(kept.positions).all()


@needs_compiler
def test_a_number_that_is_not_finite_ends_the_run(tmp_path):
    """At its step, and the same command goes on from the last checkpoint."""
    with pytest.raises(RunError, match="exploded at step 49: the temperature is nan K"):
        run_trap(tmp_path / "run", FREE, TrapOnDevice(quartic=5.0, bad_call=50))
    for name in ("run", "whole"):
        run_trap(tmp_path / name, FREE, TrapOnDevice(quartic=5.0))
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@needs_compiler
def test_segments_with_dipoles(dipole_potential, water, tmp_path, on_cpu, monkeypatch):
    """TRPMD from its own PIMD run, and dipoles of every frame: all as of the host."""
    path = tmp_path / "dipoles.safetensors"
    save_model(path, dipole_potential, AtomGraph.from_atoms(water), ModelRecord(title="a test"))
    settings = replace(
        SETTINGS, dynamics="trpmd", n_steps=12, segment_ps=0.003, start_spacing_ps=0.0015,
        record_forces=False,
    )  # fmt: skip
    found = run_ring_polymer_segments(
        water, path, settings, tmp_path / "device", progress=False, execution=FLOAT64
    )
    monkeypatch.setattr(dynamics, "CountedNoise", SameNoise)
    expected = run_ring_polymer_segments(
        water, path, replace(settings, engine="native"), tmp_path / "host", execution=FLOAT64
    )
    assert len(found.trajectories) == 2
    for here, there in zip(found.trajectories, expected.trajectories, strict=True):
        assert here.dynamics == "TRPMD"
        for name in ("positions", "velocities_angstrom_per_fs", "dipoles"):
            value = np.asarray(getattr(there, name))
            assert_allclose(getattr(here, name), value, rtol=0, atol=1e-9 * np.abs(value).max())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thermostat": "pile-g"}, "engine cuda has pile-l alone"),
        ({"pressure_GPa": 1.0}, "engine cuda keeps the cell"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        replace(SETTINGS, **settings)


def test_without_a_device(model_path, water, tmp_path, capsys):
    """One clear line, and no frame of a run."""
    water.write(tmp_path / "water.xyz")
    command = ["pimd", str(tmp_path / "water.xyz"), "--model", str(model_path), "--engine", "cuda"]
    command += ["--folder", str(tmp_path / "run"), "--device", "cpu", "--n-steps", "3"]
    assert main(command) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "engine cuda" in line]
    assert "engine cuda is not possible here, use engine native: " in line
    assert "CUDA device" in line
    assert not (tmp_path / "run/trajectory.frames").exists()


@needs_compiler
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("committee", "of one model, not of a committee"),
        ("periodic", "of molecules, not of a periodic cell"),
        ("reference", "of the cuda backend alone: this model is evaluated by the reference"),
        ("large", "of at most 64 atoms, not of 66"),
        ("terms", "or has physical terms beside its network"),
    ],
)
def test_forces_that_do_not_stay_on_a_device(
    case, message, potential, model_path, water, tmp_path, on_cpu
):
    model, execution = model_path, FLOAT64
    if case == "committee":
        model = [model_path, model_path]
    elif case == "periodic":
        water.set_cell([12.0, 12.0, 12.0])
        water.pbc = True
    elif case == "reference":
        execution = replace(FLOAT64, backend="reference")
    elif case == "terms":
        potential.terms = {"zbl": TermSettings()}
        model = tmp_path / "terms.safetensors"
        save_model(model, potential, AtomGraph.from_atoms(water), ModelRecord(title="a test"))
    else:
        row = np.arange(22)[:, None, None] * [0.0, 0.0, 4.0]
        water = Atoms("OHH" * 22, (water.positions + row).reshape(-1, 3))
    with pytest.raises(ConfigError, match=message):
        run_pimd(water, model, SETTINGS, tmp_path / "run", execution=execution)


def test_calculators_stay_on_the_host(tmp_path):
    with pytest.raises(ConfigError, match="engine cuda moves beads by a model file alone"):
        run_trap(tmp_path / "run", replace(SETTINGS, fix_center_of_mass=False))


@needs_compiler
def test_newton_conserves_the_energy_of_a_model(model_path, water, tmp_path, on_cpu):
    """To second order in the time step, over the same time."""
    spreads = []
    for timestep_fs, n_steps in ((0.5, 24), (0.25, 48)):
        settings = replace(
            SETTINGS, dynamics="rpmd", timestep_fs=timestep_fs, n_steps=n_steps,
            properties_stride=1, segment_ps=0.012, stride=1, start_spacing_ps=0.001,
        )  # fmt: skip
        run_ring_polymer_segments(
            water, model_path, settings, tmp_path / f"{n_steps}", execution=FLOAT64, progress=False
        )
        conserved = read_properties(tmp_path / f"{n_steps}" / "segment_0").conserved
        spreads.append(np.ptp(conserved))
    assert 3.0 < spreads[0] / spreads[1] < 5.0


@needs_compiler
def test_a_signal_saves_the_state_within_a_round(tmp_path):
    """And the same command goes on to the bits of a run that was left alone."""
    stopping = TrapOnDevice(quartic=5.0)
    evaluate = stopping.evaluate

    def interrupted(positions, extras=()):
        if stopping.n_calls == 120:
            signal.raise_signal(signal.SIGTERM)
        return evaluate(positions, extras)

    stopping.evaluate = interrupted
    with pytest.raises(RunInterrupted, match="interrupted after step 101 of 300: the state is"):
        run_trap(tmp_path / "run", FREE, stopping)
    for name in ("run", "whole"):
        run_trap(tmp_path / name, FREE, TrapOnDevice(quartic=5.0))
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


@needs_compiler
@pytest.mark.skipif(not BENCHMARKS.exists(), reason="there are no benchmarks here")
def test_the_benchmark(model_path, water, on_cpu, monkeypatch, capsys):
    """Its parts on an emulated device; without one, it says so."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench_gpu_pimd as bench

    assert bench.difference(water, model_path, FLOAT64, 2) < bench.BOUND
    for engine in bench.ENGINES:
        assert bench.steps_per_second(water, model_path, FLOAT64, 2, engine, 20) != 0.0
    if not torch.cuda.is_available():
        assert bench.main([]) == bench.NO_DEVICE
        assert "there is no CUDA device here" in capsys.readouterr().err
