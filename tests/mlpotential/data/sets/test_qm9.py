"""QM9 from a package in small, and from the real one where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import molecule

from mlpotential.data.isolated_atoms import isolated_atom_energies
from mlpotential.data.read import read_reference_data
from mlpotential.data.sets import qm9
from mlpotential.data.statistics import read_atom_references
from mlpotential.errors import DataError


def test_geometries_and_lists(package, small_qm9):
    data = qm9.load_qm9()
    assert len(data.starts) == 65
    np.testing.assert_array_equal(data.numbers_in_original, range(1, 65))
    atoms = molecule("CH4")
    np.testing.assert_array_equal(data.atomic_numbers[:5], atoms.numbers)
    np.testing.assert_array_equal(data.positions[:5], atoms.positions)
    np.testing.assert_array_equal(data.charges[:5], [0.0, 0.1, 0.2, 0.3, 0.4])
    counts = np.diff(data.wavenumber_starts)
    expected = [3 * len(molecule(n)) - (5 if n == "HCN" else 6) for n in small_qm9.NAMES]
    np.testing.assert_array_equal(counts[: len(expected)], expected)  # of one calculation each
    assert data.wavenumbers[data.wavenumber_starts[5]] == 1000.0


def test_units_and_invariants(package, small_qm9):
    data = qm9.load_qm9()
    for name, factor in (
        ("mu", units.Debye),
        ("alpha", units.Bohr**3),
        ("gap", units.Hartree),
        ("r2", units.Bohr**2),
        ("Cv", 1.0),
    ):
        column = small_qm9.COLUMNS.index(qm9.QUANTITIES[name].column)
        expected = (np.arange(64) + 0.125 * column) * factor
        np.testing.assert_allclose(data.values(name), expected, rtol=1e-14)
    np.testing.assert_allclose(data.polarizabilities[3], small_qm9.TENSOR * units.Bohr**3)
    x, y, z = np.linalg.eigvalsh(small_qm9.TENSOR)
    anisotropy = np.sqrt(0.5 * ((x - y) ** 2 + (y - z) ** 2 + (z - x) ** 2)) * units.Bohr**3
    np.testing.assert_allclose(data.values("alpha_anisotropy"), anisotropy, rtol=1e-13)


def test_as_reference_data(package):
    data = read_reference_data(
        "qm9",
        properties=("energy", "gap", "dipole_magnitude", "spatial_extent", "alpha"),
        gap_unit="eV",
        dipole_magnitude_unit="e*Angstrom",
        spatial_extent_unit="Angstrom^2",
        alpha_unit="Angstrom^3",
    )
    whole = qm9.load_qm9()
    assert len(data) == 64
    assert data.elements == (1, 6, 7, 8, 9)
    for label, name in (
        ("energy", "U0"),
        ("gap", "gap"),
        ("dipole_magnitude", "mu"),
        ("spatial_extent", "r2"),
        ("alpha", "alpha"),
    ):
        np.testing.assert_array_equal(data.values(label), whole.values(name))
    graph = data[3]
    np.testing.assert_array_equal(graph.positions, whole.positions[slice(*whole.starts[3:5])])
    assert graph.scalars["gap"].item() == whole.values("gap")[3]
    assert graph.dipole_magnitude.item() == whole.values("mu")[3]
    references = isolated_atom_energies(data)
    assert references[8] == -75.064579 * units.Hartree


def test_other_energies_and_a_part_of_the_molecules(package):
    whole = qm9.load_qm9()
    some = read_reference_data("qm9", properties=("energy",), energy_key="G", index=[5, 2])
    np.testing.assert_array_equal(some.energies, whole.values("G")[[5, 2]])
    assert some.name_of(0) == "frame 5"
    assert some.isolated_atoms[1] == -0.510927 * units.Hartree
    assert len(read_reference_data("qm9", properties=("energy",), index=slice(0, 10, 3))) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "qm9: it has no forces: train on energies alone"),
        ({"properties": ("polarizability",), "polarizability_unit": "Angstrom^3"}, "alpha_aniso"),
        ({"properties": ("dipole",), "dipole_unit": "Debye"}, "ask for dipole_magnitude"),
        ({"properties": ("energy",), "energy_key": "gap"}, "qm9 has no 'gap': known are U0, U,"),
        ({"properties": ("gapp",), "gapp_unit": "eV"}, r"qm9 has no 'gapp': .* mean 'gap'\?"),
        ({"properties": ("gap",), "gap_unit": "Hartree"}, "qm9 gives gap in eV, but 'Hartree' was"),
        ({"properties": ("energy",), "energy_unit": "Hartree"}, "qm9 has the energy unit 'eV'"),
        ({"properties": ("energy",), "length_unit": "Bohr"}, "qm9 has the length unit 'Angstrom'"),
    ],
)
def test_what_it_has_not(package, options, message):
    with pytest.raises(DataError, match=message):
        read_reference_data("qm9", **options)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("Elements", "['C','Xx']", r"qm9_part1.csv, line 3 is damaged: KeyError\('Xx'\)"),
        ("XYZ_Ang", "[[0.0,1.0]]", "qm9_part1.csv, line 3: 4 atoms, but 2 positions"),
        ("Mulliken_pop", "[]", "line 3 is damaged: ValueError"),
        ("Mulliken_pop", "[0.5]", "line 3: 4 atoms, but 1 charges"),
        ("Harmonic_Freq_cmi", "[1.0]", "line 3: 4 atoms, but 1 wavenumbers"),
        ("HOMO_au", "high", "line 3 is damaged"),
        ("XYZ_file", "dsgdb9nsd_000001.xyz", "do not fit together: a molecule twice"),
    ],
)
def test_damaged_files(tmp_path, small_qm9, column, value, message):
    found = small_qm9.rows(1)
    found[1][column] = value
    folder = small_qm9.write(tmp_path / "data", found)
    with pytest.raises(DataError, match=message):
        qm9.load_qm9(folder)


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'mlpotential\[qm9\]'"):
        read_reference_data("qm9", properties=("energy",))


# The whole set.

installed = pytest.mark.skipif(
    importlib.util.find_spec(qm9.PACKAGE) is None, reason=f"{qm9.PACKAGE} is not installed"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLPOTENTIAL_CACHE", str(tmp_path_factory.mktemp("qm9")))
        yield qm9.load_qm9()


@installed
@pytest.mark.slow
def test_all_molecules(whole):
    assert len(whole.starts) - 1 == qm9.N_MOLECULES == len(set(whole.numbers_in_original))
    assert len(whole.positions) == whole.starts[-1] == 2_359_210
    gap = whole.values("lumo") - whole.values("homo")
    np.testing.assert_allclose(gap, whole.values("gap"), atol=1.01e-4 * units.Hartree)
    traces = np.trace(whole.polarizabilities, axis1=1, axis2=2) / 3.0
    np.testing.assert_allclose(traces, whole.values("alpha"), atol=0.0054 * units.Bohr**3)
    sums = np.add.reduceat(whole.wavenumbers, whole.wavenumber_starts[:-1])
    error = np.abs(0.5 * sums * units.invcm - whole.values("zpve"))
    assert np.sum(error > 1e-5 * units.Hartree) <= 3  # with imaginary ones


@installed
@pytest.mark.slow
def test_tensors_do_not_stand_in_the_frame_of_the_coordinates(whole):
    """In HCN (in the original number 5) the molecule lies along y, the tensor's axis is z."""
    k = int(np.flatnonzero(whole.numbers_in_original == 5)[0])
    positions = np.asarray(whole.positions[slice(*whole.starts[k : k + 2])])
    extent = np.ptp(positions, axis=0)
    diagonal = np.diag(whole.polarizabilities[k])
    assert np.argmax(extent) == 1
    assert np.argmax(diagonal) == 2
    assert diagonal[0] == pytest.approx(diagonal[1])
    anisotropy = whole.values("alpha_anisotropy")[k]
    assert anisotropy == pytest.approx(diagonal[2] - diagonal[0], rel=1e-3)


