"""Molecules on a plane, for pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlpotential.interpretation.atoms.bonds import bonds_of


@dataclass(frozen=True, eq=False)
class FlatMolecule:
    """A molecule seen along the normal of a plane.

    Attributes:
        atomic_numbers: [n_atoms].
        positions: in the plane, and the height above it, [n_atoms, 3] (A).
        bonds: [n_bonds, 2].
    """

    atomic_numbers: np.ndarray
    positions: np.ndarray
    bonds: np.ndarray


def flat_molecule(
    atomic_numbers: np.ndarray, positions: np.ndarray, plane_atoms: np.ndarray | None = None
) -> FlatMolecule:
    """A molecule on the best plane of some of its atoms.

    Args:
        atomic_numbers: [n_atoms].
        positions: [n_atoms, 3] (A).
        plane_atoms: whose plane it is; None for all.
    """
    chosen = positions if plane_atoms is None else positions[plane_atoms]
    center = chosen.mean(axis=0)
    _, _, axes = np.linalg.svd(chosen - center, full_matrices=True)
    return FlatMolecule(
        atomic_numbers, (positions - center) @ axes.T, bonds_of(atomic_numbers, positions)
    )
