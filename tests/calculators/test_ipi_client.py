"""The command `mlpotential-driver` against a faulty server, over a unix socket and TCP.

Every scenario runs the whole command in this process, with a model only where it is the model that
must refuse; marked slow, once more as a process of its own, always with a model.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import ase.io
import ipi_wire as wire
import numpy as np
import pytest
from ase.calculators.socketio import SocketIOCalculator
from fake_evaluators import Trap
from fake_server import FakeServer, half, read_single, with_nan
from numpy.testing import assert_allclose

import calculators.ipi_driver
from calculators.ipi_client import (
    ConnectionLostError,
    _left_in_order,
    _stopped_by_signals,
    _StoppedError,
    main,
    serve,
)
from calculators.ipi_connection import connect
from calculators.ipi_driver import answer, make_evaluator
from mlpotential import __version__
from mlpotential.inference.execution import Execution

COMMAND = str(Path(sys.executable).with_name("mlpotential-driver"))


@dataclass(frozen=True)
class System:
    """What a scenario plays with.

    Attributes:
        h: cell with vectors as columns, [3, 3] (bohr).
        positions: [n_atoms, 3] (bohr).
        evaluator: the model for it.
        files: options of the client.
    """

    h: np.ndarray
    positions: np.ndarray
    evaluator: object
    files: list

    @property
    def posdata(self):
        return wire.posdata(self.h, self.positions)

    def moved(self, k):
        return self.positions + 0.01 * np.random.default_rng(k).normal(size=self.positions.shape)

    def check(self, peer, positions=None):
        """Reads one result, which must be that of the model."""
        positions = self.positions if positions is None else positions
        expected = answer(self.evaluator, [self.h], [positions])[0]
        result = read_single(peer, len(positions))
        for ours, exact in zip(result[:3], expected[:3], strict=True):
            assert_allclose(ours, exact, rtol=1e-9, atol=1e-12)
        assert json.loads(result[3]).keys() == {"energy_eV", "atomic_energies_eV"}
        assert np.abs(result[1]).max() > 1e-3


@pytest.fixture
def make_system(model_path, tmp_path):
    def make(atoms):
        from calculators.ipi_units import BOHR_PER_ANGSTROM

        structure = tmp_path / "structure.extxyz"
        ase.io.write(structure, atoms)
        h = atoms.cell.array.T * BOHR_PER_ANGSTROM if atoms.pbc.any() else 50.0 * np.eye(3)
        evaluator = make_evaluator(str(model_path), str(structure), Execution("cpu"))
        files = ["--model", str(model_path), "--structure", str(structure), "--device", "cpu"]
        return System(h, atoms.positions * BOHR_PER_ANGSTROM, evaluator, files)

    return make


@pytest.fixture
def molecule(make_system, ethanol):
    return make_system(ethanol)


@pytest.fixture
def crystal(make_system, diamond):
    from md_runs.ipi_input import to_ipi_frame

    return make_system(to_ipi_frame(diamond))


@pytest.fixture
def springs():
    """No model, no files."""
    positions = np.random.default_rng(0).normal(size=(9, 3))
    return System(
        50.0 * np.eye(3), positions, Trap(0.9 * positions), ["--model=m", "--structure=s"]
    )


# --- scenarios: what the server does; the exit code demanded; a text that stands on stderr --------


def serves_classic(peer, system):
    peer.begin()
    for k in range(2):
        peer.send(wire.posdata(system.h, system.moved(k)))
        assert peer.ask_status() == wire.HAVEDATA
        peer.send(wire.GETFORCE)
        system.check(peer, system.moved(k))
        assert peer.ask_status() == wire.READY
    peer.send(wire.EXIT)
    peer.wait_for_its_end()


def serves_consolidated(peer, system):
    peer.begin()
    for k in range(2):
        peer.send(wire.posdata(system.h, system.moved(k)), wire.GETFORCE)
        system.check(peer, system.moved(k))
        assert peer.ask_status() == wire.READY
    peer.send(wire.EXIT)
    peer.wait_for_its_end()


def serves_batches(peer, system):
    peer.begin(" a : 1 ,  batch_size:3")
    beads = [system.moved(k) for k in range(3)]
    peer.send(wire.posdata_batch([system.h] * 3, beads), wire.GETFORCE)
    energies, forces, virials, _ = wire.read_result(peer.read, 3, len(system.positions))
    for k, exact in enumerate(answer(system.evaluator, [system.h] * 3, beads)):
        for ours, expected in zip((energies[k], forces[k], virials[k]), exact[:3], strict=True):
            assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
    assert len(set(energies)) == 3
    peer.send(wire.EXIT)


def serves_one_byte_at_a_time(peer, system):
    peer.send_bytewise(wire.STATUS + wire.init("") + wire.STATUS + system.posdata + wire.GETFORCE)
    assert peer.read(24) == wire.NEEDINIT + wire.READY
    wire.read_result(lambda n: b"".join(peer.read(1) for _ in range(n)), 1, len(system.positions))
    peer.send_bytewise(wire.EXIT)


def serves_with_pauses(peer, system):
    for piece in (wire.STATUS[:4], wire.STATUS[4:] + wire.init()[:14], wire.init()[14:]):
        time.sleep(0.05)
        peer.send(piece)
    assert peer.read(12) == wire.NEEDINIT
    for piece in (system.posdata[:90], system.posdata[90:], wire.GETFORCE):
        time.sleep(0.05)
        peer.send(piece)
    system.check(peer)


def sends(*messages):
    """A server that says all of it at once and goes."""

    def script(peer, system):
        peer.send(*[m if isinstance(m, bytes) else m(system) for m in messages])

    return script


def sends_and_waits(*messages):
    """A server that says all of it at once and stays until the client goes."""

    def script(peer, system):
        peer.send(*[m if isinstance(m, bytes) else m(system) for m in messages])
        while peer.connection.recv(4096):
            pass

    return script


def leaves(after=b"", ready=False):
    """A server that goes after a few bytes more."""

    def script(peer, system):
        if ready:
            peer.begin()
        peer.send(after if isinstance(after, bytes) else after(system))

    return script


def leaves_when_it_has_data(peer, system):
    peer.begin()
    peer.send(system.posdata)
    assert peer.ask_status() == wire.HAVEDATA


def never_stops(peer, system):
    peer.connection.settimeout(0.2)
    with contextlib.suppress(OSError):  # the client has gone, or takes no more
        while True:
            peer.send(b"0123456789abcdef" * 4096)


def leaves_inside_the_reply(peer, system):
    peer.begin()
    peer.send(system.posdata, wire.GETFORCE)
    peer.read(20)


def leaves_after_the_reply(peer, system):
    """As ASE's server does."""
    peer.begin()
    peer.send(system.posdata, wire.GETFORCE)
    system.check(peer)


