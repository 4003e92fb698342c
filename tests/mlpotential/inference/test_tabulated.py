"""Tabulated filters and the backward pass by hand, against autograd in float64."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from mlpotential import testing
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.schnet import filter_table
from mlpotential.inference.schnet.filter_table import TABLE_TOLERANCE, tabulate_filters
from mlpotential.inference.schnet.tabulated import TabulatedSchNet
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.neighbors import connect

PUBLISHED = {"rbf_stop": 20.0, "n_rbf": 200}
SHORT = {"rbf_stop": 5.0, "rbf_spacing": 0.1, "rbf_gamma": None, "cutoff": 5.0}
MODES = {
    "none": PUBLISHED,
    "cosine": SHORT | {"cutoff_function": "cosine"},
    "hard": SHORT | {"cutoff_function": "hard"},
    "linear-filters": SHORT | {"cutoff_function": "cosine", "filter_output_activation": "none"},
}
ALL = ("energy", "forces", "virial", "stress", "atomic_energies")


def make_model(mode: str) -> SchNet:
    torch.manual_seed(7)
    model = SchNet(SchNetConfig(n_features=16, n_interactions=3, **MODES[mode])).double().eval()
    model.scale.set(-2.0, 0.7, {1: -13.6, 8: -75.0})
    return model


def molecule(seed: int = 0) -> AtomGraph:
    rng = np.random.default_rng(seed)
    positions = np.array(list(np.ndindex(2, 2, 3))) * 1.4 + rng.normal(scale=0.1, size=(12, 3))
    return AtomGraph.from_arrays(rng.choice([1, 8], 12), positions)


def crystal() -> AtomGraph:
    rng = np.random.default_rng(1)
    cell = np.array([[4.1, 0.0, 0.0], [1.4, 3.9, 0.0], [-0.9, 0.7, 4.3]])
    positions = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]) @ cell
    return AtomGraph.from_arrays(
        np.array([8, 1, 8, 1]), positions + rng.normal(scale=0.1, size=(4, 3)), cell, True
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_against_autograd_in_float64(mode, dtype):
    """Within 1e-7 of the largest force in float64, 2e-5 in float32; molecules and crystals."""
    model = make_model(mode)
    graphs = [molecule(0), molecule(1)] + ([] if mode == "none" else [crystal()])
    graph = connect(collate(graphs), model.cutoff)
    exact = model(graph, ALL)
    table = tabulate_filters(model, TABLE_TOLERANCE[dtype])
    fast = TabulatedSchNet(model.to(dtype), table)(graph, ALL)
    tolerance = 1e-7 if dtype == torch.float64 else 2e-5
    for name in ("forces", "virial", *(() if mode == "none" else ("stress",))):
        actual, expected = getattr(fast, name), getattr(exact, name)
        finite = expected.isfinite()
        assert torch.equal(finite, actual.isfinite())
        deviation = (actual - expected)[finite].abs().max() / expected[finite].abs().max()
        assert float(deviation) < tolerance, name
    assert fast.energy.dtype == torch.float64
    assert_allclose(fast.energy, exact.energy, atol=10 * tolerance)
    assert_allclose(fast.atomic_energies, exact.atomic_energies, atol=10 * tolerance)


@pytest.mark.parametrize("mode", MODES)
def test_the_stated_error_is_true(mode):
    """W and dW/dr at random distances, against the filter networks and autograd."""
    model = make_model(mode)
    table = tabulate_filters(model, 1e-6)
    assert max(table.error.filters, table.error.slopes) <= 1e-6
    distances = torch.rand(2000, dtype=torch.float64) * table.last
    distances.requires_grad_()
    filters, slopes = table(distances.detach())
    exact = filters_of(model, distances)
    (gradient,) = torch.autograd.grad(exact.sum(), distances)
    exact = exact.detach()
    assert (filters - exact).abs().max() < 1.1 * table.error.filters * exact.abs().max()
    total, largest = slopes.sum(dim=1), slopes.abs().max()
    n_filters = slopes.shape[1]
    assert (total - gradient).abs().max() < n_filters * 1.1 * table.error.slopes * largest


def filters_of(model: SchNet, distances: torch.Tensor) -> torch.Tensor:
    basis = model.radial_basis(distances)
    filters = torch.cat([block.filter_network(basis) for block in model.interactions], dim=1)
    if model.config.cutoff_function == "cosine":
        filters = filters * 0.5 * (torch.cos(distances * torch.pi / model.cutoff) + 1.0)[:, None]
    return filters


def test_finer_tables_are_better():
    """Quintic interpolation: half the spacing, about 64 times less error."""
    model = make_model("none")
    errors, spacings = [], []
    for tolerance in (1e-3, 1e-5, 1e-7):
        table = tabulate_filters(model, tolerance)
        errors.append(table.error.filters)
        spacings.append(table.spacing)
    assert spacings == sorted(spacings, reverse=True)
    assert errors == sorted(errors, reverse=True)
    order = np.log(errors[0] / errors[-1]) / np.log(spacings[0] / spacings[-1])
    assert 5.0 < order < 7.0


def test_a_lost_network_gets_the_coarsest_table():
    """No spacing helps it: the finest one would take minutes and gigabytes to say so."""
    model = make_model("none")
    coarsest = tabulate_filters(model, np.inf)
    model.blocks[2].filter_network.output.bias.data[3] = np.nan
    table = tabulate_filters(model, 1e-8)
    assert table.spacing == coarsest.spacing
    assert np.isnan(table.error.filters)


def test_filters_without_any_shape():
    """All zero: no slopes that an error could be relative to, and no error."""
    model = make_model("none")
    for block in model.blocks:
        block.filter_network.output.weight.data.zero_()
        block.filter_network.output.bias.data.zero_()
    table = tabulate_filters(model, 1e-8)
    assert (table.error.filters, table.error.slopes) == (0.0, 0.0)
    assert table.spacing == tabulate_filters(model, np.inf).spacing


@pytest.mark.parametrize("mode", ["none", "cosine"])
def test_beyond_the_range(mode):
    """Constant and without slope: zero behind a cutoff, the network's own limit without one."""
    model = make_model(mode)
    table = tabulate_filters(model, 1e-6)
    distances = torch.tensor([table.last - 1e-9, table.last + 1e-9, 500.0], dtype=torch.float64)
    filters, slopes = table(distances)
    assert not slopes[1:].any()
    torch.testing.assert_close(filters[1], filters[2], rtol=0, atol=0)
    torch.testing.assert_close(filters[0], filters[1], rtol=0, atol=1e-9)
    if mode == "cosine":
        assert float(filters[1:].abs().max()) < 1e-13  # a cosine of pi, rounded
    else:
        limit = filters_of(model, torch.tensor([500.0]).double())
        torch.testing.assert_close(filters[2:], limit, rtol=1e-12, atol=1e-12)


