"""The CUDA kernels of large and periodic structures against autograd in float64, emulated."""

from functools import cache

import numpy as np
import pytest
import torch
from emulated import ORDERS, EmulatedExecutor, needs_compiler
from guard_findings import expected_findings, lone_atoms, random_domain
from kernels import MODELS, OF_KERNEL, PackedSystems
from numpy.testing import assert_allclose, assert_array_equal
from random_models import (
    BOUND,
    CRYSTALS,
    CUTOFFS,
    assert_within,
    crystal,
    energy_and_dipole,
    molecule,
    of_model,
    offsets_of,
    random_schnet,
)

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.cuda.answers import FINDINGS
from mlpotential.inference.cuda.executor import Limits
from mlpotential.inference.cuda.systems import schnet
from mlpotential.models.outputs import Output
from mlpotential.neighbors import connect
from mlpotential.testing import predict

EVERYTHING = ("energy", "forces", "virial", "atomic_energies", "charges")


def connected(model, *parts: AtomGraph) -> AtomGraph:
    return connect(collate(parts) if len(parts) > 1 else parts[0], model.cutoff)


def check(model, graph, dtype="float32", executor=None, **plan) -> None:
    graph = connect(graph, model.cutoff)
    answer, _ = PackedSystems(model, dtype, executor, **plan)(graph)
    assert_within(BOUND[dtype], answer, of_model(model, graph), offsets_of(model, graph))


@cache
def model_number(number: int, n_features: int):
    cutoff, filters, readout = MODELS[number]
    return random_schnet(
        cutoff,
        seed=number,
        n_features=n_features,
        n_interactions=1 + number % 3,
        filter_output_activation=filters,
        outputs={"energy": Output(activation=readout, n_hidden=(5, n_features)[number % 2])},
    )


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("number", range(len(MODELS)), ids=["-".join(m) for m in MODELS])
def test_every_kind_of_model(number, dtype, executor):
    """Molecules that one kernel would take, and a crystal where there is a cutoff."""
    parts = [molecule(1), molecule(9), molecule(2, 1)]
    if MODELS[number][0] != "none":
        parts.insert(1, crystal((3.3, 1.7, 1.9), skew=0.2))
    check(model_number(number, 20), collate(parts), dtype, executor)


@pytest.mark.parametrize("kind", CRYSTALS)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("cutoff", ["cosine", "hard"])
def test_periodic_structures(cutoff, dtype, kind, executor):
    check(random_schnet(cutoff, seed=1), CRYSTALS[kind](), dtype, executor)


@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_a_large_molecule(cutoff, executor):
    check(random_schnet(cutoff), molecule(70), "float32", executor)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("n_features", [32, 64, 128, 256])
def test_all_widths(n_features, dtype, executor):
    """Of several slices, by plans of few and of many atoms."""
    model = model_number(14, n_features)
    for plan in ({}, {"tile": {"float32": 8, "float64": 4}[dtype]}):
        check(model, crystal((4.9, 3.4, 3.4), skew=0.3), dtype, executor, **plan)


@pytest.mark.slow
def test_published_size(executor):
    """T = 6, F = 128, on a crystal and on a slab of it."""
    model = random_schnet(n_features=128, n_interactions=6)
    for pbc in (True, (True, True, False)):
        check(model, crystal((4.9, 3.4, 3.4), pbc=pbc), "float32", executor)


def everything(order: int, graph: AtomGraph, **plan) -> dict[str, np.ndarray]:
    """All that the kernels give, of a model with all that they evaluate."""
    model = random_schnet("hard", outputs=energy_and_dipole(None, "silu"), n_features=64)
    domain = random_domain(n_features=64)
    packed = PackedSystems(model, "float32", EmulatedExecutor(order), domain, **plan)
    answer, outliers = packed(graph, EVERYTHING, monitored=True)
    found = {name: getattr(answer, name) for name in EVERYTHING}
    return found | {name: getattr(outliers, name) for name in FINDINGS}


def assert_same_bits(one, other) -> None:
    for name, values in one.items():
        assert_array_equal(other[name], values, err_msg=name)


@needs_compiler
def test_the_same_bits_in_any_order_of_threads():
    graph = collate([crystal((3.3, 1.7, 1.9), skew=0.2), molecule(9), molecule(1)])
    first, *others = (everything(order, graph) for order in ORDERS)
    for other in others:
        assert_same_bits(first, other)
    assert np.isfinite(first["forces"]).all()


