"""Ring polymers under pressure: an ideal gas is known exactly, and a run in parts is the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.analysis.sampling.uncertainty import block_average
from md_runs.force_provider import CalculatorForces
from md_runs.pimd import PimdRun, run_pimd
from md_runs.pimd.ring_polymer.barostat import BreathingRingPolymer, Piston
from md_runs.pimd.ring_polymer.integrator import RingPolymerSystem
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile, pile_frictions
from md_runs.reading import read_run
from mlpotential.errors import RunError, StructureError

METAL = CalculatorForces("ase.calculators.emt:EMT")
KT, PRESSURE = 0.5, 2.0
SETTINGS = PimdRun(
    n_steps=40,
    n_beads=3,
    timestep_fs=2.0,
    stride=4,
    properties_stride=2,
    checkpoint_stride=8,
    engine="native",
    pressure_GPa=5.0,
    barostat_time_fs=100.0,
)


def breathing(forces, n_beads=3, n_atoms=6, timestep=0.1, volume=2.0, **more):
    """In units with hbar = 1."""
    system = RingPolymerSystem(
        np.resize([1.0, 2.0, 16.0], n_atoms), n_beads, timestep, KT, hbar=1.0, holds_center=True
    )
    frictions = pile_frictions(system.frequencies, strength=1.0, centroid_time=0.5)
    pile = Pile(frictions, 0.5 * timestep, n_beads * KT, 3 * n_atoms)
    piston = Piston(PRESSURE, time_constant=3.0, volume=volume, **more)
    made = BreathingRingPolymer(system, forces, pile, CountedNoise(2), piston)
    made.begin(np.zeros((n_beads, n_atoms, 3)))
    return made


def gas(positions, scale):
    return np.zeros(len(positions)), np.zeros(positions.shape), np.zeros(len(positions))


def springs(positions, scale):
    """From each atom to the next one, of a length that grows with the cell."""
    stretch = np.diff(positions, axis=1) - 0.3 * scale
    forces = np.zeros(positions.shape)
    forces[:, 1:] -= 4.0 * stretch
    forces[:, :-1] += 4.0 * stretch
    squares = (stretch**2).sum(axis=(1, 2))
    return 2.0 * squares, forces, -4.0 * squares


@pytest.mark.parametrize("n_beads", [1, 4])
def test_an_ideal_gas_of_rings(n_beads):
    """Rings keep their size: volumes have the weight V^(N - 1) exp(-P V / kT) of any gas."""
    moving, found = breathing(gas, n_beads), []
    for step in range(1, 12_001):
        moving.step(step)
        if step % 4 == 0:
            energies = moving.energies()
            found.append((energies.volume, energies.pressure, energies.conserved))
    volumes, pressures, conserved = np.array(found[100:]).T
    expected = 6 * KT / PRESSURE
    mean = block_average(volumes)
    assert mean.standard_error < expected / 6 / 4  # one atom more or less would show
    assert abs(mean.value - expected) < 4 * mean.standard_error
    variance = block_average((volumes - expected) ** 2)
    assert abs(variance.value - expected**2 / 6) < 4 * variance.standard_error
    pressure = block_average(pressures)
    assert abs(pressure.value - PRESSURE) < 4 * pressure.standard_error
    assert np.ptp(conserved) < 0.3 * KT


def test_the_energy_is_conserved_to_second_order():
    ripples = []
    for timestep in (0.02, 0.04):
        moving, conserved = breathing(springs, 3, timestep=timestep), []
        for step in range(1, int(8 / timestep)):
            moving.step(step)
            conserved.append(moving.energies().conserved)
        ripples.append(np.ptp(conserved))
        assert abs(moving.scale - 1) > 0.02
    assert ripples[0] < 0.04 * KT
    assert ripples[1] > 2.5 * ripples[0]


def test_the_pressure_is_the_slope_of_the_energy_by_strain():
    """Of centroids alone, internal modes keeping their size, at rest."""
    moving = breathing(springs, 3)
    positions = np.random.default_rng(0).normal(size=(3, 6, 3))
    moving.begin(positions, np.zeros((3, 6, 3)))
    centroid = positions.mean(axis=0)

    def energy(strain):
        return springs(positions + strain * centroid, 1 + strain)[0].mean()

    slope = (energy(1e-5) - energy(-1e-5)) / 2e-5
    assert moving.energies().pressure == pytest.approx(-slope / (3 * 2.0), rel=1e-7)


def test_a_run_in_parts_is_the_whole(tmp_path):
    atoms = bulk("Al", a=3.95, cubic=True)
    whole = run_pimd(atoms, METAL, SETTINGS, tmp_path / "whole", False)
    assert "GPa, volume" in str(whole)
    assert_allclose(np.linalg.det(whole.trajectory.cells), whole.properties.volume[::2], rtol=1e-12)
    assert np.ptp(whole.properties.volume) > 0.1
    assert_array_equal(read_run(tmp_path / "whole").cells, whole.trajectory.cells)
    for n_steps in (19, 40):
        run_pimd(atoms, METAL, replace(SETTINGS, n_steps=n_steps), tmp_path / "parts", False)
    for name in ("trajectory.frames", "properties.frames", "ring_polymer.checkpoint"):
        content = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "parts" / name).read_bytes() == content


def test_a_cell_that_is_too_small_or_bursts_ends_the_run(tmp_path):
    small = breathing(gas, smallest_volume=1.999, volume=4.0)
    with pytest.raises(StructureError, match="narrower than the cutoff"):  # noqa: PT012
        for step in range(1, 200):
            small.step(step)
    atoms = bulk("Al", a=3.95, cubic=True)
    with pytest.raises(RunError, match=r"exploded at step \d+: the volume changes by"):
        run_pimd(atoms, METAL, replace(SETTINGS, pressure_GPa=-1e5), tmp_path, False)
