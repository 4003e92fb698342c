"""Universes of MDAnalysis, where it is installed."""

import numpy as np
import pytest
from ase import Atoms, units

from md_runs.reading import read_run
from mlpotential.errors import RunError

mda = pytest.importorskip("MDAnalysis")
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:the shortest distance"
)


@pytest.fixture
def universe():
    """Seven frames of water in a cell, 2 ps apart."""
    generator = np.random.default_rng(5)
    water = mda.Universe.empty(3, trajectory=True, velocities=True, forces=True)
    water.add_TopologyAttr("elements", ["O", "H", "H"])
    water.add_TopologyAttr("masses", [15.999, 1.008, 2.014])
    shape = (7, 3, 3)
    water.load_new(
        generator.normal(size=shape),
        velocities=generator.normal(size=shape),
        forces=generator.normal(size=shape),
        dimensions=np.tile([10.0, 11.0, 12.0, 90.0, 90.0, 90.0], (7, 1)),
        dt=2.0,
    )
    return water


def test_units_and_frames(universe):
    trajectory = read_run(universe)
    np.testing.assert_allclose(trajectory.times_fs, 2000.0 * np.arange(7))
    np.testing.assert_allclose(trajectory.cells[6], np.diag([10.0, 11.0, 12.0]), atol=1e-5)
    for k in (4, 0):
        frame = universe.trajectory[k].copy()
        np.testing.assert_allclose(trajectory.positions[k, 0], frame.positions, rtol=1e-6)
        velocities = frame.velocities * units.Angstrom / 1000.0
        np.testing.assert_allclose(
            trajectory.velocities_angstrom_per_fs[k, 0], velocities, rtol=1e-6
        )
        forces = frame.forces * units.kJ / units.mol
        np.testing.assert_allclose(trajectory.forces[k, 0], forces, rtol=1e-6)
    assert trajectory.atomic_numbers.tolist() == [8, 1, 1]
    assert trajectory.masses.tolist() == [15.999, 1.008, 2.014]
    assert trajectory.pbc == (True, True, True)


def test_what_it_does_not_tell(universe):
    molecule = read_run(universe, frame_interval_fs=0.5, structure=Atoms("OHH"))
    assert molecule.cells is None
    np.testing.assert_array_equal(molecule.times_fs, 0.5 * np.arange(7))
    bare = mda.Universe.empty(3, trajectory=True)
    with pytest.raises(RunError, match="no elements or masses: give the structure"):
        read_run(bare)
    with pytest.raises(RunError, match="3 atoms, but the structure 2"):
        read_run(universe, structure=Atoms("OH"))
