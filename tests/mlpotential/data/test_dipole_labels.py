"""Dipole labels of every format: declared units, keys, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError
from mlpotential.graph import collate
from mlpotential.neighbors import split

DIPOLES = np.random.default_rng(4).normal(size=(3, 3))


@pytest.fixture
def labelled(waters: list[Atoms]) -> list[Atoms]:
    for atoms, dipole in zip(waters, DIPOLES, strict=True):
        atoms.calc = SinglePointCalculator(atoms, **atoms.calc.results, dipole=dipole)
    return waters


def read(path: Path, **options: Any) -> ReferenceData:
    settings = {"energy_unit": "eV", "length_unit": "Angstrom", "dipole_unit": "e*Angstrom"}
    properties = ("energy", "forces", "dipole")
    return read_reference_data(path, **(settings | {"properties": properties} | options))


def write_extxyz(path: Path, frames: list[Atoms]) -> Path:
    write(path / "set.extxyz", frames, format="extxyz")
    return path / "set.extxyz"


def write_npz(path: Path, frames: list[Atoms]) -> Path:
    np.savez(
        path / "set.npz",
        z=frames[0].numbers,
        R=np.stack([a.positions for a in frames]),
        E=np.array([a.get_potential_energy() for a in frames]),
        F=np.stack([a.get_forces() for a in frames]),
        D=np.stack([a.get_dipole_moment() for a in frames]),
    )
    return path / "set.npz"


def write_database(path: Path, frames: list[Atoms]) -> Path:
    with connect(path / "set.db") as database:
        for atoms in frames:
            database.write(atoms)
    return path / "set.db"


@pytest.mark.parametrize("writer", [write_extxyz, write_npz, write_database])
@pytest.mark.parametrize(
    ("unit", "factor"), [("e*Angstrom", 1.0), ("Debye", units.Debye), ("a.u.", units.Bohr)]
)
def test_read_in_declared_units(labelled, tmp_path, writer, unit, factor) -> None:
    data = read(writer(tmp_path, labelled), dipole_unit=unit)
    for graph, dipole in zip(data, DIPOLES, strict=True):
        np.testing.assert_allclose(graph.dipole[0], dipole * factor, rtol=1e-7, atol=1e-8)
    plain = read(writer(tmp_path, labelled), properties=("energy", "forces"))
    assert all(graph.dipole is None for graph in plain)
    assert plain.sha256 != data.sha256


def test_labels_travel_with_the_structures(labelled, tmp_path) -> None:
    data = read(write_extxyz(tmp_path, labelled))
    for single, graph in zip(split(collate(list(data))), data, strict=True):
        np.testing.assert_array_equal(single.dipole, graph.dipole)


def test_a_key_of_ones_own(labelled, tmp_path) -> None:
    for atoms, dipole in zip(labelled, DIPOLES, strict=True):
        atoms.info["mu"] = dipole
        atoms.calc.results.pop("dipole")
    path = write_extxyz(tmp_path, labelled)
    data = read(path, dipole_key="mu")
    np.testing.assert_allclose(data[1].dipole[0], DIPOLES[1], rtol=1e-7)
    with pytest.raises(DataError, match=r"frame 0 .*no dipole \(looked for dipole, REF_dipole\)"):
        read(path)


@pytest.mark.parametrize("writer", [write_extxyz, write_npz, write_database])
def test_a_dipole_that_is_not_finite_is_named(labelled, tmp_path, writer) -> None:
    labelled[1].calc.results["dipole"] = np.array([0.1, np.nan, 0.0])
    with pytest.raises(DataError, match=r"frame 1.*: the dipole is \[0\.1, nan, 0\.0\]"):
        read(writer(tmp_path, labelled))


def test_refusals(labelled, tmp_path) -> None:
    path = write_extxyz(tmp_path, labelled)
    with pytest.raises(DataError, match="unknown dipole unit 'debye'.*Did you mean 'Debye'"):
        read(path, dipole_unit="debye")
    with pytest.raises(DataError, match="give dipole_unit, one of e"):
        read(path, dipole_unit=None)
    with pytest.raises(DataError, match="unknown property 'dipoles'.*Did you mean 'dipole'"):
        read(path, properties=("dipoles",))
    path.write_text(path.read_text().replace('dipole="', 'dipole="1.0 ', 1))
    with pytest.raises(DataError, match="dipole should be three numbers"):
        read(path)


def test_a_database_that_states_another_unit(labelled, tmp_path) -> None:
    path = write_database(tmp_path, labelled)
    with connect(path) as database:
        database.metadata = {"_property_unit_dict": {"dipole": "Debye"}}
    with pytest.raises(DataError, match="states the dipole unit 'Debye', but 'e\\*Angstrom'"):
        read(path)
    read(path, dipole_unit="Debye")
