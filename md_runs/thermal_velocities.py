"""Velocities drawn in exactly those directions that are thermal, and the temperature they make.

What a thermostat conserves it cannot heat: the motion of the centre of mass, and the rotation of a
molecule unless friction and noise act on each atom. Such motions are taken out of the velocities
and out of the number of degrees of freedom, by the rule of `analysis.vibrations.degrees_of_freedom`
that the analysis counts with, too. Atoms held by `ase.constraints.FixAtoms` have no velocity.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import kB

from md_runs.analysis.vibrations.degrees_of_freedom import DegreesOfFreedom, degrees_of_freedom
from md_runs.trajectories.structure_file import fixed_atoms
from mlpotential.errors import RunError

HOTTEST_K = 20_000.0  # chosen: no molecule survives it
HOTTEST_RATIO = 30.0  # chosen: one degree of freedom exceeds it once in 2e7 frames
EXPLOSION_ADVICE = "Lower the time step, or relax the structure; the frames before are kept"
LINEAR_KEY = "linear_molecule"  # in `atoms.info`: linear, though bent now by its motion


def explosion(step: int, reason: str) -> RunError:
    """What is raised where a step left no molecule behind."""
    return RunError(f"the dynamics exploded at step {step}: {reason}. {EXPLOSION_ADVICE}")


def thermal_motion(atoms: Atoms, rotates: bool) -> DegreesOfFreedom:
    """What moves in a run that begins with this structure.

    Args:
        atoms: whether the molecule is linear tells `info["linear_molecule"]`, as a run leaves
            it with its last structure; else the positions do.
        rotates: whether the rotation of a molecule is thermal, too.
    """
    return degrees_of_freedom(
        atoms.positions,
        atoms.get_masses(),
        "translation" if rotates else "translation and rotation",
        fixed=fixed_atoms(atoms),
        pbc=atoms.pbc,
        linear=atoms.info.get(LINEAR_KEY),
    )


def n_degrees_of_freedom(atoms: Atoms, rotates: bool) -> int:
    """Of N atoms free to move 3N - 3; 3N - 6 (linear 3N - 5) for a molecule that does not rotate.

    With fixed atoms, which take part in no motion of the whole, more of the 3N are left.
    """
    return thermal_motion(atoms, rotates).n_thermal


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
    motion = thermal_motion(atoms, rotates)
    root_mass = np.sqrt(motion.masses)[:, None]
    rows = motion.rigid_vectors(atoms.positions).reshape(motion.n_rigid, momenta.size)
    weighted = np.where(motion.fixed[:, None], 0.0, momenta / root_mass).ravel()
    weighted = weighted - rows.T @ (rows @ weighted)
    return weighted.reshape(-1, 3) * root_mass


def maxwell_boltzmann(
    atoms: Atoms, temperature_K: float, rotates: bool, generator: np.random.Generator
) -> np.ndarray:
    """Momenta drawn at a temperature, free of rigid motion; sampled, not rescaled. [n_atoms, 3].

    In ASE's units (amu A / ASE time).
    """
    sigma = np.sqrt(atoms.get_masses() * kB * temperature_K)[:, None]
    momenta = sigma * generator.standard_normal((len(atoms), 3))
    return without_rigid_motion(atoms, momenta, rotates)
