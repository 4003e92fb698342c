"""Relaxation to a known minimum."""

from __future__ import annotations

import numpy as np
import pytest
from ase.constraints import FixAtoms
from ase.io import read
from spring_network import SpringNetwork, spring_cluster

from md_runs.relax import relax
from mlpotential.errors import ConfigError, RunError


@pytest.mark.parametrize("optimizer", ["bfgs", "fire"])
def test_relaxes_to_the_rest_lengths(optimizer, tmp_path):
    atoms = spring_cluster(6)
    minimum = atoms.get_all_distances()
    atoms.rattle(0.05, seed=1)
    start = atoms.get_positions()
    relaxed, result = relax(
        atoms, 1e-5, optimizer=optimizer, trajectory_file=tmp_path / "steps.traj"
    )
    np.testing.assert_allclose(relaxed.get_all_distances(), minimum, atol=1e-4)
    np.testing.assert_array_equal(atoms.positions, start)
    assert result.max_force == np.linalg.norm(relaxed.get_forces(), axis=1).max() < 1e-5
    assert result.energy == relaxed.get_potential_energy() < 1e-7
    assert len(read(tmp_path / "steps.traj", ":")) == result.n_steps + 1


def test_constraints_are_kept():
    atoms = spring_cluster(6)
    atoms.rattle(0.05, seed=1)
    atoms.set_constraint(FixAtoms([2]))
    relaxed, _ = relax(atoms)
    np.testing.assert_array_equal(relaxed.positions[2], atoms.positions[2])
    assert np.abs(relaxed.positions - atoms.positions).max() > 0.01


def test_not_converged_tells_the_residual_force():
    atoms = spring_cluster(6)
    atoms.rattle(0.05, seed=1)
    with pytest.raises(
        RunError, match=r"after 2 steps: the longest force is \d\.\d+ eV/A, not 1e-"
    ):
        relax(atoms, 1e-6, max_steps=2)


def test_a_force_that_is_not_finite_stops():
    atoms = spring_cluster(6)
    atoms.calc = SpringNetwork(atoms.get_positions(), float("nan"))
    with pytest.raises(RunError, match="force on atom 0 is not finite at step 0"):
        relax(atoms)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"force_tolerance": 0.0}, "force_tolerance"),
        ({"force_tolerance": float("nan")}, "force_tolerance"),
        ({"max_steps": 0}, "max_steps"),
        ({"optimizer": "fir"}, "Did you mean 'fire'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        relax(spring_cluster(6), **options)
