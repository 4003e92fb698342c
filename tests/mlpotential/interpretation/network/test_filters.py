"""Filters against the networks of the model, cuts against loops over images."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from numpy.testing import assert_allclose

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.network.filters import filter_curves, filter_cut, most_varying
from mlpotential.testing import tiny_schnet

DISTANCES = np.linspace(0.1, 6.0, 30)  # beyond the cutoff, too


def curves_of_the_model(model, r):
    """What the representation multiplies messages with, [n_interactions, n, n_features]."""
    with torch.no_grad():
        return np.stack([f.numpy() for f in model._network_filters(torch.as_tensor(r))])


@pytest.mark.parametrize("settings", [{}, {"cutoff_function": "none", "cutoff": None}])
def test_filters_are_those_of_the_model(settings):
    model = tiny_schnet(**settings)
    found = filter_curves(model, DISTANCES)
    assert_allclose(found.ended, curves_of_the_model(model, DISTANCES), rtol=1e-12, atol=1e-15)
    assert (found.cutoff_function is None) == (model.cutoff is None)
    if model.cutoff is not None:
        inside = model.cutoff > DISTANCES
        assert (found.ended[:, ~inside] == 0.0).all()
        jet = model.filter_jet(torch.as_tensor(DISTANCES[inside])).value.detach().numpy()
        joined = np.concatenate(list(found.ended[:, inside]), axis=1)
        assert_allclose(joined, jet, rtol=1e-10, atol=1e-13)
        assert np.abs(found.values[:, ~inside]).max() > 0.0


def test_a_hard_cutoff_ends_filters_at_once():
    found = filter_curves(tiny_schnet(cutoff_function="hard", cutoff=5.0), DISTANCES)
    assert_allclose(found.cutoff_function, DISTANCES < 5.0)


def test_factors_of_dtnn(dtnn, behler_parrinello):
    found = filter_curves(dtnn, DISTANCES)
    assert found.what == "factor"
    centers = dtnn.radial_basis.centers.numpy()
    gaussians = np.exp(-dtnn.config.gamma * (DISTANCES[:, None] - centers) ** 2)
    layer = dtnn.distance_to_factors
    expected = gaussians @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    assert_allclose(found.values[0], expected, rtol=1e-10, atol=1e-13)
    with pytest.raises(ConfigError, match="BehlerParrinello has no filters"):
        filter_curves(behler_parrinello, DISTANCES)


def test_a_cut_sums_over_images(diamond):
    model, structure = tiny_schnet(), AtomGraph.from_atoms(diamond)
    cut = filter_cut(model, structure, 3, 1, [0, 5], n_points=5, normal=(1.0, 1.0, 0.5))
    normal = np.array([1.0, 1.0, 0.5]) / 1.5
    first = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    cell = np.asarray(diamond.cell)
    for row in (0, 2, 4):
        for column in (1, 3):
            point, total = cut.x[column] * first + cut.x[row] * second, np.zeros(2)
            for shift in np.ndindex(11, 11, 11):
                r = np.linalg.norm(point - (np.array(shift) - 5) @ cell)
                if r < model.cutoff:
                    total += curves_of_the_model(model, np.array([r]))[1, 0, [0, 5]]
            assert_allclose(cut.values[:, row, column], total, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("with_cutoff", [True, False])
def test_a_cut_has_the_period_of_the_lattice(with_cutoff):
    a = 3.0
    structure = AtomGraph.from_atoms(bulk("C", "sc", a=a))
    cut = filter_cut(
        tiny_schnet(), structure, 0, 0, [1], width=2 * a, n_points=9, with_cutoff=with_cutoff
    )
    half = len(cut.x) // 2
    assert_allclose(cut.values[:, half:], cut.values[:, :-half], rtol=1e-10)
    assert_allclose(cut.values[..., half:], cut.values[..., :-half], rtol=1e-10)
    assert np.ptp(cut.values) > 1e-3 * np.abs(cut.values).max()
    assert len(cut.image_positions) == 9


def test_a_molecule_has_circles(ethanol):
    model = tiny_schnet(cutoff_function="none", cutoff=None)
    cut = filter_cut(model, AtomGraph.from_atoms(ethanol), 2, 0, [3], n_points=7)
    x = cut.x[:, None]
    expected = curves_of_the_model(model, np.hypot(x, x.T).reshape(-1))[0, :, 3].reshape(7, 7)
    assert_allclose(cut.values[0], expected, rtol=1e-10, atol=1e-13)


def test_most_varying_are_found():
    found = filter_curves(tiny_schnet(), DISTANCES)
    chosen = most_varying(found, 1, 3)
    spreads = found.ended[1].std(axis=0)
    assert chosen == sorted(chosen)
    assert min(spreads[chosen]) >= max(np.delete(spreads, chosen))


def test_what_cannot_be_cut(diamond, ethanol, dtnn):
    crystal, free = AtomGraph.from_atoms(diamond), AtomGraph.from_atoms(ethanol)
    with pytest.raises(StructureError, match="images of an atom has no end"):
        filter_cut(tiny_schnet(cutoff_function="none", cutoff=None), crystal, 0, 0, [0])
    with pytest.raises(ConfigError, match="DTNN has none"):
        filter_cut(dtnn, free, 0, 0, [0])
    with pytest.raises(ConfigError, match="there is no atom 9: there are 9, from 0"):
        filter_cut(tiny_schnet(), free, 9, 0, [0])
    with pytest.raises(ConfigError, match="must not be zero"):
        filter_cut(tiny_schnet(), free, 0, 0, [0], normal=(0.0, 0.0, 0.0))