def test_forces_are_gradients_of_the_interpolated_energy(ethanol, potential):
    """Even with a coarse table: the slope is that of the interpolant."""
    fast = TabulatedSchNet(potential, tabulate_filters(potential, 1e-2))
    graph = connect(AtomGraph.from_atoms(ethanol), potential.cutoff)
    forces = fast(graph).forces
    step = 1e-5
    for atom, axis in ((0, 0), (3, 2), (8, 1)):
        energies = []
        for sign in (1.0, -1.0):
            moved = ethanol.copy()
            moved.positions[atom, axis] += sign * step
            connected = connect(AtomGraph.from_atoms(moved), potential.cutoff)
            energies.append(float(fast(connected, ("energy",)).energy))
        numerical = -(energies[0] - energies[1]) / (2 * step)
        assert_allclose(float(forces[atom, axis]), numerical, atol=1e-6)


def test_evaluator_with_tabulated_filters(potential, ethanol):
    exact = Evaluator(potential, ethanol.numbers, device="cpu", backend="reference")
    fast = Evaluator(potential, ethanol.numbers, device="cpu", backend="tabulated")
    assert (exact.backend, fast.backend) == ("reference", "tabulated")
    assert exact.table_error is None
    assert fast.table_error.slopes <= TABLE_TOLERANCE[torch.float64]
    positions = ethanol.positions + np.random.default_rng(0).normal(scale=0.03, size=(3, 9, 3))
    one, other = (e.evaluate(positions) for e in (exact, fast))
    assert_allclose(other.energy, one.energy, rtol=0, atol=1e-6)
    assert_allclose(other.forces, one.forces, rtol=0, atol=1e-6 * np.abs(one.forces).max())


