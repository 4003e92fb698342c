"""Makes the programs beside the tests importable; clients of i-PI and what they serve."""

import subprocess
import sys
import threading
from pathlib import Path

import ase.io
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

NO_FILES = ["--model=m", "--structure=s"]  # where the evaluator is given otherwise


@pytest.fixture
def make_system(model_path, tmp_path):
    """Atoms as `socket_faults.System` with a model."""
    from socket_faults import System

    from calculators.ipi_driver import make_evaluator
    from calculators.ipi_units import BOHR_PER_ANGSTROM
    from mlpotential.inference.execution import Execution

    def make(atoms):
        structure = tmp_path / "structure.extxyz"
        ase.io.write(structure, atoms)
        h = atoms.cell.array.T * BOHR_PER_ANGSTROM if atoms.pbc.any() else 50.0 * np.eye(3)
        evaluator = make_evaluator(str(model_path), str(structure), Execution("cpu"))
        files = ["--model", str(model_path), "--structure", str(structure), "--device", "cpu"]
        return System(h, atoms.positions * BOHR_PER_ANGSTROM, evaluator, files)

    return make


@pytest.fixture
def ethanol_system(make_system, ethanol):
    return make_system(ethanol)


@pytest.fixture
def diamond_system(make_system, diamond):
    from md_runs.pimd.ipi_input import to_ipi_frame

    return make_system(to_ipi_frame(diamond))


@pytest.fixture
def springs():
    """No model, no files."""
    from fake_evaluators import Trap
    from socket_faults import System

    positions = np.random.default_rng(0).normal(size=(9, 3))
    return System(50.0 * np.eye(3), positions, Trap(0.9 * positions), NO_FILES)


@pytest.fixture
def run_client(monkeypatch):
    """Starts the command in a thread with an evaluator; gives a list that gets its exit code."""
    from calculators import ipi_client, ipi_driver

    makers = threading.local()
    monkeypatch.setattr(ipi_driver, "make_evaluator", lambda *_: makers.evaluator)
    threads = []

    def run(evaluator, *options):
        codes = []

        def work():
            makers.evaluator = evaluator
            codes.append(ipi_client.main([*NO_FILES, *options]))

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return threads[-1], codes

    yield run
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()


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
