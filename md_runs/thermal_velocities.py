"""How many velocity components are thermal, and velocities drawn in exactly those.

What a thermostat conserves it cannot heat: the motion of the centre of mass always, and the
rotation of a molecule unless friction and noise act on each atom. Such motions are taken out of the
velocities and out of the number of degrees of freedom. Nothing periodic rotates as a whole.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import kB

from md_runs.analysis.vibrations.rigid_body import rigid_vectors

HOTTEST_K = 20_000.0  # chosen: no molecule survives it
HOTTEST_RATIO = 30.0  # chosen: one degree of freedom exceeds it once in 2e7 frames
EXPLOSION_ADVICE = "Lower the time step, or relax the structure; the frames before are kept"
AXIS_TOLERANCE = 1e-8  # relative moment of inertia; below it a molecule is linear


def n_degrees_of_freedom(atoms: Atoms, rotates: bool) -> int:
    """3N - 3, and for a molecule that does not rotate 3N - 6 (two atoms: 3N - 5).

    A linear molecule of three or more atoms bends as it moves, so that all three components of its
    angular momentum stay zero: 3N - 6 as well.
    """
    n_atoms = len(atoms)
    n_rotations = 0 if rotates or atoms.pbc.any() else min(3, 2 * (n_atoms - 1))
    return 3 * n_atoms - 3 - n_rotations


def kinetic_temperature_K(kinetic_energy: float, n_degrees_of_freedom: int) -> float:
    """2 E / (n k), with the energy in eV."""
    return 2.0 * kinetic_energy / (n_degrees_of_freedom * kB)


def hottest_K(temperature_K: float) -> float:
    """Above this kinetic temperature a run at `temperature_K` has exploded."""
    return max(HOTTEST_K, HOTTEST_RATIO * temperature_K)


def without_rigid_motion(atoms: Atoms, momenta: np.ndarray, rotates: bool) -> np.ndarray:
    """Momenta without that of the centre of mass and, unless the molecule `rotates`, of rotation.

    The orthogonal projection in mass-weighted coordinates: Maxwell-Boltzmann momenta stay
    Maxwell-Boltzmann in the directions that are left. [n_atoms, 3] -> [n_atoms, 3].
    """
    masses = atoms.get_masses()
    motions = rigid_vectors(atoms.positions, masses, AXIS_TOLERANCE)
    if rotates or atoms.pbc.any():
        motions = motions[:3]  # the translations come first
    rows = motions.reshape(len(motions), -1)
    weighted = (momenta / np.sqrt(masses)[:, None]).ravel()
    weighted = weighted - rows.T @ (rows @ weighted)
    return weighted.reshape(-1, 3) * np.sqrt(masses)[:, None]


def maxwell_boltzmann(
    atoms: Atoms, temperature_K: float, rotates: bool, generator: np.random.Generator
) -> np.ndarray:
    """Momenta drawn at a temperature, free of rigid motion; sampled, not rescaled. [n_atoms, 3].

    In ASE's units (amu A / ASE time).
    """
    sigma = np.sqrt(atoms.get_masses() * kB * temperature_K)[:, None]
    momenta = sigma * generator.standard_normal((len(atoms), 3))
    return without_rigid_motion(atoms, momenta, rotates)
