"""Ring polymers in harmonic traps, where all is known exactly, in units with hbar = 1.

<V> of P beads is (kT / 2) sum_k omega^2 / (omega^2 + omega_k^2) for each degree of freedom, and the
mean of both kinetic estimators is the same.
"""

import numpy as np
import pytest
from emulated import needs_compiler
from numpy.testing import assert_allclose
from rings import ResidentTrap

from md_runs.pimd.ring_polymer.device import DeviceRingPolymer
from md_runs.pimd.ring_polymer.integrator import RingPolymerIntegrator, RingPolymerSystem
from md_runs.pimd.ring_polymer.normal_modes import mode_frequencies
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile, Rescaling, pile_frictions

OMEGA, KT, MASSES = 3.0, 0.5, np.array([1.0, 2.0, 16.0])


def trap(positions):
    k = OMEGA**2 * MASSES_OF[positions.shape[1]][:, None]
    return 0.5 * (k * positions**2).sum(axis=(1, 2)), -k * positions


def free(positions):
    return np.zeros(len(positions)), np.zeros(positions.shape)


def bond(positions):
    """Two atoms and a spring of no length: the center of mass feels nothing."""
    step = positions[:, 1] - positions[:, 0]
    return 0.5 * (step**2).sum(axis=1), np.stack([step, -step], axis=1)


MASSES_OF = {n: np.resize(MASSES, n) for n in (1, 3, 120)}


ON_DEVICE, MARKS = pytest.param("cuda", marks=needs_compiler), [needs_compiler, pytest.mark.slow]


def integrator(
    forces=trap,
    n_beads=4,
    n_atoms=3,
    timestep=0.05,
    thermostat=None,
    holds=False,
    seed=1,
    tau=0.5,
    engine="native",
):
    masses = np.resize(MASSES, n_atoms)
    system = RingPolymerSystem(masses, n_beads, timestep, KT, hbar=1.0, holds_center=holds)
    pile = None
    if thermostat is not None:
        kT, half, n = n_beads * KT, 0.5 * timestep, 3 * n_atoms
        keeps = float(np.exp(-half / tau))
        rescaling = Rescaling(keeps, n - system.n_held, kT) if thermostat == "pile-g" else None
        frictions = pile_frictions(system.frequencies, strength=1.0, centroid_time=tau)
        pile = Pile(frictions, half, kT, n, rescaling)
    if engine == "cuda":
        resident = ResidentTrap(n_beads, n_atoms, 50, potential=forces)
        made = DeviceRingPolymer(system, forces, pile, CountedNoise(seed), resident)
    else:
        made = RingPolymerIntegrator(system, forces, pile, CountedNoise(seed))
    made.begin(np.zeros((n_beads, n_atoms, 3)))
    return made


def sampled(moving, n_steps, stride=4, discard=500):
    """Energies of every stride-th step, by name."""
    found = []
    for step in range(1, n_steps + 1):
        moving.step(step)
        if step > discard and step % stride == 0:
            found.append(vars(moving.energies()))
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def standard_error(series, n_blocks=20):
    blocks = [block.mean() for block in np.array_split(series, n_blocks)]
    return np.std(blocks, ddof=1) / np.sqrt(n_blocks)


def exact_potential(n_beads, n_atoms):
    omega_k = mode_frequencies(n_beads, KT, 1.0)
    return 3 * n_atoms * 0.5 * KT * np.sum(OMEGA**2 / (OMEGA**2 + omega_k**2))


@pytest.mark.parametrize(
    ("n_beads", "thermostat", "engine"),
    [
        *[(1, "pile-l", "native"), (4, "pile-l", "native"), (4, "pile-g", "native")],
        *[(7, "pile-l", "native"), (8, "pile-g", "native")],
        *[pytest.param(n, "pile-l", "cuda", marks=MARKS) for n in (1, 4, 7)],
    ],
)
def test_harmonic_oscillators(n_beads, thermostat, engine):
    """Both estimators, the potential, the temperature; the integrator's own error is 0.1 %."""
    moving = integrator(
        n_beads=n_beads, n_atoms=120, timestep=0.02, thermostat=thermostat, engine=engine
    )
    found = sampled(moving, 6500)
    exact = exact_potential(n_beads, 120)
    expected = {"potential": exact, "kinetic_cv": exact, "kinetic_primitive": exact, "thermal": KT}
    for name, value in expected.items():
        error = max(standard_error(found[name]), 1e-12)
        assert abs(found[name].mean() - value) < 3.5 * error + 1e-3 * value, name
    assert standard_error(found["potential"]) < 0.02 * exact
    assert standard_error(found["kinetic_cv"]) < 0.02 * exact
    assert np.ptp(found["conserved"]) < 0.01 * exact  # of thousands of relaxation times


@pytest.mark.parametrize("engine", ["native", pytest.param("cuda", marks=MARKS)])
def test_one_bead_is_classical_langevin(engine):
    """Positions and momenta are normal numbers of the widths that Boltzmann gives them."""
    moving = integrator(n_beads=1, n_atoms=120, timestep=0.02, thermostat="pile-l", engine=engine)
    squares, fourth = [], []
    for step in range(1, 4001):
        moving.step(step)
        if step > 200 and step % 10 == 0:
            scaled = moving.bead_positions()[0] * OMEGA * np.sqrt(MASSES_OF[120] / KT)[:, None]
            squares.append((scaled**2).mean())
            fourth.append((scaled**4).mean())
    for series, expected in ((squares, 1.0), (fourth, 3.0)):
        assert abs(np.mean(series) - expected) < 3.5 * standard_error(np.array(series)) + 1e-3
        assert standard_error(np.array(series)) < 0.02 * expected


