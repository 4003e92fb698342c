"""Systems of DeePMD-kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpotential.data.read import read_reference_data
from mlpotential.errors import DataError

EV = {"energy_unit": "eV", "length_unit": "Angstrom"}


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Water in two sets, of three frames and of one."""
    random = np.random.default_rng(4)
    path = tmp_path / "water"
    shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    for name, n in (("set.000", 3), ("set.001", 1)):
        folder = path / name
        folder.mkdir(parents=True)
        arrays = {
            "coord": (shape + 0.02 * random.normal(size=(n, 3, 3))).reshape(n, 9),
            "box": np.tile(9.0 * np.eye(3).ravel(), (n, 1)),
            "energy": -460.0 + random.normal(size=n),
            "force": random.normal(size=(n, 9)).astype(np.float32),
        }
        for file, array in arrays.items():
            np.save(folder / f"{file}.npy", array)
    (path / "type.raw").write_text("0\n1\n1\n")
    (path / "type_map.raw").write_text("O\nH\n")
    return path


def test_two_sets(system: Path) -> None:
    data = read_reference_data(system, **EV)
    assert len(data) == 4
    np.testing.assert_array_equal(data[3].atomic_numbers, [8, 1, 1])
    coordinates = np.load(system / "set.001/coord.npy")
    forces = np.load(system / "set.001/force.npy")
    np.testing.assert_array_equal(data[3].positions, coordinates.reshape(3, 3))
    np.testing.assert_array_equal(data[3].forces, forces.reshape(3, 3))
    np.testing.assert_array_equal(data[3].cell[0], 9.0 * np.eye(3))
    assert data.energies[3] == np.load(system / "set.001/energy.npy")[0]
    (system / "nopbc").touch()
    assert read_reference_data(system, **EV)[0].cell is None


def test_named_scalars(system: Path) -> None:
    for name, n in (("set.000", 3), ("set.001", 1)):
        np.save(system / name / "gap.npy", np.full((n, 1), 0.5))
    data = read_reference_data(system, **EV, properties=("energy", "gap"), gap_unit="eV")
    np.testing.assert_array_equal(data.values("gap"), [0.5] * 4)
    assert not data.has("forces")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("type.raw", "0 1 2", "type.raw: atom 2 has the type '2', but type_map.raw names .* to 1"),
        ("type.raw", "", "type.raw names no atoms"),
        ("type.raw", "0 1", r"set.000/coord.npy has shape \(3, 9\); expected \(3, 6\)"),
        ("type_map.raw", "O Hx", "type_map.raw: unknown element 'Hx'"),
        ("type_map.raw", None, "no type_map.raw"),
        ("set.000/coord.npy", "text", "set.000/coord.npy is damaged or not a NumPy array"),
        ("set.000/box.npy", None, "set.000/box.npy does not exist"),
        ("set.001/force.npy", None, r"set.001: no forces \(looked for force\)"),
        ("set.001/real_atom_types.npy", "", "set.001 mixes systems"),
        ("set.000/energy.npy", np.zeros(2), r"energy.npy has shape \(2,\); expected \(3, 1\)"),
        ("set.000/energy.npy", np.array([0, np.nan, 0]), r"frame 1 \(set.000, row 1\): the energy"),
        ("set.000/energy.npy", np.array(["a", "b", "c"]), "not an array of numbers"),
        ("set.000/force.npy", np.zeros((3, 3)), r"shape \(3, 3\); expected \(3, 9\)"),
    ],
)
def test_refusals(system: Path, file: str, content: Any, message: str) -> None:
    path = system / file
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        path.write_text(content)
    else:
        np.save(path, content)
    with pytest.raises(DataError, match=message):
        read_reference_data(system, **EV)


@pytest.mark.parametrize(
    "units", [{"energy_unit": "kcal/mol"}, {"length_unit": "Bohr"}, {"force_unit": "Hartree/Bohr"}]
)
def test_the_format_fixes_the_units(system: Path, units: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"water \(DeePMD\) states the .* unit 'eV|Angstrom"):
        read_reference_data(system, **{**EV, **units})


def test_other_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, but a data file is needed .* type.raw"):
        read_reference_data(tmp_path, **EV)
    (tmp_path / "type.raw").write_text("0")
    (tmp_path / "type_map.raw").write_text("O")
    with pytest.raises(DataError, match="has no folder set.000"):
        read_reference_data(tmp_path, **EV)
