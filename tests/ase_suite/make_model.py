"""Trains the model that stands in for ASE's EMT in ASE's own tests: `emt_schnet.safetensors`.

    python tests/ase_suite/make_model.py

ASE's EMT labels crystals, surfaces with adsorbates, clusters, alloys and molecules of all its
elements, near the structures that ASE's tests use; a small SchNet in float64 learns them in a few
minutes on one core. The same versions on the same kind of processor give the same file.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, fcc111, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cluster import Icosahedron
from ase.data import atomic_numbers, covalent_radii
from ase.io import write

from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.training.config import DataConfig, RunConfig, TrainingConfig
from mlpotential.training.run import run_training

MODEL = Path(__file__).with_name("emt_schnet.safetensors")
METALS = ("Al", "Ni", "Cu", "Pd", "Ag", "Pt", "Au")
ELEMENTS = ("H", "C", "N", "O", *METALS)
MOLECULES = ("H2", "N2", "O2", "CO", "CO2", "H2O", "NH3", "CH4", "N2O", "CH3OH")
ADSORBATES = ("H", "C", "N", "O", "H2", "N2", "CO")
LARGEST_FORCE = 15.0  # eV/A; chosen: beyond what any of ASE's tests lets happen
N_OF_A_KIND = 8


def crystals(random: np.random.Generator) -> Iterator[Atoms]:
    """Strained and rattled fcc cells, alloys of all pairs, diamond."""
    for metal in METALS:
        for _ in range(2 * N_OF_A_KIND):
            yield strained(bulk(metal, cubic=True), random)
            yield strained(bulk(metal) * (2, 2, 2), random)
        for other in METALS:
            alloy = bulk(metal) * (2, 2, 2)
            alloy.set_cell(alloy.cell[:] * random.uniform(0.97, 1.06), scale_atoms=True)
            alloy.symbols[random.choice(8, 4, replace=False)] = other
            yield strained(alloy, random)
    for _ in range(2 * N_OF_A_KIND):
        yield strained(bulk("C"), random)
        yield strained(bulk("C", cubic=True), random)


def surfaces(random: np.random.Generator) -> Iterator[Atoms]:
    """Thin slabs, bare and with an atom or a molecule above them."""
    for metal in METALS:
        for build in (fcc111, fcc100):
            for k in range(N_OF_A_KIND):
                slab = build(metal, (2, 2, int(random.integers(1, 4))), vacuum=6.0)
                if k % 2:
                    guest = Atoms(random.choice(METALS))
                    height = random.uniform(1.5, 3.0)
                else:
                    guest = molecule(random.choice(ADSORBATES))
                    height = random.uniform(0.8, 2.5)
                if k < N_OF_A_KIND - 2:
                    place = ("ontop", "bridge", "hollow" if build is fcc100 else "fcc")
                    add_adsorbate(slab, guest, height, random.choice(place))
                del slab.info["adsorbate_info"]
                slab.rattle(random.uniform(0.02, 0.15), rng=random)
                yield slab


def clusters(random: np.random.Generator) -> Iterator[Atoms]:
    """Icosahedra, pairs of atoms at all distances, molecules, single atoms."""
    for metal in METALS:
        for shells in (2, 2, 3):
            cluster = Icosahedron(metal, shells)
            cluster.positions *= random.uniform(0.96, 1.04)
            cluster.rattle(random.uniform(0.02, 0.15), rng=random)
            yield cluster
    for i, first in enumerate(ELEMENTS):
        yield Atoms(first)
        for second in ELEMENTS[i:]:
            bond = sum(covalent_radii[atomic_numbers[s]] for s in (first, second))
            for factor in (*random.uniform(0.8, 1.3, 2), random.uniform(1.3, 2.5)):
                yield Atoms([first, second], [[0.0, 0.0, 0.0], [0.0, 0.0, factor * bond]])
    for name in MOLECULES:
        for _ in range(2 * N_OF_A_KIND):
            free = molecule(name)
            free.positions *= random.uniform(0.85, 1.15)
            free.rattle(random.uniform(0.02, 0.1), rng=random)
            yield free


def strained(atoms: Atoms, random: np.random.Generator) -> Atoms:
    """Up to 6 % of strain in every direction, atoms up to 0.15 A away."""
    strain = random.uniform(-0.04, 0.04, (3, 3)) + random.uniform(-0.04, 0.04) * np.eye(3)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    atoms.rattle(random.uniform(0.01, 0.15), rng=random)
    return atoms


def labelled(seed: int) -> list[Atoms]:
    """All structures with EMT's energy and forces, those with extreme forces left out."""
    random = np.random.default_rng(seed)
    frames = []
    for kind in (crystals, surfaces, clusters):
        for atoms in kind(random):
            atoms.calc = EMT()
            forces = atoms.get_forces()
            if np.abs(forces).max() > LARGEST_FORCE:
                continue
            energy = atoms.get_potential_energy()
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
            frames.append(atoms)
    return frames


def main() -> None:
    """Labels, trains, keeps the model; prints its errors."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "emt.extxyz"
        write(data, labelled(seed=1))
        result = run_training(
            RunConfig(
                data=DataConfig(
                    path=str(data),
                    energy_unit="eV",
                    length_unit="Angstrom",
                    n_validation=60,
                    atom_references="least_squares",
                ),
                model=SchNetConfig(
                    n_features=32,
                    n_interactions=2,
                    rbf_stop=5.5,
                    rbf_spacing=0.25,
                    rbf_gamma=None,
                    cutoff_function="cosine",
                    cutoff=5.5,
                    max_atomic_number=79,
                ),
                training=TrainingConfig(
                    energy_weight=0.5,
                    batch_size=8,
                    max_epochs=120,
                    learning_rate=3e-3,
                    schedule="cosine",
                    ema_decay=0.99,
                    max_gradient_norm=10.0,
                    tabulated_filters=True,
                    dtype="float64",
                    device="cpu",
                    seed=1,
                ),
                folder=str(Path(folder) / "training"),
            )
        )
        for name, errors in result.errors.items():
            print(name, errors)
        shutil.copyfile(result.model_path, MODEL)


if __name__ == "__main__":
    main()
