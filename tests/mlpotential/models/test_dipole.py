"""Latent charges and dipoles: definitions, symmetries, derivatives, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.models.model_file import load_model, save_model
from mlpotential.models.outputs import Output
from mlpotential.neighbors import connect
from mlpotential.testing import predict

OF_CHARGES = ("dipole", "charges", "born_charges")
TOTALS = [None, 0.0, -1.0]


def graph_of(atoms: Atoms) -> AtomGraph:
    return AtomGraph.from_atoms(atoms)


def rotation() -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    return q * np.linalg.det(q)


@pytest.mark.parametrize("total", TOTALS)
def test_the_dipole_is_that_of_the_charges_about_ases_centre_of_mass(
    make_dipole_potential, ethanol, total
):
    answer = predict(make_dipole_potential(total_charge=total), graph_of(ethanol), *OF_CHARGES)
    charges = answer.charges.numpy()
    away = ethanol.positions - ethanol.get_center_of_mass()
    np.testing.assert_allclose(answer.dipole[0], charges @ away, rtol=0, atol=1e-12)
    assert answer.dipole.dtype == answer.charges.dtype == torch.float64
    if total is not None:
        assert charges.sum() == pytest.approx(total, abs=1e-12)
    else:
        assert abs(charges.sum()) > 1e-3


def test_the_excess_is_spread_evenly(make_dipole_potential, ethanol):
    """Free and constrained charges of the same weights differ by the same number on each atom."""
    free, bound = (
        predict(make_dipole_potential(total_charge=total), graph_of(ethanol), "charges").charges
        for total in (None, 2.0)
    )
    np.testing.assert_allclose(bound - free, np.full(9, (2.0 - float(free.sum())) / 9), rtol=1e-12)


@pytest.mark.parametrize("total", TOTALS)
def test_born_charges_are_derivatives_of_the_dipole(make_dipole_potential, ethanol, total):
    model, graph, step = make_dipole_potential(total_charge=total), graph_of(ethanol), 1e-4
    born = predict(model, graph, "born_charges").born_charges.numpy()
    numerical = np.zeros((9, 3, 3))
    for atom, axis in np.ndindex(9, 3):
        moved = [graph.positions.clone() for _ in range(4)]
        for positions, steps in zip(moved, (-2, -1, 1, 2), strict=True):
            positions[atom, axis] += steps * step
        low2, low, high, high2 = (
            predict(model, replace(graph, positions=p), "dipole").dipole[0].numpy() for p in moved
        )
        numerical[atom, :, axis] = (8 * (high - low) - (high2 - low2)) / (12 * step)
    np.testing.assert_allclose(born, numerical, atol=1e-8)
    assert np.abs(born - born.transpose(0, 2, 1)).max() > 1e-3  # the order of indices shows
    np.testing.assert_allclose(born.sum(axis=0), 0.0, atol=1e-12)  # acoustic sum rule


def test_rotation_translation_reflection(dipole_potential, ethanol):
    reference = predict(dipole_potential, graph_of(ethanol), *OF_CHARGES)
    for matrix in (rotation(), -rotation()):
        turned = ethanol.copy()
        turned.positions = ethanol.positions @ matrix + np.array([7.0, -300.0, 0.1])
        answer = predict(dipole_potential, graph_of(turned), *OF_CHARGES)
        np.testing.assert_allclose(answer.charges, reference.charges, atol=1e-12)
        np.testing.assert_allclose(answer.dipole, reference.dipole.numpy() @ matrix, atol=1e-11)
        expected = matrix.T @ reference.born_charges.numpy() @ matrix
        np.testing.assert_allclose(answer.born_charges, expected, atol=1e-11)


def test_batch_equals_singles(dipole_potential, ethanol):
    graphs = [graph_of(atoms) for atoms in (ethanol, molecule("H2O"), Atoms("C"), ethanol)]
    together = predict(dipole_potential, collate(graphs), "forces", *OF_CHARGES)
    alone = [predict(dipole_potential, graph, "forces", *OF_CHARGES) for graph in graphs]
    for name in ("forces", *OF_CHARGES):
        expected = torch.cat([getattr(answer, name) for answer in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-12, atol=1e-12)


def test_energies_and_forces_do_not_notice(dipole_potential, ethanol):
    graph = connect(graph_of(ethanol), dipole_potential.cutoff)
    plain = dipole_potential(graph, ("energy", "forces", "virial"))
    both = dipole_potential(graph, ("energy", "forces", "virial", *OF_CHARGES))
    for name in ("energy", "forces", "virial"):
        torch.testing.assert_close(getattr(plain, name), getattr(both, name), rtol=0, atol=0)
    assert plain.dipole is plain.charges is plain.born_charges is None
    assert not both.dipole.requires_grad


def test_float32_keeps_sums_in_float64(dipole_potential, ethanol):
    reference = predict(dipole_potential, graph_of(ethanol), "dipole").dipole
    far = ethanol.copy()
    far.positions += 1e4
    answer = predict(dipole_potential.float(), graph_of(far), "dipole", "charges")
    np.testing.assert_allclose(answer.dipole, reference, atol=3e-6)  # sums of 0.2 e times 3 A
    assert abs(float(answer.charges.sum())) < 1e-12


def test_a_crystal_has_charges_but_no_dipole(dipole_potential, diamond):
    charges = predict(dipole_potential, graph_of(diamond), "charges").charges
    assert abs(float(charges.sum())) < 1e-12
    for name in ("dipole", "born_charges"):
        with pytest.raises(StructureError, match="periodic structure has no dipole"):
            predict(dipole_potential, graph_of(diamond), name)


def test_a_model_without_dipoles_says_what_to_do(potential, ethanol):
    with pytest.raises(ConfigError, match=r"no charges, dipole: .*'dipole:' below outputs"):
        predict(potential, graph_of(ethanol), "dipole", "charges")


def test_save_and_load(dipole_potential, ethanol, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, dipole_potential, graph_of(ethanol))
    loaded = load_model(path).potential
    assert loaded.config == dipole_potential.config
    for name in OF_CHARGES:
        before, after = (
            getattr(predict(m, graph_of(ethanol), name), name) for m in (dipole_potential, loaded)
        )
        torch.testing.assert_close(before, after, rtol=0, atol=0)


@pytest.mark.parametrize("total_charge", [np.nan, 1e300, False])
def test_senseless_total_charges(total_charge):
    with pytest.raises(ConfigError, match="total_charge of an output must be a finite charge"):
        Output(total_charge=total_charge)
