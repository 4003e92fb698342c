"""Cells, units, charges and isolated atoms that a file states beside its labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlpotential.data.declared_units import DeclaredUnits, SuspiciousDataWarning, force_unit_meant
from mlpotential.data.isolated_atoms import isolated_atom_energies, read_isolated_atoms
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.stated import kind_of
from mlpotential.errors import DataError

ROWS = "H 0.0 0.0 0.0 0.0 0.0 0.4\nH 0.0 0.0 0.8 0.0 0.0 -0.4\n"


def frame(words: str) -> str:
    return f"2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 {words}\n{ROWS}"


def read_frames(folder: Path, *words: str, **options: object) -> ReferenceData:
    path = folder / "set.extxyz"
    path.write_text("".join(map(frame, words)))
    units = {"energy_unit": "eV", "length_unit": "Angstrom"}
    return read_reference_data(path, **(units | options))


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("box", "cell"),
        ("UnitCell", "cell"),
        ("lattice-vectors", "cell"),
        ("simulation_cell", "cell"),
        ("unit_cell", "cell"),
        ("energyUnit", "units"),
        ("force-units", "units"),
        ("UNITS", "units"),
        ("cell_unit", "units"),
        ("total_charge", "charge"),
        ("spin_multiplicity", "spin"),
        ("config_type", "config_type"),
        ("PBC", "periodicity"),
        ("energy", None),
        ("stress", None),
        ("name", None),
        ("cellulose", None),
        ("unit_test", None),
        ("q", None),
    ],
)
def test_looks_of_keys(key: str, kind: str | None) -> None:
    assert kind_of(key) == kind


@pytest.mark.parametrize(
    "words",
    [
        'cell="9 0 0 0 9 0 0 0 9"',
        'box="9 9 9"',
        "box=9.0",
        "box_length=9",
        'unit_cell="9 9 9 90 90 90"',
    ],
)
def test_a_cell_under_another_key_is_refused(tmp_path: Path, words: str) -> None:
    key = words.split("=")[0]
    with pytest.raises(DataError, match=rf"set.extxyz, frame 1 .*'{key}' looks like a cell"):
        read_frames(tmp_path, "", words)
    assert len(read_frames(tmp_path, f'{words} pbc="F F F"')) == 1  # it says that there is none
    assert len(read_frames(tmp_path, f'{words} Lattice="9 0 0 0 9 0 0 0 9"')) == 1


def test_what_only_sounds_like_a_cell(tmp_path: Path) -> None:
    words = 'lattice_type=fcc box_id=17 n_formula_units=4 unit_test=yes cell="0 0 0 0 0 0 0 0 0"'
    assert len(read_frames(tmp_path, words)) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("energy-unit=hartree", r"\(energy-unit\) states the energy unit 'hartree', but 'eV' was"),
        ("force-unit=hartree/bohr", r"states the force unit .*, but 'eV/Angstrom' follows from"),
        ("pos_unit=bohr", "states the length unit 'bohr', but 'Angstrom' was declared"),
        ("units=Ry", "states the energy unit 'Ry'"),
        ('units="kcal/mol, Angstrom"', "states the energy unit 'kcal/mol'"),
        ("units=electron", "states the energy unit 'Hartree'"),
        ("units=Ha/Bohr", "states the force unit 'Ha/Bohr'"),
    ],
)
def test_units_that_contradict(tmp_path: Path, words: str, message: str) -> None:
    with pytest.raises(DataError, match=r"set.extxyz, frame 1 \(line 5\) .*" + message):
        read_frames(tmp_path, "", words)


def test_units_that_agree(tmp_path: Path) -> None:
    words = 'energy_unit=ev force_unit="eV/Ang" units=metal stress_unit=GPa dipole_unit=Debye'
    assert len(read_frames(tmp_path, words)) == 1
    atomic = "energy-unit=hartree force-unit=hartree/bohr"
    data = read_frames(tmp_path, atomic, energy_unit="Hartree", force_unit="Hartree/Bohr")
    np.testing.assert_allclose(data[0].forces[0, 2], 0.4 * 51.42206747, rtol=1e-6)
    assert len(read_frames(tmp_path, atomic, energy_unit="Hartree", properties=("energy",))) == 1


def test_a_unit_that_nobody_knows_is_a_warning(tmp_path: Path) -> None:
    with pytest.warns(SuspiciousDataWarning, match=r"frame 0 .*\(units\) states 'cubits'"):
        read_frames(tmp_path, "units=cubits", "units=cubits")


@pytest.mark.parametrize(
    "text",
    [
        *("Ha/Bohr", "hartree / bohr", "Hartree per Bohr", "a.u.", "Eh/a0"),
        *("hartree bohr^-1", "Hartree_per_bohr", "Ha a0-1"),
    ],
)
def test_spellings_of_a_force_unit(text: str) -> None:
    assert force_unit_meant(text) == "Hartree/Bohr"
    DeclaredUnits("Hartree", "Bohr").check_force(text, "set")
    assert force_unit_meant("kcal/(mol*\u00c5)") == "kcal/mol/Angstrom"


@pytest.mark.parametrize("unit", ["Ha/Bohr", "Hartree", "eV/furlong", "/"])
def test_unknown_force_units(unit: str) -> None:
    with pytest.raises(DataError, match=f"unknown force unit '{unit}': give an energy unit per"):
        DeclaredUnits("eV", "Angstrom", force=unit)


@pytest.mark.parametrize(
    ("words", "quantity"),
    [
        (("charge=0", "charge=1"), "charge"),
        (("", "total_charge=-1"), "charge"),
        (("spin=1", "spin=3"), "spin"),
        (("multiplicity=1", "multiplicity=2"), "spin"),
    ],
)
def test_mixed_states_are_a_warning(tmp_path: Path, words: tuple[str, ...], quantity: str) -> None:
    with pytest.warns(SuspiciousDataWarning, match=f"differ in {quantity}: .*cannot see it"):
        read_frames(tmp_path, *words)


def test_states_of_one_kind(tmp_path: Path) -> None:
    assert len(read_frames(tmp_path, "charge=1 spin=2", "charge=1 spin=2")) == 2
    assert len(read_frames(tmp_path, "charge=0", "", "spin=1")) == 3


def atom(symbol: str, energy: float, words: str = "config_type=IsolatedAtom") -> str:
    return f"1\nProperties=species:S:1:pos:R:3 energy={energy} {words}\n{symbol} 0 0 0\n"


def write(folder: Path, text: str) -> Path:
    (folder / "set.extxyz").write_text(text)
    return folder / "set.extxyz"


EV = {"energy_unit": "eV", "length_unit": "Angstrom"}


def test_isolated_atoms_are_set_aside(tmp_path: Path) -> None:
    """Those that are marked, with whatever labels, and lone atoms without forces."""
    marked = atom("H", -13.6) + atom(
        "O", -2040.0, 'config_type=isolated_atom Lattice="9 0 0 0 9 0 0 0 9"'
    )
    unmarked = atom("C", -1030.0, "")
    data = read_reference_data(write(tmp_path, marked + frame("") + unmarked), **EV)
    assert len(data) == 1
    assert data.name_of(0) == "frame 2"
    assert data.isolated_atoms == {1: -13.6, 6: -1030.0, 8: -2040.0}
    assert isolated_atom_energies(data) == data.isolated_atoms
    assert data.select([0]).isolated_atoms == data.isolated_atoms
    chosen = read_reference_data(tmp_path / "set.extxyz", **EV, index=[2, 0])
    assert chosen.isolated_atoms == {1: -13.6}


def test_lone_atoms_with_forces_are_training_data_and_references(tmp_path: Path) -> None:
    lone = "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-13.6\nH 0 0 0 0 0 0\n"
    data = read_reference_data(write(tmp_path, lone + frame("")), **EV)
    assert len(data) == 2
    assert isolated_atom_energies(data) == {1: -13.6}


def test_references_that_are_missing_or_doubled(tmp_path: Path) -> None:
    data = read_reference_data(write(tmp_path, atom("O", -1.0) + frame("")), **EV)
    with pytest.raises(DataError, match="no isolated atom of H: add a frame .*IsolatedAtom"):
        isolated_atom_energies(data)
    with pytest.raises(DataError, match="atom of frame 1 has -2 eV, that of frame 0, .* -1 eV"):
        read_reference_data(write(tmp_path, atom("O", -1.0) + atom("O", -2.0) + frame("")), **EV)


def test_a_file_of_isolated_atoms_alone(tmp_path: Path) -> None:
    path = write(tmp_path, atom("H", -0.5) + atom("O", -75.0))
    with pytest.raises(DataError, match=r"source of reference energies \(data.atom_references\)"):
        read_reference_data(path, **EV)
    energies = read_isolated_atoms(path, energy_unit="Hartree", length_unit="Angstrom")
    assert energies == pytest.approx({1: -0.5 * 27.211386, 8: -75.0 * 27.211386}, rel=1e-7)
