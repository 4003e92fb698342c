"""Harmonic oscillators of P beads: drawn from their exact distribution, and in closed form.

With u = beta hbar omega and sinh(theta / 2) = u / (2 P), the partition function of one degree of
freedom is Z = 1 / (2 sinh(P theta / 2)); everything else follows by differentiation. Energies are
in kT, heat capacities in k. P = None stands for infinitely many beads.
"""

import numpy as np
from ase import units

KELVIN = 300.0
KT = KELVIN * units.kB  # eV
HBAR = units._hbar * units.J * units.s  # eV A sqrt(amu / eV)


def log_partition(u, n_beads):
    if n_beads is None:
        return -np.log(2 * np.sinh(u / 2))
    return -np.log(2 * np.sinh(n_beads * np.arcsinh(u / (2 * n_beads))))


def energy(u, n_beads):
    """E / kT; kinetic and potential energy are half of it."""
    if n_beads is None:
        return u / 2 / np.tanh(u / 2)
    theta = 2 * np.arcsinh(u / (2 * n_beads))
    return u / (2 * np.tanh(n_beads * theta / 2) * np.cosh(theta / 2))


def heat_capacity(u, n_beads):
    return energy(u, n_beads) - u * _slope(lambda x: energy(x, n_beads), u)


def perturbation(u, n_beads):
    """< W > of perturbed path integrals."""
    return u**2 / (24 * n_beads**2) * energy(u, n_beads)


def perturbed_energy(u, n_beads):
    """E / kT of ln Z - < W >; kinetic and potential energy are half of it."""
    return energy(u, n_beads) + u * _slope(lambda x: perturbation(x, n_beads), u)


def perturbed_heat_capacity(u, n_beads):
    slope = _slope(lambda x: perturbed_energy(x, n_beads), u, 1e-3)
    return perturbed_energy(u, n_beads) - u * slope


def _slope(function, u, step=1e-4):
    """Fourth-order central difference."""
    far, near = (function(u + k * step) - function(u - k * step) for k in (2, 1))
    return (8 * near - far) / (12 * step)


def mode_curvatures(u, n_beads, mass):
    """m (omega^2 + omega_k^2) of the normal modes, [n_beads] (eV/A^2)."""
    omega_k = 2 * n_beads * np.sin(np.pi * np.arange(n_beads) / n_beads)
    return mass * (KT / HBAR) ** 2 * (u**2 + omega_k**2)


def sample(u, n_beads, n_frames, masses, seed=0):
    """Independent frames: positions about the origin, forces, potentials.

    Args:
        u: beta hbar omega of every atom, whatever its mass.
        n_beads: P.
        n_frames: number of frames.
        masses: [n_atoms] (amu).
        seed: of the draws.

    Returns:
        [n_frames, n_beads, n_atoms, 3] (A), forces (eV/A), [n_frames, n_beads] (eV).
    """
    masses, rng = np.asarray(masses, float), np.random.default_rng(seed)
    widths = np.sqrt(n_beads * KT / mode_curvatures(u, n_beads, masses[:, None])).T
    places = np.arange(n_beads)
    phases = 2 * np.pi * np.outer(places, places) / n_beads
    # The Hartley transform is real, orthonormal, and diagonal in the modes.
    hartley = (np.cos(phases) + np.sin(phases)) / np.sqrt(n_beads)
    modes = rng.normal(size=(n_frames, n_beads, len(masses), 3)) * widths[:, :, None]
    positions = np.einsum("jk,fkax->fjax", hartley, modes)
    springs = masses * (u * KT / HBAR) ** 2
    forces = -springs[:, None] * positions
    return positions, forces, -0.5 * np.einsum("fbax,fbax->fb", forces, positions)