def test_isolated_atom():
    model = make_model("cosine")
    fast = TabulatedSchNet(model, tabulate_filters(model, 1e-5))
    answer = fast(connect(AtomGraph.from_arrays([8], np.zeros((1, 3))), model.cutoff), ALL)
    assert not answer.forces.any()
    expected = testing.predict(model, AtomGraph.from_arrays([8], np.zeros((1, 3))))
    assert_allclose(answer.energy, expected.energy, rtol=1e-13)


def test_other_architectures_are_refused(potential, ethanol):
    class Other(type(potential).__mro__[1]):
        cutoff, traits, elements = None, potential.traits, (1, 6, 8)

        def __init__(self):
            super().__init__(potential.config)
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def representation(self, graph):
            return graph.positions

    with pytest.raises(ConfigError, match="as in SchNet, not as in Other: use backend"):
        Evaluator(Other(), ethanol.numbers, device="cpu", backend="tabulated")


def test_tables_of_the_same_filters_are_shared():
    """Whatever else differs; moving one to another dtype leaves the other alone."""
    model, other = make_model("cosine"), make_model("cosine")
    other.scale.set(3.0, 2.0, {1: 0.0, 8: 0.0})
    table, same = tabulate_filters(model, 1e-6), tabulate_filters(other, 1e-6)
    assert same.knots is table.knots
    assert (same.spacing, same.last, same.error) == (table.spacing, table.last, table.error)
    TabulatedSchNet(other.float(), same)
    assert same.knots.dtype == torch.float32
    assert table.knots.dtype == torch.float64


@pytest.mark.parametrize("change", ["weight", "cutoff", "activation", "tolerance"])
def test_a_table_is_of_its_own_filters(change, monkeypatch):
    """The last bit of one weight makes another table; what is remembered is what is made anew."""
    model = make_model("linear-filters" if change == "activation" else "cosine")
    before = tabulate_filters(make_model("cosine"), 1e-6)
    if change == "weight":
        weight = model.blocks[1].filter_network.output.weight.detach()
        weight[3, 2] = torch.nextafter(weight[3, 2], weight.new_tensor(1.0))
    elif change == "cutoff":
        model.cutoff = 4.5
    table = tabulate_filters(model, 1e-7 if change == "tolerance" else 1e-6)
    assert table.knots is not before.knots
    monkeypatch.setattr(filter_table, "_remembered", {})
    anew = tabulate_filters(model, 1e-7 if change == "tolerance" else 1e-6)
    assert anew.knots is not table.knots
    assert torch.equal(anew.knots, table.knots)


def test_memory_of_tables_is_bounded(monkeypatch):
    """Those used last are kept; none where even one is too large."""
    models = [testing.tiny_schnet(seed) for seed in range(3)]
    monkeypatch.setattr(filter_table, "_remembered", {})
    first, _ = tabulate_filters(models[0], 1e-6), tabulate_filters(models[1], 1e-6)
    size = first.knots.nbytes
    monkeypatch.setattr(filter_table, "REMEMBERED_BYTES", int(2.5 * size))
    assert tabulate_filters(models[0], 1e-6).knots is first.knots
    tabulate_filters(models[2], 1e-6)
    assert tabulate_filters(models[0], 1e-6).knots is first.knots
    assert len(filter_table._remembered) == 2
    monkeypatch.setattr(filter_table, "REMEMBERED_BYTES", size - 1)
    assert tabulate_filters(models[0], 1e-6).knots is first.knots
    assert not filter_table._remembered
