"""Lists of pymatgen structures with results."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError

ENTRY: dict[str, Any] = {
    "structure": {
        "charge": None,
        "lattice": {"matrix": [[3.9, 0.0, 0.0], [0.1, 4.0, 0.0], [0.0, 0.0, 4.1]], "a": 3.9},
        "sites": [
            {"species": [{"element": "Si", "occu": 1}], "xyz": [0.0, 0.0, 0.0], "label": "Si"},
            {"species": [{"element": "C", "occu": 1}], "xyz": [1.2, 1.3, 0.4], "label": "C"},
        ],
    },
    "outputs": {"energy": -9.5, "forces": [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]},
    "tag": "train",
}


def read(tmp_path: Path, content: Any, **options: Any) -> ReferenceData:
    path = tmp_path / "set.json"
    path.write_text(json.dumps(content))
    return read_reference_data(path, **{"energy_unit": "eV", "length_unit": "Angstrom", **options})


def test_an_entry(tmp_path: Path) -> None:
    molecule = copy.deepcopy(ENTRY)
    del molecule["structure"]["lattice"]
    crystal, molecule = read(tmp_path, [ENTRY, molecule])
    np.testing.assert_array_equal(crystal.atomic_numbers, [14, 6])
    np.testing.assert_array_equal(crystal.positions[1], [1.2, 1.3, 0.4])
    np.testing.assert_array_equal(crystal.cell[0], ENTRY["structure"]["lattice"]["matrix"])
    np.testing.assert_array_equal(crystal.forces, ENTRY["outputs"]["forces"])
    assert crystal.energy.item() == -9.5
    assert crystal.pbc.all()
    assert molecule.cell is None


def test_packed(tmp_path: Path) -> None:
    path = tmp_path / "set.json.gz"
    path.write_bytes(gzip.compress(json.dumps([ENTRY]).encode()))
    assert len(read_reference_data(path, energy_unit="eV", length_unit="Angstrom")) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="is cut or not a gzip file"):
        read_reference_data(path, energy_unit="eV", length_unit="Angstrom")


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("outputs", "forces"), [[0.0, 0.0, 0.0]], r"frame 0: forces has shape \(1, 3\)"),
        (("outputs", "forces"), None, "frame 0: forces has shape"),
        (("outputs", "energy"), "low", "frame 0: energy should be one number"),
        (("outputs",), [], "frame 0: expected a mapping with 'structure' and 'outputs'"),
        (("outputs",), {"energy": 1.0}, "frame 0: no forces"),
        (("structure", "sites"), [], "frame 0 has no atoms"),
        (("structure", "sites", 1, "xyz"), [0.0, 1.0], "a site lacks its Cartesian coordinates"),
        (("structure", "sites", 1, "species", 0, "occu"), 0.5, "site 1 should be one whole atom"),
        (("structure", "sites", 1, "species", 0, "element"), "Cx", "site 1 should be one whole"),
        (("structure", "lattice"), "cubic", "the lattice is no mapping"),
        (("structure", "lattice", "matrix"), [1.0], "is not 3 x 3 numbers"),
    ],
)
def test_refusals(tmp_path: Path, where: tuple[Any, ...], value: Any, message: str) -> None:
    entry = copy.deepcopy(ENTRY)
    target = entry
    for key in where[:-1]:
        target = target[key]
    target[where[-1]] = value
    with pytest.raises(DataError, match=message):
        read(tmp_path, [entry])


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a list of entries"):
        read(tmp_path, {"a": 1})
    with pytest.raises(DataError, match=r"\(pymatgen\) states the length unit 'Angstrom'"):
        read(tmp_path, [ENTRY], length_unit="Bohr")
    path = tmp_path / "set.json"
    path.write_text('[{"structure"')
    with pytest.raises(DataError, match="is damaged or no JSON"):
        read_reference_data(path, energy_unit="eV", length_unit="Angstrom")
