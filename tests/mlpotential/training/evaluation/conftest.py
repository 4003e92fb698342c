"""Models of two outputs and files of structures of different size."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.models.outputs import Output
from mlpotential.testing import tiny_schnet


@pytest.fixture(scope="session")
def save_tiny(tmp_path_factory):
    """Writes a model of these outputs, float64, elements H C O; returns the path."""

    def save(outputs):
        potential = tiny_schnet(3, outputs)
        path = tmp_path_factory.mktemp("model") / "model.safetensors"
        graph = AtomGraph.from_atoms(molecule("CH3CH2OH"))
        save_model(path, potential, graph, ModelRecord(title="a test"))
        return path

    return save


@pytest.fixture(scope="session")
def gap_model(save_tiny):
    """Energies and gaps."""
    return save_tiny({"energy": Output(), "gap": Output(pooling="mean", unit="eV")})


@pytest.fixture(scope="session")
def frames():
    """Five molecules of different size."""
    found = [molecule(name) for name in ("H2O", "CH3CH2OH", "CH4", "H2CO", "C6H6")]
    for k, atoms in enumerate(found):
        atoms.rattle(0.05, seed=k)
    return found


@pytest.fixture(scope="session")
def bare_file(frames, tmp_path_factory):
    """Without labels."""
    path = tmp_path_factory.mktemp("structures") / "bare.extxyz"
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(scope="session")
def labelled_file(frames, tmp_path_factory):
    """With energies and forces, of nothing real, and gaps."""
    rng = np.random.default_rng(4)
    labelled = []
    for atoms in frames:
        forces = rng.normal(size=(len(atoms), 3))
        atoms = atoms.copy()
        atoms.info["GAP"] = rng.uniform(5.0, 9.0)
        energy = -1000.0 * len(atoms) + rng.normal()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces - forces.mean(0))
        labelled.append(atoms)
    path = tmp_path_factory.mktemp("structures") / "labelled.extxyz"
    write(path, labelled, format="extxyz")
    return path
