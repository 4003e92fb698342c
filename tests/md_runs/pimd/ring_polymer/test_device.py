"""Ring polymers on an emulated CUDA device: step by step those of the host, given the same noise."""

import numpy as np
import pytest
import torch
from emulated import EmulatedExecutor, needs_compiler
from numpy.testing import assert_allclose

from md_runs.pimd.ring_polymer.device import DeviceRingPolymer
from md_runs.pimd.ring_polymer.integrator import RingPolymerIntegrator, RingPolymerSystem
from md_runs.pimd.ring_polymer.thermostats import THERMOSTAT, CountedNoise, Pile, pile_frictions
from mlpotential.inference.cuda.interface import address
from mlpotential.inference.cuda.ring import Beads

pytestmark = needs_compiler

OMEGA, KT, MASSES = 3.0, 0.5, np.array([1.0, 2.0, 16.0])  # hbar = 1


def trap(positions):
    k = OMEGA**2 * np.resize(MASSES, positions.shape[1])[:, None]
    coupling = 0.3 * np.roll(positions, 1, axis=2)  # turns, too
    return 0.5 * (k * positions**2).sum(axis=(1, 2)), -k * positions + coupling


class ResidentTrap:
    """On the device, by torch."""

    def __init__(self, n_beads, n_atoms, n_evaluations, order=0):
        self.executor, self.n_evaluations = EmulatedExecutor(order), n_evaluations
        shape = (n_evaluations, n_beads, n_atoms, 3)
        self.positions, self.found = torch.zeros(shape).double(), torch.zeros(shape).double()
        self.potentials = torch.zeros(shape[:2]).double()
        self.checked = 0

    def beads(self, number):
        return Beads(address(self.positions[number]), address(self.found[number]))

    def enqueue(self, number):
        energies, forces = trap(self.positions[number].numpy())
        self.found[number], self.potentials[number] = map(torch.from_numpy, (forces, energies))

    def fetch(self):
        self.energies, self.forces = self.potentials.numpy(), self.found.numpy()

    def check(self, number):
        self.checked += 1


class SameNoise(CountedNoise):
    """That of the device, by NumPy's own Philox."""

    def at(self, step, stream=THERMOSTAT):
        generator = super().at(step, stream)
        return Normals(self._philox) if stream == THERMOSTAT else generator


class Normals:
    def __init__(self, philox):
        self.philox, self.left = philox, None

    def standard_normal(self, out):
        if self.left is None:
            words = self.philox.random_raw(-(-2 * out.size // 4) * 4).reshape(-1, 2)
            u = ((words >> np.uint64(11)) + 0.5) * 2.0**-53
            length, angle = np.sqrt(-2 * np.log(u[:, 0])), 2 * np.pi * u[:, 1]
            self.left = np.stack([length * np.cos(angle), length * np.sin(angle)], 1).ravel()
        out[:] = self.left[: out.size].reshape(out.shape)
        self.left = self.left[out.size :]


def pair(n_beads=4, n_atoms=3, thermostat=True, holds=False, n_ahead=5, order=0, tau=0.5):
    """The same ring polymer on the host and on the device."""
    masses = np.resize(MASSES, n_atoms)
    system = RingPolymerSystem(masses, n_beads, 0.05, KT, hbar=1.0, holds_center=holds)

    def pile():
        frictions = pile_frictions(system.frequencies, 1.0, tau)
        return Pile(frictions, 0.025, n_beads * KT, 3 * n_atoms) if thermostat else None

    resident = ResidentTrap(n_beads, n_atoms, n_ahead, order)
    host = RingPolymerIntegrator(system, trap, pile(), SameNoise(3))
    device = DeviceRingPolymer(system, trap, pile(), CountedNoise(3), resident)
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
        assert_allclose(device.bead_forces, trap(device.bead_positions())[1], rtol=0, atol=1e-10)
