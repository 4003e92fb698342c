"""Replicas get the same bits alone or together, with new or old lists, by whatever threads."""

import contextlib
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from random_models import (
    ALL,
    BOUND,
    CRYSTALS,
    INSTRUCTION_SETS,
    assert_within,
    crystal,
    molecule,
    offsets_of,
    random_schnet,
)

from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph, Prediction, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.verlet_list import VerletList

FAST = ["tabulated", *(["native"] if INSTRUCTION_SETS else [])]
needs_kernel = pytest.mark.skipif(not INSTRUCTION_SETS, reason="there is no compiled kernel")

STRUCTURES = {
    "fixed pairs": lambda: molecule(20),
    "listed pairs": lambda: molecule(80),
    **CRYSTALS,
}


def replicas_of(graph: AtomGraph, n: int, seed: int = 0):
    """Positions and, where there is one, cells of n strained and rattled copies."""
    rng = np.random.default_rng(seed)
    strains = np.eye(3) + rng.normal(scale=0.02, size=(n, 3, 3))
    positions = graph.positions.numpy() + rng.normal(scale=0.05, size=(n, graph.n_atoms, 3))
    return positions @ strains, None if graph.cell is None else graph.cell.numpy() @ strains


def evaluator_of(graph: AtomGraph, backend="native", threads=1, dtype=None) -> Evaluator:
    numbers, pbc = graph.atomic_numbers.numpy(), graph.pbc[0].numpy()
    return Evaluator(random_schnet(), numbers, pbc, "cpu", dtype, backend, threads)


def assert_same_bits(actual: Prediction, expected: Prediction) -> None:
    for name in ALL:
        assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", STRUCTURES)
def test_replicas_against_the_reference(name, dtype):
    """1, 3 and 8 of them, each with a cell of its own, by the fastest backend."""
    graph = STRUCTURES[name]()
    fast, exact = evaluator_of(graph, "auto", 1, dtype), evaluator_of(graph, "reference")
    offsets = offsets_of(random_schnet(), graph)
    for n in (1, 3, 8):
        positions, cells = replicas_of(graph, n)
        answer, expected = (e.evaluate(positions, cells, ALL) for e in (fast, exact))
        assert_within(BOUND[dtype], answer, expected, np.tile(offsets, n))
        if cells is None:
            assert answer.stress is None
            continue
        largest = np.abs(expected.stress).max()
        assert np.abs(answer.stress - expected.stress).max() <= BOUND[dtype] * largest


@needs_kernel
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("name", STRUCTURES)
def test_alone_or_together_by_any_number_of_threads(name, dtype):
    graph = STRUCTURES[name]()
    positions, cells = replicas_of(graph, 5)
    alone = evaluator_of(graph, dtype=dtype)
    singles = [
        alone.evaluate(positions[[k]], None if cells is None else cells[[k]], ALL) for k in range(5)
    ]
    for threads in (1, 2, 3, 5):
        together = evaluator_of(graph, threads=threads, dtype=dtype).evaluate(positions, cells, ALL)
        for what in ALL if cells is not None else ALL[:3] + ALL[4:]:
            expected = np.concatenate([getattr(single, what) for single in singles])
            assert_array_equal(getattr(together, what), expected, err_msg=what)


@needs_kernel
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["listed pairs", "slab", "skewed", "long"])
def test_no_memory_of_earlier_evaluations(name, threads, monkeypatch):
    """Lists of another age, of another number of replicas: the bits of a fresh evaluator."""
    graph = crystal((19.0, 5.0, 5.0), skew=0.2) if name == "long" else STRUCTURES[name]()
    experienced = evaluator_of(graph, threads=threads)
    build, builds = VerletList._build, []
    monkeypatch.setattr(VerletList, "_build", lambda *given: builds.append(1) or build(*given))
    for seed in range(6):
        for n in (3, 1, 2):
            positions, cells = replicas_of(graph, n, seed)
            experienced.evaluate(positions, cells)
        fresh = experienced.for_atoms(graph.atomic_numbers.numpy(), graph.pbc[0].numpy())
        only = positions[:1], None if cells is None else cells[:1], ALL
        assert_same_bits(experienced.evaluate(*only), fresh.evaluate(*only))
    assert 6 + 3 <= len(builds) < 6 + 6 * 6, "lists were not kept, or all the time"


