"""Nothing is fetched: the programs work in a process that has no network at all."""

import shutil
import subprocess
import sys

import pytest

from md_runs.c20 import MODEL, STRUCTURE

ALONE = ["unshare", "--map-root-user", "--net"]  # in a network of its own, which has nothing


def is_possible() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*ALONE, "true"]).returncode


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_possible(), reason="no process without a network can be made here"),
]
REACH = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=5)"


def test_there_is_no_network():
    result = subprocess.run([*ALONE, sys.executable, "-c", REACH], capture_output=True, text=True)
    assert "Network is unreachable" in result.stderr


RUN = """
import importlib, sys
for line in sys.stdin:
    program, *words = line.split()
    module = {"mlpotential": "mlpotential.cli", "md-runs": "md_runs.cli"}[program]
    assert importlib.import_module(module).main(words) == 0, line
"""
COMMANDS = f"""\
mlpotential info {MODEL} --check
md-runs relax {STRUCTURE} --model {MODEL} --output relaxed.xyz
md-runs modes relaxed.xyz --model {MODEL} --json modes.json
md-runs classical relaxed.xyz --model {MODEL} --folder nvt --n-steps 200
md-runs pimd relaxed.xyz --model {MODEL} --folder pimd --n-beads 2 --n-steps 40 --engine ipi
md-runs distances nvt pimd --skip-ps 0 --output distances
"""


def test_commands_need_none(tmp_path):
    """From a structure to runs of both kinds, i-PI's too, and their analysis."""
    result = subprocess.run(
        [*ALONE, sys.executable, "-c", RUN],
        cwd=tmp_path,
        input=COMMANDS,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "distances" / "distances.png").exists()
