"""Ring polymers in a trap, moved by the emulated kernel; torch evaluates the trap."""

from __future__ import annotations

import numpy as np
import torch
from emulated import EmulatedExecutor

from mlpotential.inference.cuda.interface import address
from mlpotential.inference.cuda.ring import Beads, DeviceRing
from mlpotential.inference.resident_forces import RingConstants

OMEGA, MASSES = 3.0, np.array([1.0, 2.0, 16.0])  # hbar = 1


def trap(positions):
    """Energies [n_beads] and forces: harmonic, the same frequency for all atoms."""
    k = OMEGA**2 * np.resize(MASSES, positions.shape[1])[:, None]
    return 0.5 * (k * positions**2).sum(axis=(1, 2)), -k * positions


class ResidentTrap:
    """Forces that stay on the device.

    Args:
        n_beads, n_atoms: of the ring polymer.
        n_evaluations: of a round.
        executor: emulated.
        potential: as `trap`.
    """

    def __init__(self, n_beads, n_atoms, n_evaluations, executor=None, potential=trap):
        self.executor, self.n_evaluations = executor or EmulatedExecutor(), n_evaluations
        shape = (n_evaluations, n_beads, n_atoms, 3)
        self.positions, self.found = torch.zeros(shape).double(), torch.zeros(shape).double()
        self.potentials, self.potential = torch.zeros(shape[:2]).double(), potential
        self.n_checked = 0

    def beads(self, number):
        return Beads(address(self.positions[number]), address(self.found[number]))

    def enqueue(self, number):
        energies, forces = self.potential(self.positions[number].numpy())
        self.found[number], self.potentials[number] = map(torch.from_numpy, (forces, energies))

    def ring(self, constants):
        return DeviceRing(constants, self)

    def fetch(self):
        self.energies, self.forces = self.potentials.numpy(), self.found.numpy()

    def check(self, number):
        self.n_checked += 1


def bits_of_a_ring(order: int, texts: dict[str, str] | None = None) -> bytes:
    """All that a round of 5 beads of 9 atoms leaves, with every branch of the kernel taken."""
    n_beads, n_atoms = 5, 9
    numbers = np.random.default_rng(1)
    modes = np.linalg.qr(numbers.standard_normal((n_beads, n_beads)))[0]
    shares = numbers.uniform(0.5, 1.0, n_atoms)
    keeps, shakes, stays, drifts, pulls = numbers.uniform(0.1, 0.9, (5, n_beads))
    constants = RingConstants(
        modes, keeps, shakes, stays, drifts, pulls, inverse_roots=shares,
        of_center=shares / np.linalg.norm(shares), key=np.array([2**63 + 5, 7], np.uint64),
        half_step=0.05, holds_center=True,
    )  # fmt: skip
    forces = ResidentTrap(n_beads, n_atoms, 3, EmulatedExecutor(order, texts=texts))
    ring = DeviceRing(constants, forces)
    q, p, f = numbers.standard_normal((3, n_beads, 3 * n_atoms))
    ring.place(q, p, f, heat=0.5, step=2**33)
    ring.advance()
    return ring._found.numpy().tobytes() + forces.positions.numpy().tobytes()
