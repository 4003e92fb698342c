"""What version 0.1.0 wrote: a training run, its model file and what the model says.

Run with mlpotential 0.1.0 (commit d566b4f), from the folder of this file:

    OMP_NUM_THREADS=1 python make_version_0_1_0.py

A later version must read all of it, so it is never made again with one. The molecules are water in
a world of three springs, with the dipoles of fixed charges. `checkpoint.pt` is the state after two
epochs; `continued_*` are of the model after a third.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import mlpotential
from mlpotential.graph import AtomGraph, collate
from mlpotential.models.model_file import load_model
from mlpotential.neighbors import connect
from mlpotential.training.config_file import read_config
from mlpotential.training.run import run_training

FOLDER = Path(__file__).parent / "version_0_1_0"
SPRING_CONSTANT = 8.0  # eV/A^2
REST = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])  # A
PAIRS = np.array([[0, 1], [0, 2], [1, 2]])
CHARGES = np.array([-0.8, 0.4, 0.4])  # e
SETTINGS = """\
data:
  path: water.extxyz
  energy_unit: eV
  length_unit: Angstrom
  dipole_unit: e*Angstrom
  n_train: 8
  n_validation: 4
  atom_references: least_squares
model:
  n_features: 4
  n_interactions: 1
  rbf_stop: 4.0
  rbf_spacing: 0.5
  rbf_gamma: null
  cutoff_function: cosine
  cutoff: 4.0
  max_atomic_number: 10
  dipole: true
  total_charge: 0.0
training:
  batch_size: 4
  max_epochs: 2
  learning_rate: 0.005
  dipole_weight: 1.0
  ema_decay: 0.9
  dtype: float64
  device: cpu
"""


def water(rng: np.random.Generator) -> Atoms:
    """A bent molecule in three springs, with its labels."""
    positions = REST + rng.normal(scale=0.08, size=(3, 3))
    vectors = positions[PAIRS[:, 1]] - positions[PAIRS[:, 0]]
    distances = np.linalg.norm(vectors, axis=1)
    stretch = distances - np.linalg.norm(REST[PAIRS[:, 1]] - REST[PAIRS[:, 0]], axis=1)
    pulls = (SPRING_CONSTANT * stretch / distances)[:, None] * vectors
    forces = np.zeros((3, 3))
    np.add.at(forces, PAIRS[:, 0], pulls)
    np.add.at(forces, PAIRS[:, 1], -pulls)
    atoms = Atoms("OHH", positions)
    energy = -76.0 + 0.5 * SPRING_CONSTANT * (stretch**2).sum()
    dipole = CHARGES @ positions
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, dipole=dipole)
    return atoms


def predictions(model_path: Path, frames: list[Atoms]) -> dict[str, np.ndarray]:
    """Energies (eV), forces (eV/A) and dipoles (e A) of all frames, in float64."""
    model = load_model(model_path).potential
    graph = collate([connect(AtomGraph.from_atoms(a), model.cutoff) for a in frames])
    found = model(graph, ("energy", "forces", "dipole"))
    return {name: getattr(found, name).numpy() for name in ("energy", "forces", "dipole")}


def main() -> None:
    """Writes everything."""
    assert mlpotential.__version__ == "0.1.0"
    FOLDER.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    write(FOLDER / "water.extxyz", [water(rng) for _ in range(15)], format="extxyz")
    frames = read(FOLDER / "water.extxyz", ":")  # with the decimals of the file
    (FOLDER / "train.yaml").write_text(SETTINGS)
    with tempfile.TemporaryDirectory() as run:
        first = run_training(read_config(FOLDER / "train.yaml", ["--folder", run]), False)
        for name in ("model.safetensors", "checkpoint.pt"):
            shutil.copy(Path(run) / name, FOLDER / name)
        values = predictions(first.model_path, frames)
        longer = ["--folder", run, "--training.max_epochs", "3"]
        second = run_training(read_config(FOLDER / "train.yaml", longer), False)
        continued = predictions(second.model_path, frames)
    values |= {f"continued_{name}": value for name, value in continued.items()}
    np.savez(FOLDER / "predictions.npz", **values)


if __name__ == "__main__":
    main()
