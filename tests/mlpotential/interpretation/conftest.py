"""Small models in files, and a file of molecules."""

import numpy as np
import pytest
import torch
from ase.build import molecule
from ase.io import write

from mlpotential.data.read import read_structures
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import save_model
from mlpotential.models.outputs import Output
from mlpotential.models.registry import build_potential, config_of
from mlpotential.testing import tiny_schnet

WITH_CHARGES = {"energy": Output(), "dipole_magnitude": Output(total_charge=0.0)}


def tiny(architecture, **settings):
    """Of H, C and O, in float64, without training."""
    config = config_of(architecture, settings)
    if architecture == "BehlerParrinello":
        config = config.for_elements((1, 6, 8))
    torch.manual_seed(5)
    model = build_potential(config).double().eval()
    model.elements = (1, 6, 8)
    return model


@pytest.fixture(scope="session")
def dtnn():
    return tiny("DTNN", n_features=8, n_factors=10, n_interactions=2, rbf_stop=5.0)


@pytest.fixture(scope="session")
def behler_parrinello():
    settings = {"hidden_layers": "4", "activations": "t l", "cutoff": 4.0}
    return tiny("BehlerParrinello", n_radial=2, n_angular=1, **settings)


@pytest.fixture(scope="session")
def model_files(tmp_path_factory, dtnn, behler_parrinello):
    """Paths by name: two splits with charges, no cutoff, another kind of each, no energies."""
    folder = tmp_path_factory.mktemp("models")
    models = {
        "split_0": tiny_schnet(0, WITH_CHARGES),
        "split_1": tiny_schnet(1, WITH_CHARGES),
        "unlimited": tiny_schnet(2, cutoff_function="none", cutoff=None),
        "dtnn": dtnn,
        "bp": behler_parrinello,
        "dipoles": tiny_schnet(3, {"dipole": Output(total_charge=0.0)}),
        "gaps": tiny_schnet(4, {"gap": Output(pooling="mean", unit="eV")}),
    }
    golden = AtomGraph.from_atoms(molecule("CH3CH2OH"))
    for name, model in models.items():
        save_model(folder / f"{name}.safetensors", model, golden)
    return {name: folder / f"{name}.safetensors" for name in models}


@pytest.fixture(scope="session")
def frames():
    found = [molecule(name) for name in ("H2O", "CH3CH2OH", "C6H6", "H2CO", "CH4")]
    for k, atoms in enumerate(found):
        atoms.rattle(0.02, seed=k)
        atoms.positions = atoms.positions.round(6)  # all digits are in the file
        atoms.info["gap"] = 5.0 + k
    return found


@pytest.fixture(scope="session")
def molecules_file(frames, tmp_path_factory):
    path = tmp_path_factory.mktemp("structures") / "molecules.extxyz"
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(scope="session")
def molecules(molecules_file):
    return read_structures(molecules_file, length_unit="Angstrom")


@pytest.fixture
def diamond_file(diamond, tmp_path):
    path = tmp_path / "diamond.cif"
    write(path, diamond)
    return path


@pytest.fixture
def rng():
    return np.random.default_rng(11)
