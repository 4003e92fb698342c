"""Thermostats of ring polymers in mass-weighted normal modes, and noise that a step number names.

    PILE-L, PILE-G: M. Ceriotti, M. Parrinello, T. E. Markland, D. E. Manolopoulos, J. Chem. Phys.
                    133, 124104 (2010), doi:10.1063/1.3489925
    TRPMD:          M. Rossi, M. Ceriotti, D. E. Manolopoulos, J. Chem. Phys. 140, 234116 (2014),
                    doi:10.1063/1.4883861
    rescaling:      G. Bussi, D. Donadio, M. Parrinello, J. Chem. Phys. 126, 014101 (2007),
                    doi:10.1063/1.2408420

Half a time step h of Langevin friction gamma_k on a mass-weighted momentum:

    p <- c p + sqrt((1 - c^2) P kT) xi,   c = exp(-gamma_k h)                              (1)
    gamma_k = 2 lambda omega_k,  gamma_0 = 1 / tau_0                                      (2)

PILE-G rescales the centroid instead, with K its kinetic energy and n its degrees of freedom:

    a^2 = c + (1 - c) k (xi^2 + S) + 2 xi sqrt(c (1 - c) k),  k = P kT / (2 K)            (3)
    c = exp(-h / tau_0),  S the sum of n - 1 squared normal numbers

where a has the sign of xi + sqrt(c / ((1 - c) k)). Frictions, signs and time constants are
those of i-PI. Noise comes from Philox, a generator with a counter: its upper words are the step, so
that the noise of a step is the same however often the run was stopped before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

STEP_WORD, STREAM_WORD = 2, 3  # of the counter; the lower ones count within a step
FIRST_MOMENTA, THERMOSTAT = 0, 1  # streams


class CountedNoise:
    """Random numbers by seed, stream and step.

    Args:
        seed: of the run.

    Attributes:
        key: of the generator, [2] of uint64.
    """

    def __init__(self, seed: int) -> None:
        self.key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        self._philox = np.random.Philox(key=self.key)
        self._generator = np.random.Generator(self._philox)
        self._state = self._philox.state
        self._counter = self._state["state"]["counter"]

    def at(self, step: int, stream: int = THERMOSTAT) -> np.random.Generator:
        """The generator, wound to the beginning of a step."""
        self._counter[:] = 0
        self._counter[STEP_WORD], self._counter[STREAM_WORD] = step, stream
        self._philox.state = self._state  # an empty buffer: what was left of the last step is gone
        return self._generator


@dataclass(frozen=True)
class Rescaling:
    """Of the centroid's momenta by one factor.

    Attributes:
        keeps: c, of the kinetic energy in half a time step.
        n_dof: degrees of freedom of the centroid.
        kT: P kT, of the ring polymer (energy).
    """

    keeps: float
    n_dof: int
    kT: float

    def factor(self, kinetic: float, generator: np.random.Generator) -> float:
        """a by equation (3); `kinetic` is the energy of the centroid."""
        if kinetic == 0.0:
            return 1.0  # there is no direction to move in
        c, k = self.keeps, 0.5 * self.kT / kinetic
        xi = float(generator.standard_normal())
        others = 2.0 * float(generator.standard_gamma(0.5 * (self.n_dof - 1)))
        square = c + (1.0 - c) * k * (xi**2 + others) + 2.0 * xi * math.sqrt(c * (1.0 - c) * k)
        return math.copysign(math.sqrt(square), xi + math.sqrt(c / ((1.0 - c) * k)))


class Pile:
    """Friction and noise on all normal modes, for half a time step.

    Args:
        frictions: of each mode, [n_modes] (1 / time); 0 leaves a mode alone.
        half_step: half the time step.
        kT: P kT, of the ring polymer (energy).
        n_coordinates: three times the number of atoms.
        rescaling: of the centroid, in place of its friction.

    Attributes:
        keeps, shakes: c and the factor of xi of equation (1), each [n_modes, 1].
    """

    def __init__(
        self,
        frictions: np.ndarray,
        half_step: float,
        kT: float,
        n_coordinates: int,
        rescaling: Rescaling | None = None,
    ) -> None:
        c = np.exp(-frictions * half_step)
        if rescaling is not None:
            c[0] = 1.0
        self.keeps = c[:, None]
        self.shakes = np.sqrt(kT * -np.expm1(-2.0 * frictions * half_step) * (c < 1.0))[:, None]
        self._noise = np.empty((len(c), n_coordinates))
        self._rescaling = rescaling

    def act(self, momenta: np.ndarray, generator: np.random.Generator) -> None:
        """Changes mass-weighted momenta of normal modes, [n_modes, n_coordinates], in place."""
        noise = self._noise
        generator.standard_normal(out=noise)
        noise *= self.shakes
        momenta *= self.keeps
        momenta += noise
        if self._rescaling is not None:
            centroid = momenta[0]
            kinetic = 0.5 * float(centroid @ centroid)
            centroid *= self._rescaling.factor(kinetic, generator)


def pile_frictions(frequencies: np.ndarray, strength: float, centroid_time: float) -> np.ndarray:
    """gamma_k of equation (2), [n_modes] (1 / time).

    Args:
        frequencies: of the free ring polymer, [n_modes] (1 / time).
        strength: lambda; 1 is the optimal damping of the free ring polymer.
        centroid_time: tau_0; infinite for none.
    """
    frictions = 2.0 * strength * frequencies
    frictions[0] = 1.0 / centroid_time
    return frictions
