"""Atom references, scales and shortest distances against cases with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from scipy.spatial.distance import pdist, squareform

from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.statistics import (
    energy_statistics,
    fit_atom_references,
    read_atom_references,
    shortest_distances,
)
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph


def molecules(energies: dict[str, float]) -> ReferenceData:
    graphs = []
    for name, energy in energies.items():
        atoms = molecule(name)
        forces = np.full((len(atoms), 3), 2.0)
        graphs.append(
            AtomGraph.from_arrays(atoms.numbers, atoms.positions, energy=energy, forces=forces)
        )
    return ReferenceData(tuple(graphs), "molecules")


def test_exact_references_are_found() -> None:
    e = {1: -13.6, 6: -1030.0, 8: -2043.0}
    data = molecules(
        {
            "H2O": 2 * e[1] + e[8],
            "CH4": e[6] + 4 * e[1],
            "CO2": e[6] + 2 * e[8],
            "CH3OH": e[6] + 4 * e[1] + e[8],
        }
    )
    references = fit_atom_references(data)
    assert references == pytest.approx(e, rel=1e-10)
    # What is left is rounding, and must not become a scale (fault 49).
    mean, spread = energy_statistics(data, references)
    assert mean == pytest.approx(0.0, abs=1e-9)
    assert spread == 1.0


def test_degenerate_compositions_take_the_least_norm() -> None:
    """n = (2 H, 1 O), E = -30: the shortest e with n.e = E is E n / |n|^2."""
    data = molecules({"H2O": -30.0})
    assert fit_atom_references(data) == pytest.approx({1: -12.0, 8: -6.0}, rel=1e-12)


def test_energy_statistics() -> None:
    data = molecules({"H2O": -30.0, "CH4": -50.0})
    mean, spread = energy_statistics(data, {1: -1.0, 6: -6.0, 8: -7.0})
    # (-30 + 9) / 3 = -7 and (-50 + 10) / 5 = -8
    assert mean == pytest.approx(-7.5)
    assert spread == pytest.approx(0.5)


def test_constant_energy_has_scale_one() -> None:
    """Fault 49: also where the mean of equal numbers is not exactly that number."""
    water = molecule("H2O")
    graph = AtomGraph.from_arrays(water.numbers, water.positions, energy=-2081.1234567)
    data = ReferenceData((graph,) * 7, "constant")
    for references in ({1: 0.0, 8: 0.0}, fit_atom_references(data)):
        assert energy_statistics(data, references)[1] == 1.0


def test_missing_reference_and_missing_labels() -> None:
    data = molecules({"H2O": -30.0})
    with pytest.raises(DataError, match=r"no reference energy for the elements \[8\] of molecules"):
        energy_statistics(data, {1: 0.0})
    with pytest.raises(DataError, match="no structures"):
        fit_atom_references(data.select([]))
    water = molecule("H2O")
    bare = ReferenceData((AtomGraph.from_arrays(water.numbers, water.positions),), "bare")
    with pytest.raises(DataError, match="bare was read without energies"):
        fit_atom_references(bare)


# Reference energies from files

LAYOUTS = {
    "e.json": '{"H": -0.5, "No": -37.8}',
    "e.yaml": "# atoms\nH: -0.5\nNo: -37.8  # not a boolean\n",
    "e.csv": "H,-0.5\nNo,-37.8\n",
    "e.txt": "# atoms\nH   -0.5\n\nNo = -37.8  # with a remark\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_references_from_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(LAYOUTS[name])
    expected = {1: -0.5 * units.Hartree, 102: -37.8 * units.Hartree}
    assert read_atom_references(tmp_path / name, energy_unit="Hartree") == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.csv", "H,-0.5\nQq,1\n", "e.csv: expected an element and its energy, .* found 'Qq 1'"),
        ("e.csv", "H,abc\n", "found 'H abc'"),
        ("e.csv", "H,1,2\n", "found 'H 1 2'"),
        ("e.csv", "H,1\nH,2\n", "two reference energies for H"),
        ("e.csv", "H,nan\n", "the reference energy of element 1 is nan"),
        ("e.csv", "", "e.csv holds no reference energies"),
        ("e.json", "[1, 2]", "e.json: expected a mapping"),
        ("e.json", '{"H": [1]}', "found .*H"),
        ("e.yaml", "H: [1", "e.yaml is not valid JSON or YAML"),
        ("e.yaml", "H: !!python/object/apply:os.getpid []", "e.yaml"),
    ],
)
def test_damaged_reference_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_atom_references(tmp_path / name, energy_unit="eV")


def test_missing_reference_file_and_unknown_unit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*absent.json"):
        read_atom_references(tmp_path / "absent.json", energy_unit="eV")
    with pytest.raises(DataError, match="unknown energy unit 'ev'"):
        read_atom_references(tmp_path / "absent.json", energy_unit="ev")


def test_references_from_schnetpack_archive(tmp_path: Path) -> None:
    table = np.zeros((10, 2))
    table[[1, 6], 0], table[[1, 6], 1] = (-0.5, -37.8), (2.9, 2.9)
    np.savez(tmp_path / "a.npz", atom_ref=table, labels=np.array(["U0", "Cv"]))
    np.savez(tmp_path / "b.npz", U0=table[:, 0])
    expected = {1: -0.5, 6: -37.8}
    assert read_atom_references(tmp_path / "a.npz", energy_unit="eV", key="U0") == expected
    assert read_atom_references(tmp_path / "b.npz", energy_unit="eV") == expected
    with pytest.raises(DataError, match=r"a.npz: say with `key` .*: U0, Cv"):
        read_atom_references(tmp_path / "a.npz", energy_unit="eV")


# Shortest distances


def brute_force(graph: AtomGraph) -> dict[tuple[int, int], float]:
    numbers, distances = graph.atomic_numbers.numpy(), squareform(pdist(graph.positions.numpy()))
    found: dict[tuple[int, int], float] = {}
    for i in range(len(numbers)):
        for j in range(i):
            pair = (min(numbers[i], numbers[j]), max(numbers[i], numbers[j]))
            found[pair] = min(found.get(pair, np.inf), distances[i, j])
    return found


def test_shortest_distances_of_molecules() -> None:
    random = np.random.default_rng(2)
    graphs = []
    for name in ("CH3OH", "H2O", "CH3OH", "CO2", "H"):
        atoms = molecule(name)
        atoms.positions += 0.05 * random.normal(size=(len(atoms), 3))
        graphs.append(AtomGraph.from_arrays(atoms.numbers, atoms.positions))
    expected: dict[tuple[int, int], float] = {}
    for graph in graphs:
        for pair, distance in brute_force(graph).items():
            expected[pair] = min(distance, expected.get(pair, np.inf))
    assert shortest_distances(ReferenceData(tuple(graphs), "m")) == pytest.approx(expected)


def test_more_molecules_than_are_looked_at_at_once() -> None:
    graphs = [
        AtomGraph.from_arrays([1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0 + 0.001 * k]])
        for k in range(1500)
    ]
    assert shortest_distances(ReferenceData(tuple(graphs[::-1]), "h2")) == {(1, 1): 1.0}


def test_shortest_distances_of_crystals_include_images() -> None:
    salt = bulk("NaCl", "rocksalt", a=5.64)
    salt.rattle(0.1, seed=1)
    graph = AtomGraph.from_atoms(salt)
    i, j, d = neighbor_list("ijd", salt, 6.0)
    z = salt.numbers
    expected = {
        (a, b): d[(np.minimum(z[i], z[j]) == a) & (np.maximum(z[i], z[j]) == b)].min()
        for a, b in ((11, 11), (11, 17), (17, 17))
    }
    found = shortest_distances(ReferenceData((graph,), "salt"))
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[11, 11] == pytest.approx(5.64 / np.sqrt(2))


def test_one_atom_has_no_distances() -> None:
    atom = AtomGraph.from_arrays([2], np.zeros((1, 3)))
    assert shortest_distances(ReferenceData((atom,), "he")) == {}


def test_references_by_atomic_number(tmp_path: Path) -> None:
    """As MACE writes its E0s."""
    for name, text in (
        ("a.json", '{"1": -0.5, "8": -75.0}'),
        ("b.yaml", "{1: -0.5, O: -75.0}"),
        ("c.txt", "1, -0.5\n8 -75.0\n"),
    ):
        (tmp_path / name).write_text(text)
        assert read_atom_references(tmp_path / name, energy_unit="eV") == {1: -0.5, 8: -75.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"H": -0.5, "1": -0.6}', "gives two reference energies for 1"),
        ('{"H": -0.5, "H": -0.6}', "gives two reference energies for H"),
        ('{"119": -0.5}', "expected an element and its energy"),
        ('{"0": -0.5}', "expected an element and its energy"),
        ('{"H": "1_0"}', "expected an element and its energy"),
        ('{"H": {"energy": 1}}', "expected an element and its energy"),
        ("[" * 5000, "expected a mapping from elements to energies, nothing nested"),
    ],
)
def test_references_that_cannot_be_meant(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_atom_references(tmp_path / "a.json", energy_unit="eV")
