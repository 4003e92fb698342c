"""Molecules on a plane, for pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

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
    atomic_numbers: np.ndarray,
    positions: np.ndarray,
    plane_atoms: np.ndarray | None = None,
    tilt_degrees: float = 0.0,
) -> FlatMolecule:
    """A molecule on the best plane of some of its atoms.

    Args:
        atomic_numbers: [n_atoms].
        positions: [n_atoms, 3] (A).
        plane_atoms: whose plane it is; None for all.
        tilt_degrees: it is turned so far about both axes, for atoms behind others to be seen.
    """
    chosen = positions if plane_atoms is None else positions[plane_atoms]
    center = chosen.mean(axis=0)
    _, _, axes = np.linalg.svd(chosen - center, full_matrices=True)
    turned = Rotation.from_euler("xy", [tilt_degrees, tilt_degrees], degrees=True)
    seen = turned.apply((positions - center) @ axes.T)
    return FlatMolecule(atomic_numbers, seen, bonds_of(atomic_numbers, positions))
