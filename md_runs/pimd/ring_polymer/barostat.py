"""A ring polymer in a cell that keeps its shape and changes its volume, as i-PI's BZP moves it.

    G. Bussi, T. Zykova-Timan, M. Parrinello, J. Chem. Phys. 130, 074101 (2009),
    doi:10.1063/1.3073889; M. Ceriotti, J. More, D. E. Manolopoulos, Comput. Phys. Commun. 185, 1019
    (2014), doi:10.1016/j.cpc.2013.10.027.

The piston has the momentum p_v and the mass M = 3 N t^2 P kT of P beads, and moves at the rate
v = p_v / M. The cell carries centroids along, and no internal mode. With positions and momenta of
the centroid in mass-weighted normal modes q_0, p_0, forces f_k on the modes, and the virial
W = -sum_j dV_j / dstrain (its trace, all beads strained), the steps of `integrator` become

    O  Langevin friction 1 / t on p_v beside that on the beads
    B  p_v <- p_v + h (3 V P_i - 3 P V P_ext + 3 P kT) + h^2 p_0 f_0 + h^3 f_0^2 / 3    (1)
       3 V P_i = W + p_0^2 - sum_(k > 0) q_k f_k   (centroid virial, P times the pressure)  (2)
    A  q_0 <- q_0 e^x + dt p_0 sinh(x) / x,  p_0 <- p_0 e^-x,  a <- a e^x,  x = v dt    (3)

with p_0 and f_0 of the beginning of B. Conserved is that of `integrator` and

    (P P_ext V - P kT ln V + p_v^2 / 2M) / P.                                           (4)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import exprel

from md_runs.pimd.ring_polymer.integrator import (
    Energies,
    ModeState,
    RingPolymerIntegrator,
    RingPolymerSystem,
)
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile
from md_runs.trajectories.structure_file import check_volume_change
from mlpotential.errors import StructureError

# positions [n_beads, n_atoms, 3], scale of the cell -> energies [n_beads], forces
# [n_beads, n_atoms, 3] and traces of the virials [n_beads]
StrainedBeadFunction = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Piston:
    """What holds the pressure.

    Attributes:
        pressure: from outside (energy / length^3).
        time_constant: of the volume.
        volume: of the cell in which the run begins, whose scale is 1.
        smallest_volume: less is narrower than the cutoff of the model.
    """

    pressure: float
    time_constant: float
    volume: float
    smallest_volume: float = 0.0


class BreathingRingPolymer(RingPolymerIntegrator):
    """A ring polymer and its cell at one moment, and how they go on.

    Args:
        system: what moves.
        forces: of the potential, with virials.
        thermostat: for half a time step.
        noise: of thermostat, piston and first momenta.
        piston: on the cell.
    """

    def __init__(
        self,
        system: RingPolymerSystem,
        forces: StrainedBeadFunction,
        thermostat: Pile,
        noise: CountedNoise,
        piston: Piston,
    ) -> None:
        super().__init__(system, self._strained, thermostat, noise)
        self._strained_forces, self._piston = forces, piston
        self._kT = system.n_beads * system.kT  # of the ring polymer
        self._mass = 3 * len(system.masses) * piston.time_constant**2 * self._kT
        self._keeps = float(np.exp(-self._half_step / piston.time_constant))
        self._shakes = float(np.sqrt((1.0 - self._keeps**2) * self._mass * self._kT))
        self.scale, self._momentum, self._virial = 1.0, 0.0, 0.0

    @property
    def volume(self) -> float:
        """Of the cell."""
        return self._piston.volume * self.scale**3

    @property
    def state(self) -> ModeState:
        """A copy."""
        cell = np.array([self.scale, self._momentum, self._virial])
        return replace(super().state, cell=cell)

    @state.setter
    def state(self, state: ModeState) -> None:
        RingPolymerIntegrator.state.fset(self, state)  # type: ignore[attr-defined]
        assert state.cell is not None
        self.scale, self._momentum, self._virial = (float(x) for x in state.cell)

    def _strained(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        energies, forces, virials = self._strained_forces(positions, self.scale)
        self._virial = float(virials.sum())
        return energies, forces

    def _exchange_heat(self, thermostat: Pile, generator: np.random.Generator) -> None:
        super()._exchange_heat(thermostat, generator)
        before = self._momentum
        self._momentum = self._keeps * before + self._shakes * float(generator.standard_normal())
        self.heat += 0.5 * (before**2 - self._momentum**2) / self._mass

    def _kick(self) -> None:
        h, p, f = self._half_step, self._p[0], self._f[0]
        outward = self._pressure_work() + 3.0 * self._kT
        outward -= 3.0 * self.system.n_beads * self.volume * self._piston.pressure
        self._momentum += h * outward + h**2 * float(p @ f) + h**3 / 3.0 * float(f @ f)  # (1)
        super()._kick()

    def _pressure_work(self) -> float:
        """3 V P_i, (2)."""
        internal = float((self._q[1:] * self._f[1:]).sum())
        return self._virial + float(self._p[0] @ self._p[0]) - internal

    def _drift(self) -> None:
        """Equation (3) for the centroid."""
        timestep = self.system.timestep
        x = self._momentum / self._mass * timestep
        check_volume_change(3.0 * x)
        q, p = self._q[0].copy(), self._p[0].copy()
        super()._drift()
        grows, shrinks = np.exp(x), np.exp(-x)
        self._q[0] = grows * q + timestep * shrinks * exprel(2.0 * x) * p
        self._p[0] = shrinks * p
        self.scale *= float(grows)
        if self.volume < self._piston.smallest_volume:
            raise StructureError(
                f"the cell shrank to {self.volume:.4g} A^3 and is narrower than the cutoff of the "
                f"model ({self._piston.smallest_volume:.4g} A^3), so that atoms see their own "
                "images: take a larger supercell"
            )

    def energies(self) -> Energies:
        """At this moment, by i-PI's definitions."""
        found, n_beads = super().energies(), self.system.n_beads
        work = n_beads * self._piston.pressure * self.volume - self._kT * np.log(self.volume)
        of_cell = (work + 0.5 * self._momentum**2 / self._mass) / n_beads  # (4)
        return replace(
            found,
            conserved=found.conserved + float(of_cell),
            volume=self.volume,
            pressure=self._pressure_work() / (3.0 * self.volume * n_beads),
        )
