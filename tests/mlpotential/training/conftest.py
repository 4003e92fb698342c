"""A small training set of our own making: a bent molecule in a harmonic world."""

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

SPRING_CONSTANT = 8.0  # eV/A^2


@pytest.fixture(scope="session")
def water_file(tmp_path_factory):
    """48 water-like frames with exact energies and forces of three springs."""
    rng = np.random.default_rng(0)
    rest = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    lengths = np.linalg.norm(rest[pairs[:, 1]] - rest[pairs[:, 0]], axis=1)
    frames = []
    for _ in range(48):
        positions = rest + rng.normal(scale=0.08, size=(3, 3))
        vectors = positions[pairs[:, 1]] - positions[pairs[:, 0]]
        distances = np.linalg.norm(vectors, axis=1)
        pull = (SPRING_CONSTANT * (distances - lengths) / distances)[:, None] * vectors
        forces = np.zeros((3, 3))
        np.add.at(forces, pairs[:, 0], pull)
        np.add.at(forces, pairs[:, 1], -pull)
        energy = -76.0 + 0.5 * SPRING_CONSTANT * ((distances - lengths) ** 2).sum()
        atoms = Atoms("OHH", positions)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    path = tmp_path_factory.mktemp("data") / "water.extxyz"
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(scope="session")
def run_settings(water_file):
    """A run of a second in float64, with a checkpoint at its end; `folder` is set by the test."""
    return {
        "data": {
            "path": str(water_file),
            "energy_unit": "eV",
            "length_unit": "Angstrom",
            "n_train": 32,
            "n_validation": 8,
            "atom_references": "least_squares",
        },
        "model": {
            "n_features": 16,
            "n_interactions": 2,
            "rbf_stop": 4.0,
            "rbf_spacing": 0.25,
            "rbf_gamma": None,
        },
        "training": {
            "batch_size": 4,
            "max_epochs": 50,
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "dtype": "float64",
            "device": "cpu",
            "checkpoint_interval_s": 1000.0,
        },
    }


@pytest.fixture
def config_file(run_settings, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run_settings))
    return path
