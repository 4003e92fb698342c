"""`input.data` of RuNNer and n2p2."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError
from mlpotential.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

FRAME = """\
 begin
comment two atoms
lattice 10.0 0.0 0.0
lattice 1.0 11.0 0.0
lattice 0.0 0.0 12.0
atom 0.0 0.0 0.0 O -0.2 0.0 0.01 -0.02 0.03
atom 1.8 0.0 0.0 H 0.1 0.0 -0.01 0.02 -0.03
energy -75.5
charge 0.0
 end
"""


def read(tmp_path: Path, text: str, **options: Any) -> ReferenceData:
    path = tmp_path / "input.data"
    path.write_text(text)
    units = {"energy_unit": "Hartree", "length_unit": "Bohr"}
    return read_reference_data(path, **{**units, **options})


def test_a_frame(tmp_path: Path) -> None:
    molecule = "".join(line for line in FRAME.splitlines(keepends=True) if "lattice" not in line)
    first, second = read(tmp_path, FRAME + molecule)
    np.testing.assert_array_equal(first.atomic_numbers, [8, 1])
    np.testing.assert_allclose(first.positions[1], [1.8 * ANGSTROM_PER_BOHR, 0.0, 0.0])
    np.testing.assert_allclose(first.cell[0, 1], np.array([1.0, 11.0, 0.0]) * ANGSTROM_PER_BOHR)
    assert first.pbc.all()
    assert second.cell is None
    for graph in (first, second):
        np.testing.assert_allclose(graph.energy, -75.5 * EV_PER_HARTREE)
        expected = np.array([-0.01, 0.02, -0.03]) * EV_PER_HARTREE / ANGSTROM_PER_BOHR
        np.testing.assert_allclose(graph.forces[1], expected)


def test_packed(tmp_path: Path) -> None:
    path = tmp_path / "input.data.gz"
    path.write_bytes(gzip.compress(FRAME.encode()))
    assert len(read_reference_data(path, energy_unit="Hartree", length_unit="Bohr")) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" begin\n", "LAMMPS data\n", r"frame 0 \(line 1\): expected 'begin' .* of LAMMPS"),
        (" end\n", "", "frame 0: the file ends before its 'end'"),
        ("energy -75.5\n", "", "no energy .* keys there: forces"),
        ("energy -75.5\n", "energy nan\n", r"frame 0 \(line 1\): the energy is nan"),
        ("energy -75.5\n", "energy 1\nenergy 2\n", r"\(line 9\): a second energy"),
        ("-0.03\n", "\n", r"frame 0 \(line 7\): expected 10 columns, found 9"),
        ("-0.03\n", "1_4\n", r"frame 0 \(line 7\): atom should have 8 numbers"),
        ("-0.03\n", "nan\n", "the force on atom 1 is"),
        (" H ", " Hx ", r"frame 0 \(line 7\): unknown element 'Hx'"),
        ("lattice 0.0 0.0 12.0\n", "", "three lattice vectors, found 2"),
        ("charge 0.0\n", "charged 0.0\n", r"\(line 9\): unknown keyword 'charged'"),
        (FRAME, "", "is empty"),
        (" end\n", " end", "ends without a newline"),
    ],
)
def test_refusals(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Faults 38, 39, 43, 44 and 45."""
    assert old in FRAME
    with pytest.raises(DataError, match=message):
        read(tmp_path, FRAME.replace(old, new))
