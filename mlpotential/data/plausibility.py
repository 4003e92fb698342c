"""Warnings for labels and geometries that look as if they were not what was declared."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import torch

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.statistics import shortest_distances
from mlpotential.graph import AtomGraph

N_FRAMES_LOOKED_AT = 100  # chosen: enough for a minimum and a median
# Chosen: the shortest distance over the sum of covalent radii is 0.6 to 1.2 in the sets of bonded
# matter known to us; bohr taken for angstrom gives 1.3 and more, angstrom taken for bohr about 0.5.
PLAUSIBLE_BOND_RATIO = (0.55, 1.35)
PLAUSIBLE_MEDIAN_FORCE = (0.01, 100.0)  # eV/A, chosen: sets at 10 K to shock waves lie inside
SMALL_STEP = 0.05  # A, chosen: so near that the forces of both frames give the energy between
FEWEST_STEPS = 5  # chosen: pairs of near frames that make a verdict
UNEXPLAINED_SHARE = 0.25  # chosen: of the squared energy differences; rounding and noise stay below
OUTLIER_FORCE = 50.0  # eV/A, chosen: ten times the largest force at 1000 K


def warn_if_suspicious(data: ReferenceData) -> None:
    """Emits a SuspiciousDataWarning for implausible distances or forces."""
    sample = data.select(range(0, len(data), max(1, len(data) // N_FRAMES_LOOKED_AT)))
    _check_distances(sample)
    if data.has("forces"):
        _check_forces(data)
        if data.has("energy"):
            _check_forces_against_energies(data)


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
    magnitudes = [
        np.linalg.norm(graph.forces, axis=1) for graph in data if graph.forces is not None
    ]
    median = float(np.median(np.concatenate(magnitudes)))
    low, high = PLAUSIBLE_MEDIAN_FORCE
    if not low <= median <= high:
        _warn(
            f"{data.source}: the median force on an atom is {median:.3g} eV/A; {low} to {high} is "
            "usual. Are the units right?"
        )
    largest = [float(m.max()) for m in magnitudes]
    frame = int(np.argmax(largest))
    if largest[frame] > OUTLIER_FORCE and median <= high:
        _warn(
            f"{data.source}: the largest force is {largest[frame]:.3g} eV/A, in frame {frame} "
            f"(over {OUTLIER_FORCE} is unusual). Did that calculation converge?"
        )


def _check_forces_against_energies(data: ReferenceData) -> None:
    """Between near frames, dE = -(F_1 + F_2) / 2 . dr to third order in dr."""
    changes = np.array([change for pair in pairwise(data) if (change := _energy_changes(*pair))])
    if len(changes) < FEWEST_STEPS:
        return
    labelled, integrated = changes.T
    unexplained = np.sum((labelled - integrated) ** 2) / np.sum(labelled**2)
    if unexplained > UNEXPLAINED_SHARE:
        slope = np.sum(labelled * integrated) / np.sum(integrated**2)
        _warn(
            f"{data.source}: between {len(changes)} pairs of near frames the energy changes by "
            f"{slope:.3g} times what the forces say. Are units and signs right, and are both "
            "labels of one calculation?"
        )


def _energy_changes(first: AtomGraph, second: AtomGraph) -> tuple[float, float] | None:
    """E_2 - E_1 as labelled and from the forces (eV); None for frames that are not near."""
    if not torch.equal(first.atomic_numbers, second.atomic_numbers):
        return None
    step = second.positions - first.positions
    largest = float(step.abs().max())
    if not 0.0 < largest <= SMALL_STEP or first.cell is not None or second.cell is not None:
        return None
    assert first.energy is not None
    assert second.energy is not None
    assert first.forces is not None
    assert second.forces is not None
    integrated = -0.5 * ((first.forces + second.forces) * step).sum()
    return float(second.energy - first.energy), float(integrated)


def _warn(message: str) -> None:
    warnings.warn(message, SuspiciousDataWarning, stacklevel=5)
