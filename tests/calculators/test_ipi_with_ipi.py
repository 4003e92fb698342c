"""The client and real i-PI processes: all modes alike, deaths on both sides, exact estimators."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from fake_evaluators import LennardJonesCrystal, Trap
from numpy.testing import assert_allclose

import calculators.ipi_driver
from calculators.ipi_client import main
from calculators.ipi_units import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from md_runs.ipi_input import to_ipi_frame
from md_runs.ipi_process import ipi_process

PROGRAM = Path(__file__).with_name("fake_evaluators.py")
N_BEADS = 4
WATER = Atoms("OHH", positions=[[0.0, 0.1, 0.2], [0.9, 0.2, -0.3], [-0.4, 0.8, 0.5]])


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def array_xml(name, values):
    numbers = ", ".join(repr(float(x)) for x in np.ravel(values))
    shape = ", ".join(map(str, np.shape(values)))
    return f"<{name} shape='({shape})'> [{numbers}] </{name}>"


def beads_xml(atoms, n_beads, seed=0):
    """Every bead somewhere else, at rest (atomic units)."""
    rng = np.random.default_rng(seed)
    places = BOHR_PER_ANGSTROM * atoms.positions.reshape(1, -1)
    q = places + rng.normal(scale=0.1, size=(n_beads, 3 * len(atoms)))
    names = ", ".join(atoms.symbols)
    return f"""<beads natoms='{len(atoms)}' nbeads='{n_beads}'>
      {array_xml("q", q)} {array_xml("p", 0.0 * q)}
      {array_xml("m", 1822.8885 * atoms.get_masses())}
      <names shape='({len(atoms)})'> [{names}] </names>
    </beads>"""


def system_xml(name, atoms=WATER, n_beads=N_BEADS, dynamics="", cell=None, pressure=""):
    """One system of its own forces; nve where no dynamics is given."""
    cell = 20.0 * np.eye(3) if cell is None else cell
    dynamics = dynamics or "<dynamics mode='nve'> {timestep} </dynamics>"
    timestep = "<timestep units='femtosecond'>0.25</timestep>"
    return f"""<system prefix='{name}'>
    {beads_xml(atoms, n_beads)}
    {array_xml("cell", BOHR_PER_ANGSTROM * cell.T)}
    <forces> <force forcefield='{name}'/> </forces>
    <motion mode='dynamics'> <fixcom>False</fixcom> {dynamics.format(timestep=timestep)} </motion>
    <ensemble> <temperature units='kelvin'>300</temperature> {pressure} </ensemble>
  </system>"""


def input_xml(force_fields, systems, n_steps, stride=1, extras=True):
    extras_xml = """<trajectory filename='atomic' stride='1' extra_type='atomic_energies_eV'>
      extras </trajectory>"""
    return f"""<simulation verbosity='quiet' safe_stride='1000000' sockets_prefix='./ipi_'>
  <output prefix='sim'>
    <properties filename='out' stride='{stride}'>
      [step, conserved, potential, kinetic_cv, temperature{{kelvin}}, volume, cell_h, virial_md]
    </properties>
    {extras_xml if extras else ""}
  </output>
  <total_steps>{n_steps}</total_steps>
  <prng> <seed>7</seed> </prng>
  {force_fields}
  {systems}
