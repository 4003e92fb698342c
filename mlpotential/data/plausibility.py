"""Warnings for labels and geometries that look as if they were not what was declared."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.energy_checks import (
    energies_against_forces,
    energies_per_atom,
    energy_outlier,
    equal_energies,
    repeated_structures,
)
from mlpotential.data.force_checks import bond_forces, net_forces, net_torques, zero_forces
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.same_structures import first_occurrences
from mlpotential.data.statistics import shortest_distances

N_FRAMES_LOOKED_AT = 100  # chosen: enough for a minimum and a median
# Chosen: the shortest distance over the sum of covalent radii is 0.6 to 1.2 in the sets of bonded
# matter known to us; bohr taken for angstrom gives 1.3 and more, angstrom taken for bohr about 0.5.
PLAUSIBLE_BOND_RATIO = (0.55, 1.35)
PLAUSIBLE_MEDIAN_FORCE = (0.01, 100.0)  # eV/A, chosen: sets at 10 K to shock waves lie inside
OUTLIER_FORCE = 50.0  # eV/A, chosen: ten times the largest force at 1000 K


def warn_if_suspicious(data: ReferenceData) -> None:
    """Emits a SuspiciousDataWarning for each thing that is implausible.

    A structure that occurs again is no further evidence. Of the energies nothing is said that
    follows from forces at fault.
    """
    sample = data.select(range(0, len(data), max(1, len(data) // N_FRAMES_LOOKED_AT)))
    _check_distances(sample)
    first = first_occurrences(data.graphs)
    once = data.select(np.unique(first))
    forces = energies = None
    if pulled := _with_weight(once, "forces"):
        _check_forces(pulled)
        forces = _first(pulled, zero_forces, net_forces, net_torques, bond_forces)
    if known := _with_weight(data, "energy"):
        repeated = repeated_structures(
            known, first if known is data else first_occurrences(known.graphs)
        )
        if repeated:
            _warn(f"{data.source}: {repeated}")
        energies = repeated or _first(
            _with_weight(once, "energy"), equal_energies, energy_outlier, energies_per_atom
        )
    if pulled and known and not (forces or energies):
        _first(_with_weight(pulled, "energy"), energies_against_forces)


def _with_weight(data: ReferenceData, label: str) -> ReferenceData:
    """The structures whose label counts; none where it was not read."""
    if not data.has(label):
        return data.select([])
    weights = data.arrays.label_weights(label)
    return data if weights.all() else data.select(np.flatnonzero(weights))


def _first(data: ReferenceData, *checks: Callable[[ReferenceData], str | None]) -> str | None:
    """Warns of the first of several faults: the later ones may follow from it."""
    for check in checks:
        if message := check(data):
            _warn(f"{data.source}: {message}")
            return message
    return None


def _check_distances(data: ReferenceData) -> None:
    from ase.data import chemical_symbols, covalent_radii

    ratios = {
        pair: distance / (covalent_radii[pair[0]] + covalent_radii[pair[1]])
        for pair, distance in shortest_distances(data).items()
    }
    if not ratios:
        return
    pair = min(ratios, key=ratios.__getitem__)
    low, high = PLAUSIBLE_BOND_RATIO
    if not low <= ratios[pair] <= high:
        names = "-".join(chemical_symbols[z] for z in pair)
        _warn(
            f"{data.source}: the shortest distance ({names}) is {ratios[pair]:.2f} times the sum "
            f"of the covalent radii; {low} to {high} is usual. Is the length unit right?"
        )


def _check_forces(data: ReferenceData) -> None:
    all_of_them = np.linalg.norm(data.arrays.label("forces"), axis=1)
    if not all_of_them.any():
        return
    median = float(np.median(all_of_them[all_of_them > 0.0]))  # those of crystals are zero often
    low, high = PLAUSIBLE_MEDIAN_FORCE
    if not low <= median <= high:
        _warn(
            f"{data.source}: the median force on an atom is {median:.3g} eV/A; {low} to {high} is "
            "usual. Are the units right?"
        )
    largest = int(np.argmax(all_of_them))
    frame = int(data.arrays.structure_of_atom[largest])
    if all_of_them[largest] > OUTLIER_FORCE and median <= high:
        _warn(
            f"{data.source}: the largest force is {all_of_them[largest]:.3g} eV/A, in "
            f"{data.name_of(frame)} "
            f"(over {OUTLIER_FORCE} is unusual). Did that calculation converge?"
        )


def _warn(message: str) -> None:
    warnings.warn(message, SuspiciousDataWarning, stacklevel=5)
