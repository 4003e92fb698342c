"""Path-integral runs through real i-PI processes: physics, faults, restarts."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import ase.io
import ase.units
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal

from calculators.ipi_driver import driver_path
from calculators.ipi_units import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from md_runs.cli import main
from md_runs.force_provider import IpiDriver
from md_runs.pimd import PimdRun, ipi_process, read_pimd_trajectory, run_pimd
from md_runs.pimd.ipi_checkpoints import newest_checkpoint
from md_runs.pimd.ipi_input import to_ipi_frame
from md_runs.pimd.ipi_outputs import Outputs, ProgressReader
from md_runs.pimd.ipi_run import run_with_driver
from mlpotential.errors import RunError, StructureError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.run_folder import lock_folder

TRAP = Path(__file__).with_name("trap_pes.py")
KELVIN = 3.1668152e-06  # hartree; i-PI's constants here and below
FS = 41.341373
WAVENUMBER = 4.5563353e-06  # hartree


def run_trap(folder, settings, atoms=None, stall_limit_s=60.0, **parameters):
    driver = IpiDriver(str(TRAP), {k: str(v) for k, v in parameters.items()})
    return run_with_driver(
        molecule("CH4") if atoms is None else atoms, driver, settings, folder, True, stall_limit_s
    )


def standard_error(series, n_blocks=10):
    blocks = np.array_split(series, n_blocks)
    return np.std([block.mean() for block in blocks], ddof=1) / np.sqrt(n_blocks)


def oscillator_potential(omega, n_beads, temperature_K):
    """<V> per degree of freedom of P beads (hartree); the centroid virial <K> is the same.

    <V> = (k / 2 beta) sum_j 1 / (m (omega^2 + omega_j^2)),
    omega_j = (2 P / beta hbar) sin(pi j / P)
    """
    beta = 1.0 / (KELVIN * temperature_K)
    omega_j = 2.0 * n_beads / beta * np.sin(np.pi * np.arange(n_beads) / n_beads)
    return omega**2 / (2.0 * beta) * np.sum(1.0 / (omega**2 + omega_j**2))


def check_oscillator(folder, n_beads, n_steps, timestep_fs, n_atoms, relative_error):
    """Atoms in harmonic traps of 1800 / cm at 300 K.

    The integrator's own error is (omega dt)^2 / 4 of <V> for one bead: 0.18 % at 0.25 fs.
    """
    atoms = Atoms(f"C{n_atoms}", positions=5.0 * np.arange(3 * n_atoms).reshape(-1, 3))
    omega = 1800.0 * WAVENUMBER
    spring = atoms.get_masses()[0] * 1822.8885 * omega**2
    settings = PimdRun(
        n_steps, n_beads, timestep_fs=timestep_fs, thermostat_time_fs=6.0, stride=500,
        properties_stride=5, fix_center_of_mass=False, seed=4,
    )  # fmt: skip
    result = run_trap(folder, settings, atoms, spring=spring)
    equilibrated = result.properties.times_fs > 60.0
    exact = oscillator_potential(omega, n_beads, 300.0) * 3 * n_atoms / HARTREE_PER_EV
    for name in ("potential", "kinetic_cv"):
        series = getattr(result.properties, name)[equilibrated]
        tolerance = 4 * standard_error(series) + 1e-6 * exact  # one bead: <K> is a constant
        assert abs(series.mean() - exact) < tolerance, name
        assert standard_error(series) < relative_error * exact
    temperature = result.properties.temperature_K[equilibrated]
    assert abs(temperature.mean() - 300.0) < 4 * standard_error(temperature)
    conserved = result.properties.conserved
    assert np.ptp(conserved[equilibrated]) < 0.02 * exact


def test_the_formula_against_the_exact_limits():
    """Figures of the harmonic oscillator at 1800 / cm and 300 K, hartree."""
    omega, beta = 1800.0 * WAVENUMBER, 1.0 / (KELVIN * 300.0)
    assert_allclose(oscillator_potential(omega, 1, 300.0), 0.5 / beta)
    quantum = omega / 4.0 / np.tanh(0.5 * beta * omega)
    assert_allclose(oscillator_potential(omega, 4096, 300.0), quantum, rtol=1e-5)
    assert_allclose(oscillator_potential(omega, 4, 300.0), 1.39519e-3, rtol=1e-4)


@pytest.mark.slow
def test_harmonic_oscillators_of_four_beads(tmp_path):
    check_oscillator(
        tmp_path, n_beads=4, n_steps=1000, timestep_fs=0.25, n_atoms=150, relative_error=0.02
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_beads", "n_steps"),
    [
        pytest.param(1, 20_000, marks=pytest.mark.torture),
        (8, 10_000),
        pytest.param(32, 5_000, marks=pytest.mark.torture),
    ],
)
def test_harmonic_oscillators_at_length(tmp_path, n_beads, n_steps):
    check_oscillator(tmp_path, n_beads, n_steps, timestep_fs=0.125, n_atoms=40, relative_error=0.01)


@pytest.mark.slow
def test_a_fixed_center_of_mass_is_counted(tmp_path):
    """Three of twelve classical degrees of freedom: a wrong count would be 25 % off."""
    settings = PimdRun(
        20_000, n_beads=1, timestep_fs=0.25, thermostat_time_fs=6.0, stride=500, properties_stride=5
    )
    result = run_trap(tmp_path, settings, molecule("NH3"))
    temperature = result.properties.temperature_K[40:]
    assert abs(temperature.mean() - 300.0) < 4 * standard_error(temperature)
    assert standard_error(temperature) < 9.0


def start_runner(folder, settings, *more, **parameters):
    command = [sys.executable, str(TRAP), str(folder), json.dumps(settings)]
    with open(folder.with_suffix(".stderr"), "w") as stderr:
        return subprocess.Popen([*command, json.dumps(parameters), *more], stderr=stderr)


def wait_for_step(folder, step):
    """Until the outputs show a step."""
    reader, deadline = ProgressReader(folder, 0), time.monotonic() + 120.0
    while reader.update() < step:
        assert time.monotonic() < deadline, f"step {step} was not reached"
        time.sleep(0.02)


def child_of(runner):
    path = Path(f"/proc/{runner.pid}/task/{runner.pid}/children")
    return int(path.read_text().split()[0])


def is_alive(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def is_told_to_stop(folder, settings):
    runner = start_runner(folder, settings, delay=0.01)
    wait_for_step(folder, 60)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(60) == 128 + signal.SIGTERM
    soft_steps = int((folder / "RESTART").read_text().split("<step>")[1].split("<")[0])
    assert soft_steps >= 60


def loses_ipi(folder, settings):
    runner = start_runner(folder, settings, delay=0.01)
    wait_for_step(folder, 130)
    os.kill(child_of(runner), signal.SIGKILL)
    assert runner.wait(60) == 1
    assert "i-PI was killed by signal 9 after step" in folder.with_suffix(".stderr").read_text()


def is_killed(folder, settings):
    """i-PI does not outlive it."""
    runner = start_runner(folder, settings, delay=0.01)
    wait_for_step(folder, 200)
    ipi = child_of(runner)
    runner.kill()
    runner.wait()
    deadline = time.monotonic() + 30.0
    while is_alive(ipi) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(ipi)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    "ends",
    [(is_killed,), pytest.param((is_told_to_stop, loses_ipi, is_killed), marks=pytest.mark.slow)],
)
def test_killed_and_continued(tmp_path, ends):
    """SIGTERM to the runner, kill -9 of i-PI, kill -9 of the runner: every step exactly once."""
    settings = {"n_steps": 300, "n_beads": 2, "stride": 5, "properties_stride": 5,
                "checkpoint_stride": 25, "seed": 7}  # fmt: skip
    whole = run_trap(tmp_path / "whole", PimdRun(**settings))
    folder = tmp_path / "killed"

    for end in ends:
        end(folder, settings)
    log = folder / "calls"
    result = run_trap(folder, PimdRun(**settings), log=log)
    n_calls = len(log.read_text().split())  # one per step and one for the beginning
    assert n_calls - 1 <= 300 - 200 + 25
    assert_array_equal(result.properties.steps, np.arange(0, 301, 5))
    assert_allclose(result.trajectory.positions, whole.trajectory.positions, rtol=0.0, atol=1e-6)
    for name in ("conserved", "temperature_K", "potential", "kinetic_cv"):
        again, reference = (getattr(r.properties, name) for r in (result, whole))
        assert_allclose(again, reference, rtol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(tmp_path):
    """i-PI is cut short within a frame and leaves no restart file."""
    settings = {"n_steps": 200, "n_beads": 1, "stride": 2, "checkpoint_stride": 20}
    folder = tmp_path / "full"
    runner = start_runner(folder, settings, "40000")
    assert runner.wait(60) == 1
    message = folder.with_suffix(".stderr").read_text()
    assert "File too large" in message.splitlines()[0]
    saved = newest_checkpoint(Outputs(folder, PimdRun(**settings), 5)).step
    assert 0 < saved < 200
    result = run_trap(folder, PimdRun(**settings))
    assert_array_equal(result.trajectory.times_fs, np.arange(101))


@pytest.mark.slow
def test_one_folder_one_run(tmp_path):
    """Batches, an old EXIT, growing, finishing at once, and what is refused."""
    settings = PimdRun(n_steps=30, n_beads=3, stride=7, properties_stride=10, checkpoint_stride=20)
    folder, log = tmp_path / "a & b's <folder>", tmp_path / "calls"
    folder.mkdir()
    (folder / "EXIT").touch()
    with pytest.warns(UserWarning, match="EXIT"):
        first = run_trap(folder, settings, log=log)
    assert set(log.read_text().split()) == {"3"}
    assert first.trajectory.positions.shape == (5, 3, 5, 3)
    assert_array_equal(first.trajectory.times_fs, [0.0, 3.5, 7.0, 10.5, 14.0])
    assert_array_equal(first.trajectory.masses, molecule("CH4").get_masses())
    assert_allclose(first.trajectory.positions[0, 2], molecule("CH4").positions, atol=2e-8)
    masses = first.trajectory.masses
    centroids = np.asarray(first.trajectory.positions).mean(axis=1)
    center_of_mass = np.einsum("i,fix->fx", masses, centroids) / masses.sum()
    assert np.abs(first.trajectory.positions[-1] - first.trajectory.positions[0]).max() > 1e-3
    assert_allclose(center_of_mass, center_of_mass[[0]].repeat(5, axis=0), atol=1e-7)
    n_calls = len(log.read_text())
    again = run_trap(folder, settings, log=log)
    assert len(log.read_text()) == n_calls
    assert again.steps_per_second is None
    assert_array_equal(again.trajectory.positions, first.trajectory.positions)
    grown = run_trap(folder, replace(settings, n_steps=50), log=log)
    assert_array_equal(grown.properties.steps, np.arange(0, 51, 10))
    assert_array_equal(grown.trajectory.positions[:5], first.trajectory.positions)
    assert not list(folder.glob("#*"))
    with pytest.raises(RunError, match="already holds 50 steps, more than n_steps = 40"):
        run_trap(folder, replace(settings, n_steps=40))
    with pytest.raises(RunError, match="seed was 0 and is now 1"):
        run_trap(folder, replace(settings, n_steps=50, seed=1))
    with lock_folder(folder), pytest.raises(RunError, match="in use by process"):
        run_trap(folder, replace(settings, n_steps=60))
    (folder / "pimd.json").unlink()
    with pytest.raises(RunError, match="foreign"):
        run_trap(folder, settings)


@pytest.mark.slow
def test_nan_ends_the_run_with_an_error(tmp_path):
    """i-PI itself would go on to the last step and report success."""
    settings = PimdRun(n_steps=100_000, n_beads=2, checkpoint_stride=20)
    with pytest.raises(RunError, match=r"not finite at step \d+"):
        run_trap(tmp_path, settings, bad_call=35)
    assert newest_checkpoint(Outputs(tmp_path, settings, 5)).step == 20


@pytest.mark.slow
def test_an_exploding_run_is_stopped(tmp_path):
    """Atoms that are pushed away ever faster; i-PI itself would go on."""
    settings = PimdRun(n_steps=100_000, n_beads=2, properties_stride=1)
    with pytest.raises(RunError, match=r"the dynamics exploded before step \d+: .* K"):
        run_trap(tmp_path, settings, spring=-0.5, delay=0.02)


@pytest.mark.slow
def test_a_run_that_stands_still_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(ipi_process, "GRACE_S", 5.0)
    settings = PimdRun(n_steps=100, n_beads=2)
    begin = time.monotonic()
    with pytest.raises(RunError, match=r"no new step within 25 s after step [123]0"):
        run_trap(tmp_path, settings, stall_limit_s=25.0, hang_call=40)
    assert time.monotonic() - begin < 60.0


@pytest.mark.parametrize(
    ("name", "n_beads"), [("ethanol", 2), pytest.param("diamond", 1, marks=pytest.mark.slow)]
)
def test_pimd_with_a_model(tmp_path, model_path, request, capsys, name, n_beads):
    """The shipped driver inside i-PI, for a molecule and a skewed crystal, with an isotope.

    The command goes on with what the function made.
    """
    structure, folder = tmp_path / "structure.extxyz", tmp_path / "run"
    isotopes = request.getfixturevalue(name)
    masses = isotopes.get_masses()
    masses[-1] = 13.5
    isotopes.set_masses(masses)
    ase.io.write(structure, isotopes)
    atoms = ase.io.read(structure)
    settings = PimdRun(n_steps=4, n_beads=n_beads, stride=2, properties_stride=1)
    result = run_pimd(atoms, model_path, settings, folder)
    trajectory = result.trajectory
    assert trajectory.masses[-1] == 13.5
    evaluator = Evaluator(model_path, atoms.numbers, atoms.pbc)
    for k, frame in enumerate(trajectory.positions):
        cells = None if trajectory.cells is None else trajectory.cells[[k] * n_beads]
        energy = evaluator.evaluate(frame, cells).energy.mean()
        assert_allclose(result.properties.potential[2 * k], energy, rtol=0, atol=1e-5)
    assert (folder / "model.safetensors").read_bytes() == model_path.read_bytes()
    words = ["pimd", structure, "--model", model_path, "--folder", folder, "--n-steps", 4]
    words += ["--n-beads", n_beads, "--stride", 2, "--properties-stride", 1]
    assert main(list(map(str, words))) == 0
    assert f"3 frames of {n_beads} bead" in capsys.readouterr().out
    assert_array_equal(read_pimd_trajectory(folder).positions, trajectory.positions)
    with pytest.raises(RunError, match="dtype was 'float64' and is now 'float32'"):
        run_pimd(atoms, model_path, settings, folder, execution=Execution(dtype="float32"))


def test_a_bad_structure_starts_nothing(tmp_path, model_path):
    settings = PimdRun(n_steps=4)
    with pytest.raises(StructureError, match="does not know"):
        run_pimd(molecule("NH3"), model_path, settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


SOCKET_INPUT = """<simulation verbosity='quiet' sockets_prefix='./'>
  <output prefix='simulation'>
    <properties filename='out' stride='1'>[step, potential{electronvolt}, virial_md]</properties>
  </output>
  <total_steps>2</total_steps>
  <ffsocket mode='unix' name='model' pbc='False'>
    <address>sock</address> <timeout>30</timeout> <batch_size>2</batch_size>
  </ffsocket>
  <system>
    <initialize nbeads='2'> <file mode='ase'>crystal.extxyz</file> </initialize>
    <forces> <force forcefield='model'/> </forces>
    <motion mode='dynamics'>
      <dynamics mode='nve'> <timestep units='femtosecond'>0.1</timestep> </dynamics>
    </motion>
    <ensemble> <temperature units='kelvin'>10</temperature> </ensemble>
  </system>
