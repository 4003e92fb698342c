"""ASE databases: calculator results, key-value pairs, SchNetPack's layouts, and damage."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.isolated_atoms import read_isolated_atoms
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError

SCHNETPACK = {
    "_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang", "dipole": "D"},
    "_distance_unit": "Ang",
}


def write_rows(path: Path, rows: Iterator[Any] | list[Any], metadata: Any = None) -> None:
    """Rows are (atoms, data, key-value pairs)."""
    with connect(path) as database:
        if metadata is not None:
            database.metadata = metadata
        for atoms, data, pairs in rows:
            database.write(atoms, data=data, **pairs)


def read_database(path: Path, **options: Any) -> ReferenceData:
    return read_reference_data(path, **{"energy_unit": "eV", "length_unit": "Angstrom", **options})


def bare(atoms: Atoms) -> Atoms:
    return Atoms(atoms.numbers, atoms.positions)


def check_against(data: ReferenceData, waters: list[Atoms], per_unit: float = 1.0) -> None:
    for graph, atoms in zip(data, waters, strict=True):
        np.testing.assert_array_equal(graph.atomic_numbers, atoms.numbers)
        np.testing.assert_array_equal(graph.positions, atoms.positions)
        assert graph.energy.item() == pytest.approx(
            atoms.get_potential_energy() * per_unit, rel=1e-14
        )
        np.testing.assert_allclose(graph.forces, atoms.get_forces() * per_unit, rtol=1e-13)
        assert graph.cell is None


def labels(atoms: Atoms) -> dict[str, Any]:
    return {"energy": np.array([atoms.get_potential_energy()]), "forces": atoms.get_forces()}


def test_calculator_results(waters: list[Atoms], tmp_path: Path) -> None:
    write_rows(tmp_path / "a.db", [(atoms, {}, {}) for atoms in waters])
    check_against(read_database(tmp_path / "a.db"), waters)


def test_periodic_rows(tmp_path: Path) -> None:
    crystal = bulk("Si")
    crystal.calc = SinglePointCalculator(crystal, energy=-1.0, forces=np.full((2, 3), 0.5))
    write_rows(tmp_path / "a.db", [(crystal, {}, {})])
    (graph,) = read_database(tmp_path / "a.db")
    np.testing.assert_array_equal(graph.cell[0], crystal.cell)
    assert graph.pbc.all()


def test_schnetpack_2(waters: list[Atoms], tmp_path: Path) -> None:
    rows = [(bare(atoms), labels(atoms), {}) for atoms in waters]
    write_rows(tmp_path / "a.db", rows, SCHNETPACK)
    data = read_database(tmp_path / "a.db", energy_unit="kcal/mol")
    check_against(data, waters, per_unit=units.kcal / units.mol)


@pytest.mark.parametrize(
    ("energy_unit", "length_unit", "message"),
    [
        ("eV", "Angstrom", r"a.db \(_property_unit_dict, energy\) .* 'kcal/mol', but 'eV' was"),
        ("kcal/mol", "Bohr", r"a.db \(_distance_unit\) states the length unit 'Ang', but 'Bohr'"),
    ],
)
def test_contradicting_units(
    waters: list[Atoms], tmp_path: Path, energy_unit: str, length_unit: str, message: str
) -> None:
    write_rows(tmp_path / "a.db", [(bare(a), labels(a), {}) for a in waters], SCHNETPACK)
    with pytest.raises(DataError, match=message):
        read_database(tmp_path / "a.db", energy_unit=energy_unit, length_unit=length_unit)


def test_contradicting_force_unit(waters: list[Atoms], tmp_path: Path) -> None:
    """Energies in Hartree and positions in Angstrom, but forces in Hartree / Bohr."""
    metadata = {
        "_property_unit_dict": {"energy": "Ha", "forces": "Ha/Bohr"},
        "_distance_unit": "Ang",
    }
    per_unit = units.Hartree / units.Bohr
    rows = [(bare(a), labels(a) | {"forces": a.get_forces() / per_unit}, {}) for a in waters]
    write_rows(tmp_path / "a.db", rows, metadata)
    message = (
        r"a.db \(_property_unit_dict, forces\) states the force unit 'Ha/Bohr', but "
        "'Hartree/Angstrom' follows from the declared units: declare force_unit 'Hartree/Bohr'"
    )
    with pytest.raises(DataError, match=message):
        read_database(tmp_path / "a.db", energy_unit="Hartree")
    data = read_database(tmp_path / "a.db", energy_unit="Hartree", force_unit="Hartree/Bohr")
    np.testing.assert_allclose(data[1].forces, waters[1].get_forces(), rtol=1e-13)


def test_schnetpack_0_base64(waters: list[Atoms], tmp_path: Path) -> None:
    rows = []
    for atoms in waters:
        data: dict[str, Any] = {}
        for key, array in labels(atoms).items():
            data[key] = base64.b64encode(array.tobytes()).decode()
            data[f"_shape_{key}"], data[f"_dtype_{key}"] = list(array.shape), str(array.dtype)
        rows.append((bare(atoms), data, {}))
    write_rows(tmp_path / "a.db", rows)
    check_against(read_database(tmp_path / "a.db"), waters)


def test_base64_that_does_not_fit(waters: list[Atoms], tmp_path: Path) -> None:
    encoded = base64.b64encode(np.zeros(3).tobytes()).decode()
    for value, dtype in ((encoded, "float64"), ("%%%", "float64"), (encoded, "object")):
        data = {"energy": value, "_shape_energy": [1], "_dtype_energy": dtype}
        (tmp_path / "a.db").unlink(missing_ok=True)
        write_rows(tmp_path / "a.db", [(bare(waters[0]), data, {})])
        with pytest.raises(DataError, match=r"a.db is damaged"):
            read_database(tmp_path / "a.db", properties=("energy",))


def test_key_value_pairs(waters: list[Atoms], tmp_path: Path) -> None:
    write_rows(
        tmp_path / "a.db", [(bare(a), {}, {"energy_U0": -40.5 - a.positions[0, 0]}) for a in waters]
    )
    data = read_database(tmp_path / "a.db", energy_key="energy_U0", properties=("energy",))
    np.testing.assert_allclose(data.energies, [-40.5 - a.positions[0, 0] for a in waters])


def test_absent_labels_name_row_and_keys(waters: list[Atoms], tmp_path: Path) -> None:
    """Fault 38 and 47."""
    rows = [(waters[0], {}, {}), (bare(waters[1]), {"F": waters[1].get_forces()}, {"E_tot": -1.0})]
    write_rows(tmp_path / "a.db", rows)
    message = r"a.db, frame 1 \(row 2\): no energy .* keys there: E_tot, F\. Name .* energy_key"
    with pytest.raises(DataError, match=message):
        read_database(tmp_path / "a.db")


def test_label_of_the_wrong_shape(waters: list[Atoms], tmp_path: Path) -> None:
    """Fault 43."""
    for bad, message in (
        ({"forces": np.zeros((2, 3))}, r"forces has shape \(2, 3\) .* expected \(3, 3\) numbers"),
        ({"forces": [[1.0], [1.0, 2.0], [3.0]]}, r"forces is ragged; expected \(3, 3\)"),
        ({"energy": np.zeros(2)}, "energy should be one number"),
        ({"energy": "low"}, "energy should be one number, not 'low'"),
    ):
        (tmp_path / "a.db").unlink(missing_ok=True)
        rows = [(bare(a), labels(a), {}) for a in waters]
        rows[2] = (rows[2][0], {**rows[2][1], **bad}, {})
        write_rows(tmp_path / "a.db", rows)
        with pytest.raises(DataError, match=r"a.db, frame 2 \(row 3\): " + message):
            read_database(tmp_path / "a.db")


def test_nan_label_names_the_row(waters: list[Atoms], tmp_path: Path) -> None:
    """Fault 39."""
    forces = waters[1].get_forces()
    forces[2, 2] = np.nan
    rows = [(bare(a), labels(a), {}) for a in waters]
    rows[1][1]["forces"] = forces
    write_rows(tmp_path / "a.db", rows)
    with pytest.raises(DataError, match=r"a.db, frame 1 \(row 2\): the force on atom 2 is"):
        read_database(tmp_path / "a.db")


def test_one_key_with_two_values(waters: list[Atoms], tmp_path: Path) -> None:
    """A calculator and row data agree, or the row is refused."""
    write_rows(tmp_path / "same.db", [(a, labels(a), {}) for a in waters])
    check_against(read_database(tmp_path / "same.db"), waters)
    other = {"energy": np.array([1.0])}
    write_rows(tmp_path / "other.db", [(a, other, {}) for a in waters])
    with pytest.raises(DataError, match=r"frame 0 \(row 1\): 'energy' stands in the row 2 times"):
        read_database(tmp_path / "other.db")


def test_two_candidates_and_a_key_that_changes(waters: list[Atoms], tmp_path: Path) -> None:
    write_rows(tmp_path / "a.db", [(a, {}, {"REF_energy": 1.0}) for a in waters])
    with pytest.raises(DataError, match="any of energy, REF_energy: say which with energy_key"):
        read_database(tmp_path / "a.db")
    rows = [(waters[0], {}, {}), (bare(waters[1]), {}, {"REF_energy": 1.0})]
    write_rows(tmp_path / "b.db", rows)
    with pytest.raises(DataError, match="energy stands under 'REF_energy', but under 'energy' in"):
        read_database(tmp_path / "b.db", properties=("energy",))


def test_opened_read_only(waters: list[Atoms], tmp_path: Path) -> None:
    """A file without write permission in a folder with a question mark is read, and not touched."""
    folder = tmp_path / "50% of what?"
    folder.mkdir()
    path = folder / "a.db"
    write_rows(path, [(atoms, {}, {}) for atoms in waters])
    before = path.read_bytes(), path.stat().st_mtime_ns
    path.chmod(0o444)
    check_against(read_database(path), waters)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [p.name for p in folder.iterdir()] == ["a.db"]


def test_other_files_named_db(tmp_path: Path) -> None:
    """Neither an empty file nor a foreign database is turned into an ASE database."""
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text(
        "this is not a database, but it is long enough to look at\n" * 20
    )
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE recipes (name TEXT)")
    foreign.commit()
    foreign.close()
    for name in ("empty.db", "text.db", "foreign.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(DataError, match=f"{name} is damaged or not an ASE database"):
            read_database(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


def test_database_without_rows(tmp_path: Path) -> None:
    """Fault 45."""
    write_rows(tmp_path / "a.db", [], {})
    with pytest.raises(DataError, match=r"a.db holds no structures"):
        read_database(tmp_path / "a.db")


def test_cut_and_overwritten_databases(waters: list[Atoms], tmp_path: Path) -> None:
    """SQLite has no checksums: only that nothing but a DataError ever comes is promised."""
    path = tmp_path / "a.db"
    write_rows(path, [(bare(a), labels(a), {}) for a in waters], {"_distance_unit": "Ang"})
    whole = path.read_bytes()
    n_refused = 0
    for place in range(0, len(whole), 509):
        for damaged in (whole[:place], whole[:place] + b"\xaa" * 600 + whole[place + 600 :]):
            path.write_bytes(damaged)
            try:
                read_database(path)
            except DataError as error:
                assert "a.db" in str(error)  # noqa: PT017 - whether it comes depends on the place
                n_refused += 1
    assert n_refused > 100


def test_deep_json_is_damage(waters: list[Atoms], tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    write_rows(path, [(waters[0], {}, {})])
    for table, column in (("systems", "data"), ("systems", "key_value_pairs")):
        broken = tmp_path / f"{column}.db"
        broken.write_bytes(path.read_bytes())
        connection = sqlite3.connect(broken)
        connection.execute(f"UPDATE {table} SET {column} = ?", ('{"x": ' + "[" * 100_000,))
        connection.commit()
        connection.close()
        with pytest.raises(DataError, match=f"{column}.db is damaged or not an ASE database"):
            read_database(broken)


def test_units_of_other_metadata(waters: list[Atoms], tmp_path: Path) -> None:
    rows = [(atoms, {}, {}) for atoms in waters]
    for k, (metadata, message) in enumerate(
        (
            ({"units": {"energy": "Hartree"}}, "states the energy unit 'Hartree'"),
            ({"force_unit": "Ha/a0"}, r"a\d.db \(force_unit\) states the force unit 'Ha/a0'"),
            ({"length_units": "bohr"}, "states the length unit 'bohr'"),
        )
    ):
        write_rows(tmp_path / f"a{k}.db", rows, metadata)
        with pytest.raises(DataError, match=message):
            read_database(tmp_path / f"a{k}.db")
    write_rows(tmp_path / "b.db", rows, {"units": {"energy": "eV", "stress": "GPa"}})
    check_against(read_database(tmp_path / "b.db"), waters)


def test_charges_and_spins_of_rows(waters: list[Atoms], tmp_path: Path) -> None:
    write_rows(tmp_path / "a.db", [(a, {}, {"charge": 1, "spin": 2}) for a in waters])
    check_against(read_database(tmp_path / "a.db"), waters)
    write_rows(tmp_path / "b.db", [(a, {}, {"spin": k}) for k, a in enumerate(waters)])
    with pytest.warns(SuspiciousDataWarning, match=r"differ in spin: 0 .*frame 1 \(row 2\)"):
        read_database(tmp_path / "b.db")


def test_absurd_labels_are_damage(waters: list[Atoms], tmp_path: Path) -> None:
    forces = waters[1].get_forces()
    forces[2, 2] = 1e200
    rows = [(bare(a), labels(a), {}) for a in waters]
    rows[1][1]["forces"] = forces
    write_rows(tmp_path / "a.db", rows)
    message = r"frame 1 \(row 2\): the force of atom 2 is 1e\+200 eV/A, which no calculation gives"
    with pytest.raises(DataError, match=message):
        read_database(tmp_path / "a.db")


QM9_LIKE = {
    "gap": ("Ha", 0.25),
    "dipole_moment": ("D", 1.5),
    "isotropic_polarizability": ("a0^3", 6.0),
    "electronic_spatial_extent": ("a0^2", 30.0),
    "heat_capacity": ("cal/mol/K", 6.5),
}
QM9_UNITS = {
    "gap_unit": "Hartree",
    "dipole_magnitude_unit": "Debye",
    "dipole_magnitude_key": "dipole_moment",
    "alpha_unit": "Bohr^3",
    "alpha_key": "isotropic_polarizability",
    "spatial_extent_unit": "Bohr^2",
    "spatial_extent_key": "electronic_spatial_extent",
    "heat_capacity_unit": "cal/mol/K",
}


@pytest.fixture
def qm9_like(waters: list[Atoms], tmp_path: Path) -> Path:
    """As SchNetPack 2 keeps QM9, with energies of free atoms by atomic number."""
    values = {name: np.array([value]) for name, (_, value) in QM9_LIKE.items()}
    metadata = {
        "_property_unit_dict": {name: unit for name, (unit, _) in QM9_LIKE.items()}
        | {"energy_U0": "Ha"},
        "_distance_unit": "Ang",
        "atomrefs": {"energy_U0": [0.0, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -75.0]},
    }
    rows = [(bare(atoms), values | {"energy_U0": np.array([-76.4])}, {}) for atoms in waters]
    write_rows(tmp_path / "qm9.db", rows, metadata)
    return tmp_path / "qm9.db"


def test_named_scalars_of_schnetpack_2(qm9_like: Path) -> None:
    names = ("gap", "dipole_magnitude", "alpha", "spatial_extent", "heat_capacity")
    data = read_database(qm9_like, energy_unit="Hartree", properties=names, **QM9_UNITS)
    expected = (0.25 * units.Hartree, 1.5 * units.Debye, 6.0 * units.Bohr**3, 30.0 * units.Bohr**2)
    for name, value in zip(names, (*expected, 6.5), strict=True):
        np.testing.assert_allclose(data.values(name), value, rtol=1e-14)


@pytest.mark.parametrize(
    ("option", "unit", "message"),
    [
        ("gap_unit", "eV", "states the gap unit 'Ha', but 'eV' was declared"),
        ("dipole_magnitude_unit", "e*Angstrom", "states the dipole_magnitude unit 'D', but"),
        ("alpha_unit", "Angstrom^3", r"states the alpha unit 'a0\^3', but 'Angstrom\^3' was"),
        ("spatial_extent_unit", "Angstrom^2", r"unit 'a0\^2', but 'Angstrom\^2' was declared"),
    ],
)
def test_contradicting_units_of_scalars(
    qm9_like: Path, option: str, unit: str, message: str
) -> None:
    declared = {**QM9_UNITS, option: unit}
    names = ("gap", "dipole_magnitude", "alpha", "spatial_extent", "heat_capacity")
    with pytest.raises(DataError, match=message):
        read_database(qm9_like, energy_unit="Hartree", properties=names, **declared)


def test_free_atoms_of_the_metadata(qm9_like: Path) -> None:
    declared = {"energy_unit": "Hartree", "length_unit": "Angstrom", "energy_key": "energy_U0"}
    energies = read_isolated_atoms(qm9_like, **declared)
    assert energies == {1: -0.5 * units.Hartree, 8: -75.0 * units.Hartree}
    with pytest.raises(DataError, match=r"\(atomrefs\) states the energy unit 'Ha', but 'eV'"):
        read_isolated_atoms(qm9_like, **{**declared, "energy_unit": "eV"})


def test_units_that_nobody_declared_are_told(qm9_like: Path) -> None:
    message = r"declare its units with energy_unit and length_unit; it states length: Ang, gap: Ha"
    with pytest.raises(DataError, match=message):
        read_reference_data(qm9_like)
