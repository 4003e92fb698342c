"""Harmonic vibrations with P beads, in closed form: what a number of beads can give at best.

With u = beta hbar omega and sinh(theta / 2) = u / (2 P), the partition function of one mode is
Z = 1 / (2 sinh(P theta / 2)) (K. S. Schweizer, R. M. Stratt, D. Chandler, P. G. Wolynes, J. Chem.
Phys. 75, 1347 (1981)), so that

    E / kT = u / (2 tanh(P theta / 2) cosh(theta / 2)),                                      (1)
    C / k  = u^2 / (4 P) sinh(theta / 2) / (tanh(P theta / 2) cosh^3(theta / 2))
             + u^2 / (4 cosh^2(theta / 2) sinh^2(P theta / 2)).                              (2)

Kinetic and potential energy are half of E each. Infinitely many beads leave the quantum oscillator,
E / kT = u / 2 coth(u / 2), C / k = (u / 2)^2 / sinh^2(u / 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from md_runs.analysis.path_integrals.energies import thermal_energy
from md_runs.analysis.sampling.results import AnalysisResult
from mlpotential.units import EV_PER_WAVENUMBER


@dataclass(frozen=True)
class HarmonicBeads(AnalysisResult):
    """All vibrations together.

    Attributes:
        energy: kinetic and potential, above the minimum (eV).
        heat_capacity: (k_B).
        n_beads: P; None for infinitely many.
    """

    energy: Annotated[float, "eV"]
    heat_capacity: Annotated[float, "k_B"]
    n_beads: int | None


def harmonic_beads(
    wavenumbers_per_cm: np.ndarray, temperature_K: float, n_beads: int | None = None
) -> HarmonicBeads:
    """Energy and heat capacity of harmonic vibrations of P beads.

    Args:
        wavenumbers_per_cm: positive, [n_modes].
        temperature_K: of the ensemble.
        n_beads: P; None for infinitely many.

    Raises:
        ConfigError: if the temperature is not positive.
    """
    kT = thermal_energy(temperature_K)
    u = np.asarray(wavenumbers_per_cm, np.float64) * EV_PER_WAVENUMBER / kT
    if n_beads is None:
        energy, capacity = u / 2 / np.tanh(u / 2), (u / 2 / np.sinh(u / 2)) ** 2
    else:
        s = u / (2 * n_beads)
        c, q = np.sqrt(1 + s**2), n_beads * np.arcsinh(s)
        energy = u / (2 * np.tanh(q) * c)  # (1)
        capacity = (
            u**2 * s / (4 * n_beads * np.tanh(q) * c**3) + (u / 2 / c / np.sinh(q)) ** 2
        )  # (2)
    return HarmonicBeads(float(kT * energy.sum()), float(capacity.sum()), n_beads)
