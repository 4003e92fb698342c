"""The command `mlpotential-driver` against faulty servers, over a unix socket and TCP.

Every scenario runs the whole command in this process, with a model only where it is the model that
must refuse; marked slow, once more as a process of its own, always with a model.
"""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import FakeServer, without_the_rights_of_root
from socket_faults import SCENARIOS

import calculators.ipi_driver
from calculators.ipi_client import main

COMMAND = str(Path(sys.executable).with_name("mlpotential-driver"))
FIXTURES = {"springs": "springs", "ethanol": "ethanol_system", "diamond": "diamond_system"}
ONLY_FILES = (77, 78)  # rows that TCP does not have
CASES = [
    pytest.param(name, kind, id=f"{scenario.row} {name} {kind}")
    for name, scenario in SCENARIOS.items()
    for kind in ("unix", "tcp")
    if kind == "unix" or scenario.row not in ONLY_FILES
]

# Linux keeps files from a process that lacks these capabilities, though it may be root's.
WITHOUT_THE_RIGHTS_OF_ROOT = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2
for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_every_row_is_played():
    assert {scenario.row for scenario in SCENARIOS.values()} == set(range(75, 91))
    assert len(CASES) >= 54


def serving(scenario, kind, folder, system):
    scripts = [lambda peer: scenario.play(peer, system)] if scenario.play else []
    return FakeServer(kind, folder, *scripts, listens=scenario.listens)


def wait_options(scenario):
    """Short where nobody ever comes, longer than a test where that must be seen at once."""
    return ["--wait", "0.3" if scenario.listens in ("never", "no more") else "600"]


def check_end(scenario, code, stderr):
    lines = stderr.splitlines()
    assert all(line.startswith("mlpotential-driver: ") for line in lines), stderr
    assert len(lines) == (1 if scenario.code == 3 else 2), stderr
    assert (code, scenario.text in lines[-1]) == (scenario.code, True), stderr


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fault(name, kind, request, tmp_path, capsys, monkeypatch):
    scenario = SCENARIOS[name]
    system = request.getfixturevalue(FIXTURES[scenario.system])
    monkeypatch.setattr(calculators.ipi_driver, "make_evaluator", lambda *_: system.evaluator)
    is_forbidden = scenario.listens == "forbidden"
    rights = without_the_rights_of_root() if is_forbidden else contextlib.nullcontext()
    with serving(scenario, kind, tmp_path, system) as server, rights:
        code = main([*system.files, *server.options, *wait_options(scenario)])
    check_end(scenario, code, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_fault_of_a_process(name, kind, request, tmp_path):
    scenario = SCENARIOS[name]
    system = request.getfixturevalue(f"{scenario.system.replace('springs', 'ethanol')}_system")
    with serving(scenario, kind, tmp_path, system) as server:
        command = [COMMAND, *system.files, *server.options, *wait_options(scenario)]
        if scenario.listens == "forbidden":
            command = [sys.executable, "-c", WITHOUT_THE_RIGHTS_OF_ROOT, *command]
        client = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        server.client_pid = client.pid
        stdout, stderr = client.communicate(timeout=120)
    assert stdout == ""
    check_end(scenario, client.returncode, stderr)
