"""Rings of known molecules and graphs."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose

from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.atoms.bonds import bonds_of, fragments_of, neighbor_counts_of
from mlpotential.interpretation.atoms.rings import find_rings, ring_energies, rings_of
from mlpotential.interpretation.structures import require_molecules_only

CC = 1.40  # A


def hexagon(x: float, y: float) -> list[tuple[float, float]]:
    """Around a point, two edges upright."""
    angles = np.pi / 6 + np.arange(6) * np.pi / 3
    return [(x + CC * np.cos(a), y + CC * np.sin(a)) for a in angles]


def carbon(points) -> Atoms:
    """Without what lies in one place twice."""
    kept: list[np.ndarray] = []
    for point in np.array(points):
        if all(np.linalg.norm(point - other) > 0.1 for other in kept):
            kept.append(point)
    flat = np.array(kept)
    return Atoms(f"C{len(kept)}", np.column_stack([flat, np.zeros(len(kept))]))


def dodecahedron() -> Atoms:
    """C20, its edges 1.45 A."""
    g = 0.5 * (1.0 + np.sqrt(5.0))
    corners = [np.array(c) * 2.0 - 1.0 for c in np.ndindex(2, 2, 2)]
    for a in (-1.0, 1.0):
        for b in (-1.0, 1.0):
            corners += [np.roll([0.0, a / g, b * g], k) for k in range(3)]
    return Atoms("C20", np.array(corners) * 1.45 * g / 2.0)


WIDTH = CC * np.sqrt(3.0)
AROUND = [(WIDTH * np.cos(a), WIDTH * np.sin(a)) for a in np.arange(6) * np.pi / 3]
MOLECULES = {
    "benzene": (molecule("C6H6"), 1),
    "naphthalene": (carbon(hexagon(0, 0) + hexagon(WIDTH, 0)), 2),
    "anthracene": (carbon(hexagon(0, 0) + hexagon(WIDTH, 0) + hexagon(2 * WIDTH, 0)), 3),
    "biphenyl": (carbon(hexagon(0, 0) + hexagon(0, 2 * CC + 1.48)), 2),
    "coronene": (
        carbon(hexagon(0, 0) + [point for at in AROUND for point in hexagon(*at)]),
        7,
    ),
    "C20": (dodecahedron(), 0),
    "C60": (molecule("C60"), 20),
    "pyridine": (molecule("C5H5N"), 0),  # not of carbon alone
    "methane": (molecule("CH4"), 0),
}  # fmt: skip


def data_of(*frames: Atoms) -> ReferenceData:
    return ReferenceData([AtomGraph.from_atoms(atoms) for atoms in frames], "frames")


@pytest.mark.parametrize("name", MOLECULES)
def test_known_molecules(name):
    atoms, n_rings = MOLECULES[name]
    found = find_rings(data_of(atoms))
    assert len(found) == n_rings
    for ring in found.atoms:  # in order around it
        steps = atoms.positions[np.roll(ring, 1)] - atoms.positions[ring]
        assert np.linalg.norm(steps, axis=1).max() < 1.6


def graph_of(text: str) -> np.ndarray:
    return np.array([[int(x) for x in bond.split("-")] for bond in text.split()])


@pytest.mark.parametrize(
    ("bonds", "n_atoms", "n_rings"),
    [
        ("0-1 1-2 2-3 3-4 4-5 0-5", 6, 1),
        ("0-1 1-2 2-3 3-4 4-5 0-5 0-3", 6, 0),  # a chord
        ("0-1 1-2 2-3 3-4 4-5 0-5 0-6 3-6", 7, 0),  # norbornane: two rings of five
        ("0-1 1-2 2-3 3-4 4-5 0-5 0-6 6-7 3-7", 8, 3),  # bicyclo[2.2.2]octane
        ("0-1 1-2 2-3 0-3 4-5 5-6 6-7 4-7 0-4 1-5 2-6 3-7", 8, 0),  # cubane
        (
            "0-1 1-2 2-3 3-4 4-5 0-5 0-6 6-7 7-8 4-8 2-9 7-9",
            10,
            4,
        ),  # adamantane
    ],
)
def test_rings_are_no_sums_of_smaller_ones(bonds, n_atoms, n_rings, rng):
    graph = graph_of(bonds)
    assert len(rings_of(n_atoms, graph)) == n_rings
    renamed = rng.permutation(n_atoms)[graph][rng.permutation(len(graph))]
    assert len(rings_of(n_atoms, renamed)) == n_rings


def test_energies_are_of_the_atoms_of_the_ring():
    data = data_of(molecule("CH4"), molecule("C6H6"))
    found = find_rings(data)
    assert found.structures.tolist() == [1]
    energies = [np.full(5, 100.0), np.arange(12.0)]
    assert_allclose(ring_energies(found, energies), [np.arange(6.0).sum()])


def test_bonds_fragments_and_neighbors(diamond):
    ethanol = molecule("CH3CH2OH")
    bonds = bonds_of(ethanol.numbers, ethanol.positions)
    assert len(bonds) == 8
    counts = neighbor_counts_of(9, bonds)
    assert counts[ethanol.numbers == 1].tolist() == [1] * 6
    assert sorted(counts[ethanol.numbers != 1].tolist()) == [2, 4, 4]
    pair = ethanol + molecule("H2O")
    pair.positions[9:] += 10.0
    fragments = fragments_of(12, bonds_of(pair.numbers, pair.positions))
    assert [part.tolist() for part in fragments] == [list(range(9)), [9, 10, 11]]
    bonds = bonds_of(diamond.numbers, diamond.positions, np.asarray(diamond.cell), diamond.pbc)
    assert neighbor_counts_of(len(diamond), bonds).tolist() == [4] * len(diamond)


def test_crystals_have_no_rings(diamond):
    with pytest.raises(StructureError, match="frame 0 is periodic, and rings are of molecules"):
        require_molecules_only(data_of(diamond), "rings")
