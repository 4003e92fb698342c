"""Symmetry functions of structures, beside sums over atoms one by one."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule as ase_molecule
from ase.data import chemical_symbols

from mlpotential import testing
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.neighbors import connect
from mlpotential.nn.symmetry_functions import evaluation
from mlpotential.nn.symmetry_functions.neighborhoods import triples_of
from mlpotential.nn.symmetry_functions.notation import of_element

TEXT = """
H 2 O 0.5 1 3.4
H 2 H 0.5 1 4
H 12 0.3 0 4
H 3 H O 0.1 -1 2 4 0.5
H 13 0.1 0.2 1 1.5 3
H 20 O 0.5 3.2 p2a
H 21 O O 0 4 0 180 p4
H 24 -3 3 90 270 p1
O 2 H 0.5 1 3.4
O 9 H H 0.1 1 2 4
O 9 H O 0.1 1 2 4
O 22 H O 0 3 20 140 e
"""


def config(text=TEXT, **settings):
    return BehlerParrinelloConfig(
        symmetry_functions=text, scaling="none", hidden_layers="5", activations="p l", **settings
    )


def model_of(settings):
    torch.manual_seed(1)
    return BehlerParrinello(settings).double().eval()


def crystal():
    """A cell shorter than the cutoff, with atoms in a line by symmetry."""
    cell = np.array([[2.6, 0, 0], [0.3, 2.9, 0], [0, -0.4, 3.1]])
    positions = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.1, 0.6, 0.2]]) @ cell
    return AtomGraph.from_arrays(np.array([8, 8, 1]), positions, cell, True)


def slab():
    rng = np.random.default_rng(3)
    cell = np.diag([3.2, 3.4, 20.0])
    positions = rng.uniform(size=(5, 3)) * [3.2, 3.4, 3.0]
    return AtomGraph.from_arrays(np.array([8, 1, 1, 8, 1]), positions, cell, (True, True, False))


def chain_of_two():
    return AtomGraph.from_arrays(np.array([8, 1]), np.array([[0.0, 0, 0], [0, 0, 1.0]]))


@pytest.mark.parametrize("structure", [crystal, slab, chain_of_two])
def test_beside_plain_sums(structure):
    model = model_of(config(cutoff_type=5, inner_cutoff=0.1))
    graph = connect(structure(), model.cutoff)
    found = model.raw_functions(graph, torch.float64).numpy()
    numbers = graph.atomic_numbers.numpy()
    for atom, neighbors in enumerate(neighbors_of(graph)):
        for column, f in enumerate(of_element(model.config.functions, int(numbers[atom]))):
            expected = plain_sum(f, neighbors, numbers, 0.1)
            assert found[atom, column] == pytest.approx(expected, rel=1e-11, abs=1e-13), f


def neighbors_of(graph):
    """(number of the neighbour, displacement) of each atom, images found by trying."""
    positions = graph.positions.numpy()
    cell = np.zeros((3, 3)) if graph.cell is None else graph.cell[0].numpy()
    reach = [range(-3, 4) if periodic else [0] for periodic in graph.pbc[0].tolist()]
    shifts = [np.array(s) @ cell for s in itertools.product(*reach)]
    for i in positions:
        yield [
            (j, position + shift - i)
            for j, position in enumerate(positions)
            for shift in shifts
            if 1e-8 < np.linalg.norm(position + shift - i) < 4.5
        ]


def p1(x):
    return (2 * x - 3) * x * x + 1 if x < 1 else 0.0


def p2(x):
    return ((15 - 6 * x) * x - 10) * x**3 + 1 if x < 1 else 0.0


def p4(x):
    return (x * (x * ((315 - 70 * x) * x - 540) + 420) - 126) * x**5 + 1 if x < 1 else 0.0


def e(x):
    return math.exp(1 - 1 / (1 - x * x)) if x < 1 else 0.0


PLAIN = {"p1": p1, "p2": p2, "p4": p4, "e": e}


def radial(f, r, inner):
    if not f.subtype:
        x = max((r - inner * f.cutoff) / (f.cutoff - inner * f.cutoff), 0.0)
        return math.exp(-f.eta * (r - f.shift) ** 2) * p1(x)
    x = abs(r - (f.inner + f.cutoff) / 2) / ((f.cutoff - f.inner) / 2)
    if x >= 1:
        return 0.0
    return PLAIN[f.subtype[:2].strip("a")]((2 - x) * x if f.subtype.endswith("a") else x)


def angular(f, one, other):
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    if not f.subtype:
        return 2 ** (1 - f.zeta) * max(1 + f.sign * cosine, 0.0) ** f.zeta
    theta = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
    x = abs(theta - (f.left + f.right) / 2) / ((f.right - f.left) / 2)
    return PLAIN[f.subtype[:2].strip("a")](x)


def plain_sum(f, neighbors, numbers, inner):
    def weight(*atoms):
        return 1.0 if f.neighbors else float(np.prod([numbers[j] for j in atoms]))

    def is_of(*atoms):
        return not f.neighbors or tuple(sorted(int(numbers[j]) for j in atoms)) == f.neighbors

    if f.is_radial:
        return sum(
            weight(j) * radial(f, np.linalg.norm(d), inner) for j, d in neighbors if is_of(j)
        )
    total = 0.0
    for (j, one), (k, other) in itertools.combinations(neighbors, 2):
        if is_of(j, k):
            lengths = [np.linalg.norm(one), np.linalg.norm(other)]
            lengths += [np.linalg.norm(other - one)] if f.is_narrow else []
            total += (
                weight(j, k)
                * angular(f, one, other)
                * math.prod(radial(f, r, inner) for r in lengths)
            )
    return total


def test_triples():
    counts = torch.tensor([0, 3, 1, 2, 0, 4])
    first, second = triples_of(counts)
    expected = []
    start = 0
    for n in counts.tolist():
        expected += itertools.combinations(range(start, start + n), 2)
        start += n
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == expected


@pytest.mark.parametrize("most_triples", [100, 400])
def test_blocks_of_atoms_change_nothing(monkeypatch, most_triples):
    model = model_of(config())
    graph = connect(crystal(), model.cutoff)
    whole, hessian = model(graph, ("energy", "forces", "virial")), model.hessian(graph)
    monkeypatch.setattr(evaluation, "MOST_TRIPLES_AT_ONCE", most_triples)
    blocks = model(graph, ("energy", "forces", "virial"))
    assert torch.equal(whole.energy, blocks.energy)
    torch.testing.assert_close(blocks.forces, whole.forces, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(blocks.virial, whole.virial, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(model.hessian(graph), hessian, rtol=1e-11, atol=1e-12)


def test_blocks_hold_less_memory(monkeypatch):
    """What autograd keeps between forward and backward pass."""
    model = model_of(config())
    graph = connect(crystal(), model.cutoff)

    def kept():
        sizes = []
        positions = graph.positions.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            model.raw_functions(replace(graph, positions=positions), torch.float64)
        return sum(sizes)

    whole = kept()
    monkeypatch.setattr(evaluation, "MOST_TRIPLES_AT_ONCE", 100)
    assert kept() < 0.3 * whole


def test_atoms_in_a_line():
    """CO2-like: windows about 180 degrees; forces are finite and second derivatives right."""
    text = """
    O 22 H H 0 5 90 270 p1
    O 21 H H 0 5 60 180 p1
    O 22 H H 0 5 0 180 e
    O 9 H H 0.05 1 1.5 5
    O 9 H H 0.05 -1 1 5
    H 22 H O 0 5 -90 90 p1
    H 22 H O 0 5 -90 90 e
    """
    model = model_of(config(text))
    straight = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.2], [0.0, 0.0, -1.25]])
    graph = connect(AtomGraph.from_arrays(np.array([8, 1, 1]), straight), model.cutoff)
    raw = model.raw_functions(graph, torch.float64)
    assert raw[0].min() >= 0.0
    names = [str(f) for f in of_element(model.config.functions, 8)]
    full = raw[0, names.index("O 22 H H 0 5 90 270 p1")]
    by_hand = math.prod(p1(abs(r - 2.5) / 2.5) for r in (1.2, 1.25))
    assert float(full) == pytest.approx(by_hand, rel=1e-14)  # A(180 degrees) = 1
    forces = model(graph).forces
    assert torch.isfinite(forces).all()
    assert float(forces[:, :2].abs().max()) < 1e-12
    # Of p1, forces have a term |x| x, whose differences over a step are off by that step.
    testing.check_hessian(model, AtomGraph.from_arrays(np.array([8, 1, 1]), straight), 3e-4)
    bend = float(model.hessian(graph)[0, 0])
    assert bend > 0.03


def test_second_derivatives_reach_the_networks():
    """A loss of forces has gradients of the weights, as finite differences have them."""
    model = model_of(config())
    graph = connect(crystal(), model.cutoff)
    weight = model.readout.of_element(8).dense_layers[0].weight
    model.train()
    loss = (model(graph).forces ** 2).sum()
    loss.backward()
    found = float(weight.grad[2, 0])
    model.eval()

    def loss_at(change):
        with torch.no_grad():
            weight[2, 0] += change
        value = float((model(graph).forces ** 2).sum())
        with torch.no_grad():
            weight[2, 0] -= change
        return value

    numerical = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
    assert found == pytest.approx(numerical, rel=1e-6)
    assert abs(found) > 1e-8


def test_contract_of_a_slab():
    model = model_of(config(cutoff_type=2))
    testing.check_no_net_force_or_torque(model, slab())
    testing.check_virial_is_strain_derivative(model, slab(), 1e-6)
    testing.check_forces_are_gradients(model, slab(), 1e-6)


def test_elements_without_functions():
    model = model_of(config())
    methane = AtomGraph.from_atoms(ase_molecule("CH4"))
    with pytest.raises(ConfigError, match=r"symmetry functions for H, O, not for \[6\]"):
        model(connect(methane, model.cutoff))


def test_tables_that_would_fill_the_memory():
    symbols = chemical_symbols[1:101]
    lines = [f"{s} 9 {s} {s} 0.{k + 1} 1 1 5" for k, s in enumerate(symbols)]
    with pytest.raises(ConfigError, match=r"\d+ different sets of symmetry functions for 100 "):
        model_of(config("\n".join(lines)))


def test_scaling_of_the_training_data():
    """Least, greatest, mean and deviation as NumPy has them, over batches."""
    rng = np.random.default_rng(0)
    graphs = [
        AtomGraph.from_arrays(
            np.array([8, 1, 1]),
            np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
            + rng.normal(scale=0.1, size=(3, 3)),
        )
        for _ in range(40)
    ]
    model = model_of(config("H 2 O 0.5 1 3.4\nH 2 H 0.5 1 4\nO 9 H H 0.1 1 2 4"))
    model.fit_to_structures(graphs)
    raw = np.stack(
        [model.raw_functions(connect(g, model.cutoff), torch.float64).numpy() for g in graphs]
    )
    for k, values in enumerate((raw[:, 1:].reshape(-1, 2), raw[:, 0])):
        n = 2 if k == 0 else 1
        for name, of in (("lowest", np.min), ("highest", np.max), ("mean", np.mean)):
            got = getattr(model.scaling, name)[k, :n].numpy()
            np.testing.assert_allclose(got, of(values, axis=0)[:n], rtol=1e-13)
        sigma = values.std(axis=0, ddof=1)[:n]
        np.testing.assert_allclose(model.scaling.sigma[k, :n].numpy(), sigma, rtol=1e-10)
