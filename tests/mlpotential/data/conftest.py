"""Three water molecules with labels; sets that obey physics, of springs and of EMT copper."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from mlpotential.graph import AtomGraph


@pytest.fixture
def waters() -> list[Atoms]:
    """Labelled as ASE does: energy and forces in a calculator (eV, eV/A)."""
    random = np.random.default_rng(3)
    molecules = []
    for k in range(3):
        shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
        atoms = Atoms("OHH", shape + 0.02 * random.normal(size=(3, 3)))
        atoms.calc = SinglePointCalculator(
            atoms, energy=-2000.0 - 0.25 * k, forces=random.normal(size=(3, 3))
        )
        molecules.append(atoms)
    return molecules


SHAPES = {
    "OHH": [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]],
    "NHHH": [[0.0, 0.0, 0.0], [1.0, 0.0, 0.1], [-0.5, 0.87, 0.1], [-0.5, -0.87, 0.1]],
    "COHHHH": [
        *([0.0, 0.0, 0.0], [1.42, 0.0, 0.0], [-0.4, 1.0, 0.0]),
        *([-0.4, -0.5, 0.9], [-0.4, -0.5, -0.9], [1.75, 0.9, 0.0]),
    ],
}
ATOM_ENERGY = {1: -13.6, 6: -1030.0, 7: -1480.0, 8: -2040.0}  # eV
SPRING_CONSTANT = 8.0  # eV/A^2


@pytest.fixture
def molecules() -> list[AtomGraph]:
    """Twenty of each shape, of springs between all atoms, turned and moved."""
    return sprung_molecules(20)


@pytest.fixture
def many_molecules() -> list[AtomGraph]:
    """A hundred of each."""
    return sprung_molecules(100)


def sprung_molecules(n_each: int) -> list[AtomGraph]:
    return [
        sprung_molecule(name, np.random.default_rng(100 * k + n))
        for k in range(n_each)
        for n, name in enumerate(SHAPES)
    ]


def sprung_molecule(name: str, random: np.random.Generator) -> AtomGraph:
    rest = np.array(SHAPES[name])
    numbers = Atoms(name).numbers
    positions = rest + random.normal(scale=0.06, size=rest.shape)
    i, j = np.triu_indices(len(rest), 1)
    vectors = positions[j] - positions[i]
    distances = np.linalg.norm(vectors, axis=1)
    stretch = distances - np.linalg.norm(rest[j] - rest[i], axis=1)
    pull = SPRING_CONSTANT * (stretch / distances)[:, None] * vectors
    forces = np.zeros_like(positions)
    np.add.at(forces, i, pull)
    np.add.at(forces, j, -pull)
    energy = sum(ATOM_ENERGY[z] for z in numbers) + 0.5 * SPRING_CONSTANT * (stretch**2).sum()
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    moved = positions @ turn + random.normal(size=3)
    return AtomGraph.from_arrays(numbers, moved, energy=energy, forces=forces @ turn)


@pytest.fixture(scope="session")
def crystals() -> list[AtomGraph]:
    """Forty copper cells of four atoms each, strained and rattled; EMT."""
    random = np.random.default_rng(6)
    graphs = []
    for _ in range(40):
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell + random.normal(scale=0.08, size=(3, 3)), scale_atoms=True)
        atoms.positions += random.normal(scale=0.12, size=(4, 3))
        atoms.calc = EMT()
        graphs.append(
            AtomGraph.from_arrays(
                atoms.numbers,
                atoms.positions,
                np.asarray(atoms.cell),
                True,
                energy=atoms.get_potential_energy(),
                forces=atoms.get_forces(),
            )
        )
    return graphs
