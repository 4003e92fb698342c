"""The compiled kernel against autograd in float64, for every instruction set of this machine."""

import contextlib
import copy
import gc
import itertools
import os
import subprocess
import sys
import threading
import time
from ctypes import PyDLL
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from random_models import (
    ALL,
    BOUND,
    CRYSTALS,
    CUTOFFS,
    INSTRUCTION_SETS,
    assert_within,
    crystal,
    molecule,
    of_model,
    offsets_of,
    random_schnet,
)

from mlpotential.errors import ConfigError, RunError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.schnet import kernel as kernel_interface
from mlpotential.inference.schnet.filter_table import TABLE_TOLERANCE, tabulate_filters
from mlpotential.inference.schnet.native import NativeSchNet
from mlpotential.models.outputs import Output
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect

pytestmark = pytest.mark.skipif(not INSTRUCTION_SETS, reason="there is no compiled kernel")

OF_KERNEL = ("energy", "forces", "virial", "atomic_energies")
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from /proc"
)
MODELS = list(itertools.product(CUTOFFS, ("ssp", "none"), ("ssp", "ssp_linear_from_14", "silu")))
HALF_OF_MODELS = [  # that has each choice with each other one; the rest is slow
    pytest.param(
        number,
        id="-".join(MODELS[number]),
        marks=() if (number // 6 + number) % 2 == 0 else pytest.mark.slow,
    )
    for number in range(len(MODELS))
]
N_REPLICAS = {1: 3, 2: 8, 20: 3, 100: 1}  # by the number of atoms


class Kernel:
    """A model packed for the kernel, fed with connected graphs."""

    def __init__(self, model: SchNet, dtype="float64", threads=1, instruction_set=None, table=None):
        own = copy.deepcopy(model).to(getattr(torch, dtype))
        table = table or tabulate_filters(own, TABLE_TOLERANCE[own.dtype])
        self.packed = NativeSchNet(own, table, threads, instruction_set)

    def __call__(self, graph: AtomGraph, properties=OF_KERNEL):
        positions = graph.positions.numpy()
        answer, *_ = self.packed.evaluate(PairGraph.from_graph(graph), positions, properties)
        return answer


@cache
def cases(number: int):
    """A random model, and structures of all kinds with what the model itself says of them."""
    cutoff, filters, readout = MODELS[number]
    model = random_schnet(
        cutoff,
        seed=number,
        n_features=(16, 24, 40)[number % 3],
        n_interactions=1 + number // 2 % 3,
        filter_output_activation=filters,
        outputs={"energy": Output(activation=readout)},
    )
    singles = {n: [molecule(n, seed) for seed in range(k)] for n, k in N_REPLICAS.items()}
    if cutoff != "none":
        singles |= {name: [make()] for name, make in CRYSTALS.items()}
    graphs = {name: connect(collate(parts), model.cutoff) for name, parts in singles.items()}
    return model, {name: (graph, of_model(model, graph)) for name, graph in graphs.items()}


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@pytest.mark.parametrize("number", HALF_OF_MODELS)
def test_parity(number, instruction_set, dtype):
    """1 to 100 atoms, 1 to 8 replicas, molecules and crystals, by 1 to 3 threads."""
    model, answers = cases(number)
    own = copy.deepcopy(model).to(getattr(torch, dtype))
    table = tabulate_filters(own, TABLE_TOLERANCE[own.dtype])
    for threads in (1, 2, 3):
        kernel = Kernel(model, dtype, threads, instruction_set, table)
        for graph, expected in answers.values():
            assert_within(BOUND[dtype], kernel(graph), expected, offsets_of(model, graph))


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize(
    ("n_features", "n_hidden", "n_interactions"), [(1, 1, 1), (3, 9, 2), (33, 1, 1), (70, 45, 2)]
)
def test_shapes_that_fill_no_vector(n_features, n_hidden, n_interactions, dtype, instruction_set):
    outputs = {"energy": Output(n_hidden=n_hidden)}
    model = random_schnet(n_features=n_features, outputs=outputs, n_interactions=n_interactions)
    graph = connect(collate([molecule(11), crystal((4.0, 4.0, 4.0))]), model.cutoff)
    answer = Kernel(model, dtype, 2, instruction_set)(graph)
    assert_within(BOUND[dtype], answer, of_model(model, graph), offsets_of(model, graph))


def test_published_size():
    """T = 6, F = 128: the C20 networks."""
    model = random_schnet("none", n_features=128, n_interactions=6)
    graph = connect(collate([molecule(20), molecule(20, 1)]), None)
    answer = Kernel(model, "float32")(graph)
    assert_within(BOUND["float32"], answer, of_model(model, graph), offsets_of(model, graph))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_atoms_out_of_sight_and_more_threads_than_atoms(threads):
    """Neither pairs nor work for everybody."""
    model = random_schnet()
    numbers, positions = np.array([8, 1, 6]), 50.0 * np.arange(9.0).reshape(3, 3)
    graph = connect(AtomGraph.from_arrays(numbers, positions), model.cutoff)
    answer = Kernel(model, threads=threads)(graph)
    expected = of_model(model, graph)
    assert_allclose(answer.atomic_energies, expected.atomic_energies, rtol=1e-12)
    assert not answer.forces.any()
    assert not answer.virial.any()


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@pytest.mark.parametrize(("bad", "dtype"), [(np.nan, "float32"), (np.inf, "float64")])
@pytest.mark.filterwarnings("ignore:invalid value encountered in matmul")
def test_a_lost_network_gives_no_numbers(bad, dtype, instruction_set):
    """One bad weight or bias anywhere: no finite energy comes out of the kernel."""
    model = random_schnet(n_features=5, outputs={"energy": Output(n_hidden=3)})
    graph = connect(molecule(6), model.cutoff)
    table = tabulate_filters(model, 1e-3)
    for name, weights in model.named_parameters():
        row = int(graph.atomic_numbers[0]) if name.startswith("embedding") else -1
        kept = weights.data[row].clone()
        weights.data[row] = bad
        own = None if "filter_network" in name else table
        assert not np.isfinite(Kernel(model, dtype, 1, instruction_set, own)(graph).energy), name
        weights.data[row] = kept
    assert np.isfinite(Kernel(model, dtype, 1, instruction_set, table)(graph).energy)


def test_nothing_but_what_was_asked_for():
    kernel, graph = Kernel(random_schnet()), connect(molecule(5), 5.0)
    answer = kernel(graph, ("virial",))
    assert answer.virial.shape == (1, 3, 3)
    assert answer.forces is None
    assert answer.atomic_energies is None
    full = kernel(graph)
    assert_array_equal(answer.virial, full.virial)
    assert_array_equal(kernel(graph, ("energy",)).energy, full.energy)
    assert_array_equal(kernel(graph, ("forces",)).forces, full.forces)


def test_unknown_instruction_set():
    with pytest.raises(ConfigError, match=r"no compiled kernel for sse \(there are: portable"):
        Kernel(random_schnet(), instruction_set="sse")


def test_library_of_another_version(monkeypatch):
    kernel_interface.load.cache_clear()
    monkeypatch.setattr(kernel_interface, "INTERFACE", kernel_interface.INTERFACE + 1)
    with pytest.raises(RunError, match="of another version than the package: install"):
        Kernel(random_schnet())


@contextlib.contextmanager
def patient_thread():
    """Another Python thread that counts; it asks nobody for the GIL within a day."""
    count, over = 0, False

    def work():
        nonlocal count
        while not over:
            count += 1
            time.sleep(0)  # lets go of the GIL, so that the main thread comes back

    kept = sys.getswitchinterval()
    sys.setswitchinterval(86400.0)
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield lambda: count
    finally:
        sys.setswitchinterval(kept)
        over = True
        worker.join()


def test_other_python_threads_go_on(monkeypatch):
    """During the very call of the kernel; and the test notices a call that keeps the GIL."""
    kernel, graph = Kernel(random_schnet("none", n_features=40)), connect(molecule(150), None)
    library = kernel.packed._library
    releasing, holding = library.schnet_evaluate, PyDLL(library._name).schnet_evaluate
    holding.argtypes = releasing.argtypes
    with patient_thread() as count:

        def progress(function) -> int:
            steps = []

            def watched(*given):
                before = count()
                status = function(*given)
                steps.append(count() - before)
                return status

            monkeypatch.setattr(library, "schnet_evaluate", watched)
            kernel(graph)
            return steps[0]

        assert any(progress(releasing) for _ in range(1000))
        assert not any(progress(holding) for _ in range(3))


def test_threads_share_one_kernel():
    """Two Python threads, each with its own atoms, get what they get alone."""
    kernel = Kernel(random_schnet(), threads=2)
    graphs = [connect(molecule(n, n), 5.0) for n in (30, 45)]
    alone = [kernel(graph).forces for graph in graphs]
    wrong = []

    def work(graph, expected):
        for _ in range(50):
            if not np.array_equal(kernel(graph).forces, expected):
                wrong.append(graph.n_atoms)

    workers = [threading.Thread(target=work, args=a) for a in zip(graphs, alone, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@needs_proc
@pytest.mark.slow
def test_manners_of_a_process():
    """Start-up, arithmetic of the whole process, forks, shortage of memory and threads: there."""
    program = Path(__file__).with_name("process_with_kernel.py")
    result = subprocess.run([sys.executable, program], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def growth_over(n_evaluations: int) -> int:
    """Of the memory of this process (bytes).

    One evaluation of eleven is of a crystal, in 1 to 3 replicas, and often with new lists.
    """
    model = random_schnet(n_features=8, n_interactions=1)
    solid = crystal((4.0, 3.4, 3.4))
    single = Evaluator(model, [1, 8, 1], False, "cpu", "float32", "native")
    many = single.for_atoms(solid.atomic_numbers.numpy(), True)
    water = molecule(3).positions.numpy()[None]
    positions = solid.positions.numpy() + np.zeros((3, 1, 1))
    cells = solid.cell.numpy() + np.zeros((3, 1, 1))

    def evaluate(n: int) -> None:
        for k in range(n // 11):
            for _ in range(10):
                single.evaluate(water)
            n_replicas, far = 1 + k % 3, k // 10 % 2
            many.evaluate(positions[:n_replicas] * (1.0 + 0.5 * far), cells[:n_replicas], ALL)

    evaluate(2000)
    before = resident_bytes()
    evaluate(n_evaluations)
    return resident_bytes() - before


@needs_proc
@pytest.mark.parametrize(
    "n_evaluations",
    [5_000, pytest.param(1_000_000, marks=(pytest.mark.slow, pytest.mark.torture))],
)
@pytest.mark.timeout(1800)
def test_flat_memory(n_evaluations):
    assert growth_over(n_evaluations) < 1e6
