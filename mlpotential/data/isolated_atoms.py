"""Reference energies from calculations of isolated atoms, as MACE keeps them among its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mlpotential.data.declared_units import DeclaredUnits
from mlpotential.data.read import read_reference_data
from mlpotential.data.readers.ase_database import atom_references
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import DataError

SUFFIXES = (".xyz", ".extxyz", ".xyz.gz", ".extxyz.gz", ".db")


def isolated_atom_energies(data: ReferenceData) -> dict[int, float]:
    """Energy (eV) of each element: of marked frames, else of lone atoms without a cell.

    Raises:
        DataError: if there are none, if an element has none, or two different ones.
    """
    from ase.data import chemical_symbols

    energies = dict(data.isolated_atoms)
    lone = np.flatnonzero((data.arrays.n_atoms == 1) & ~data.arrays.has_cell).tolist()
    for k in lone if data.has("energy") else []:
        z, energy = int(data[k].atomic_numbers[0]), float(data.energies[k])
        if energies.setdefault(z, energy) != energy:
            raise DataError(
                f"{data.source}: the {chemical_symbols[z]} atom of {data.name_of(k)} has "
                f"{energy:.6g} eV, another one {energies[z]:.6g} eV: keep the right one"
            )
    missing = [chemical_symbols[z] for z in data.elements if z not in energies]
    if missing:
        raise DataError(
            f"{data.source} has no isolated atom of {', '.join(missing)}: add a frame with one "
            "atom and config_type=IsolatedAtom for each element, or give data.atom_references: "
            "least_squares, or a file of energies"
        )
    return energies


def read_isolated_atoms(
    path: Path | str, *, energy_unit: str, length_unit: str | None, energy_key: str | None = None
) -> dict[int, float]:
    """Energy (eV) of each element, from a file of frames (extended XYZ or ASE database).

    Those that SchNetPack 2 keeps in the metadata of a database come first.

    Raises:
        DataError: if it is no such file, or an element has no isolated atom.
    """
    if str(path).lower().endswith(".db") and Path(path).exists():
        energies, stated = atom_references(Path(path), energy_key or "energy")
        units = DeclaredUnits(energy_unit, length_unit or "Angstrom")
        if energies:
            if stated is not None:
                units.check_energy(stated, f"{Path(path).name} (atomrefs)")
            return {z: energy * units.factor("energy") for z, energy in energies.items()}
    data = read_reference_data(
        path,
        energy_unit=energy_unit,
        length_unit=length_unit,
        energy_key=energy_key,
        properties=("energy",),
    )
    return isolated_atom_energies(data)
