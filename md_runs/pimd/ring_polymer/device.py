"""A ring polymer that moves on a CUDA device, many steps ahead of what is asked of it.

Equations, states and checkpoints are those of `integrator.RingPolymerIntegrator`, and so are first
positions, momenta and forces, which the host computes. Then a round of steps is done on the device
(`mlpotential/inference/cuda/ring.cu`) without a word of the host in between, and `step` goes
through the states that it left. Where a run ends within a round, the rest of that is forgotten.

The noise is named by seed and step, too, but is not that of the engine on the host: the same words
of the same generator become normal numbers by the equation of Box and Muller, without the tables
of NumPy's. Neither the length of a round nor a restart changes a bit of a run.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from ase import Atoms

from md_runs.pimd.ring_polymer.bead_forces import BeadForces
from md_runs.pimd.ring_polymer.dynamics import noise_of, system_of, thermostat_of
from md_runs.pimd.ring_polymer.integrator import (
    BeadFunction,
    ModeState,
    RingPolymerIntegrator,
    RingPolymerSystem,
)
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile
from md_runs.pimd.settings import PimdRun
from mlpotential.errors import ConfigError
from mlpotential.inference.resident_forces import ResidentForces, RingConstants

STEPS_OF_A_ROUND = 100  # chosen: many times what the host needs to begin one
NUMBERS_OF_A_ROUND = 2**24  # chosen: 128 MB on the device and on the host
NUMBERS_PER_COORDINATE = 8  # states, positions, forces, and what is watched


@runtime_checkable
class BeadsOnDevice(BeadForces, Protocol):
    """Forces that may stay on a CUDA device."""

    def resident(self, n_beads: int, n_evaluations: int) -> ResidentForces:
        """Rounds of them there. Raises ConfigError where that cannot be."""

    def unwatched(self) -> BeadForces:
        """The same on the host, of which no guard counts anything: for what comes beside forces."""


class DeviceRingPolymer(RingPolymerIntegrator):
    """As its base, a round ahead.

    Args:
        system: what moves.
        forces: of the potential, on the host: for where the beads begin.
        thermostat: for half a time step, of friction alone; None for none.
        noise: of the thermostat and of first momenta.
        resident: the same forces on the device.
    """

    def __init__(
        self,
        system: RingPolymerSystem,
        forces: BeadFunction,
        thermostat: Pile | None,
        noise: CountedNoise,
        resident: ResidentForces,
    ) -> None:
        super().__init__(system, forces, thermostat, noise)
        constants = RingConstants(
            modes=self._to_modes,
            keeps=None if thermostat is None else thermostat.keeps,
            shakes=None if thermostat is None else thermostat.shakes,
            stays=self._motion.stays,
            drifts=self._motion.drifts,
            pulls=self._motion.pulls,
            inverse_roots=np.ascontiguousarray(self._inverse_roots[::3]),
            of_center=self._of_center,
            key=noise.key,
            half_step=self._half_step,
            holds_center=system.holds_center,
        )
        self._ring, self._resident = resident.ring(constants), resident
        self.n_ahead = resident.n_evaluations
        self._next = self.n_ahead  # of the round; at its end a new one begins
        self._is_placed = False

    def begin(self, positions: np.ndarray, velocities: np.ndarray | None = None) -> None:
        """As its base."""
        super().begin(positions, velocities)
        self._forget_round()

    @property
    def state(self) -> ModeState:
        """A copy."""
        return super().state

    @state.setter
    def state(self, state: ModeState) -> None:
        RingPolymerIntegrator.state.fset(self, state)  # type: ignore[attr-defined]
        self._forget_round()

    def step(self, number: int) -> None:
        """One time step, the `number`-th of the run, which names its noise."""
        if self._next == self.n_ahead:
            if not self._is_placed:
                self._ring.place(self._q, self._p, self._f, self.heat, number - 1)
                self._is_placed = True
            self._ring.advance()
            self._resident.fetch()
            self._next = 0
        self._resident.check(self._next)
        self._q[:], self._p[:], self._f[:], self.heat, self.hottest = self._ring.state(self._next)
        self.potentials = self._resident.energies[self._next].copy()
        self.bead_forces = self._resident.forces[self._next].copy()
        self._next += 1

    def _forget_round(self) -> None:
        self._next, self._is_placed = self.n_ahead, False


def make_on_device(
    atoms: Atoms, settings: PimdRun, forces: BeadFunction, beads: BeadsOnDevice
) -> DeviceRingPolymer:
    """As `dynamics.make_integrator`, on a CUDA device.

    Args:
        atoms: elements and masses.
        settings: of the run.
        forces: as of `RingPolymerIntegrator`.
        beads: the same forces.

    Raises:
        ConfigError: where the forces cannot stay on a device.
    """
    system = system_of(atoms, settings)
    per_step = 3 * len(atoms) * settings.n_beads * NUMBERS_PER_COORDINATE
    n_steps = max(1, min(STEPS_OF_A_ROUND, settings.n_steps, NUMBERS_OF_A_ROUND // per_step))
    try:
        resident = beads.resident(settings.n_beads, n_steps)
    except ConfigError as error:
        raise ConfigError(f"engine cuda is not possible here, use engine native: {error}") from None
    thermostat = thermostat_of(system, settings)
    return DeviceRingPolymer(system, forces, thermostat, noise_of(settings), resident)
