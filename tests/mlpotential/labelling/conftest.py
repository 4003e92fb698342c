"""A calculator in a file that fails as each structure tells it to, and counts what it does."""

import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

FAULTY = """
import os, time
import numpy as np
from ase.calculators.emt import EMT

class Faulty(EMT):
    def __init__(self, log=None):
        super().__init__()
        self.log = log

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        fault = atoms.info.get("fault")
        if self.log is not None:
            with open(self.log, "a") as file:
                print(fault, file=file)
        if fault == "raises":
            raise ValueError("no such element")
        if fault == "scf":
            raise RuntimeError("SCF did not converge in 100 cycles")
        if fault == "hangs":
            time.sleep(600)
        if fault == "slow":
            time.sleep(0.3)
        if fault == "dies":
            print("out of memory", flush=True)
            os._exit(3)
        if fault == "infinite":
            self.results["forces"][1, 2] = np.inf
        if fault == "shape":
            self.results["forces"] = self.results["forces"][:-1]

def calculator(**arguments):
    return Faulty(**arguments)
"""


@pytest.fixture
def faulty(tmp_path):
    """The file."""
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY)
    return path


def rattled(*faults) -> list[Atoms]:
    """Ethanol molecules, each with its fault."""
    frames = []
    for k, fault in enumerate(faults):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.05, seed=k)
        if fault is not None:
            atoms.info["fault"] = fault
        frames.append(atoms)
    return frames


@pytest.fixture(name="rattled")
def rattled_fixture():
    """The function, as tests have no modules of their own."""
    return rattled


@pytest.fixture
def frames_file(tmp_path):
    """Writes structures with these faults."""

    def written(*faults):
        path = tmp_path / "frames.extxyz"
        write(path, rattled(*faults), format="extxyz")
        return path

    return written
