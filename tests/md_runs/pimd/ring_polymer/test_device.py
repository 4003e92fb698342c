"""Ring polymers on an emulated CUDA device: step by step those of the host, by the same noise."""

import numpy as np
import pytest
from device_noise import SameNoise
from emulated import EmulatedExecutor, needs_compiler
from numpy.testing import assert_allclose, assert_array_equal
from rings import MASSES, ResidentTrap, trap

from md_runs.pimd.ring_polymer.device import DeviceRingPolymer
from md_runs.pimd.ring_polymer.integrator import RingPolymerIntegrator, RingPolymerSystem
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile, pile_frictions

pytestmark = needs_compiler

KT = 0.5  # hbar = 1


def turning(positions):
    """Forces that are of no energy, and couple the directions."""
    energies, forces = trap(positions)
    return energies, forces + 0.3 * np.roll(positions, 1, axis=2)


def pair(n_beads=4, n_atoms=3, thermostat=True, holds=False, n_ahead=5, order=0, tau=0.5):
    """The same ring polymer on the host and on the device."""
    masses = np.resize(MASSES, n_atoms)
    system = RingPolymerSystem(masses, n_beads, 0.05, KT, hbar=1.0, holds_center=holds)

    def pile():
        frictions = pile_frictions(system.frequencies, 1.0, tau)
        return Pile(frictions, 0.025, n_beads * KT, 3 * n_atoms) if thermostat else None

    resident = ResidentTrap(n_beads, n_atoms, n_ahead, EmulatedExecutor(order), turning)
    host = RingPolymerIntegrator(system, turning, pile(), SameNoise(3))
    device = DeviceRingPolymer(system, turning, pile(), CountedNoise(3), resident)
    begin = 0.3 * np.random.default_rng(1).standard_normal((n_beads, n_atoms, 3))
    for moving in (host, device):
        moving.begin(begin)
    return host, device


@pytest.mark.parametrize(
    ("n_beads", "n_atoms", "thermostat", "holds", "tau"),
    [
        (4, 3, False, False, 1.0),
        (4, 3, True, True, 0.5),
        (1, 3, True, False, 0.5),  # classical Langevin
        (5, 2, True, True, np.inf),  # no friction of the centroid: TRPMD
        (8, 20, True, True, 0.5),
        (3, 1, False, False, 1.0),
    ],
)
def test_the_trajectory_of_the_host(n_beads, n_atoms, thermostat, holds, tau):
    """Over three rounds, to rounding: positions, momenta, forces, heat and all energies."""
    host, device = pair(n_beads, n_atoms, thermostat, holds, tau=tau)
    for step in range(1, 13):
        for moving in (host, device):
            moving.step(step)
        there, here = host.state, device.state
        for name in ("positions", "momenta", "forces", "potentials"):
            exact = getattr(there, name)
            error = np.abs(getattr(here, name) - exact).max()
            assert error <= 1e-12 * np.abs(exact).max(), (step, name)
        kinetic = 0.5 * (there.momenta**2).sum()
        assert abs(here.heat - there.heat) <= 1e-12 * (abs(there.heat) + step * kinetic)
        assert_allclose(device.hottest, host.hottest, rtol=1e-12)
        for name, value in vars(host.energies()).items():
            if value is not None:
                assert_allclose(getattr(device.energies(), name), value, rtol=1e-11, err_msg=name)
        assert_allclose(device.bead_forces, turning(device.bead_positions())[1], rtol=0, atol=1e-10)


def moved(moving, n_steps, begin=1):
    for step in range(begin, begin + n_steps):
        moving.step(step)
    return vars(moving.state)


def assert_same_bits(state, other):
    for name, value in state.items():
        if value is not None:
            assert_array_equal(value, other[name], err_msg=name)


def test_no_bit_depends_on_rounds_restarts_or_the_order_of_threads():
    whole = moved(pair(holds=True, n_ahead=1)[1], 9)
    for n_ahead, order in ((4, 1), (9, 100), (20, 101)):
        assert_same_bits(moved(pair(holds=True, n_ahead=n_ahead, order=order)[1], 9), whole)
    for stop in (3, 4, 7):  # within a round, or at its end
        first, second = (pair(holds=True, n_ahead=4)[1] for _ in range(2))
        moved(first, stop)
        second.state = first.state
        assert_same_bits(moved(second, 9 - stop, stop + 1), whole)


def test_every_evaluation_is_checked_once():
    device = pair(n_ahead=4)[1]
    moved(device, 6)
    assert device._resident.n_checked == 6


def test_another_seed_is_another_run():
    host, device = pair()
    other = pair()[1]
    other._ring._kept["key"][:] += 1
    assert np.abs(moved(device, 1)["momenta"] - moved(other, 1)["momenta"]).min() > 0.0
    assert_allclose(moved(host, 1)["momenta"], device.state.momenta, rtol=1e-11)
