"""Modes in Molden's format, read by a parser that knows its definition alone."""

from dataclasses import replace

import numpy as np
import pytest
from ase.data import chemical_symbols
from recorded_runs import water_modes

from md_runs.analysis.exports.molden import molden_text
from md_runs.analysis.vibrations.normal_modes import cartesian_displacements
from mlpotential.errors import DataError

BOHR = 0.529177210903  # A; CODATA 2018
INFRARED, RAMAN = np.array([60.5, 3.25, 0.0]), np.array([1.5, 100.0, 25.0])


def sections(text):
    """Lines by the heading of their section."""
    assert text.startswith("[Molden Format]\n")
    found = {}
    for line in text.splitlines():
        if line.startswith("["):
            heading, _, unit = line.partition("]")
            lines = found[heading[1:]] = []
            if unit:
                found[f"unit of {heading[1:]}"] = unit.strip()
        else:
            lines.append(line)
    return found


def test_what_a_viewer_reads():
    atoms, modes = water_modes()
    found = sections(molden_text(modes, atoms.numbers, INFRARED, RAMAN, "water\n[Atoms]"))
    assert found["unit of Atoms"] == "Angs"
    rows = [line.split() for line in found["Atoms"]]
    assert [row[:3] for row in rows] == [
        [chemical_symbols[z], str(k + 1), str(z)] for k, z in enumerate(atoms.numbers)
    ]
    positions = np.array([row[3:] for row in rows], float)
    assert positions == pytest.approx(atoms.positions, abs=1e-9)
    assert np.array(found["FREQ"], float) == pytest.approx(modes.wavenumbers_per_cm, abs=1e-6)
    in_bohr = np.array([line.split()[1:] for line in found["FR-COORD"]], float)
    assert in_bohr * BOHR == pytest.approx(atoms.positions, rel=1e-8, abs=1e-9)
    assert np.array([line.split() for line in found["INT"]], float) == pytest.approx(
        np.column_stack([INFRARED, RAMAN])
    )
    lines = found["FR-NORM-COORD"]
    headings = [line.split() for line in lines if line.startswith("vibration")]
    assert headings == [["vibration", "1"], ["vibration", "2"], ["vibration", "3"]]
    numbers = [line.split() for line in lines if not line.startswith("vibration")]
    displacements = np.array(numbers, float).reshape(3, 3, 3)
    assert displacements == pytest.approx(cartesian_displacements(modes), abs=1e-9)


def test_an_imaginary_mode_stays_negative_and_unknown_intensities_are_left_out():
    atoms, modes = water_modes()
    wavenumbers = modes.wavenumbers_per_cm * [-1, 1, 1]
    found = sections(molden_text(replace(modes, wavenumbers_per_cm=wavenumbers), atoms.numbers))
    assert float(found["FREQ"][0]) < 0
    assert "INT" not in found


def test_raman_alone_comes_second():
    atoms, modes = water_modes()
    rows = sections(molden_text(modes, atoms.numbers, activities=RAMAN))["INT"]
    assert [[float(word) for word in row.split()] for row in rows] == [
        [0, activity] for activity in RAMAN
    ]


def test_what_does_not_belong_together():
    atoms, modes = water_modes()
    with pytest.raises(DataError, match="of 3 atoms, not of 2"):
        molden_text(modes, atoms.numbers[:2])
    with pytest.raises(DataError, match="3 modes, but intensities of 2"):
        molden_text(modes, atoms.numbers, INFRARED[:2])