def exits_while_it_computes(peer, system):
    peer.begin()
    peer.send(system.posdata, wire.GETFORCE, wire.EXIT)


def posdata(system):
    return system.posdata


def of_atoms(n_atoms):
    return lambda system: wire.posdata(system.h, system.positions, n_atoms)


def one_atom_more(system):
    return wire.posdata(system.h, np.append(system.positions, [[9.0, 9.0, 9.0]], axis=0))


def other_positions(change):
    return lambda system: wire.posdata(system.h, change(system.positions))


def together(positions):
    moved = positions.copy()
    moved[3] = moved[1]
    return moved


def other_cell(change):
    return lambda system: wire.posdata(change(system.h), system.positions)


def flattened(h):
    flat = h.copy()
    flat[:, 2] = 0.3 * h[:, 0] + 0.7 * h[:, 1]
    return flat


INIT = wire.init()
SCENARIOS = {
    "classic": (serves_classic, 0, "said EXIT after 2 structures"),
    "consolidated": (serves_consolidated, 0, "said EXIT after 2 structures"),
    "batches": (serves_batches, 0, "said EXIT after 3 structures"),
    "bytewise": (serves_one_byte_at_a_time, 0, "said EXIT after 1 structures"),
    "slow": (serves_with_pauses, 0, "closed the connection after 1 structures"),
    "stranger": (sends_and_waits(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 4, "b'HTTP/1.1 400' came"),
    "drop on connect": (leaves(), 0, "closed the connection after 0 structures"),
    "drop in NEEDINIT": (lambda p, s: p.ask_status(), 0, "closed the connection"),
    "drop in header": (leaves(b"STATU"), 5, "the rest of a message on its way"),
    "drop in INIT": (leaves(INIT[:17]), 5, "the rest of a message on its way"),
    "drop in READY": (leaves(ready=True), 0, "closed the connection"),
    "drop in POSDATA": (leaves(lambda s: half(s.posdata), ready=True), 5, "rest of a message"),
    "drop in HAVEDATA": (leaves_when_it_has_data, 5, "a result on its way"),
    "drop after GETFORCE": (sends(INIT, posdata, wire.GETFORCE), 5, "a result on its way"),
    "drop in reply": (leaves_inside_the_reply, 5, "a result on its way"),
    "drop after reply": (leaves_after_the_reply, 0, "closed the connection after 1 structures"),
    "garbage header": (sends_and_waits(b"GARBAGE     "), 4, "b'GARBAGE     ' came"),
    "endless garbage": (never_stops, 4, "is it i-PI"),
    "4 KiB garbage": (sends_and_waits(b"\xf0\x9f" * 2048), 4, "is it i-PI"),
    "natoms 2^31-1": (sends_and_waits(INIT, of_atoms(2**31 - 1)), 2, "sent 2147483647 atoms"),
    "natoms 5e7": (sends_and_waits(INIT, of_atoms(50_000_000)), 2, "sent 50000000 atoms"),
    "natoms -1": (sends_and_waits(INIT, of_atoms(-1)), 2, "sent -1 atoms"),
    "natoms 0": (sends_and_waits(INIT, of_atoms(0)), 2, "sent 0 atoms, but the structure file has"),
    "natoms N+1": (sends_and_waits(INIT, one_atom_more), 2, "must list the same atoms"),
    "natoms changed": (
        sends_and_waits(INIT, posdata, wire.GETFORCE, one_atom_more), 2, "must list the same atoms",
    ),
    "INIT 2^31-1": (sends_and_waits(wire.init(length=2**31 - 1)), 4, "of 2147483647 bytes"),
    "INIT -5": (sends_and_waits(wire.init(length=-5)), 4, "of -5 bytes"),
    "INIT 0": (sends_and_waits(wire.init(""), posdata, wire.GETFORCE, wire.EXIT), 0, "EXIT"),
    "INIT 64 KiB": (sends_and_waits(wire.init("x" * 65536), wire.STATUS, wire.EXIT), 0, "EXIT"),
    "INIT not UTF-8": (sends_and_waits(wire.init(b"a\xff")), 4, "not UTF-8"),
    "position nan": (sends_and_waits(INIT, other_positions(with_nan)), 2, "position of atom 2"),
    "position inf": (
        sends_and_waits(INIT, other_positions(lambda r: with_nan(r, np.inf))), 2, "of atom 2 is",
    ),
    "one place": (sends_and_waits(INIT, other_positions(together)), 2, "atoms 1 and 3 are in one"),
    "cell nan": (sends_and_waits(INIT, other_cell(with_nan)), 2, "the cell must be"),
    "cell 0": (sends_and_waits(INIT, other_cell(np.zeros_like)), 2, "no cell"),
    "cell flat": (sends_and_waits(INIT, other_cell(flattened)), 2, "the cell is singular"),
    "cell tiny": (sends_and_waits(INIT, other_cell(lambda h: 0.01 * h)), 2, "A high along"),
    "EXIT in NEEDINIT": (sends_and_waits(wire.EXIT), 0, "said EXIT after 0"),
    "EXIT in READY": (sends_and_waits(INIT, wire.EXIT), 0, "said EXIT after 0"),
    "EXIT in HAVEDATA": (sends_and_waits(INIT, posdata, wire.EXIT), 0, "said EXIT after 1"),
    "EXIT and gone": (sends(wire.STATUS, INIT, wire.STATUS, wire.EXIT), 0, "said EXIT after 0"),
    "EXIT while computing": (exits_while_it_computes, 0, "said EXIT after 1"),
    "POSDATA twice": (sends_and_waits(INIT, posdata, posdata), 4, "POSDATA came while"),
    "POSDATA without INIT": (sends_and_waits(posdata), 4, "POSDATA came while"),
    "GETFORCE without POSDATA": (sends_and_waits(INIT, wire.GETFORCE), 4, "GETFORCE came while"),
    "batch 0": (sends_and_waits(wire.init("batch_size:0")), 4, "batch_size:0"),
    "batch huge": (sends_and_waits(wire.init("batch_size:99999999")), 4, "batch_size:99999999"),
    "shm nowhere": (
        sends_and_waits(
            INIT, lambda s: wire.posdata_in_memory(len(s.positions), ["ipi_shm_of_nobody"] * 6)
        ), 4, "cannot use the shared memory ipi_shm_of_nobody",
    ),
}  # fmt: skip


REFUSED_BY_THE_MODEL = [
    name for name in SCENARIOS if name.split()[0] in ("position", "one", "cell")
]


def system_for(scenario, request, simplest):
    if scenario in REFUSED_BY_THE_MODEL:
        simplest = "crystal" if "cell" in scenario else "molecule"
    return request.getfixturevalue(simplest)


def check_end(scenario, code, stderr):
    _, expected, text = SCENARIOS[scenario]
    assert (code, text in stderr) == (expected, True), stderr
    lines = stderr.splitlines()
    assert len(lines) == 2, stderr
    assert all(line.startswith("mlpotential-driver: ") for line in lines)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario, kind, request, tmp_path, capsys, monkeypatch):
    system = system_for(scenario, request, "springs")
    monkeypatch.setattr(calculators.ipi_driver, "make_evaluator", lambda *_: system.evaluator)
    script = SCENARIOS[scenario][0]
    with FakeServer(kind, tmp_path, lambda peer: script(peer, system)) as server:
        code = main([*system.files, *server.options])
    check_end(scenario, code, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_as_a_process(scenario, kind, request, tmp_path):
    system = system_for(scenario, request, "molecule")
    script = SCENARIOS[scenario][0]
    with FakeServer(kind, tmp_path, lambda peer: script(peer, system)) as server:
        command = [COMMAND, *system.files, *server.options]
        client = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert client.stdout == ""
    check_end(scenario, client.returncode, client.stderr)


@pytest.fixture
def trapped(springs, monkeypatch):
    """The system of springs behind the command."""
    monkeypatch.setattr(calculators.ipi_driver, "make_evaluator", lambda *_: springs.evaluator)
    return springs


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_silent_server_costs_nothing(kind, tmp_path, springs):
    """Silence between and inside messages: no time-out, no processor time."""

    def script(peer):
        for piece in (wire.STATUS[:3], wire.STATUS[3:] + INIT[:-1], INIT[-1:] + springs.posdata):
            peer.send(piece)
            time.sleep(0.2)

    with FakeServer(kind, tmp_path, script) as server:
        connection = connect(server.address, 1.0)
        begin, cpu_begin = time.monotonic(), time.thread_time()
        with connection, pytest.raises(ConnectionLostError, match="a result"):
            serve(connection, springs.evaluator)
        assert time.monotonic() - begin > 0.55
        assert time.thread_time() - cpu_begin < 0.03


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_waiting_client(kind, number, tmp_path, trapped, capsys):
    def script(peer):
        peer.begin()
        os.kill(os.getpid(), number)
        peer.wait_for_its_end()

    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with FakeServer(kind, tmp_path, script) as server:
        assert main([*trapped.files, *server.options]) == 128 + number
    assert capsys.readouterr().err.endswith(f"stopped by {signal.Signals(number).name}\n")
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers


def test_a_second_signal_acts_as_ever():
    with _stopped_by_signals():
        with pytest.raises(_StoppedError):
            os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as second:
            os.kill(os.getpid(), signal.SIGINT)
        assert second.type is KeyboardInterrupt


def test_a_signal_ends_the_search_for_a_server(trapped, tmp_path, capsys):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    options = ["--unix", "none", "--prefix", f"{tmp_path}/", "--wait", "inf"]
    assert main([*trapped.files, *options]) == 143
    assert capsys.readouterr().err == "mlpotential-driver: stopped by SIGTERM\n"


def gives_out_of_memory(*arguments):
    raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")


@pytest.mark.parametrize(
    ("evaluate", "message"),
    [
        (None, "the model gave inf in the forces of bead 0, atom 8"),
        (gives_out_of_memory, "the model failed: CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_a_model_that_fails_sends_nothing(evaluate, message, tmp_path, trapped, capsys):
    trapped.evaluator.bad_call = 1
    trapped.evaluator.evaluate = evaluate or trapped.evaluator.evaluate

    def script(peer):
        peer.begin()
        peer.send(trapped.posdata, wire.GETFORCE)
        peer.wait_for_its_end()

    with FakeServer("unix", tmp_path, script) as server:
        assert main([*trapped.files, *server.options]) == 6
    assert message in capsys.readouterr().err.splitlines()[1]


@pytest.mark.parametrize("ends_well", [True, False])
def test_reconnect(ends_well, tmp_path, trapped, capsys, monkeypatch):
    """A server that exits, one that dies in the middle, one more; then none comes."""
    monkeypatch.setattr("calculators.ipi_client.RETURN_S", 0.01)

    def exits(peer):
        peer.begin()
        peer.send(trapped.posdata, wire.GETFORCE)
        trapped.check(peer)
        peer.send(wire.EXIT)

    def dies(peer):
        peer.begin()  # a new connection begins anew
        peer.send(half(trapped.posdata))

    scripts = [exits, dies, exits] if ends_well else [exits, dies]
    scripts = [lambda peer, s=script: s(peer) for script in scripts]
    with FakeServer("unix", tmp_path, *scripts) as server:
        options = [*server.options, "--reconnect", "--wait", "0.3"]
        assert main([*trapped.files, *options]) == (0 if ends_well else 5)
    lines = capsys.readouterr().err.splitlines()
    assert sum("connected to" in line for line in lines) == len(scripts)
    assert sum("said EXIT after 1" in line for line in lines) == len(scripts) - 1
    assert sum("the rest of a message on its way" in line for line in lines) == 1
    assert ("done: no server at" if ends_well else "mlpotential-driver: no server at") in lines[-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "where is i-PI? Give --unix NAME, or --port PORT"),
        (["--host", "node"], "where is i-PI?"),
        (["--unix", "a", "--port", "9"], "where is i-PI?"),
        (["--unix", "a", "--host", "node"], "where is i-PI?"),
        (["--port", "65536"], "--port must be 1 to 65535, not 65536"),
        (["--port", "9", "--host", "a" * 70], "is no name of a machine"),
        (["--unix", "x" * 108], "at most 107 bytes, but /tmp/ipi_x"),
        (["--unix", "a", "--wait", "-1"], "--wait must be a time in seconds, not -1.0"),
        (["--unix", "a", "--wait", "nan"], "--wait must be a time in seconds, not nan"),
        (["--unix", "a"], "cannot read the structure file nowhere.xyz"),
    ],
)
def test_bad_options(options, message, capsys):
    assert main(["--model", "none", "--structure", "nowhere.xyz", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_bad_files(molecule, tmp_path, capsys):
    options = [*molecule.files[2:], "--unix", "a", "--prefix", f"{tmp_path}/"]
    assert main(["--model", str(tmp_path / "none"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "none") in line


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("n_bytes", [0, 10, 50_000])
def test_nothing_is_left_unread(kind, n_bytes, tmp_path):
    """i-PI takes the end of a connection, but not a reset one."""

    def script(peer):
        peer.send(bytes(n_bytes))
        has_come.set()
        peer.wait_for_its_end()

    has_come = threading.Event()
    with FakeServer(kind, tmp_path, script) as server:
        connection = connect(server.address, 1.0)
        with _left_in_order(connection):
            assert has_come.wait(5.0)
        assert connection.fileno() == -1


def test_ase_as_the_server(molecule, ethanol):
    """An independent server (which sends a NUL in INIT and closes without EXIT), classic order."""
    name, codes = f"mlpotential_{os.getpid()}", []
    client = threading.Thread(
        target=lambda: codes.append(main([*molecule.files, "--unix", name])), daemon=True
    )
    with SocketIOCalculator(unixsocket=name, timeout=30.0) as server:
        client.start()
        for seed in range(3):
            ethanol.rattle(0.02, seed=seed)
            ethanol.calc = server
            energy, forces = ethanol.get_potential_energy(), ethanol.get_forces()
            exact = molecule.evaluator.evaluate(ethanol.positions[None])
            assert_allclose(energy, exact.energy[0], rtol=2e-7)  # two sets of constants
            assert_allclose(forces, exact.forces, rtol=2e-7, atol=1e-6)
    client.join(10.0)
    assert codes == [0]


def test_the_command(molecule, tmp_path):
    """A process with a model: batches over TCP, then again, then SIGTERM."""

    def terminates(peer):
        peer.begin()
        client.send_signal(signal.SIGTERM)
        peer.wait_for_its_end()

    scripts = [lambda peer: serves_batches(peer, molecule), terminates]
    with FakeServer("tcp", tmp_path, *scripts) as server:
        command = [COMMAND, *molecule.files, *server.options, "--reconnect", "--dtype", "float64"]
        client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        _, stderr = client.communicate(timeout=60)
    assert client.returncode == 143
    assert [line.removeprefix("mlpotential-driver: ") for line in stderr.splitlines()] == [
        f"connected to {server.address}, 9 atoms",
        f"{server.address} said EXIT after 3 structures",
        f"connected to {server.address}, 9 atoms",
        "stopped by SIGTERM",
    ]


def test_help_and_version_need_no_torch():
    program = (
        "import sys\nfrom calculators import ipi_client\n"
        "try: ipi_client.main([sys.argv[1]])\nfinally: assert 'torch' not in sys.modules"
    )
    texts = {}
    for option in ("--help", "--version"):
        texts[option] = subprocess.run(
            [sys.executable, "-c", program, option], capture_output=True, text=True, check=True
        ).stdout
    assert texts["--version"] == f"mlpotential {__version__}\n"
    assert "examples:\n  mlpotential-driver --model" in texts["--help"]
    for code in (0, 2, 3, 4, 5, 6):
        assert f"\n  {code}    " in texts["--help"]
