"""Latent charges of atoms, and dipoles made of them, on the host."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np
from ase.data import atomic_masses

from mlpotential.graph import Prediction
from mlpotential.inference.structures import Atoms
from mlpotential.models.readouts.atomwise import ChargeReadout
from mlpotential.nn.charges import dipole, with_total_charge
from mlpotential.properties import OF_DIPOLES

# What a kernel gives for each property that is made from it.
NEEDED = {"stress": "virial", **dict.fromkeys(OF_DIPOLES, "charges")}


def with_charges(
    prediction: Prediction,
    readout: ChargeReadout,
    atoms: Atoms,
    positions: np.ndarray,
    properties: Set[str],
) -> Prediction:
    """From charges as they come out of the network: those that are kept, and their dipoles.

    Args:
        prediction: with charges, [n_atoms] (e).
        readout: that they are of.
        atoms: of the structures.
        positions: of all atoms, [..., 3] (A).
        properties: that are wanted.
    """
    charges, positions = prediction.charges, positions.reshape(-1, 3)
    starts = atoms.graph_start
    index = np.repeat(np.arange(atoms.n_graphs), np.diff(starts))  # structure of each atom

    def per_graph(values: np.ndarray) -> np.ndarray:
        """[n_atoms, ...] -> [n_graphs, ...]."""
        return np.asarray(np.add.reduceat(values, starts[:-1], axis=0))

    if readout.total_charge is not None:
        charges = with_total_charge(charges, readout.total_charge, index, per_graph)
    found: dict[str, np.ndarray] = {"charges": charges}
    if not properties.isdisjoint(OF_DIPOLES):
        masses = atomic_masses[atoms.atomic_numbers]
        found["dipole"] = dipole(charges, positions, masses, index, per_graph)
        found["dipole_magnitude"] = np.linalg.norm(found["dipole"], axis=1)
    without = {"charges": None}
    return replace(prediction, **(without | {k: v for k, v in found.items() if k in properties}))
