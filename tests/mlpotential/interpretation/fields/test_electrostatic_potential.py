"""Potentials of point charges against formulas, and the sign of latent charges."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.electrostatic_potential import ElectrostaticPotential
from mlpotential.models.outputs import Output
from mlpotential.neighbors import connect
from mlpotential.testing import tiny_schnet

K_E = 14.399645  # eV A / e^2; CODATA 2014, e^2 / (4 pi epsilon_0)


def test_of_one_charge():
    """k_e q / r along any direction, and its field away from the charge."""
    potential = ElectrostaticPotential([-2.0], [[1.0, 2.0, 3.0]])
    points = np.array([1.0, 2.0, 3.0]) + np.array([[0.5, 0, 0], [0, 3.0, 4.0], [-1.0, 2.0, 2.0]])
    distances = np.array([0.5, 5.0, 3.0])
    np.testing.assert_allclose(potential.at(points), -2.0 * K_E / distances, rtol=1e-7)
    strengths = np.linalg.norm(potential.field(points), axis=1)
    np.testing.assert_allclose(strengths, 2.0 * K_E / distances**2, rtol=1e-7)
    assert potential.field(points)[0, 0] < 0.0  # towards a negative charge
    assert potential.at(potential.positions) == -np.inf


def test_the_field_is_minus_the_gradient():
    rng = np.random.default_rng(0)
    potential = ElectrostaticPotential(rng.normal(size=5), rng.normal(size=(5, 3)))
    points, h = 3.0 * rng.normal(size=(20, 3)), 1e-4
    higher, lower = (
        np.stack([potential.at(points + d) for d in sign * h * np.eye(3)], axis=1)
        for sign in (1.0, -1.0)
    )
    np.testing.assert_allclose(potential.field(points), (lower - higher) / (2 * h), rtol=1e-5)


def test_many_points_are_the_same_as_few():
    rng = np.random.default_rng(0)
    potential = ElectrostaticPotential(rng.normal(size=2), rng.normal(size=(2, 3)))
    points = rng.normal(size=(40_000, 3))
    assert potential.at(points)[-1] == pytest.approx(potential.at(points[-1:])[0], rel=1e-12)
    assert potential.at(points[:0]).shape == (0,)
    assert potential.field(points[:0]).shape == (0, 3)


def test_far_away_it_is_that_of_the_dipole(dipole_potential, ethanol):
    """k_e mu . r / r^3, with the dipole moment that the model itself gives."""
    graph = connect(AtomGraph.from_atoms(ethanol), dipole_potential.cutoff)
    dipole = dipole_potential(graph, ["dipole"]).dipole[0].numpy()
    potential = ElectrostaticPotential.of_model(dipole_potential, ethanol)
    assert potential.sign == "as trained on dipole vectors"
    assert potential.charges.sum() == pytest.approx(0.0, abs=1e-12)
    directions = np.random.default_rng(1).normal(size=(30, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    center = ethanol.get_center_of_mass()
    errors = []
    for distance in (1e3, 1e4):
        expected = K_E * directions @ dipole / distance**2
        found = potential.at(center + distance * directions)
        errors.append(np.abs(found - expected).max() / np.abs(expected).max())
    assert errors[0] < 1e-2
    assert errors[1] == pytest.approx(0.1 * errors[0], rel=0.1)  # the quadrupole is next


def reversed_charges(model):
    """Of the same lengths of dipoles."""
    for parameter in model.charge_readout.atomwise.output.parameters():
        parameter.data.neg_()
    return model


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_lengths_of_dipoles_leave_the_sign_to_a_rule(seed):
    """The same potential from q and -q, in which hydrogen of hydrides is positive on average."""
    outputs = {"dipole_magnitude": Output(total_charge=0.0)}
    model, acid = tiny_schnet(seed, outputs), molecule("HCOOH")
    first = ElectrostaticPotential.of_model(model, acid)
    second = ElectrostaticPotential.of_model(reversed_charges(tiny_schnet(seed, outputs)), acid)
    np.testing.assert_array_equal(first.charges, second.charges)
    assert first.sign == "mean charge of H in H2O, CH4 taken positive"
    hydrides = [molecule(name) for name in ("H2O", "CH4")]
    charges = [ElectrostaticPotential.of_model(model, m).charges[m.numbers == 1] for m in hydrides]
    assert np.mean([q.mean() for q in charges]) > 0.0


def test_vectors_of_dipoles_have_a_sign():
    outputs = {"dipole": Output(total_charge=0.0)}
    first = ElectrostaticPotential.of_model(tiny_schnet(0, outputs), molecule("H2O"))
    other = reversed_charges(tiny_schnet(0, outputs))
    second = ElectrostaticPotential.of_model(other, molecule("H2O"))
    np.testing.assert_array_equal(first.charges, -second.charges)


def test_what_has_no_potential_is_told(potential, dipole_potential):
    with pytest.raises(ConfigError, match="no charges: it was trained without dipole"):
        ElectrostaticPotential.of_model(potential, molecule("H2O"))
    with pytest.raises(StructureError, match="crystal's charges depends on its surface"):
        ElectrostaticPotential.of_model(dipole_potential, bulk("C"))
    with pytest.raises(StructureError, match="does not know N"):
        ElectrostaticPotential.of_model(dipole_potential, molecule("NH3"))
    lengths = tiny_schnet(0, {"dipole_magnitude": Output()})
    lengths.elements = (6, 8)
    with pytest.raises(ConfigError, match="no sign"):
        ElectrostaticPotential.of_model(lengths, Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]))