</simulation>"""


@pytest.mark.slow
def test_as_a_socket_client_of_ipi(tmp_path, model_path, diamond, monkeypatch):
    """`i-pi-driver-py -m custom`, batched, periodic and triclinic: energy and virial arrive.

    That client runs in this process, which has imported torch already.
    """
    crystal = to_ipi_frame(diamond)
    ase.io.write(tmp_path / "crystal.extxyz", crystal)
    (tmp_path / "input.xml").write_text(SOCKET_INPUT)
    program = ipi_process.ipi_program().with_name("i-pi-driver-py")
    options = ["-u", "-a", "sock", "-S", f"{tmp_path}/", "-m", "custom", "-P", driver_path()]
    options += ["-o", f"model={model_path},structure={tmp_path}/crystal.extxyz,device=cpu"]
    monkeypatch.setattr(sys, "argv", [str(program), *options])
    with ipi_process.ipi_process("input.xml", tmp_path) as server:
        deadline = time.monotonic() + 30.0
        while not (tmp_path / "sock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # it leaves its socket open
            runpy.run_path(str(program), run_name="__main__")
        assert server.wait(30) == 0
    values = np.loadtxt(tmp_path / "simulation.out")
    assert_array_equal(values[:, 0], [0, 1, 2])
    evaluator = Evaluator(model_path, crystal.numbers, crystal.pbc)
    cells = crystal.cell.array[None]
    exact = evaluator.evaluate(crystal.positions[None], cells, ("energy", "virial"))
    assert_allclose(values[0, 1], exact.energy[0], rtol=1e-7)
    # virial_md: sum over the (here equal) beads / V, in the order xx, yy, zz, xy, xz, yz
    volume = crystal.get_volume() * BOHR_PER_ANGSTROM**3
    virial = exact.virial[0][[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    expected = 2 * virial * HARTREE_PER_EV / volume
    assert_allclose(values[0, 2:], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