</simulation>"""


def ffsocket(name, mode="unix", port=None, address=None, more=""):
    port_xml = "" if port is None else f"<port>{port}</port>"
    return f"""<ffsocket name='{name}' mode='{mode}' pbc='False'>
    <address>{address or name}</address> {port_xml} <timeout>30</timeout> {more}
  </ffsocket>"""


NVT = """<dynamics mode='nvt'> {timestep}
  <thermostat mode='pile_l'> <tau units='femtosecond'>5</tau> </thermostat> </dynamics>"""
FILES = ["--model", "none", "--structure", "water.xyz"]


@contextlib.contextmanager
def running_ipi(folder, xml):
    folder.mkdir(exist_ok=True)
    (folder / "input.xml").write_text(xml)
    with ipi_process("input.xml", folder) as process:
        yield process


def finish(process, folder):
    code = process.wait(60)
    assert code == 0, (folder / "i-pi.log").read_text()


@pytest.fixture
def run_client(monkeypatch):
    """Starts the command in a thread with an evaluator; gives a list that gets its exit code."""
    makers = threading.local()
    monkeypatch.setattr(calculators.ipi_driver, "make_evaluator", lambda *_: makers.evaluator)
    threads = []

    def run(evaluator, *options):
        codes = []

        def work():
            makers.evaluator = evaluator
            codes.append(main([*FILES, *options]))

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return threads[-1], codes

    yield run
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()


def outputs(folder, name):
    """What one system wrote, by file."""
    found = {
        path.name.removeprefix(name): path.read_text() for path in folder.glob(f"{name}_sim.*")
    }
    assert "_sim.out" in found
    return found


def test_all_modes_give_the_same_files(tmp_path, run_client):
    """Eight systems in one i-PI, each with another way to its forces; 4 beads, nve.

    Batches of 3 are filled up by i-PI with a structure that nobody asked for.
    """
    ports = {"tcp": free_port(), "tcp_batch": free_port()}
    ase.io.write(tmp_path / "water.xyz", WATER)
    batch = "<batch_size>{}</batch_size>".format
    classic = "<consolidate_messages>False</consolidate_messages>"
    force_fields = {
        "unix": ffsocket("unix"),
        "classic": ffsocket("classic", more=classic),
        "unix_batch": ffsocket("unix_batch", more=batch(4)),
        "padded": ffsocket("padded", more=batch(3)),
        "tcp": ffsocket("tcp", "inet", ports["tcp"], "127.0.0.1"),
        "tcp_batch": ffsocket("tcp_batch", "inet", ports["tcp_batch"], "127.0.0.1", batch(2)),
        "shm": ffsocket("shm", "shm"),
        "shm_batch": ffsocket(
            "shm_batch", "shm", more=batch(3) + "<parameters>{a: 1}</parameters>"
        ),
        "direct": f"""<ffdirect name='direct' pbc='False'> <pes>custom</pes>
          <pes_path>{PROGRAM}</pes_path> <batch_size>4</batch_size>
          <parameters>{{structure: water.xyz, spring: 5.0}}</parameters> </ffdirect>""",
    }
    xml = input_xml("\n".join(force_fields.values()), "\n".join(map(system_xml, force_fields)), 4)
    with running_ipi(tmp_path, xml) as ipi:
        ended, evaluators = {}, {}
        for name in force_fields:
            if name == "direct":
                continue
            where = ["--unix", name, "--prefix", f"{tmp_path}/ipi_"]
            if name in ports:
                where = ["--port", str(ports[name])]
            evaluators[name] = Trap(WATER.positions)
            ended[name] = run_client(evaluators[name], *where)
        finish(ipi, tmp_path)
    expected = outputs(tmp_path, "direct")
    assert len(expected) == 1 + N_BEADS
    values = np.loadtxt(expected["_sim.out"].splitlines())
    assert len(np.unique(values[:, 2])) == 5
    for name, (thread, codes) in ended.items():
        thread.join(10.0)
        assert codes == [0], name
        assert outputs(tmp_path, name) == expected, name
    calls = {name: evaluator.n_calls for name, evaluator in evaluators.items()}
    assert calls["unix"] == calls["shm"] == calls["classic"] == 5 * N_BEADS
    for name in ("unix_batch", "padded", "shm_batch", "tcp_batch"):
        assert 5 <= calls[name] < 5 * N_BEADS  # i-PI may send what is there before all is there
    assert not list(Path("/dev/shm").glob(f"ipi_shm_{ipi.pid}_*"))


# --- deaths on both sides ------------------------------------------------------------------------

N_STEPS = 40


def nvt_xml(force_field, atoms=WATER, n_steps=N_STEPS):
    cell = atoms.cell.array if atoms.pbc.any() else None
    return input_xml(force_field, system_xml("run", atoms, dynamics=NVT, cell=cell), n_steps)


@pytest.fixture
def start():
    """Starts clients as processes, of which none is left."""
    clients = []

    def start(folder, *command):
        client = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.kill()
        client.wait()
        client.stderr.close()


def fake(*options, **parameters):
    """The command without a model and without torch."""
    return [sys.executable, str(PROGRAM), json.dumps(parameters), *FILES, *options]


def wait_for(path, n_lines=0):
    """Until the file has so many lines."""
    deadline = time.monotonic() + 60.0
    while not path.exists() or len(path.read_text().splitlines()) < n_lines:
        assert time.monotonic() < deadline, f"{path} did not get {n_lines} lines"
        time.sleep(0.01)


def wait_for_step(folder, step):
    """Until the outputs of a run show it, behind a line for each column."""
    wait_for(folder / "run_sim.out", step + 9)


@pytest.fixture
def folder(tmp_path):
    ase.io.write(tmp_path / "water.xyz", WATER)
    return tmp_path


@pytest.fixture
def undisturbed(folder, run_client):
    """What one client that lives gives."""
    with running_ipi(folder / "undisturbed", nvt_xml(ffsocket("run"))) as ipi:
        run_client(Trap(WATER.positions), "--unix", "run", "--prefix", f"{folder}/undisturbed/ipi_")
        finish(ipi, folder / "undisturbed")
    return outputs(folder / "undisturbed", "run")


def kill_in_the_middle(client, log, call):
    """kill -9 while it computes. With bytes still unread i-PI 3.3.1 would wait for ever."""
    wait_for(log, call)
    client.kill()
    client.wait()


def test_a_killed_client_is_replaced(folder, undisturbed, start):
    """kill -9 of the only client in mid-run and a new one: the same files, bit for bit."""
    with running_ipi(folder, nvt_xml(ffsocket("run"))) as ipi:
        options = ["--unix", "run", "--prefix", "./ipi_"]
        first = start(folder, *fake(*options, hang_call=50, log="calls"))
        kill_in_the_middle(first, folder / "calls", 50)
        second = start(folder, *fake(*options, log="more_calls"))
        finish(ipi, folder)
        _, stderr = second.communicate(timeout=10)
    assert (first.returncode, second.returncode) == (-signal.SIGKILL, 0)
    n_calls = N_BEADS * (N_STEPS + 1)
    assert f"said EXIT after {n_calls - 49} structures" in stderr
    assert outputs(folder, "run") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ethanol", "diamond"])
def test_a_terminated_command_is_replaced(folder, request, model_path, start, name):
    """SIGTERM to the installed command, with a model of a molecule and of a skewed crystal."""
    atoms = to_ipi_frame(request.getfixturevalue(name))
    ase.io.write(folder / "atoms.extxyz", atoms)
    command = [str(Path(sys.executable).with_name("mlpotential-driver")), "--unix", "run"]
    command += ["--model", str(model_path), "--structure", str(folder / "atoms.extxyz")]
    command += ["--prefix", "./ipi_", "--wait", "30", "--device", "cpu"]
    n_steps, files = 400, []
    xml = nvt_xml(ffsocket("run"), atoms, n_steps)
    for is_replaced in (False, True):
        place = folder / str(is_replaced)
        with running_ipi(place, xml) as ipi:
            client = start(place, *command)
            if is_replaced:
                wait_for_step(place, 5)
                client.terminate()
                assert client.wait(10) == 143
                client = start(place, *command)
            finish(ipi, place)
            assert client.wait(10) == 0
        files.append(outputs(place, "run"))
    assert files[0] == files[1]


@pytest.mark.slow
def test_several_machines_serve_one_ipi(folder, undisturbed, start):
    """Clients at three loopback addresses share the beads; one is killed, a fourth joins."""
    port = free_port()

    def start_at(k, **parameters):
        options = ["--host", f"127.0.0.{k}", "--port", str(port)]
        files = {"log": f"calls_{k}", "go": f"go_{k}"}
        return start(folder, *fake(*options, delay=0.05, **files, **parameters))

    clients = [start_at(1), start_at(2, hang_call=10), start_at(3), start_at(4)]
    for k in (1, 2, 3, 4):
        wait_for(folder / f"go_{k}_ready")
    with running_ipi(folder, nvt_xml(ffsocket("run", "inet", port, "0.0.0.0"))) as ipi:
        for k in (1, 2, 3):
            (folder / f"go_{k}").touch()
        kill_in_the_middle(clients[1], folder / "calls_2", 10)
        (folder / "go_4").touch()
        finish(ipi, folder)
        said = [client.communicate(timeout=30)[1] for client in clients]
    assert [client.returncode for client in clients] == [0, -signal.SIGKILL, 0, 0]
    assert all(f"connected to 127.0.0.{k}:{port}" in text for k, text in enumerate(said, 1))
    n_calls = [len((folder / f"calls_{k}").read_text().split()) for k in (1, 2, 3, 4)]
    assert min(n_calls) > 4
    assert sum(n_calls) >= N_BEADS * (N_STEPS + 1)
    assert outputs(folder, "run") == undisturbed


@pytest.mark.slow
def test_a_killed_server(folder, undisturbed, start):
    """Clients end, or serve the next server, as they were told."""
    options = ["--unix", "run", "--prefix", f"{folder}/ipi_", "--wait", "60"]
    with running_ipi(folder, nvt_xml(ffsocket("run"))) as ipi:
        ends = start(folder, *fake(*options, delay=0.01))
        returns = start(folder, *fake(*options, "--reconnect", delay=0.01))
        wait_for_step(folder, 5)
        ipi.kill()
        _, stderr = ends.communicate(timeout=30)
        assert ends.returncode in (0, 5)
        assert "closed the connection" in stderr or "the server went away" in stderr
    (folder / "ipi_run").unlink()  # i-PI leaves it and does not start while it is there
    for path in folder.glob("run_sim.*"):
        path.unlink()
    with running_ipi(folder, nvt_xml(ffsocket("run"))) as ipi:
        finish(ipi, folder)
    returns.terminate()
    _, stderr = returns.communicate(timeout=30)
    assert returns.returncode == 143
    assert stderr.count("connected to") == 2
    assert outputs(folder, "run") == undisturbed


# --- physics -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_npt_of_a_triclinic_cell(folder, run_client):
    """A flexible cell: a transposed cell or virial, or a wrong sign, would show within a few steps.

    Against ASE's Lennard-Jones through i-PI's own ASE driver and ffdirect, whose rounded eV/A is
    2e-7 off: files agree to 1e-5 after 100 steps.
    """
    atoms = bulk("Ar", "fcc", a=4.0, cubic=True)
    skewed = np.array([[4.1, 0.0, 0.0], [0.7, 3.9, 0.0], [-0.4, 0.9, 4.2]])
    atoms.set_cell(skewed, scale_atoms=True)
    ase.io.write(folder / "crystal.extxyz", atoms)
    direct = f"""<ffdirect name='run' pbc='False'> <pes>custom</pes>
      <pes_path>{PROGRAM.with_name("lennard_jones_pes.py")}</pes_path>
      <parameters>{{template: crystal.extxyz}}</parameters> </ffdirect>"""
    npt = """<dynamics mode='npt'> {timestep}
      <thermostat mode='pile_l'> <tau units='femtosecond'>50</tau> </thermostat>
      <barostat mode='flexible'> <tau units='femtosecond'>50</tau>
        <thermostat mode='langevin'> <tau units='femtosecond'>50</tau> </thermostat>
      </barostat> </dynamics>"""
    pressure = "<pressure units='gigapascal'>1</pressure>"
    system = system_xml("run", atoms, 2, npt, atoms.cell.array, pressure)
    values = {}
    for name, force_field in {"direct": direct, "client": ffsocket("run")}.items():
        with running_ipi(folder, input_xml(force_field, system, 100, extras=False)) as ipi:
            if name == "client":
                where = ["--unix", "run", "--prefix", f"{folder}/ipi_"]
                run_client(LennardJonesCrystal(atoms), *where)
            finish(ipi, folder)
        values[name] = np.loadtxt(outputs(folder, "run")["_sim.out"].splitlines())
        (folder / "run_sim.out").unlink()
    volumes, cells = values["direct"][:, 5], values["direct"][:, 6:12]
    assert np.ptp(volumes) > 0.02 * volumes[0]
    assert np.abs(cells[:, 3:]).max(axis=1).min() > 0.3  # bohr: it stays triclinic
    scale = np.abs(values["direct"]).max(axis=0)
    assert_allclose(values["client"] / scale, values["direct"] / scale, rtol=0.0, atol=1e-5)


KELVIN = 3.1668152e-06  # hartree; i-PI's constants here and below
WAVENUMBER = 4.5563353e-06  # hartree
EXACT = {1: 4.7502e-4, 4: 1.39519e-3, 8: 1.80533e-3, 32: 2.03260e-3}  # <V> per degree of freedom


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
@pytest.mark.parametrize("n_beads", [1, 4, 8, 32])
def test_harmonic_ring_polymers(folder, run_client, n_beads):
    """<V> and the centroid virial <K> of 40 atoms in traps of 1800 / cm at 300 K, all in one batch.

    The integrator's own error is (omega dt)^2 / 4 of <V> for one bead: 0.18 % at 0.25 fs.
    """
    omega = 1800.0 * WAVENUMBER
    exact = oscillator_potential(omega, n_beads, 300.0)
    assert_allclose(exact, EXACT[n_beads], rtol=2e-4)
    atoms = Atoms("C40", positions=5.0 * np.arange(120.0).reshape(40, 3))
    spring = 1822.8885 * atoms.get_masses()[0] * omega**2 * BOHR_PER_ANGSTROM**2 / HARTREE_PER_EV
    system = system_xml("run", atoms, n_beads, NVT)
    batch = f"<batch_size>{n_beads}</batch_size>"
    xml = input_xml(ffsocket("run", more=batch), system, 16_000, stride=5, extras=False)
    with running_ipi(folder, xml) as ipi:
        options = ["--unix", "run", "--prefix", f"{folder}/ipi_"]
        run_client(Trap(atoms.positions, spring=spring), *options)
        assert ipi.wait(280) == 0
    values = np.loadtxt(folder / "run_sim.out")[80:]
    for column in (2, 3):
        series = values[:, column] / 120
        tolerance = 3.0 * standard_error(series) + 1e-6 * exact  # one bead: <K> is a constant
        assert abs(series.mean() - exact) < tolerance
        assert standard_error(series) < 0.01 * exact
