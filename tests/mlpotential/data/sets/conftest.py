"""A package of QM9 in small, and a cache of its own for each test."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase.build import molecule

from mlpotential.data.sets import qm9

NAMES = ("CH4", "NH3", "H2O", "HCN", "CH3OH", "CF4", "C2H6", "CH3CHO")
COLUMNS = [quantity.column for quantity in qm9.QUANTITIES.values()]
TENSOR = np.array([[6.0, 0.5, 0.0], [0.5, 7.0, 0.25], [0.0, 0.25, 9.0]])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLPOTENTIAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(n_each: int) -> list[dict[str, Any]]:
    """Each molecule in several shapes; wavenumbers of methanol are listed twice."""
    random = np.random.default_rng(2)
    found: list[dict[str, Any]] = []
    for k in range(n_each * len(NAMES)):
        atoms = molecule(NAMES[k % len(NAMES)])
        positions = atoms.positions + (0.02 * random.normal(size=(len(atoms), 3)) if k else 0.0)
        n_vibrations = 3 * len(atoms) - (5 if NAMES[k % len(NAMES)] == "HCN" else 6)
        wavenumbers = list(range(1000, 1000 + n_vibrations))
        if NAMES[k % len(NAMES)] == "CH3OH":
            wavenumbers *= 2
        row = {
            "XYZ_file": f"dsgdb9nsd_{k + 1:06d}.xyz",
            "Elements": str(list(atoms.symbols)).replace(" ", ""),
            "XYZ_Ang": str(positions.tolist()).replace(" ", ""),
            "Mulliken_pop": str([round(0.1 * i, 1) for i in range(len(atoms))]).replace(" ", ""),
            "Harmonic_Freq_cmi": str(wavenumbers).replace(" ", ""),
        }
        row |= {name: repr(float(k + 0.125 * i)) for i, name in enumerate(COLUMNS)}
        n = atoms.numbers
        row["InternalEnergy_0K_au"] = repr(float(-0.5 * (n == 1).sum() - 6.0 * n[n > 1].sum()))
        found.append(row)
    return found


def write(folder: Path, found: list[dict[str, Any]]) -> Path:
    """The four files of the package."""
    folder.mkdir(exist_ok=True)
    third = -(-len(found) // 3)
    for k in range(3):
        with open(folder / f"qm9_part{k + 1}.csv", "w", newline="") as handle:
            writer = csv.DictWriter(handle, list(found[0]))
            writer.writeheader()
            writer.writerows(found[k * third : (k + 1) * third])
    with open(folder / "qm9_polarizability.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["XYZ_file", "A_xx", "A_xy", "A_yy", "A_xz", "A_yz", "A_zz"])
        for row in found[::-1]:
            a = TENSOR
            writer.writerow([row["XYZ_file"], a[0, 0], a[0, 1], a[1, 1], a[0, 2], a[1, 2], a[2, 2]])
    return folder


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files, where an installed package would have them."""
    folder = write(tmp_path / "qm9pack", rows(8))
    monkeypatch.setattr(qm9, "_package_folder", lambda: folder)
    return folder


@pytest.fixture
def small_qm9() -> SimpleNamespace:
    """What the files of `package` were made with."""
    return SimpleNamespace(NAMES=NAMES, COLUMNS=COLUMNS, TENSOR=TENSOR, rows=rows, write=write)