@needs_kernel
def test_graphs_and_arrays_agree():
    """The order of pairs differs, so sums differ in their last bits."""
    graphs = [molecule(20), crystal((4.0, 3.4, 5.1), skew=0.4), molecule(1)]
    evaluator = evaluator_of(graphs[0])
    together = evaluator.evaluate_graph(collate(graphs), ("energy", "forces"))
    parts = []
    for graph in graphs:
        own = evaluator.for_atoms(graph.atomic_numbers.numpy(), graph.pbc[0].numpy())
        cells = None if graph.cell is None else graph.cell.numpy()
        parts.append(own.evaluate(graph.positions.numpy()[None], cells))
    for name in ("energy", "forces"):
        expected = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_allclose(getattr(together, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize("name", ["fixed pairs", "listed pairs", "skewed"])
def test_atoms_in_one_place_are_named_within_their_replica(name, backend):
    """And nothing of the failure stays behind."""
    graph = STRUCTURES[name]()
    evaluator = evaluator_of(graph, backend)
    positions, cells = replicas_of(graph, 3)
    before = evaluator.evaluate(positions, cells, ALL)
    broken = positions.copy()
    broken[1, 7] = broken[1, 4]
    with pytest.raises(StructureError, match="atoms 4 and 7 are in one place"):
        evaluator.evaluate(broken, cells)
    assert_same_bits(evaluator.evaluate(positions, cells, ALL), before)


@pytest.mark.parametrize("backend", FAST)
def test_python_threads_share_an_evaluator(backend, monkeypatch):
    """Whoever makes a list uses it before the other can: here they meet between the two."""
    graph = crystal((4.0, 3.4, 3.4))
    evaluator = evaluator_of(graph, backend)
    positions, cells = replicas_of(graph, 2)
    positions[1] += np.arange(24).reshape(8, 3) % 5 @ cells[1]  # so it needs a list of its own
    expected = [evaluator.evaluate(positions[[k]], cells[[k]], ALL) for k in range(2)]
    update, met = VerletList.update, threading.Barrier(2)

    def update_and_meet(self, *arguments):
        was_made = update(self, *arguments)
        with contextlib.suppress(threading.BrokenBarrierError):  # of who waits for nobody
            met.wait(timeout=0.2)
        return was_made

    monkeypatch.setattr(VerletList, "update", update_and_meet)
    answers = {}

    def work(k):
        answers[k] = evaluator.evaluate(positions[[k]], cells[[k]], ALL)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k in range(2):
        assert_same_bits(answers[k], expected[k])


def test_arrays_of_every_kind():
    """Lists, other orders and types, with gaps: the same bits, and the arrays stay as they are."""
    graph = crystal((4.0, 3.4, 3.4))
    evaluator = evaluator_of(graph, FAST[-1])
    positions, cells = replicas_of(graph, 2)
    positions, cells = positions.astype(np.float32), cells.astype(np.float32)  # exact in all types
    expected = evaluator.evaluate(positions, cells, ALL)
    kept = positions.copy(), cells.copy()
    for change in (
        np.ndarray.tolist,
        np.asfortranarray,
        lambda x: x.astype(">f8"),
        lambda x: np.repeat(x, 2, axis=2)[:, :, ::2],
    ):
        assert_same_bits(evaluator.evaluate(change(positions), change(cells), ALL), expected)
    assert_array_equal(positions, kept[0])
    assert_array_equal(cells, kept[1])
    for name in ALL:
        assert getattr(expected, name).flags.owndata
        assert getattr(expected, name).flags.writeable


def test_cell_of_a_molecule_counts_for_nothing():
    graph = molecule(5)
    evaluator = evaluator_of(graph, FAST[-1])
    positions = graph.positions.numpy()[None]
    answer = evaluator.evaluate(positions, np.eye(3)[None], ALL)
    assert answer.stress is None
    assert_array_equal(answer.forces, evaluator.evaluate(positions).forces)


@pytest.mark.parametrize(
    ("n_positions", "n_cells", "message"),
    [(0, 0, "no replicas"), (2, 1, r"cells must be \[2, 3, 3\], not \[1, 3, 3\]")],
)
def test_numbers_of_replicas_that_make_no_sense(n_positions, n_cells, message):
    graph = crystal((4.0, 3.4, 3.4))
    positions, cells = replicas_of(graph, 2)
    with pytest.raises(StructureError, match=message):
        evaluator_of(graph, "reference").evaluate(positions[:n_positions], cells[:n_cells])