@needs_compiler
@pytest.mark.parametrize("plan", [{"tile": 8}, {"pair_blocks": 6}, {"table_bytes": 0}])
def test_the_same_bits_by_any_plan(plan):
    """How atoms are spread over blocks, and from which memory filters are read, changes nothing."""
    graph = collate([crystal((3.3, 1.7, 1.9), skew=0.2), molecule(20)])
    assert_same_bits(everything(0, graph), everything(0, graph, **plan))


@needs_compiler
def test_the_same_bits_in_any_company(monkeypatch):
    """Alone, beside others, and where a group of structures is full."""
    singles = [crystal((3.3, 1.7, 1.9), skew=0.2), molecule(7), molecule(9), molecule(7, 1)]
    model = random_schnet()
    alone = [PackedSystems(model)(single)[0] for single in singles]
    for most in (2**18, 10):
        monkeypatch.setattr(schnet, "ATOMS_AT_ONCE", most)
        for order in ([0, 1, 2, 3], [3, 2, 0, 1]):
            batch, _ = PackedSystems(model)(collate([singles[k] for k in order]))
            for name in OF_KERNEL:
                expected = np.concatenate([getattr(alone[k], name) for k in order])
                assert_array_equal(getattr(batch, name), expected)


@pytest.mark.parametrize("kind", ["molecule", "crystal"])
def test_the_same_bits_at_any_age_of_the_list(kind, executor):
    """While atoms and the cell move; the list is made anew where it must be, and only there."""
    rng = np.random.default_rng(0)
    graph = molecule(30) if kind == "molecule" else crystal((4.9, 3.4, 3.4), skew=0.3)
    packed = PackedSystems(random_schnet(), executor=executor)
    cell = None if graph.cell is None else graph.cell.clone()
    for step in range(5):
        graph.positions.add_(torch.from_numpy(rng.normal(0.0, 0.03, graph.positions.shape)))
        if cell is not None:
            graph.cell[:] = cell * (1 + 0.004 * step)
        answer, _ = packed(graph)
        fresh, _ = PackedSystems(random_schnet(), executor=executor)(graph)
        assert_array_equal(answer.forces, fresh.forces)
        assert_array_equal(answer.virial, fresh.virial)
    (group,) = packed.network._groups
    assert group.pairs.n_builds == 1
    graph.positions[3] += 1.5
    answer, _ = packed(graph)
    assert group.pairs.n_builds == 2
    fresh, _ = PackedSystems(random_schnet(), executor=executor)(graph)
    assert_array_equal(answer.forces, fresh.forces)


def gas(pbc, seed: int) -> AtomGraph:
    """Few atoms in a skewed cell of many bins, some of them far outside of it."""
    rng = np.random.default_rng(seed)
    cell = np.diag([40.0, 26.0, 20.0]) @ (
        np.eye(3) + np.array([[0, 0, 0], [0.4, 0, 0], [-0.3, 0.5, 0]])
    )
    positions = rng.uniform(-1.0, 2.0, size=(250, 3)) @ cell
    return AtomGraph.from_arrays(np.ones(250, int), positions, cell, pbc)


GASES = {
    "gas": lambda: gas(True, 0),
    "gas, two directions": lambda: gas((True, False, True), 1),
    "gas, one direction": lambda: gas((False, True, False), 2),
    "gas, no cell": lambda: AtomGraph.from_arrays(
        np.ones(250, int), gas(True, 3).positions.numpy()
    ),
}


@pytest.mark.parametrize("kind", [*CRYSTALS, *GASES, "molecule", "far away", "steep"])
def test_pairs_are_those_of_the_host(kind, executor):
    """Every listed pair, each from both ends, in the order of atoms and shifts."""
    if kind == "molecule":
        graph = molecule(150)
    elif kind == "far away":  # atoms many cells apart, and one that is alone
        graph = crystal((6.4, 5.0, 8.0), pbc=(True, True, False))
        cells = torch.from_numpy(np.random.default_rng(0).integers(-40, 40, (graph.n_atoms, 3)))
        cells[:, 2] = 0
        graph.positions.add_(cells.double() @ graph.cell[0])
        graph.positions[4, 2] += 400.0
    elif kind == "steep":
        graph = crystal((6.4, 5.0, 4.8), skew=6.0)
    else:
        graph = (CRYSTALS | GASES)[kind]()
    model = random_schnet()
    packed = PackedSystems(model, "float64", executor)
    packed(graph, ("energy",))
    (group,) = packed.network._groups
    rows = group.pairs._rows
    change = rows.changes[0].cpu().numpy()
    starts, neighbors = rows.row_start.cpu().numpy(), rows.neighbors.cpu().numpy()
    i = np.repeat(np.arange(graph.n_atoms), np.diff(starts))
    images = rows.images.cpu().numpy()[:, None] >> np.array([20, 10, 0]) & 1023
    wraps = rows.wraps.cpu().numpy()
    shifts = (images - 512 + wraps[i] - wraps[neighbors]) @ change
    found = np.column_stack([i, neighbors, shifts])
    assert_array_equal(found, found[np.lexsort(found.T[::-1])])
    listed = connect(graph, model.cutoff + 1.0 + 1e-6)
    edges = listed.edge_index.numpy().T
    no_shifts = np.zeros((len(edges), 3))
    expected = np.column_stack(
        [edges, no_shifts if listed.edge_shift is None else listed.edge_shift]
    )
    assert_array_equal(found, expected[np.lexsort(expected.T[::-1])])


