"""Structures without labels, from files of data and from those that ASE reads."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from numpy.testing import assert_allclose

from mlpotential.data.read import read_reference_data, read_structures
from mlpotential.errors import DataError
from mlpotential.units import ANGSTROM_PER_BOHR


@pytest.fixture
def water():
    return molecule("H2O")


def test_lengths_are_in_the_declared_unit(water, tmp_path):
    water.positions /= ANGSTROM_PER_BOHR
    water.info["energy_unit"] = "kcal/mol"  # of labels that are not read
    write(tmp_path / "w.xyz", [water, water], format="extxyz")
    data = read_structures(tmp_path / "w.xyz", length_unit="Bohr")
    assert len(data) == 2
    assert_allclose(data[1].positions.numpy(), molecule("H2O").positions, atol=1e-8)
    assert data[1].labels == {}
    with pytest.raises(
        DataError, match="declare its units with length_unit; it states energy_unit"
    ):
        read_structures(tmp_path / "w.xyz")


def test_a_length_unit_that_the_file_contradicts(water, tmp_path):
    water.info["length_unit"] = "Bohr"
    write(tmp_path / "w.xyz", water, format="extxyz")
    with pytest.raises(DataError, match="states the length unit 'Bohr'"):
        read_structures(tmp_path / "w.xyz", length_unit="Angstrom")


def test_labels_beside_structures_are_passed_over(water, tmp_path):
    water.calc = SinglePointCalculator(water, energy=-1.0, forces=np.ones((3, 3)))
    with connect(tmp_path / "w.db") as database:
        database.write(water)
    write(tmp_path / "w.extxyz", water, format="extxyz")
    np.savez(tmp_path / "w.npz", z=water.numbers, R=water.positions[None], E=np.array([np.nan]))
    for name in ("w.db", "w.extxyz", "w.npz"):
        (graph,) = read_structures(tmp_path / name, length_unit="Angstrom")
        assert graph.labels == {}
        assert graph.atomic_numbers.tolist() == [8, 1, 1]


def test_pymatgen_structures_without_outputs(tmp_path):
    sites = [{"species": [{"element": "C", "occu": 1}], "xyz": [0.0, 0.0, 0.0]}]
    entry = {"structure": {"sites": sites, "lattice": {"matrix": (1.5 * np.eye(3)).tolist()}}}
    (tmp_path / "s.json").write_text(json.dumps([entry]))
    (graph,) = read_structures(tmp_path / "s.json", length_unit="Angstrom")
    assert graph.pbc.all()
    with pytest.raises(DataError, match="expected a mapping with 'structure' and 'outputs'"):
        read_reference_data(tmp_path / "s.json", energy_unit="eV", length_unit="Angstrom")


@pytest.mark.parametrize("name", ["s.traj", "s.cif", "POSCAR", "s@1.cif"])
def test_what_ase_reads_is_in_angstrom(tmp_path, name):
    atoms = bulk("NaCl", "rocksalt", a=5.64)
    write(
        tmp_path / "written", atoms, format={".traj": "traj", "OSCAR": "vasp"}.get(name[-5:], "cif")
    )
    (tmp_path / "written").rename(tmp_path / name)
    (graph,) = read_structures(tmp_path / name)
    assert sorted(graph.atomic_numbers.tolist()) == [11, 17]
    assert abs(np.linalg.det(graph.cell[0].numpy())) == pytest.approx(5.64**3 / 4, rel=1e-6)
    assert graph.pbc.all()
    with pytest.raises(DataError, match="states the length unit 'Angstrom', but 'Bohr'"):
        read_structures(tmp_path / name, length_unit="Bohr")


def test_molecules_of_ase_have_no_cell(water, tmp_path):
    water.center(3.0)
    write(tmp_path / "w.traj", [water, molecule("CH4")])
    first, second = read_structures(tmp_path / "w.traj")
    assert (first.cell, second.n_atoms) == (None, 5)


def test_files_that_cannot_be_read(water, tmp_path):
    with pytest.raises(DataError, match="there is no file .*absent.cif"):
        read_structures(tmp_path / "absent.cif")
    (tmp_path / "w.cif").write_text("_cell_length_a nothing\n")
    with pytest.raises(DataError, match=r"w\.cif, frame 0, cannot be read by ASE"):
        read_structures(tmp_path / "w.cif")
    (tmp_path / "notes.text").write_text("hello\n")
    with pytest.raises(DataError, match=r"ASE knows no format of files like 'notes\.text'"):
        read_structures(tmp_path / "notes.text")
    (tmp_path / "m.safetensors").write_text("")
    with pytest.raises(DataError, match="is a model file, not data"):
        read_structures(tmp_path / "m.safetensors")
    with pytest.raises(DataError, match="is a folder, but a data file is needed"):
        read_structures(tmp_path, length_unit="Angstrom")


def test_files_of_lammps_are_refused(water, tmp_path):
    """Types 1 and 2 would be hydrogen and helium."""
    text = "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n"
    text += "0 9\n0 9\n0 9\nITEM: ATOMS id type x y z\n1 2 0 0 0\n"
    (tmp_path / "a.dump").write_text(text)
    with pytest.raises(DataError, match="is a file of LAMMPS .*write it as extended XYZ"):
        read_structures(tmp_path / "a.dump")


def test_no_frame_is_set_aside(tmp_path):
    atom = Atoms("H", info={"config_type": "IsolatedAtom", "energy": -13.6})
    write(tmp_path / "d.xyz", [molecule("H2O"), atom], format="extxyz")
    data = read_structures(tmp_path / "d.xyz", length_unit="Angstrom")
    assert ([graph.n_atoms for graph in data], data.isolated_atoms) == ([3, 1], {})


def test_structures_of_a_published_set_need_no_unit(water, tmp_path):
    np.savez(tmp_path / "w.npz", z=water.numbers, R=water.positions[None])
    assert len(read_structures(f"md17:{tmp_path / 'w.npz'}")) == 1
