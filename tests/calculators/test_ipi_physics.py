"""The client under real i-PI processes: constant pressure, exact estimators."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from fake_evaluators import LennardJonesCrystal, Trap
from ipi_runs import (
    NVT,
    ffsocket,
    finish,
    free_port,
    input_xml,
    outputs,
    running_ipi,
    system_xml,
)
from numpy.testing import assert_allclose

from calculators.ipi_client import main
from calculators.ipi_driver import make_evaluator
from calculators.ipi_units import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from md_runs.pimd.ipi_input import to_ipi_frame
from mlpotential.inference.execution import Execution

CALCULATOR = Path(__file__).with_name("calculator_pes.py")
LENNARD_JONES = Path(__file__).with_name("lennard_jones_pes.py")
SKEWED = np.array([[4.1, 0.0, 0.0], [0.7, 3.9, 0.0], [-0.4, 0.9, 4.2]])  # A
PRESSURE = "<pressure units='gigapascal'>1</pressure>"
NPT = """<dynamics mode='npt'> {{timestep}}
  <thermostat mode='{thermostat}'> <tau units='femtosecond'>50</tau> </thermostat>
  <barostat mode='flexible'> <tau units='femtosecond'>20</tau>
    <thermostat mode='{of_cell}'> <tau units='femtosecond'>50</tau> </thermostat>
  </barostat> </dynamics>"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("thermostats", "n_beads", "n_steps"),
    [
        pytest.param(("", ""), 1, 40, id="adiabatic"),
        pytest.param(("pile_l", "langevin"), 2, 100, id="npt"),
    ],
)
def test_pressure_in_a_triclinic_cell(tmp_path, run_client, thermostats, n_beads, n_steps):
    """A flexible cell: a transposed cell or virial, or a wrong sign, would show within a few steps.

    Against ASE's Lennard-Jones through i-PI's own ASE driver and ffdirect, whose eV/A is rounded.
    """
    atoms = bulk("Ar", "fcc", a=4.0, cubic=True)
    atoms.set_cell(SKEWED, scale_atoms=True)
    ase.io.write(tmp_path / "crystal.extxyz", atoms)
    direct = f"""<ffdirect name='run' pbc='False'> <pes>custom</pes>
      <pes_path>{LENNARD_JONES}</pes_path>
      <parameters>{{template: ../crystal.extxyz}}</parameters> </ffdirect>"""
    npt = NPT.format(thermostat=thermostats[0], of_cell=thermostats[1])
    system = system_xml("run", atoms, n_beads, npt, atoms.cell.array, PRESSURE)
    values = {}
    for name, force_field in {"direct": direct, "client": ffsocket("run")}.items():
        folder = tmp_path / name
        with running_ipi(folder, input_xml(force_field, system, n_steps, extras=False)) as ipi:
            if name == "client":
                where = ["--unix", "run", "--prefix", f"{folder}/ipi_"]
                run_client(LennardJonesCrystal(atoms), *where)
            finish(ipi, folder)
        values[name] = np.loadtxt(folder / "run_sim.out")
    volumes, cells = values["direct"][:, 5], values["direct"][:, 6:12]
    assert np.ptp(volumes) > 0.02 * volumes[0]
    assert np.abs(cells[:, 3:]).max(axis=1).min() > 0.3  # bohr: it stays triclinic
    scale = np.abs(values["direct"]).max(axis=0)
    assert_allclose(values["client"] / scale, values["direct"] / scale, rtol=0.0, atol=1e-6)


@pytest.mark.slow
def test_a_model_at_constant_pressure_in_every_mode(
    tmp_path, model_path, diamond, run_client, capsys
):
    """A skewed crystal under pressure: the blocks that the command prints, and ASE inside i-PI."""
    atoms, structure = to_ipi_frame(diamond), tmp_path / "crystal.extxyz"
    ase.io.write(structure, atoms)
    port = str(free_port())

    def printed(name, *where):
        files = ["--model", str(model_path), "--structure", str(structure), "--device", "cpu"]
        assert main(["--print-xml", *files, *where]) == 0
        return capsys.readouterr().out.replace('name="model"', f'name="{name}"')

    force_fields = {
        "unix": printed("unix", "--unix", "unix"),
        "inet": printed("inet", "--host", "127.0.0.1", "--port", port),
        "shm": printed("shm", "--unix", "shm").replace('mode="unix"', 'mode="shm"'),
        "batch": printed("batch", "--unix", "batch").replace(">1</batch_size", ">2</batch_size"),
        "direct": printed("direct"),
        "calculator": f"""<ffdirect name='calculator' pbc='False'> <pes>custom</pes>
          <pes_path>{CALCULATOR}</pes_path>
          <parameters>{{template: crystal.extxyz, model: {model_path}}}</parameters> </ffdirect>""",
    }
    npt = NPT.format(thermostat="", of_cell="")  # else every system has other random numbers
    systems = [system_xml(n, atoms, 2, npt, atoms.cell.array, PRESSURE) for n in force_fields]
    xml = input_xml("\n".join(force_fields.values()), "\n".join(systems), 20, extras=False)
    with running_ipi(tmp_path, xml) as ipi:
        ended = {}
        for name in ("unix", "inet", "shm", "batch"):
            where = ["--unix", name, "--prefix", f"{tmp_path}/ipi_", "--wait", "120"]
            if name == "inet":
                where = ["--port", port, "--wait", "120"]
            evaluator = make_evaluator(str(model_path), str(structure), Execution("cpu"))
            ended[name] = run_client(evaluator, *where)
        finish(ipi, tmp_path)
    direct = outputs(tmp_path, "direct")
    for name, (thread, codes) in ended.items():
        thread.join(10.0)
        assert codes == [0], name
        assert outputs(tmp_path, name) == direct, name
    ours, theirs = (np.loadtxt(tmp_path / f"{name}_sim.out") for name in ("unix", "calculator"))
    assert np.ptp(ours[:, 5]) > 0.001 * ours[0, 5]
    scale = np.abs(theirs).max(axis=0)
    assert_allclose(ours / scale, theirs / scale, rtol=0.0, atol=1e-6)