@installed
@pytest.mark.slow
@pytest.mark.public_data
def test_values_of_other_sources(whole, public_data: Path):
    """The first hundred molecules as another package has them, and free atoms of SchNet."""
    path = public_data / "formats/qm9_100_all_properties.xyz"
    keys = {"homo": "epsHOMO", "lumo": "epsLUMO", "gap": "epsgap", "zpve": "zpve", "r2": "<R2>"}
    keys |= {name: name for name in ("mu", "alpha", "U0", "U", "H", "G", "Cv", "A", "B", "C")}
    declared = {f"{name}_key": key for name, key in keys.items()}
    native = {"mu": "Debye", "alpha": "Bohr^3", "r2": "Bohr^2", "Cv": "cal/mol/K"}
    native |= dict.fromkeys("ABC", "GHz")
    declared |= {f"{name}_unit": native.get(name, "Hartree") for name in keys}
    data = read_reference_data(
        path, energy_unit="Hartree", length_unit="Angstrom", properties=tuple(keys), **declared
    )
    first = np.argsort(whole.numbers_in_original)[:100]
    # That package has numbers 58, 61 and 80, which are not consistent, instead of the next ones.
    same = np.abs(whole.values("U0")[first] - data.values("U0")) < 1e-3
    assert whole.numbers_in_original[first[~same]].tolist() == [59, 62, 81]
    for name in keys:
        expected = data.values(name)[same]
        np.testing.assert_allclose(whole.values(name)[first[same]], expected, rtol=1e-7)
    for k in np.flatnonzero(same).tolist():
        positions = whole.positions[slice(*whole.starts[first[k] : first[k] + 2])]
        np.testing.assert_allclose(positions, data[k].positions, atol=1e-8)
    for name in ("U0", "U", "H", "G"):
        path = public_data / "formats/schnet_qm9_atomref.npz"
        references = read_atom_references(path, energy_unit="eV", key=name)
        assert references == pytest.approx(qm9.isolated_atoms(name), rel=1e-9)


@installed
@pytest.mark.slow
def test_molecules_that_are_there_twice(whole):
    """Sixteen tautomers of the original relaxed to the geometry of another one."""
    from mlpotential.data.same_structures import first_occurrences
    from mlpotential.data.structure_arrays import StructureArrays

    n = len(whole.starts) - 1
    arrays = StructureArrays(
        whole.atomic_numbers, whole.positions, whole.starts, np.arange(n), np.zeros((n, 3), bool)
    )
    first = first_occurrences(arrays)
    assert np.sum(first != np.arange(n)) == 16
    energies = whole.values("U0")
    np.testing.assert_allclose(energies, energies[first], atol=2e-6 * units.Hartree)
