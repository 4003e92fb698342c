"""A ring polymer that moves as i-PI's does: half a thermostat, BAB, half a thermostat (OBABO).

    O  friction and noise, h = dt / 2              thermostats.Pile
    B  p <- p + h C f / sqrt(m)                    forces of the potential on every bead
    A  the free ring polymer, exactly, for dt      normal_modes.FreeMotion

with one evaluation of all beads a step. Where the center of mass is held its momentum is taken out
after O and B. Everything is in mass-weighted normal modes and in any consistent units. Conserved is

    (K + S + sum_j V_j + heat) / P,    S = sum_k omega_k^2 q_k^2 / 2,

heat being what thermostat and held center of mass took away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from md_runs.pimd.ring_polymer.normal_modes import FreeMotion, mode_frequencies, normal_mode_matrix
from md_runs.pimd.ring_polymer.thermostats import FIRST_MOMENTA, CountedNoise, Pile

# positions [n_beads, n_atoms, 3] -> energies [n_beads] and forces [n_beads, n_atoms, 3]
BeadFunction = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class RingPolymerSystem:
    """What moves, in any consistent units.

    Attributes:
        masses: [n_atoms].
        n_beads: of each atom.
        timestep: of the integrator.
        kT: physical thermal energy; the ring polymer has n_beads times it.
        hbar: energy times time.
        holds_center: whether the center of mass stays at rest.
    """

    masses: np.ndarray
    n_beads: int
    timestep: float
    kT: float
    hbar: float
    holds_center: bool

    @property
    def frequencies(self) -> np.ndarray:
        """Of the normal modes, [n_modes] (1 / time)."""
        return mode_frequencies(self.n_beads, self.kT, self.hbar)

    @property
    def n_held(self) -> int:
        """Degrees of freedom of the centroid without motion."""
        return 3 if self.holds_center else 0


@dataclass(frozen=True)
class ModeState:
    """All that the next step depends on, in mass-weighted normal modes.

    Attributes:
        positions: [n_modes, 3 n_atoms].
        momenta: [n_modes, 3 n_atoms].
        forces: at the positions, [n_modes, 3 n_atoms].
        potentials: of the beads, [n_beads] (energy).
        heat: taken away by thermostat and held center of mass (energy).
        cell: of `barostat`, [3]: scale, momentum of the piston, virial; None of a cell that stays.
    """

    positions: np.ndarray
    momenta: np.ndarray
    forces: np.ndarray
    potentials: np.ndarray
    heat: float
    cell: np.ndarray | None = None


@dataclass(frozen=True)
class Energies:
    """Of the whole ring polymer at one moment, `PimdProperties` by name, in units of energy.

    Attributes:
        conserved, potential, kinetic_cv: as there.
        kinetic_primitive: quantum kinetic energy, primitive estimator.
        thermal: kT by the momenta; a held center of mass is counted as a warm one.
        volume, pressure: of a cell that moves, the latter by the centroid virial; None of others.
    """

    conserved: float
    potential: float
    kinetic_cv: float
    kinetic_primitive: float
    thermal: float
    volume: float | None = None
    pressure: float | None = None


class RingPolymerIntegrator:
    """A ring polymer at one moment, and how it goes on.

    Args:
        system: what moves.
        forces: of the potential.
        thermostat: for half a time step; None for none.
        noise: of the thermostat and of first momenta.
    """

    def __init__(
        self,
        system: RingPolymerSystem,
        forces: BeadFunction,
        thermostat: Pile | None,
        noise: CountedNoise,
    ) -> None:
        self.system = system
        self._forces_of, self._thermostat, self._noise = forces, thermostat, noise
        self._half_step = 0.5 * system.timestep
        masses = np.asarray(system.masses, np.float64)
        self._root_masses = np.repeat(np.sqrt(masses), 3)
        self._inverse_roots = 1.0 / self._root_masses
        self._of_center = np.sqrt(masses / masses.sum())  # a unit vector in each direction
        self._to_modes = normal_mode_matrix(system.n_beads)
        self._to_beads = np.ascontiguousarray(self._to_modes.T)
        frequencies = system.frequencies
        self._motion = FreeMotion.of(frequencies, system.timestep)
        self._squared = frequencies[:, None] ** 2
        shape = (system.n_beads, 3 * len(masses))
        self._q, self._p, self._f = np.zeros((3, *shape))
        self._spare, self._bead_values = np.zeros((2, *shape))
        self.heat = 0.0
        self.potentials = np.zeros(system.n_beads)
        self.bead_forces = np.zeros((system.n_beads, len(masses), 3))
        self.hottest = 0.0  # kinetic energy in the last step, before a thermostat could cool it
        self.n_ahead = 1  # steps that are done at once

    # ---- beginnings

    def begin(self, positions: np.ndarray, velocities: np.ndarray | None = None) -> None:
        """Puts the beads somewhere and evaluates them.

        Args:
            positions: [n_beads, n_atoms, 3].
            velocities: [n_beads, n_atoms, 3]; None for thermal ones, by the seed.
        """
        shape = self._q.shape
        self._q[:] = self._to_modes @ (positions.reshape(shape) * self._root_masses)
        if velocities is None:
            generator = self._noise.at(0, FIRST_MOMENTA)
            width = np.sqrt(self.system.n_beads * self.system.kT)
            self._p[:] = width * generator.standard_normal(shape)
        else:
            self._p[:] = self._to_modes @ (velocities.reshape(shape) * self._root_masses)
        self._hold_center()
        self.heat = 0.0  # what was taken out of the first momenta never belonged to the run
        self._evaluate()

    @property
    def state(self) -> ModeState:
        """A copy."""
        q, p, f = self._q.copy(), self._p.copy(), self._f.copy()
        return ModeState(q, p, f, self.potentials.copy(), self.heat)

    @state.setter
    def state(self, state: ModeState) -> None:
        self._q[:], self._p[:], self._f[:] = state.positions, state.momenta, state.forces
        self.potentials, self.heat = state.potentials.copy(), state.heat

    # ---- motion

    def step(self, number: int) -> None:
        """One time step, the `number`-th of the run, which names its noise."""
        thermostat = self._thermostat
        generator = None if thermostat is None else self._noise.at(number)
        if thermostat is not None and generator is not None:
            self._exchange_heat(thermostat, generator)
        self._kick()
        self._drift()
        self._evaluate()
        self._kick()
        if thermostat is not None and generator is not None:
            self._exchange_heat(thermostat, generator)
        else:
            self.hottest = self._kinetic()

    def _exchange_heat(self, thermostat: Pile, generator: np.random.Generator) -> None:
        before = self.hottest = self._kinetic()
        thermostat.act(self._p, generator)
        self.heat += before - self._kinetic()
        self._hold_center()

    def _kick(self) -> None:
        np.multiply(self._f, self._half_step, out=self._spare)
        self._p += self._spare
        self._hold_center()

    def _drift(self) -> None:
        """Equation (3) of `normal_modes`."""
        motion, q, p, new = self._motion, self._q, self._p, self._spare
        np.multiply(q, motion.stays, out=new)
        new += np.multiply(p, motion.drifts, out=self._bead_values)
        p *= motion.stays
        q *= motion.pulls
        p += q
        self._q, self._spare = new, q

    def _hold_center(self) -> None:
        if not self.system.holds_center:
            return
        centroid = self._p[0].reshape(-1, 3)
        of_center = self._of_center @ centroid
        centroid -= self._of_center[:, None] * of_center
        self.heat += 0.5 * float(of_center @ of_center)

    def _evaluate(self) -> None:
        positions = self.bead_positions()
        self.potentials, self.bead_forces = self._forces_of(positions)
        forces = self.bead_forces.reshape(self._f.shape)
        np.multiply(forces, self._inverse_roots, out=self._bead_values)
        np.matmul(self._to_modes, self._bead_values, out=self._f)

    def _kinetic(self) -> float:
        momenta = self._p.reshape(-1)
        return 0.5 * float(momenta @ momenta)

    # ---- what is recorded

    def bead_positions(self) -> np.ndarray:
        """[n_beads, n_atoms, 3], fresh."""
        beads = self._to_beads @ self._q
        beads *= self._inverse_roots
        return beads.reshape(self.bead_forces.shape)

    def bead_velocities(self) -> np.ndarray:
        """[n_beads, n_atoms, 3], fresh."""
        beads = (self._to_beads @ self._p) * self._inverse_roots
        return beads.reshape(self.bead_forces.shape)

    def thermal_of(self, kinetic: float) -> float:
        """kT by the kinetic energy of the ring polymer."""
        system, n_all = self.system, self._p.size
        return (2.0 * kinetic / system.n_beads + system.n_held * system.kT) / n_all

    def energies(self) -> Energies:
        """At this moment, by i-PI's definitions."""
        system, n_beads = self.system, self.system.n_beads
        springs = 0.5 * float((self._squared * self._q**2).sum())
        potential, kinetic = float(self.potentials.sum()), self._kinetic()
        free = 0.5 * self._p[0].size * system.kT
        # sum_j (x_j - centroid) f_j has all modes but the first
        virial = float((self._q[1:] * self._f[1:]).sum())
        return Energies(
            conserved=(kinetic + springs + potential + self.heat) / n_beads,
            potential=potential / n_beads,
            kinetic_cv=free - 0.5 * virial / n_beads,
            kinetic_primitive=n_beads * free - springs / n_beads,
            thermal=self.thermal_of(kinetic),
        )
