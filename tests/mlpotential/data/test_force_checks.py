"""Forces of a good set pass; each fault in them is told by what physics forbids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlpotential.data.force_checks import bond_forces, net_forces, net_torques, zero_forces
from mlpotential.data.reference_data import ReferenceData
from mlpotential.graph import AtomGraph

CHECKS = (net_forces, net_torques, zero_forces, bond_forces)


def with_forces(
    graphs: list[AtomGraph], change: Callable[[int, np.ndarray, np.ndarray], np.ndarray]
) -> ReferenceData:
    """Forces replaced by change(k, forces, atomic numbers); frames numbered from 100."""
    changed = [
        replace(g, forces=torch.tensor(change(k, g.forces.numpy(), g.atomic_numbers.numpy())))
        for k, g in enumerate(graphs)
    ]
    return ReferenceData(tuple(changed), "set", tuple(range(100, 100 + len(graphs))))


def test_good_sets_pass(molecules, crystals):
    for graphs in (molecules, crystals, molecules + crystals):
        data = ReferenceData(tuple(graphs), "set")
        assert [check(data) for check in CHECKS] == [None] * 4


def test_gradients(molecules, crystals):
    for graphs in (molecules, crystals):
        data = with_forces(graphs, lambda k, f, z: -f)
        assert [check(data) for check in CHECKS[:3]] == [None] * 3  # no sum, no torque
        assert "Are the forces gradients, with the other sign?" in bond_forces(data)


def test_half_of_them_gradients(many_molecules):
    """Looked at with no stride that could meet the good ones alone."""
    data = with_forces(many_molecules, lambda k, f, z: f if k % 2 else -f)
    assert "stretched bonds do not pull" in bond_forces(data)


@pytest.mark.parametrize(
    "order",
    [
        lambda z: np.arange(len(z))[::-1],
        lambda z: np.argsort(z, kind="stable"),
        lambda z: np.roll(np.arange(len(z)), 1),
    ],
    ids=["reversed", "sorted", "shifted"],
)
def test_rows_in_another_order(molecules, order):
    found = net_torques(with_forces(molecules, lambda k, f, z: f[order(z)].copy()))
    assert "would turn them" in found
    assert "in the order of the atoms" in found


def test_rows_of_crystals_in_another_order(crystals):
    """They have no torque, but go with the bonds in one order."""
    data = with_forces(crystals, lambda k, f, z: f[::-1].copy())
    assert net_torques(data) is None
    assert "are reversed" in bond_forces(data)


def test_another_orientation(molecules):
    assert "one orientation" in net_torques(
        with_forces(molecules, lambda k, f, z: f[:, [1, 2, 0]].copy())
    )


def test_net_forces(molecules, crystals):
    for graphs in (molecules, crystals):
        found = net_forces(with_forces(graphs, lambda k, f, z: f + np.array([0.0, 0.5, 0.0])))
        assert "do not add up to zero (up to 0.5 eV/A per atom, in frame 1" in found


def test_one_net_force_among_many_is_named(molecules):
    found = net_forces(with_forces(molecules, lambda k, f, z: f + 0.2 * (k == 7)))
    assert "of 1 of 60 structures" in found
    assert "in frame 107)" in found
    assert net_forces(with_forces(molecules[:9], lambda k, f, z: f + 0.2)) is None  # too few


def test_forces_left_at_zero(molecules, crystals):
    for graphs in (molecules, crystals):
        found = zero_forces(with_forces(graphs, lambda k, f, z: f * ((k + 1) % 2)))
        assert f"in {len(graphs) // 2} of {len(graphs)} structures, the first frame 101" in found


def test_fixed_atoms(crystals):
    """Forces of some atoms set to zero, as ASE does for those that are fixed."""
    found = zero_forces(with_forces(crystals, lambda k, f, z: f * [[0.0], [1.0], [1.0], [1.0]]))
    assert "Are they of fixed atoms" in found


def test_zero_by_symmetry_passes():
    """Perfect crystals of any lattice constant, and lone atoms, have no forces."""
    places = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
    zero = np.zeros((4, 3))
    graphs = [
        AtomGraph.from_arrays([29] * 4, a * places, a * np.eye(3), True, energy=a, forces=zero)
        for a in np.linspace(3.4, 3.9, 20)
    ]
    graphs += [AtomGraph.from_arrays([1], np.zeros((1, 3)), energy=0.0, forces=np.zeros((1, 3)))]
    assert zero_forces(ReferenceData(tuple(graphs), "perfect")) is None


def test_small_forces_prove_nothing(molecules):
    """At rest, noise is all there is."""
    random = np.random.default_rng(0)
    data = with_forces(molecules, lambda k, f, z: 1e-3 * random.normal(size=f.shape))
    assert [check(data) for check in CHECKS] == [None] * 4
