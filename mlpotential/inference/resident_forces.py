"""Forces that stay on a device, and the ring polymer that they move there: what a run sees of both.

A round is a fixed number of steps. It is done without the host, which then reads what was found
of each step, and checks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class RingConstants:
    """Of a ring polymer in mass-weighted normal modes, in any consistent units, as float64.

    Attributes:
        modes: matrix from beads to modes, orthogonal, [n_modes, n_beads].
        keeps, shakes: of half a thermostat, p <- keeps p + shakes xi, [n_modes]; None for none.
        stays, drifts, pulls: of the free motion in a time step, q <- stays q + drifts p and
            p <- stays p + pulls q, [n_modes].
        inverse_roots: of the masses, [n_atoms].
        of_center: share of each atom in the center of mass, a unit vector, [n_atoms].
        key: of the noise, [2] of uint64.
        half_step: half the time step.
        holds_center: whether the center of mass stays at rest.
    """

    modes: np.ndarray
    keeps: np.ndarray | None
    shakes: np.ndarray | None
    stays: np.ndarray
    drifts: np.ndarray
    pulls: np.ndarray
    inverse_roots: np.ndarray
    of_center: np.ndarray
    key: np.ndarray
    half_step: float
    holds_center: bool


class ResidentRing(Protocol):
    """A ring polymer on the device."""

    def place(
        self, positions: np.ndarray, momenta: np.ndarray, forces: np.ndarray, heat: float, step: int
    ) -> None:
        """Where the next round begins.

        Args:
            positions, momenta, forces: of modes, [n_modes, 3 n_atoms].
            heat: taken away so far.
            step: steps done, which name the noise of the next ones.
        """

    def advance(self) -> None:
        """Goes through a round and fetches its states, which waits for all that is enqueued."""

    def state(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
        """After a step, counted in the round from 0.

        Returns:
            Positions, momenta and forces of modes, each [n_modes, 3 n_atoms], which the next round
            overwrites; heat; kinetic energy before a thermostat could cool it last.
        """
        ...


class ResidentForces(Protocol):
    """Forces on beads that stay on the device, and what is read of a round of them.

    Attributes:
        n_evaluations: of a round, one a step.
        energies: of the last round, [n_evaluations, n_beads] (eV).
        forces: of it, [n_evaluations, n_beads, n_atoms, 3] (eV/A).
    """

    n_evaluations: int
    energies: np.ndarray
    forces: np.ndarray

    def ring(self, constants: RingConstants) -> ResidentRing:
        """The ring polymer of these beads."""
        ...

    def fetch(self) -> None:
        """What the last round found; waits for it."""

    def check(self, number: int) -> None:
        """What `Evaluator.evaluate` says of an evaluation; to be asked of each of them once.

        Raises:
            StructureError: for two atoms in one place, or numbers that are not finite;
                ExtrapolationError with guard `stop`.

        Warns:
            ExtrapolationWarning: as `Evaluator.evaluate`.
        """
