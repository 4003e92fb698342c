"""The command `mlpotential-driver`: its options, its patience, its ends, and ASE as the server."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import ipi_wire as wire
import pytest
from ase.calculators.socketio import SocketIOCalculator
from fake_server import FakeServer, half
from numpy.testing import assert_allclose
from socket_faults import serves_batches

import calculators.ipi_driver
from calculators.ipi_client import (
    ConnectionLostError,
    _drained_at_the_end,
    _stop,
    _StoppedError,
    main,
    serve,
)
from calculators.ipi_connection import connect
from mlpotential import __version__
from mlpotential.interruption import at_first_signal

COMMAND = str(Path(sys.executable).with_name("mlpotential-driver"))


@pytest.fixture
def trapped(springs, monkeypatch):
    """The system of springs behind the command."""
    monkeypatch.setattr(calculators.ipi_driver, "make_evaluator", lambda *_: springs.evaluator)
    return springs


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_silent_server_costs_nothing(kind, tmp_path, springs):
    """Silence between and inside messages: no time-out, no processor time."""

    def script(peer):
        init = wire.init()
        for piece in (wire.STATUS[:3], wire.STATUS[3:] + init[:-1], init[-1:] + springs.posdata):
            peer.send(piece)
            time.sleep(0.2)

    with FakeServer(kind, tmp_path, script) as server:
        connection = connect(server.address, 1.0)
        begin, cpu_begin = time.monotonic(), time.thread_time()
        with connection, pytest.raises(ConnectionLostError, match="a result"):
            serve(connection, springs.evaluator)
        assert time.monotonic() - begin > 0.55
        assert time.thread_time() - cpu_begin < 0.03


@pytest.fixture
def interrupts():
    """SIGINT as in a terminal; a process in the background was started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_acts_as_ever(interrupts):
    with at_first_signal(_stop):
        with pytest.raises(_StoppedError):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as second:
            signal.raise_signal(signal.SIGINT)
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
        (["--unix", "a", "--port", "9"], "where is i-PI? At one place only: give --unix NAME"),
        (["--unix", "a", "--host", "node"], "where is i-PI? At one place only"),
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


def test_bad_files(ethanol_system, tmp_path, capsys):
    options = [*ethanol_system.files[2:], "--unix", "a", "--prefix", f"{tmp_path}/"]
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
        with _drained_at_the_end(connection):
            assert has_come.wait(5.0)
        assert connection.fileno() == -1


def test_ase_as_the_server(ethanol_system, ethanol):
    """An independent server (which sends a NUL in INIT and closes without EXIT), classic order."""
    name, codes = f"mlpotential_{os.getpid()}", []
    client = threading.Thread(
        target=lambda: codes.append(main([*ethanol_system.files, "--unix", name])), daemon=True
    )
    with SocketIOCalculator(unixsocket=name, timeout=30.0) as server:
        client.start()
        for seed in range(3):
            ethanol.rattle(0.02, seed=seed)
            ethanol.calc = server
            energy, forces = ethanol.get_potential_energy(), ethanol.get_forces()
            exact = ethanol_system.evaluator.evaluate(ethanol.positions[None])
            assert_allclose(energy, exact.energy[0], rtol=2e-7)  # two sets of constants
            assert_allclose(forces, exact.forces, rtol=2e-7, atol=1e-6)
    client.join(10.0)
    assert codes == [0]


def processor_seconds(pid):
    """Of all threads of a process, so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_command(ethanol_system, tmp_path):
    """A process with a model: batches over TCP, then again, silence in a message, then SIGTERM."""
    seconds = []

    def terminates(peer):
        peer.begin()
        peer.send(half(ethanol_system.posdata))
        begin = processor_seconds(client.pid)
        time.sleep(0.5)
        seconds.append(processor_seconds(client.pid) - begin)
        client.send_signal(signal.SIGTERM)
        peer.wait_for_its_end()

    scripts = [lambda peer: serves_batches(peer, ethanol_system), terminates]
    with FakeServer("tcp", tmp_path, *scripts) as server:
        command = [COMMAND, *ethanol_system.files, *server.options, "--reconnect"]
        client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        _, stderr = client.communicate(timeout=120)
    assert client.returncode == 143
    assert seconds[0] <= 0.03
    first, *others = (line.removeprefix("mlpotential-driver: ") for line in stderr.splitlines())
    assert first.startswith("C2H6O: ")  # what evaluates
    assert ", float64, " in first
    assert others == [
        f"connected to {server.address}, 9 atoms",
        f"{server.address} said EXIT after 3 structures",
        f"connected to {server.address}, 9 atoms",
        "stopped by SIGTERM",
    ]


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("n_beads", [1, 4])
def test_ten_thousand_steps_need_no_more_memory_than_a_thousand(ethanol_system, tmp_path, n_beads):
    kibibytes = []

    def script(peer):
        peer.begin(f"batch_size:{n_beads}")
        for step in range(1, 10_001):
            beads = [ethanol_system.moved(step + k) for k in range(n_beads)]
            cells = [ethanol_system.h] * n_beads
            single = wire.posdata(ethanol_system.h, beads[0])
            message = wire.posdata_batch(cells, beads) if n_beads > 1 else single
            peer.send(message, wire.GETFORCE)
            wire.read_result(peer.read, n_beads, 9)
            if step in (1_000, 10_000):
                status = Path(f"/proc/{client.pid}/status").read_text()
                kibibytes.append(int(status.split("VmRSS:")[1].split()[0]))
        peer.send(wire.EXIT)
        peer.wait_for_its_end()

    with FakeServer("unix", tmp_path, script) as server:
        command = [COMMAND, *ethanol_system.files, *server.options]
        client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        _, stderr = client.communicate(timeout=280)
    assert client.returncode == 0, stderr
    print(f"{kibibytes} KiB after 1,000 and 10,000 steps")
    assert kibibytes[1] - kibibytes[0] < 1024


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