KELVIN = 3.1668152e-06  # hartree; i-PI's constants here and below
WAVENUMBER = 4.5563353e-06  # hartree
EXACT = {1: 4.7502e-4, 4: 1.39519e-3, 8: 1.80533e-3, 32: 2.03260e-3}  # <V> per degree of freedom
DISCARDED_FS = 60.0  # ten times the slowest relaxation
TIMESTEP_FS = 0.125


def oscillator_potential(omega, n_beads, temperature_K):
    """<V> of P beads per degree of freedom, which is also the centroid virial <K> (hartree).

    <V> = (1 / 2 beta) sum_j omega^2 / (omega^2 + omega_j^2),
    omega_j = (2 P / beta hbar) sin(pi j / P)
    """
    beta = 1.0 / (KELVIN * temperature_K)
    omega_j = 2.0 * n_beads / beta * np.sin(np.pi * np.arange(n_beads) / n_beads)
    return np.sum(omega**2 / (omega**2 + omega_j**2)) / (2.0 * beta)


def standard_error(series, n_blocks=10):
    blocks = np.array_split(series, n_blocks)
    return np.std([block.mean() for block in blocks], ddof=1) / np.sqrt(n_blocks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bead_numbers", "n_atoms", "n_steps"),
    [
        pytest.param((1, 4), 400, 5000, id="1_4"),
        pytest.param((8,), 400, 4000, id="8", marks=pytest.mark.torture),
        pytest.param((32,), 100, 4000, id="32", marks=pytest.mark.torture),
    ],
)
def test_harmonic_ring_polymers(tmp_path, run_client, bead_numbers, n_atoms, n_steps):
    """<V> and the centroid virial <K> of atoms in traps of 1800 / cm at 300 K (see them: -rP).

    The beads of a ring polymer come in one batch. The integrator's own error is (omega dt)^2 / 4 of
    <V> for one bead, 0.04 %.
    """
    omega = 1800.0 * WAVENUMBER
    atoms = Atoms(f"C{n_atoms}", positions=5.0 * np.arange(3.0 * n_atoms).reshape(-1, 3))
    spring = 1822.8885 * atoms.get_masses()[0] * omega**2 * BOHR_PER_ANGSTROM**2 / HARTREE_PER_EV
    names = {n_beads: f"p{n_beads}" for n_beads in bead_numbers}
    sockets = [
        ffsocket(name, more=f"<batch_size>{n_beads}</batch_size>")
        for n_beads, name in names.items()
    ]
    systems = [
        system_xml(name, atoms, n_beads, NVT, timestep_fs=TIMESTEP_FS)
        for n_beads, name in names.items()
    ]
    xml = input_xml("\n".join(sockets), "\n".join(systems), n_steps, stride=5, extras=False)
    with running_ipi(tmp_path, xml) as ipi:
        for name in names.values():
            trap = Trap(atoms.positions, spring=spring, tells_of_atoms=False)
            run_client(trap, "--unix", name, "--prefix", f"{tmp_path}/ipi_")
        finish(ipi, tmp_path)
    for n_beads, name in names.items():
        exact = oscillator_potential(omega, n_beads, 300.0)
        assert_allclose(exact, EXACT[n_beads], rtol=2e-4)
        values = np.loadtxt(tmp_path / f"{name}_sim.out")[int(DISCARDED_FS / TIMESTEP_FS / 5) :]
        for estimator, column in {"V": 2, "K_cv": 3}.items():
            series = values[:, column] / (3 * n_atoms)
            mean, error = series.mean(), standard_error(series)
            print(f"{n_beads} beads: {estimator} {mean:.5e} +- {error:.1e}, exact {exact:.5e}")
            # t of ten blocks exceeds 5 once in 1,400 times; one bead: <K> is a constant
            assert abs(mean - exact) < 5.0 * error + 1e-6 * exact
            assert error < 0.01 * exact
