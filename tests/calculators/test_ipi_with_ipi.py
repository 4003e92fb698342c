"""The client and real i-PI processes: all modes alike, deaths on both sides, several machines."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from fake_evaluators import Trap
from ipi_runs import (
    N_BEADS,
    NVT,
    WATER,
    ffsocket,
    finish,
    free_port,
    input_xml,
    outputs,
    running_ipi,
    system_xml,
)

from calculators.ipi_client import main
from md_runs.pimd.ipi_input import to_ipi_frame

PROGRAM = Path(__file__).with_name("fake_evaluators.py")
FILES = ["--model", "none", "--structure", "water.xyz"]


@pytest.fixture
def folder(tmp_path):
    ase.io.write(tmp_path / "water.xyz", WATER)
    return tmp_path


def trap_inside_ipi(name, more=""):
    return f"""<ffdirect name='{name}' pbc='False'> <pes>custom</pes>
      <pes_path>{PROGRAM}</pes_path> {more}
      <parameters>{{structure: water.xyz, spring: 5.0}}</parameters> </ffdirect>"""


@pytest.mark.slow
def test_all_modes_give_the_same_files(folder, run_client, capsys):
    """Ten systems in one i-PI, each with another way to its forces; 4 beads, nve.

    Three of the blocks are those that the command prints. Batches of 3 are filled up by i-PI with
    a structure that nobody asked for.
    """

    def printed(name, *where):
        assert main(["--print-xml", *FILES, *where]) == 0
        return capsys.readouterr().out.replace('name="model"', f'name="{name}"')

    ports = {name: free_port() for name in ("tcp", "tcp_classic", "tcp_batch")}
    batch = "<batch_size>{}</batch_size>".format
    classic = "<consolidate_messages>False</consolidate_messages>"
    force_fields = {
        "unix": printed("unix", "--unix", "unix"),
        "classic": ffsocket("classic", more=classic),
        "unix_batch": ffsocket("unix_batch", more=batch(4)),
        "padded": ffsocket("padded", more=batch(3)),
        "tcp": printed("tcp", "--host", "127.0.0.1", "--port", str(ports["tcp"])),
        "tcp_classic": ffsocket("tcp_classic", "inet", ports["tcp_classic"], "127.0.0.1", classic),
        "tcp_batch": ffsocket("tcp_batch", "inet", ports["tcp_batch"], "127.0.0.1", batch(2)),
        "shm": printed("shm", "--unix", "shm").replace('mode="unix"', 'mode="shm"'),
        "shm_batch": ffsocket(
            "shm_batch", "shm", more=batch(3) + "<parameters>{a: 1}</parameters>"
        ),
        "direct": trap_inside_ipi("direct", batch(4)),
    }
    xml = input_xml("\n".join(force_fields.values()), "\n".join(map(system_xml, force_fields)), 4)
    with running_ipi(folder, xml) as ipi:
        ended, evaluators = {}, {}
        for name in force_fields:
            if name == "direct":
                continue
            where = ["--unix", name, "--prefix", f"{folder}/ipi_"]
            if name in ports:
                where = ["--port", str(ports[name])]
            evaluators[name] = Trap(WATER.positions)
            ended[name] = run_client(evaluators[name], *where)
        finish(ipi, folder)
    expected = outputs(folder, "direct")
    assert len(expected) == 1 + N_BEADS
    values = np.loadtxt(expected["_sim.out"].splitlines())
    assert len(np.unique(values[:, 2])) == 5
    for name, (thread, codes) in ended.items():
        thread.join(10.0)
        assert codes == [0], name
        assert outputs(folder, name) == expected, name
    calls = {name: evaluator.n_calls for name, evaluator in evaluators.items()}
    assert calls["unix"] == calls["shm"] == calls["classic"] == calls["tcp_classic"] == 5 * N_BEADS
    for name in ("unix_batch", "padded", "shm_batch", "tcp_batch"):
        assert 5 <= calls[name] < 5 * N_BEADS  # i-PI may send what is there before all is there
    assert not list(Path("/dev/shm").glob(f"ipi_shm_{ipi.pid}_*"))


# --- deaths on both sides ------------------------------------------------------------------------

N_STEPS = 40


def nvt_xml(force_field, atoms=WATER, n_steps=N_STEPS):
    cell = atoms.cell.array if atoms.pbc.any() else None
    return input_xml(force_field, system_xml("run", atoms, dynamics=NVT, cell=cell), n_steps)


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


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run without clients gives, that is without deaths."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ase.io.write(folder / "water.xyz", WATER)
    with running_ipi(folder, nvt_xml(trap_inside_ipi("run"))) as ipi:
        finish(ipi, folder)
    return outputs(folder, "run")


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
        _, stderr = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (-signal.SIGKILL, 0)
    n_calls = N_BEADS * (N_STEPS + 1)
    assert f"said EXIT after {n_calls - 49} structures" in stderr
    assert outputs(folder, "run") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ethanol", pytest.param("diamond", marks=pytest.mark.torture)])
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
                assert client.wait(60) == 143
                client = start(place, *command)
            finish(ipi, place)
            assert client.wait(60) == 0
        files.append(outputs(place, "run"))
    assert files[0] == files[1]


@pytest.fixture(params=["addresses", "network_namespaces"])
def hosts(request):
    """Four machines: for each what is put before its commands, and where it sees i-PI."""
    if request.param == "addresses":
        yield [([], f"127.0.0.{k}") for k in (1, 2, 3, 4)]
        return
    names = [f"mlpotential-{os.getpid()}-{k}" for k in (1, 2, 3, 4)]
    try:
        for k, name in enumerate(names):
            lay_cable(name, f"mlp{os.getpid() % 10**6}{k}", f"198.18.{k}")
        yield [(["ip", "netns", "exec", n], f"198.18.{k}.1") for k, n in enumerate(names)]
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces for this user: {error}")
    finally:
        for name in names:  # its end of the cable goes with it, and so does the other
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def lay_cable(namespace, device, subnet):
    """A network namespace that has nothing but a cable to this one (RFC 2544 addresses)."""
    inside = ["-n", namespace]
    for words in (
        ["netns", "add", namespace],
        ["link", "add", device, "type", "veth", "peer", "name", "cable", "netns", namespace],
        ["address", "add", f"{subnet}.1/24", "dev", device],
        ["link", "set", device, "up"],
        [*inside, "address", "add", f"{subnet}.2/24", "dev", "cable"],
        [*inside, "link", "set", "cable", "up"],
    ):
        subprocess.run(["ip", *words], capture_output=True, check=True)


@pytest.mark.slow
def test_several_machines_serve_one_ipi(folder, undisturbed, start, hosts):
    """Clients on three machines share the beads; one is killed, a fourth joins."""
    port = free_port()

    def start_on(k, **parameters):
        before, host = hosts[k]
        options = ["--host", host, "--port", str(port)]
        files = {"log": f"calls_{k}", "go": f"go_{k}"}
        return start(folder, *before, *fake(*options, delay=0.05, **files, **parameters))

    clients = [start_on(0), start_on(1, hang_call=10), start_on(2), start_on(3)]
    for k in range(4):
        wait_for(folder / f"go_{k}_ready")
    with running_ipi(folder, nvt_xml(ffsocket("run", "inet", port, "0.0.0.0"))) as ipi:
        for k in range(3):
            (folder / f"go_{k}").touch()
        kill_in_the_middle(clients[1], folder / "calls_1", 10)
        (folder / "go_3").touch()
        finish(ipi, folder)
        said = [client.communicate(timeout=30)[1] for client in clients]
    assert [client.returncode for client in clients] == [0, -signal.SIGKILL, 0, 0]
    for (_, host), text in zip(hosts, said, strict=True):
        assert f"connected to {host}:{port}" in text
    n_calls = [len((folder / f"calls_{k}").read_text().split()) for k in range(4)]
    assert min(n_calls) > 4
    assert sum(n_calls) >= N_BEADS * (N_STEPS + 1)
    assert outputs(folder, "run") == undisturbed


@pytest.mark.slow
def test_a_killed_server(folder, undisturbed, start):
    """A client that owes a result ends; another, told to, serves the next server."""
    options = ["--unix", "run", "--prefix", f"{folder}/ipi_", "--wait", "60"]
    with running_ipi(folder, nvt_xml(ffsocket("run"))) as ipi:
        ends = start(folder, *fake(*options, hang_call=10, hang_s=3.0, log="calls"))
        returns = start(folder, *fake(*options, "--reconnect", delay=0.01))
        wait_for(folder / "calls", 10)
        ipi.kill()
        _, stderr = ends.communicate(timeout=30)
        assert ends.returncode == 5
        assert "the server went away after 10 structures with a result on its way" in stderr
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
