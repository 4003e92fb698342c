"""The CUDA kernel against autograd in float64, with its threads emulated on a CPU."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from emulated import ORDERS, EmulatedExecutor, needs_compiler
from guard_findings import expected_findings, lone_atoms, random_domain
from kernels import ACTIVATIONS, MODELS, OF_KERNEL, Packed, molecules
from numpy.testing import assert_allclose, assert_array_equal
from random_models import (
    BOUND,
    CUTOFFS,
    assert_within,
    energy_and_dipole,
    molecule,
    of_model,
    offsets_of,
    random_schnet,
)

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.cuda import schnet
from mlpotential.inference.cuda.answers import FINDINGS
from mlpotential.inference.cuda.executor import Limits
from mlpotential.inference.cuda.plans import WIDTHS, Plan
from mlpotential.inference.training_domain import TrainingDomain
from mlpotential.models.outputs import Output
from mlpotential.neighbors import connect
from mlpotential.testing import predict

FEW, ONE_TO_64 = (1, 2, 5, 8), (1, 2, 3, 7, 9, 16, 17, 20, 24, 31, 33, 48, 50, 64)
# Cluster, features, dtype: of the default run, which builds a kernel for each and each size.
SHAPES = [(2, 32, "float32"), (1, 32, "float64"), (8, 128, "float32")]


@cache
def case(number: int, n_features: int, sizes: tuple[int, ...]):
    """A random model, and molecules with what the model itself says of them."""
    cutoff, filters, readout = MODELS[number]
    model = random_schnet(
        cutoff,
        seed=number,
        n_features=n_features,
        n_interactions=1 + number % 3,
        filter_output_activation=filters,
        outputs={"energy": Output(activation=readout, n_hidden=(5, n_features)[number % 2])},
    )
    graph = molecules(sizes, model.cutoff)
    return model, graph, of_model(model, graph)


def check(number, n_features, sizes, dtype, cluster, executor) -> None:
    model, graph, expected = case(number, n_features, tuple(sizes))
    answer, _ = Packed(model, dtype, cluster, executor)(graph)
    assert_within(BOUND[dtype], answer, expected, offsets_of(model, graph))


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("number", range(len(MODELS)), ids=["-".join(m) for m in MODELS])
def test_every_kind_of_model(number, dtype, executor):
    """1 to 3 interactions, hidden layers from narrow to as wide as the others."""
    check(number, 32, FEW, dtype, min(2, executor.limits.cluster), executor)


@pytest.mark.parametrize(("number", "n_features"), [(0, 1), (13, 20), (5, 33)])
def test_features_that_do_not_fill_a_width(number, n_features, executor):
    check(number, n_features, FEW, "float32", None, executor)


def test_a_hidden_layer_that_is_wider_than_the_features(executor):
    model = random_schnet(n_features=20, outputs={"energy": Output(n_hidden=31)})
    graph = molecules(FEW, model.cutoff)
    answer, _ = Packed(model, executor=executor)(graph)
    assert_within(BOUND["float32"], answer, of_model(model, graph), offsets_of(model, graph))


@pytest.mark.parametrize(("cluster", "n_features", "dtype"), SHAPES)
def test_sizes_and_clusters(cluster, n_features, dtype, executor):
    """Molecules of sizes from the smallest to the largest in one batch, in pieces of pairs too."""
    if cluster > executor.limits.cluster:
        pytest.skip("the device has no clusters")
    check(9, n_features, (20, 3, 64), dtype, cluster, executor)


@needs_compiler
@pytest.mark.parametrize("limits", [Limits(101_376, 1), Limits(101_376, 8)], ids=["8.9", "12.0"])
def test_devices_with_little_memory(limits):
    """As of these compute capabilities: one block of 128 threads and small pieces, or a cluster."""
    check(9, 128, (20, 17), "float32", None, EmulatedExecutor(limits=limits))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("n_features", WIDTHS)
@pytest.mark.parametrize("cluster", [1, 2, 4, 8])
def test_all_sizes_of_all_shapes(cluster, n_features, dtype, executor):
    """As far as the memory of a block goes: the plan says so."""
    limits = executor.limits
    if cluster > limits.cluster:
        pytest.skip("the device has no clusters")
    for number, n in zip(itertools.cycle(range(0, 24, 5)), ONE_TO_64, strict=False):
        packed = Packed(case(number, n_features, (1,))[0], dtype, cluster, executor)
        if packed.network.plan(n) is not None:
            check(number, n_features, (n, n), dtype, cluster, executor)
        else:
            assert n_features * n >= 128 * 17, f"{n} atoms do not fit into {limits}"


@pytest.mark.slow
def test_published_size(executor):
    """T = 6, F = 128: the C20 networks."""
    model = random_schnet("none", n_features=128, n_interactions=6)
    graph = molecules((20, 20), None)
    answer, _ = Packed(model, executor=executor)(graph)
    assert_within(BOUND["float32"], answer, of_model(model, graph), offsets_of(model, graph))


WHOLE = Plan(torch.float32, 32, 16, cluster=2, threads=128)
IN_PIECES = replace(WHOLE, buffers=1, chunk=64)
EVERYTHING = ("energy", "forces", "virial", "atomic_energies", "charges")


def everything(plan: Plan, order: int, graph: AtomGraph) -> dict[str, np.ndarray]:
    """All that the kernel gives of molecules, of a model with all that it evaluates."""
    model = random_schnet("hard", outputs=energy_and_dipole(None, "silu"), n_features=32)
    domain = random_domain(n_features=32)
    packed = Packed(model, "float32", 2, EmulatedExecutor(order), domain, plan)
    answer, outliers = packed(connect(graph, model.cutoff), EVERYTHING, monitored=True)
    found = {name: getattr(answer, name) for name in EVERYTHING}
    return found | {name: getattr(outliers, name) for name in FINDINGS}


@needs_compiler
@pytest.mark.parametrize("plan", [WHOLE, IN_PIECES], ids=["whole", "in pieces"])
def test_the_same_bits_in_any_order_of_threads(plan):
    graph = collate([molecule(n, n) for n in (14, 1, 16)])
    first, *others = (everything(plan, order, graph) for order in ORDERS)
    for other in others:
        for name, values in first.items():
            assert_array_equal(other[name], values, err_msg=name)
    assert np.isfinite(first["forces"]).all()


@needs_compiler
def test_the_same_bits_in_pieces():
    """How many pairs are in memory at once changes nothing."""
    graph = collate([molecule(n, n) for n in (16, 13)])
    one, other = (everything(plan, 0, graph) for plan in (WHOLE, IN_PIECES))
    for name, values in one.items():
        assert_array_equal(other[name], values, err_msg=name)


def test_the_same_bits_in_any_company(executor):
    """Alone, beside others of the same size and of other sizes, first and last."""
    model = random_schnet("cosine", n_features=32)
    packed = Packed(model, executor=executor)
    singles = [connect(molecule(n, seed), model.cutoff) for seed, n in enumerate((7, 5, 20, 7))]
    alone = [packed(single)[0] for single in singles]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 2, 0]):
        batch, _ = packed(connect(collate([singles[k] for k in order]), model.cutoff))
        for name in ("energy", "forces", "virial", "atomic_energies"):
            expected = np.concatenate([getattr(alone[k], name) for k in order])
            assert_array_equal(getattr(batch, name), expected)


@needs_compiler
@pytest.mark.parametrize("n_at_once", [1, 2])
def test_more_molecules_than_memory_for_their_traces(n_at_once, monkeypatch):
    model = random_schnet("cosine", n_features=32)
    graph = molecules((5, 7, 6, 8, 3), model.cutoff)
    expected, _ = Packed(model)(graph)
    small = Packed(model)
    n_bytes = small.network._trace_bytes(small.network.plan(8))
    monkeypatch.setattr(schnet, "TRACE_BYTES", n_at_once * n_bytes)
    answer, _ = small(graph)
    assert len(small.network._layout.launches) == -(-5 // n_at_once)
    assert_array_equal(answer.forces, expected.forces)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_charges(dtype, activation, executor):
    model = random_schnet(outputs=energy_and_dipole(None, activation))
    graph = molecules(FEW, model.cutoff)
    answer, _ = Packed(model, dtype, executor=executor)(graph, ("charges",))
    exact = predict(model, graph, "charges").charges.numpy()
    assert np.abs(answer.charges - exact).max() <= BOUND[dtype] * np.abs(exact).max()
    assert answer.forces is answer.virial is answer.atomic_energies is None


@pytest.mark.parametrize("dtype", BOUND)
def test_findings(dtype, executor):
    """All that the guard reads, of molecules and of atoms that are alone."""
    model, domain = random_schnet(), random_domain()
    parts = [molecule(1), molecule(7), lone_atoms(), molecule(5), molecule(20)]
    graph = connect(collate(parts), model.cutoff)
    packed = Packed(model, dtype, executor=executor, domain=domain)
    _, found = packed(graph, (), monitored=True)
    expected = expected_findings(model, graph, domain)
    expected.assert_are(found, rtol=1e-6 if dtype == "float64" else 1e-4)


@needs_compiler
def test_nothing_is_outside():
    """Nor is anything said where nothing is known."""
    model = random_schnet()
    graph = molecules((6,), model.cutoff)
    assert Packed(model)(graph, (), monitored=True)[1] is None
    known = TrainingDomain(shortest=np.full((30, 30), 0.1))
    assert Packed(model, domain=known)(graph, (), monitored=True)[1] is None


@needs_compiler
def test_nothing_but_what_was_asked_for():
    model = random_schnet()
    graph, packed = molecules((5, 2), model.cutoff), Packed(model)
    full, _ = packed(graph)
    for name in OF_KERNEL:
        only, _ = packed(graph, (name,))
        assert_array_equal(getattr(only, name), getattr(full, name))
        assert_array_equal(only.energy, full.energy)
        others = {*OF_KERNEL} - {name, "energy"}
        assert all(getattr(only, other) is None for other in others)


@needs_compiler
def test_atoms_in_one_place():
    """By their numbers in their molecule."""
    graph = collate([molecule(6), molecule(7)])
    graph.positions[6 + 4] = graph.positions[6 + 1] + 1e-5
    model = random_schnet()
    connected = connect(graph, model.cutoff)
    with pytest.raises(StructureError, match=r"atoms 1 and 4 are in one place \(1.7e-05 A"):
        Packed(model)(connected)


@needs_compiler
@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_atoms_out_of_sight(cutoff):
    """Beyond the cutoff, or where filters have become constant, there are no forces."""
    model = random_schnet(cutoff)
    positions = 50.0 * np.arange(9.0).reshape(3, 3)
    graph = connect(AtomGraph.from_arrays(np.array([8, 1, 6]), positions), model.cutoff)
    answer, _ = Packed(model, "float64")(graph)
    expected = of_model(model, graph)
    assert_allclose(answer.atomic_energies, expected.atomic_energies, rtol=1e-9)
    assert not answer.forces.any()
    assert not answer.virial.any()


@needs_compiler
@pytest.mark.parametrize(("bad", "dtype"), [(np.nan, "float32"), (np.inf, "float64")])
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_a_lost_network_gives_no_numbers(bad, dtype):
    """One bad weight or bias anywhere: no finite energy comes out of the kernel."""
    model = random_schnet(n_features=5, outputs={"energy": Output(n_hidden=3)})
    graph = molecules((6,), model.cutoff)
    for name, weights in model.named_parameters():
        row = int(graph.atomic_numbers[0]) if name.startswith("embedding") else -1
        kept = weights.data[row].clone()
        weights.data[row] = bad
        assert not np.isfinite(Packed(model, dtype)(graph)[0].energy), name
        weights.data[row] = kept
    assert np.isfinite(Packed(model, dtype)(graph)[0].energy)
