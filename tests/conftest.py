"""What many tests share: a small potential, structures, its model file, the public data."""

import gc
import os
import signal

os.environ["OMP_NUM_THREADS"] = "1"  # also for the processes that tests start
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup, which commands respect
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.models.outputs import Output
from mlpotential.models.schnet import SchNet
from mlpotential.testing import tiny_schnet

torch.set_num_threads(1)
gc.disable()  # while modules are imported and tests are collected, nothing is garbage


def pytest_collection_finish() -> None:
    """What is there lives to the end: walking over it took a tenth of the time of all tests."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)  # a full walk is due by what is left, which is little now
    gc.enable()


@pytest.fixture
def potential() -> SchNet:
    """Random weights, cosine cutoff, float64, elements H C O."""
    return tiny_schnet()


@pytest.fixture
def make_dipole_potential():
    """Makes potentials of random weights with latent charges, cosine cutoff, float64, H C O."""

    def make(seed: int = 0, total_charge: float | None = 0.0) -> SchNet:
        return tiny_schnet(seed, {"energy": Output(), "dipole": Output(total_charge=total_charge)})

    return make


@pytest.fixture
def dipole_potential(make_dipole_potential) -> SchNet:
    return make_dipole_potential()


@pytest.fixture
def ethanol() -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture
def diamond() -> Atoms:
    """Eight carbon atoms in a skewed cell."""
    from ase.build import bulk

    atoms = bulk("C", "diamond", a=3.57) * (2, 2, 1)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.05 * np.eye(3, k=1)), scale_atoms=True)
    atoms.rattle(0.05, seed=2)
    return atoms


@pytest.fixture
def model_path(potential, ethanol, tmp_path):
    path = tmp_path / "model.safetensors"
    pairs = ("C-C", "C-H", "C-O", "H-H", "H-O", "O-O")
    anything = {"lowest": [-1e3] * 8, "highest": [1e3] * 8}
    anywhere = {"largest_nearest_distance": 1e3, "least_coordination": 0, "isolated": True}
    record = ModelRecord(
        title="a test",
        neighborhoods=dict.fromkeys("HCO", anywhere),
        shortest_distances=dict.fromkeys(pairs, 0.01),
        feature_ranges=dict.fromkeys("HCO", anything),
    )
    save_model(path, potential, AtomGraph.from_atoms(ethanol), record)
    return path


@pytest.fixture(scope="session")
def public_data() -> Path:
    folder = os.environ.get("MLPOTENTIAL_PUBLIC_DATA")
    if not folder:
        pytest.skip("MLPOTENTIAL_PUBLIC_DATA is not set")
    return Path(folder)
