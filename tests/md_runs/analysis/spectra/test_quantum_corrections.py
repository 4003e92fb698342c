"""Quantum correction factors against detailed balance and the exact harmonic oscillator."""

from typing import get_args

import numpy as np
import pytest

from md_runs.analysis.spectra.quantum_corrections import (
    QuantumCorrection,
    quantum_correction_factor,
    response_factor,
)
from mlpotential.errors import ConfigError, DataError

CM_PER_KELVIN = 0.6950348  # k_B / (h c), CODATA
QUANTUM = [name for name in get_args(QuantumCorrection) if name != "classical"]


@pytest.mark.parametrize("name", QUANTUM)
def test_factors_obey_detailed_balance(name: QuantumCorrection) -> None:
    k = np.array([0.0, 1e-6, 10.0, 300.0, 1500.0, 4000.0])
    factor = quantum_correction_factor(name, k, 300.0)
    mirrored = quantum_correction_factor(name, -k, 300.0)
    assert np.allclose(factor / mirrored, np.exp(k / (CM_PER_KELVIN * 300.0)), rtol=1e-4)
    assert factor[0] == pytest.approx(1.0)  # the classical limit
    assert quantum_correction_factor(name, k[3:4], 1e6)[0] == pytest.approx(1.0, abs=1e-3)


def test_the_classical_factor_does_not() -> None:
    k = np.array([-1500.0, 1500.0])
    assert np.array_equal(quantum_correction_factor("classical", k, 300.0), [1.0, 1.0])


def test_the_harmonic_factor_is_exact_for_an_oscillator() -> None:
    """Emission and absorption lines have n + 1 and n quanta: h / (4 pi m w) (n + 1), (n), where the
    classical ones have k_B T / (2 m w^2) each."""
    x = 1500.0 / (CM_PER_KELVIN * 300.0)
    n = 1 / np.expm1(x)
    expected = np.array([n + 1, n]) * x
    found = quantum_correction_factor("harmonic", np.array([1500.0, -1500.0]), 300.0)
    assert np.allclose(found, expected, rtol=1e-5)
    assert np.array_equal(found, quantum_correction_factor("Kubo", np.array([1500, -1500]), 300.0))


def test_what_the_factors_make_of_an_absorption() -> None:
    """tanh(x/2) / (x/2) and sinh(x/2) / (x/2) of the response of classical mechanics, or itself."""
    k = np.array([0.0, 200.0, 3000.0])
    half = k[1:] / (2 * CM_PER_KELVIN * 300.0)
    expected = {"standard": np.tanh(half) / half, "Schofield": np.sinh(half) / half}
    for name in get_args(QuantumCorrection):
        factor = response_factor(name, k, 300.0)
        assert factor[0] == 1.0
        assert np.allclose(factor[1:], expected.get(name, 1.0), rtol=1e-5)


def test_impossible_factors_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'harmonic'"):
        quantum_correction_factor("harmonics", np.ones(1), 300.0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="temperature_K must be positive"):
        response_factor("standard", np.ones(1), 0.0)
    with pytest.raises(DataError, match="at 1 K the factor of 4000 1/cm"):
        response_factor("Schofield", np.array([4000.0]), 1.0)