@needs_compiler
def test_atoms_too_far_away():
    graph = crystal((4.9, 3.4, 3.4))
    graph.positions[3] += 2.0**31 * graph.cell[0, 1]
    with pytest.raises(StructureError, match="more than 1,073,741,824 cells away from the first"):
        PackedSystems(random_schnet())(graph)


@needs_compiler
def test_devices_with_little_memory():
    """Filters are read from the memory of the device, and blocks have few atoms."""
    limits = Limits(24_000, 1, 4)
    check(random_schnet(), crystal((4.9, 3.4, 3.4)), "float32", EmulatedExecutor(limits=limits))


@pytest.mark.parametrize("dtype", BOUND)
def test_charges(dtype, executor):
    model = random_schnet(outputs=energy_and_dipole(None, "tanh"))
    graph = connected(model, crystal((4.9, 3.4, 3.4)), molecule(5))
    answer, _ = PackedSystems(model, dtype, executor)(graph, ("charges",))
    exact = predict(model, graph, "charges").charges.numpy()
    assert np.abs(answer.charges - exact).max() <= BOUND[dtype] * np.abs(exact).max()
    assert answer.forces is answer.virial is answer.atomic_energies is None


@pytest.mark.parametrize("dtype", BOUND)
def test_findings(dtype, executor):
    """All that the guard reads, of atoms that are alone, too."""
    model, domain = random_schnet(), random_domain()
    graph = connected(model, molecule(1), molecule(70), lone_atoms(), molecule(20))
    packed = PackedSystems(model, dtype, executor, domain)
    _, found = packed(graph, (), monitored=True)
    expected = expected_findings(model, graph, domain)
    expected.assert_are(found, rtol=1e-6 if dtype == "float64" else 1e-4)


@needs_compiler
def test_nothing_but_what_was_asked_for():
    model = random_schnet()
    graph = connected(model, crystal((3.3, 1.7, 1.9)), molecule(5))
    packed = PackedSystems(model)
    full, _ = packed(graph)
    for name in OF_KERNEL:
        only, _ = packed(graph, (name,))
        assert_array_equal(getattr(only, name), getattr(full, name))
        assert_array_equal(only.energy, full.energy)
        others = {*OF_KERNEL} - {name, "energy"}
        assert all(getattr(only, other) is None for other in others)


@needs_compiler
def test_atoms_in_one_place():
    """By their numbers in their structure, and where a neighbour is in another image."""
    graph = collate([molecule(70), crystal((4.9, 3.4, 3.4))])
    graph.positions[70 + 4] = graph.positions[70 + 1] + 1e-5 - graph.cell[1, 2]
    with pytest.raises(StructureError, match=r"atoms 1 and 4 are in one place \(1.7e-05 A"):
        PackedSystems(random_schnet())(graph)


@needs_compiler
@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_atoms_out_of_sight(cutoff):
    """Beyond the cutoff, or where filters have become constant, there are no forces."""
    model = random_schnet(cutoff)
    positions = 50.0 * np.arange(9.0).reshape(3, 3)
    graph = connected(model, AtomGraph.from_arrays(np.array([8, 1, 6]), positions))
    answer, _ = PackedSystems(model, "float64")(graph)
    expected = of_model(model, graph)
    assert_allclose(answer.atomic_energies, expected.atomic_energies, rtol=1e-9)
    assert not answer.forces.any()
    assert not answer.virial.any()


@needs_compiler
@pytest.mark.parametrize("tolerance", [None, 1e-1])
def test_no_net_force(tolerance):
    """Both ends of a pair get the same, to the rounding of float64, in float32, too."""
    packed = PackedSystems(random_schnet(n_features=64), "float32", tolerance=tolerance)
    forces = packed(crystal((4.9, 3.4, 3.4), skew=0.3))[0].forces
    assert np.abs(forces.sum(axis=0)).max() <= 1e-13 * np.abs(forces).sum()
