"""The closed form against derivatives of the partition function, and its limits."""

import numpy as np
import pytest
from harmonic_ring_polymer import KELVIN, KT, energy, heat_capacity

from md_runs.analysis.path_integrals.harmonic_beads import harmonic_beads
from mlpotential.units import EV_PER_WAVENUMBER


@pytest.mark.parametrize("n_beads", [1, 2, 8, 32, None])
@pytest.mark.parametrize("u", [0.5, 3.0, 14.4])
def test_one_mode(u, n_beads):
    found = harmonic_beads(np.array([u * KT / EV_PER_WAVENUMBER]), KELVIN, n_beads)
    assert found.energy == pytest.approx(KT * energy(u, n_beads), rel=1e-10)
    assert found.heat_capacity == pytest.approx(heat_capacity(u, n_beads), abs=1e-8)


def test_classical_and_quantum_limits():
    """One bead: kT and k a mode; water's zero-point energy at 1 K from 1595, 3657, 3756 1/cm."""
    modes = np.array([1595.0, 3657.0, 3756.0])
    classical = harmonic_beads(modes, KELVIN, 1)
    assert (classical.energy, classical.heat_capacity) == pytest.approx((3 * KT, 3.0))
    cold = harmonic_beads(modes, 10.0)
    assert cold.energy == pytest.approx(0.5 * modes.sum() * 1.239841984e-4, rel=1e-7)
    assert cold.heat_capacity == pytest.approx(0, abs=1e-12)