@pytest.mark.parametrize(
    ("n_beads", "thermostat", "engine"),
    [
        *[(1, "pile-l", "native"), (2, "pile-l", "native"), (2, "pile-g", "native")],
        pytest.param(2, "pile-l", "cuda", marks=MARKS),
    ],
)
def test_a_held_center_of_mass_is_counted(n_beads, thermostat, engine):
    """Three of six degrees of freedom of the centroid: another count would be far off."""
    moving = integrator(bond, n_beads, 2, 0.2, thermostat, holds=True, tau=1.0, engine=engine)
    centroids, momentum = [], []
    for step in range(1, 12_001):
        moving.step(step)
        velocities = moving.bead_velocities()
        twice = MASSES[:2] @ (velocities.mean(axis=0) ** 2).sum(axis=1)
        centroids.append(twice / (3 * KT))
        momentum.append(np.abs(MASSES[:2] @ velocities.sum(axis=0)).max())
    centroids = np.array(centroids)
    assert abs(centroids.mean() - 1.0) < 3.5 * standard_error(centroids)
    assert standard_error(centroids) < 0.05
    assert max(momentum) < 1e-12


@pytest.mark.parametrize("engine", ["native", ON_DEVICE])
def test_energy_is_conserved_to_second_order(engine):
    """Of a ring polymer that starts thermal, over the same time with half the time step."""
    errors = []
    for timestep in (0.08, 0.04, 0.02):
        moving = integrator(timestep=timestep, engine=engine)
        found = sampled(moving, round(40 / timestep), stride=1, discard=0)
        errors.append(np.ptp(found["conserved"]))
    assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 2.0, atol=0.15)


@pytest.mark.parametrize("engine", ["native", ON_DEVICE])
@pytest.mark.parametrize("n_beads", [1, 6])
def test_without_forces_nothing_is_lost(n_beads, engine):
    """Time steps far beyond the periods of the springs."""
    moving = integrator(free, n_beads, timestep=50.0, engine=engine)
    energies = sampled(moving, 200, stride=1, discard=0)["conserved"]
    assert_allclose(energies, energies[0], rtol=1e-12)


def test_estimators_by_their_definitions():
    moving = integrator(n_beads=5)
    for step in range(1, 20):
        moving.step(step)
    x, v, f = moving.bead_positions(), moving.bead_velocities(), moving.bead_forces
    found, m = moving.energies(), MASSES[:, None]
    kinetic = 0.5 * (m * v**2).sum()
    springs = 0.5 * (5 * KT) ** 2 * (m * (np.roll(x, -1, axis=0) - x) ** 2).sum()
    potential = trap(x)[0].sum()
    expected = {
        "conserved": (kinetic + springs + potential) / 5,
        "potential": potential / 5,
        "kinetic_cv": 4.5 * KT - 0.1 * ((x - x.mean(axis=0)) * f).sum(),
        "kinetic_primitive": 5 * 4.5 * KT - springs / 5,
        "thermal": 2 * kinetic / 5 / 45,
    }
    for name, value in expected.items():
        assert_allclose(getattr(found, name), value, rtol=1e-11, err_msg=name)


@pytest.mark.parametrize("n_dof", [3, 4])
def test_rescaling_samples_the_kinetic_energy(n_dof):
    """Mean and variance of a chi-square distribution, Bussi et al. (2007)."""
    rescaling, noise = Rescaling(keeps=0.5, n_dof=n_dof, kT=KT), CountedNoise(3)
    kinetic, found = 1.0, []
    for step in range(20_000):
        kinetic *= rescaling.factor(kinetic, noise.at(step)) ** 2
        found.append(2.0 * kinetic / KT)
    for moment, expected in ((1, n_dof), (2, n_dof * (n_dof + 2))):
        series = np.array(found) ** moment
        assert abs(series.mean() - expected) < 3.5 * standard_error(series)
        assert standard_error(series) < 0.03 * expected
    assert rescaling.factor(0.0, noise.at(0)) == 1.0


def test_noise_is_named_by_seed_stream_and_step():
    noise, again = CountedNoise(7), CountedNoise(7)
    first = noise.at(5).standard_normal(3)
    noise.at(6).standard_gamma(1.5)  # leaves half a number behind
    assert_allclose(noise.at(5).standard_normal(3), first, rtol=0.0)
    assert_allclose(again.at(5).standard_normal(3), first, rtol=0.0)
    others = [CountedNoise(8).at(5), noise.at(5, stream=0)]
    for other in (*(one.standard_normal(3) for one in others), noise.at(6).standard_normal(3)):
        assert np.abs(other - first).min() > 0.0


def test_without_friction_there_is_no_noise():
    """The centroid of TRPMD, to the last bit."""
    pile = Pile(pile_frictions(mode_frequencies(4, KT, 1.0), 0.5, np.inf), 0.05, 4 * KT, 6)
    momenta = np.random.default_rng(2).standard_normal((4, 6))
    before = momenta.copy()
    pile.act(momenta, CountedNoise(1).at(1))
    assert_allclose(momenta[0], before[0], rtol=0.0)
    assert np.abs(momenta[1:] - before[1:]).min() > 0.0
