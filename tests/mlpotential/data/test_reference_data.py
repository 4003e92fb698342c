"""ReferenceData and what holds for every kind of file: units, missing files, warnings."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlpotential.data.declared_units import DeclaredUnits, SuspiciousDataWarning
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph

EV = {"energy_unit": "eV", "length_unit": "Angstrom"}


@pytest.fixture
def water_file(waters: list[Atoms], tmp_path: Path) -> Path:
    path = tmp_path / "water.extxyz"
    write(path, waters)
    return path


def test_sequence_of_graphs_with_labels(waters: list[Atoms], water_file: Path) -> None:
    data = read_reference_data(water_file, **EV)
    assert len(data) == 3
    assert data.elements == (1, 8)
    assert data.source == "water.extxyz"
    assert data.has("energy")
    assert data.has("forces")
    np.testing.assert_allclose(data.energies, [-2000.0, -2000.25, -2000.5], rtol=1e-14)
    for graph, atoms in zip(data, waters, strict=True):
        np.testing.assert_array_equal(graph.atomic_numbers, atoms.numbers)
        np.testing.assert_allclose(graph.positions, atoms.positions, atol=1e-8)
        np.testing.assert_allclose(graph.forces, atoms.get_forces(), atol=1e-8)
        assert graph.cell is None


def test_selecting(water_file: Path) -> None:
    data = read_reference_data(water_file, **EV)
    np.testing.assert_array_equal(data.select([2, 0])[0].positions, data[2].positions)
    assert [graph.energy.item() for graph in data[1:]] == [-2000.25, -2000.5]
    assert len(data.select([])) == 0
    with pytest.raises(DataError, match=r"no frame 3: there are 3"):
        data.select([3])
    with pytest.raises(DataError, match="no frame -1"):
        data.select([-1])


@pytest.mark.parametrize(
    ("index", "energies"), [([2], [-2000.5]), (slice(0, 3, 2), [-2000.0, -2000.5])]
)
def test_index_keeps_some_frames(water_file: Path, index: object, energies: list[float]) -> None:
    assert read_reference_data(water_file, **EV, index=index).energies.tolist() == energies


def test_index_that_selects_nothing_is_refused(water_file: Path) -> None:
    with pytest.raises(DataError, match="selects none of the 3 frames"):
        read_reference_data(water_file, **EV, index=slice(5, None))


def test_immutable(water_file: Path) -> None:
    data = read_reference_data(water_file, **EV)
    with pytest.raises(FrozenInstanceError):
        data.source = "other"
    with pytest.raises(TypeError):
        data[0] = data[1]


def test_labels_not_asked_for_stay_none(water_file: Path) -> None:
    forces_only = read_reference_data(water_file, **EV, properties=("forces",))
    assert forces_only[0].energy is None
    assert not forces_only.has("energy")
    with pytest.raises(DataError, match="read without energies"):
        _ = forces_only.energies
    energies_only = read_reference_data(water_file, **EV, properties=("energy",))
    assert energies_only[0].forces is None
    assert not energies_only.has("forces")


def test_labels_in_some_structures_only_are_refused() -> None:
    with_energy = AtomGraph.from_arrays([1], [[0.0, 0.0, 0.0]], energy=1.0)
    without = AtomGraph.from_arrays([1], [[0.0, 0.0, 0.0]])
    with pytest.raises(DataError, match=r"energy is known for 1 of 2 .* without is frame 1"):
        ReferenceData((with_energy, without), "mixed")


def test_hash_is_of_the_content(water_file: Path) -> None:
    data = read_reference_data(water_file, **EV)
    copy = water_file.with_name("copy.xyz")
    copy.write_bytes(water_file.read_bytes())
    assert read_reference_data(copy, **EV).sha256 == data.sha256
    hashes = {
        data.sha256,
        data.select([0, 2, 1]).sha256,
        data.select([0, 1]).sha256,
        read_reference_data(water_file, **EV, properties=("energy",)).sha256,
        read_reference_data(water_file, **EV, properties=("forces",)).sha256,
    }
    assert len(hashes) == 5


def test_hash_never_changes() -> None:
    """Model files remember it. The bytes below are the documented format, written by hand."""
    atom = AtomGraph.from_arrays(
        [14],
        [[-0.0, 0.5, 0.25]],
        3.0 * np.eye(3),
        (True, True, False),
        energy=-4.5,
        forces=np.ones((1, 3)),
    )
    molecule = AtomGraph.from_arrays([1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.75]])
    expected = hashlib.sha256(b"mlpotential reference data 1")
    expected.update(b"atomic_numbers(1,)" + struct.pack("<q", 14))
    expected.update(b"positions(1, 3)" + struct.pack("<3d", 0.0, 0.5, 0.25))
    expected.update(b"pbc(1, 3)" + bytes([1, 1, 0]))
    expected.update(b"cell(1, 3, 3)" + struct.pack("<9d", 3, 0, 0, 0, 3, 0, 0, 0, 3))
    expected.update(b"energy(1,)" + struct.pack("<d", -4.5))
    expected.update(b"forces(1, 3)" + struct.pack("<3d", 1, 1, 1))
    assert ReferenceData((atom,), "any").sha256 == expected.hexdigest()
    bare = hashlib.sha256(b"mlpotential reference data 1")
    bare.update(b"atomic_numbers(2,)" + struct.pack("<2q", 1, 1))
    bare.update(b"positions(2, 3)" + struct.pack("<6d", 0, 0, 0, 0, 0, 0.75))
    bare.update(b"pbc(1, 3)" + bytes(3))
    assert ReferenceData((molecule,), "other").sha256 == bare.hexdigest()


@pytest.mark.parametrize(
    ("energy_unit", "length_unit", "ev", "angstrom"),
    [
        ("Hartree", "Bohr", units.Hartree, units.Bohr),
        ("kcal/mol", "Angstrom", units.kcal / units.mol, 1.0),
        ("kJ/mol", "nm", units.kJ / units.mol, 10.0),
    ],
)
def test_units_are_converted(
    waters: list[Atoms],
    tmp_path: Path,
    energy_unit: str,
    length_unit: str,
    ev: float,
    angstrom: float,
) -> None:
    for atoms in waters:
        energy, forces = atoms.get_potential_energy() / ev, atoms.get_forces() * angstrom / ev
        atoms.positions /= angstrom
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write(tmp_path / "a.extxyz", waters, columns=["symbols", "positions", "forces"])
    data = read_reference_data(
        tmp_path / "a.extxyz", energy_unit=energy_unit, length_unit=length_unit
    )
    atoms = waters[1]
    np.testing.assert_allclose(data.energies[1], -2000.25, rtol=1e-12)
    np.testing.assert_allclose(data[1].positions, atoms.positions * angstrom, atol=2e-7)
    np.testing.assert_allclose(data[1].forces, atoms.get_forces() * ev / angstrom, atol=2e-6)


@pytest.mark.parametrize(
    ("energy_unit", "length_unit", "message"),
    [
        ("kcal", "Angstrom", r"unknown energy unit 'kcal'; known: eV, .* 'kcal/mol'\?"),
        ("eV", "angstrom", r"unknown length unit 'angstrom'; known: Angstrom, .* 'Angstrom'\?"),
    ],
)
def test_unknown_units(water_file: Path, energy_unit: str, length_unit: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_reference_data(water_file, energy_unit=energy_unit, length_unit=length_unit)


def test_units_have_no_default(water_file: Path) -> None:
    with pytest.raises(DataError, match="declare its units with energy_unit; it states none"):
        read_reference_data(water_file, length_unit="Angstrom")


def test_unit_of_the_file_that_nobody_knows_is_a_warning() -> None:
    with pytest.warns(SuspiciousDataWarning, match="'furlong' as length unit, which is not known"):
        DeclaredUnits("eV", "Angstrom").check_length("furlong", "set.db")


def test_unknown_property(water_file: Path) -> None:
    with pytest.raises(DataError, match=r"unknown property 'force'.* Did you mean 'forces'\?"):
        read_reference_data(water_file, **EV, properties=("energy", "force"))
    with pytest.raises(DataError, match="no property was asked for"):
        read_reference_data(water_file, **EV, properties=())


@pytest.mark.parametrize("name", ["absent.extxyz", "folder.npz", "notes.txt"])
def test_files_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "notes.txt").write_text("C 1 2 3\n")
    message = {
        "absent.extxyz": "there is no file .*absent.extxyz",
        "folder.npz": "folder.npz is a folder",
        "notes.txt": r"notes.txt: unknown kind of file; known: .xyz, .* .db",
    }[name]
    with pytest.raises(DataError, match=message):
        read_reference_data(tmp_path / name, **EV)


# Fault 40: labels or positions in other units than declared.


@pytest.mark.parametrize(
    ("energy_unit", "length_unit", "message"),
    [
        ("eV", "Bohr", r"water.extxyz: the shortest distance \(H-O\) is 0\.\d+ times"),
        ("eV", "nm", r"the shortest distance \(H-O\) is 9\.\d+ times .* the length unit right"),
    ],
)
def test_implausible_distances_are_a_warning(
    water_file: Path, energy_unit: str, length_unit: str, message: str
) -> None:
    with pytest.warns(SuspiciousDataWarning, match=message):
        read_reference_data(water_file, energy_unit=energy_unit, length_unit=length_unit)


def test_bohr_declared_as_angstrom_is_a_warning(waters: list[Atoms], tmp_path: Path) -> None:
    for atoms in waters:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.positions /= units.Bohr
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write(tmp_path / "bohr.extxyz", waters)
    with pytest.warns(SuspiciousDataWarning, match=r"shortest distance \(H-O\) is 1\.\d+ times"):
        read_reference_data(tmp_path / "bohr.extxyz", **EV)


@pytest.mark.parametrize(("factor", "shown"), [(1e-3, "0.00"), (1e3, r"e\+03")])
def test_implausible_forces_are_a_warning(
    waters: list[Atoms], tmp_path: Path, factor: float, shown: str
) -> None:
    for atoms in waters:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces() * factor
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    write(tmp_path / "f.extxyz", waters)
    with pytest.warns(SuspiciousDataWarning, match=f"median force on an atom is .*{shown}"):
        read_reference_data(tmp_path / "f.extxyz", **EV)


def test_outlying_force_is_a_warning(waters: list[Atoms], tmp_path: Path) -> None:
    """Fault 50."""
    forces = waters[1].get_forces()
    forces[2] = [60.0, 0.0, 0.0]
    waters[1].calc = SinglePointCalculator(waters[1], energy=-1.0, forces=forces)
    write(tmp_path / "f.extxyz", waters)
    with pytest.warns(SuspiciousDataWarning, match="largest force is 60 eV/A, in frame 1"):
        read_reference_data(tmp_path / "f.extxyz", **EV)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, mlpotential.data, mlpotential.data.splits; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("factor", "warns"), [(1.0, False), (-1.0, True), (3.0, True)])
def test_forces_that_are_not_the_slope_of_the_energy(tmp_path, factor, warns):
    """A stretched spring, frame after frame; its forces times a wrong factor or sign (fault 41)."""
    frames = []
    for length in np.arange(0.9, 1.3, 0.03):
        atoms = Atoms("CO", [[0, 0, 0], [length, 0, 0]])
        pull = factor * -40.0 * (length - 1.1)
        atoms.calc = SinglePointCalculator(
            atoms, energy=20.0 * (length - 1.1) ** 2, forces=[[-pull, 0, 0], [pull, 0, 0]]
        )
        frames.append(atoms)
    write(tmp_path / "spring.extxyz", frames)
    if warns:
        with pytest.warns(SuspiciousDataWarning, match="times what the forces say"):
            read_reference_data(tmp_path / "spring.extxyz", **EV)
    else:
        read_reference_data(tmp_path / "spring.extxyz", **EV)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("c20.safetensors", "is a model file, not data"),
        ("best_model.pth", "is a model or checkpoint of PyTorch, not data"),
        ("mace.model", "is a model of MACE"),
        ("set.npz.gz", "unknown kind of file"),
    ],
)
def test_what_is_no_data(tmp_path: Path, name: str, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=what):
        read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
