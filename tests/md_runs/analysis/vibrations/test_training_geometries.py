"""Geometries near rest and beyond beads, against what they are drawn from."""

import numpy as np
import pytest
from ase.units import kB

from md_runs.analysis.vibrations.normal_modes import cartesian_displacements, normal_modes
from md_runs.analysis.vibrations.training_geometries import (
    positions_near_minimum,
    stretched_from_centroid,
)
from mlpotential.errors import ConfigError
from tests.md_runs.systems.harmonic_molecules import water


def test_soft_modes_are_uniform_and_the_others_thermal():
    atoms, hessian = water()
    rest = atoms.positions
    modes = normal_modes(hessian, atoms.get_masses(), rest)
    limit = 0.5 * (modes.wavenumbers_per_cm[0] + modes.wavenumbers_per_cm[1])
    drawn = positions_near_minimum(modes, 4000, limit, 0.1, 20.0, np.random.default_rng(0))
    moved = (drawn - rest).reshape(len(drawn), -1)
    unit = cartesian_displacements(modes).reshape(modes.n_modes, -1)
    far = moved @ np.linalg.pinv(unit)  # lengths along the modes
    assert 0.099 < abs(far[:, 0]).max() < 0.1
    np.testing.assert_allclose(far[:, 0].var(), 0.1**2 / 3, rtol=0.05)
    # Equipartition: half kT in each of the other modes, E = q H q / 2.
    little = moved - far[:, :1] * unit[0]
    energy = 0.5 * np.einsum("fi,ij,fj->f", little, hessian, little).mean()
    np.testing.assert_allclose(energy, 0.5 * kB * 20.0 * (modes.n_modes - 1), rtol=0.05)


def test_no_soft_mode_is_said():
    atoms, hessian = water()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    with pytest.raises(ConfigError, match="no mode is below 1 1/cm: the softest is at"):
        positions_near_minimum(modes, 1, 1.0, 0.1, 5.0, np.random.default_rng(0))


def test_stretched_beads_keep_their_centroid():
    beads = np.random.default_rng(0).normal(size=(3, 8, 2, 3))
    stretched = stretched_from_centroid(beads, 1.5)
    np.testing.assert_allclose(stretched.mean(axis=1), beads.mean(axis=1), atol=1e-14)
    np.testing.assert_allclose(np.ptp(stretched, axis=1), 1.5 * np.ptp(beads, axis=1))
    with pytest.raises(ConfigError, match="more than 1"):
        stretched_from_centroid(beads, 1.0)
