"""Quantum correction factors: from the spectrum of a classical run to that of quantum nuclei.

With x = h c k / (k_B T) for the wavenumber k, a factor Q(x) turns the power spectrum of a classical
time correlation function into that of the quantum one, C_qm = Q C_cl (R. Ramirez, T.
Lopez-Ciudad, P. Kumar, D. Marx, J. Chem. Phys. 121, 3973 (2004), doi:10.1063/1.1774986):

    standard    2 / (1 + exp(-x))                                                      (1)
    harmonic    x / (1 - exp(-x))                                                      (2)
    Schofield   exp(x / 2)   (P. Schofield, Phys. Rev. Lett. 4, 239 (1960))            (3)
    Kubo        x / (1 - exp(-x)), exact for a Kubo-transformed correlation function   (2)

All obey detailed balance, Q(x) = exp(x) Q(-x), which no classical spectrum does. Absorption and
Raman activity are responses, proportional to k (1 - exp(-x)) C_qm(k). Relative to the response of
classical mechanics, k x C_cl(k), they are

    R(x) = Q(x) (1 - exp(-x)) / x,   (4)

which is 1 for the harmonic factor: that is why the classical spectrum of harmonic modes has their
quantum intensities. "classical" is the limit of small x, Q = 1 and R = 1: no quantum mechanics,
neither in the factor nor in the prefactor, and no detailed balance.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from md_runs.analysis.spectra.spectrum_checks import check_temperature
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_choice
from mlpotential.units import EV_PER_KELVIN, EV_PER_WAVENUMBER

QuantumCorrection = Literal["classical", "standard", "harmonic", "Schofield", "Kubo"]
LARGEST_EXPONENT = 700.0  # exp of more overflows float64


def quantum_correction_factor(
    name: QuantumCorrection, wavenumbers_per_cm: np.ndarray, temperature_K: float
) -> np.ndarray:
    """Q of equations (1) to (3), for positive and negative wavenumbers.

    Args:
        name: of the factor.
        wavenumbers_per_cm: of any shape.
        temperature_K: of the run.

    Raises:
        ConfigError: an unknown name.
        DataError: a temperature that is not positive, or so low that the factor overflows.
    """
    x = _reduced(name, wavenumbers_per_cm, temperature_K)
    if name == "classical":
        return np.ones_like(x)
    if name == "standard":
        return 2 / (1 + np.exp(-x))  # (1)
    if name == "Schofield":
        return np.exp(x / 2)  # (3)
    return 1 / _occupied(x)  # (2)


def response_factor(
    name: QuantumCorrection, wavenumbers_per_cm: np.ndarray, temperature_K: float
) -> np.ndarray:
    """R of equation (4): what the factor makes of an absorption or activity; errors as above."""
    x = _reduced(name, wavenumbers_per_cm, temperature_K)
    if name in ("classical", "harmonic", "Kubo"):
        return np.ones_like(x)
    return quantum_correction_factor(name, wavenumbers_per_cm, temperature_K) * _occupied(x)


def _occupied(x: np.ndarray) -> np.ndarray:
    """(1 - exp(-x)) / x, which is 1 at 0."""
    return np.divide(-np.expm1(-x), x, out=np.ones_like(x), where=x != 0)


def _reduced(name: str, wavenumbers_per_cm: np.ndarray, temperature_K: float) -> np.ndarray:
    """X, where it makes sense."""
    known = get_args(QuantumCorrection)
    check_choice("the quantum correction", name, known)
    check_temperature(temperature_K)
    wavenumbers = np.asarray(wavenumbers_per_cm, np.float64)
    x = wavenumbers * EV_PER_WAVENUMBER / (EV_PER_KELVIN * temperature_K)
    if x.size and np.abs(x).max() > LARGEST_EXPONENT:
        raise DataError(
            f"at {temperature_K:g} K the factor of {wavenumbers.max():.0f} 1/cm cannot be held by "
            "a number: cut the spectrum off below"
        )
    return x
