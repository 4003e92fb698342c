"""The CUDA backend behind an evaluator, with its threads emulated on a CPU, and where it is not."""

import subprocess
import sys
from pathlib import Path

import emulated
import numpy as np
import pytest
import torch
from emulated import EmulatedExecutor, needs_compiler
from numpy.testing import assert_allclose, assert_array_equal
from random_models import (
    ALL,
    BOUND,
    Gathering,
    crystal,
    energy_and_dipole,
    molecule,
    random_schnet,
)

from mlpotential.errors import ConfigError, ExtrapolationWarning
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference import prepared_model
from mlpotential.inference.cuda import executors
from mlpotential.inference.cuda.backend import CudaBackend
from mlpotential.inference.cuda.executor import Limits
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.guard import ExtrapolationGuard
from mlpotential.inference.prepared_model import PreparedModel
from mlpotential.inference.training_domain import TrainingDomain
from mlpotential.models.outputs import Output

BENCHMARK = Path(__file__).parents[3] / "benchmarks/bench_gpu.py"
WATER = np.array([[[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]]])


@pytest.fixture
def on_cpu(monkeypatch):
    emulated.install(monkeypatch)


def made(graph: AtomGraph, **settings) -> Evaluator:
    given = {"device": "cpu", "backend": "cuda"} | settings
    model = given.pop("model", None) or random_schnet()
    return Evaluator(model, graph.atomic_numbers.numpy()[:1], **given)


@needs_compiler
def test_auto_takes_the_kernel(on_cpu, sayings):
    evaluator = Evaluator(random_schnet(), [8, 1, 1], device="cpu", dtype="float32")
    assert evaluator.backend == "cuda"
    assert str(evaluator) == "H2O: CUDA kernel (emulated), float32"
    assert evaluator.table_error.slopes <= 1e-5
    answer = evaluator.evaluate(WATER, properties=ALL)
    expected = Evaluator(random_schnet(), [8, 1, 1], device="cpu", backend="reference").evaluate(
        WATER, properties=ALL
    )
    for name in ("forces", "virial"):
        exact = getattr(expected, name)
        error = np.abs(getattr(answer, name) - exact).max()
        assert error <= BOUND["float32"] * np.abs(exact).max()
    assert answer.stress is None
    assert not sayings.messages


@needs_compiler
@pytest.mark.parametrize("dtype", BOUND)
@pytest.mark.parametrize("kind", ["large", "periodic", "slab"])
def test_other_structures_go_to_kernels_too(kind, dtype, on_cpu, sayings):
    """By the list of neighbours of this backend: that of the host is not made."""
    graph = {
        "large": lambda: molecule(65),
        "periodic": lambda: crystal((4.9, 3.4, 3.4)),
        "slab": lambda: crystal((4.9, 3.4, 3.4), pbc=(True, True, False)),
    }[kind]()
    numbers, pbc = graph.atomic_numbers.numpy(), graph.pbc[0].numpy()
    cells = None if graph.cell is None else graph.cell.numpy()
    answers = []
    for backend, precision in (("cuda", dtype), ("reference", "float64")):
        evaluator = Evaluator(random_schnet(), numbers, pbc, "cpu", precision, backend)
        answers.append(evaluator.evaluate(graph.positions.numpy()[None], cells, ALL))
        assert (backend == "cuda") == (not evaluator._replicas._lists)
    for name in ("forces", "virial", *(["stress"] if kind != "large" else [])):
        found, exact = (getattr(answer, name) for answer in answers)
        assert np.abs(found - exact).max() <= BOUND[dtype] * np.abs(exact).max()
    assert not sayings.messages


@needs_compiler
@pytest.mark.parametrize("pbc", [True, False])
def test_arrays_that_cannot_be_written(pbc, on_cpu):
    """They are read, and nobody is warned."""
    graph = crystal((3.3, 1.7, 1.9), skew=0.2)
    positions, cells = graph.positions.numpy()[None].copy(), graph.cell.numpy().copy()
    evaluator = Evaluator(random_schnet(), graph.atomic_numbers.numpy(), pbc, "cpu", None, "cuda")
    expected = evaluator.evaluate(positions, cells if pbc else None)
    positions.flags.writeable = cells.flags.writeable = False
    answer = evaluator.evaluate(positions, cells if pbc else None)
    assert_array_equal(answer.forces, expected.forces)


@needs_compiler
def test_replicas_of_a_crystal(on_cpu):
    """Each in its own cell; as they move, the bits are those of an evaluator that saw nothing."""
    graph, rng = crystal((3.3, 1.7, 1.9), skew=0.2), np.random.default_rng(0)
    numbers, model = graph.atomic_numbers.numpy(), random_schnet(n_interactions=1)
    moving = Evaluator(model, numbers, True, "cpu", "float32", "cuda")
    fresh = [Evaluator(model, numbers, True, "cpu", "float32", "cuda") for _ in range(2)]
    positions = np.repeat(graph.positions.numpy()[None], 2, axis=0)
    cells = graph.cell.numpy() * np.array([1.0, 1.02])[:, None, None]
    for alone in fresh:
        positions += rng.normal(scale=0.1, size=positions.shape)
        found = moving.evaluate(positions, cells, ALL)
        singles = [
            alone.evaluate(p[None], c[None], ALL) for p, c in zip(positions, cells, strict=True)
        ]
        for name in ALL:
            expected = np.concatenate([getattr(single, name) for single in singles])
            assert_array_equal(getattr(found, name), expected, err_msg=name)


@needs_compiler
def test_all_kinds_at_once(on_cpu, sayings):
    """In the order they came in; those that the kernel takes have the bits they have alone."""
    model = random_schnet(outputs=energy_and_dipole(0.5))
    singles = [crystal((4.9, 3.4, 3.4)), molecule(7), molecule(66), molecule(5, 1), molecule(7, 2)]
    graph = collate(singles)
    wanted = (*ALL, "charges")
    evaluator = made(graph, model=model)
    answer = evaluator.evaluate_graph(graph, wanted)
    expected = made(graph, model=model, backend="reference").evaluate_graph(graph, wanted)
    for name in wanted:
        exact, found = getattr(expected, name), getattr(answer, name)
        assert_array_equal(np.isnan(found), np.isnan(exact))
        largest = np.nanmax(np.abs(exact))
        assert_allclose(found, exact, rtol=0.0, atol=1e-7 * largest, equal_nan=True, err_msg=name)
    alone = evaluator.evaluate_graph(singles[1], wanted)
    atoms = slice(singles[0].n_atoms, singles[0].n_atoms + 7)
    assert_array_equal(answer.forces[atoms], alone.forces)
    assert_array_equal(answer.virial[1], alone.virial[0])


@needs_compiler
def test_outliers_of_all_kinds_at_once(on_cpu):
    """By their numbers among all atoms."""
    domain = TrainingDomain(shortest=np.full((30, 30), 1.4))
    singles = [molecule(66), molecule(7), molecule(70, 1)]
    graph = collate(singles)

    def report(backend):
        prepared = PreparedModel(random_schnet(), "cpu", backend=backend, domain=domain)
        guard = ExtrapolationGuard("warn", [domain])
        evaluator = Evaluator._of((prepared,), [1], False, guard)
        with pytest.warns(ExtrapolationWarning):
            evaluator.evaluate_graph(graph)
        return guard.report

    found, expected = report("cuda"), report("reference")
    assert (found.n_outside, found.nearest.atoms, found.nearest.graph) == (
        expected.n_outside,
        expected.nearest.atoms,
        expected.nearest.graph,
    )


@needs_compiler
def test_a_lost_network_is_said_in_words(on_cpu):
    model = random_schnet()
    model.blocks[1].output.weight.data[3, 2] = np.nan
    with pytest.raises(ValueError, match="not finite: the structure is far"):
        Evaluator(model, [8, 1, 1], device="cpu", backend="cuda").evaluate(WATER)


def test_a_network_that_is_too_wide(monkeypatch, sayings):
    emulated.install(monkeypatch)
    wide = random_schnet(outputs={"energy": Output(n_hidden=257)})
    with pytest.raises(ConfigError, match="take at most 256 features or hidden ones, not 257: us"):
        Evaluator(wide, [1], device="cpu", backend="cuda")
    assert Evaluator(wide, [1], device="cpu").backend != "cuda"
    (message,) = sayings.messages
    assert message.startswith("the CUDA kernels take at most 256 features")


def test_a_device_with_little_memory(monkeypatch):
    emulated.install(monkeypatch, EmulatedExecutor(limits=Limits(shared_bytes=9_000, cluster=1)))
    obstacle = CudaBackend.obstacle(random_schnet(), torch.device("cpu"))
    assert "less than 32 features in torch.float64 on emulated: use" in obstacle.error


def test_filters_that_are_not_radial(monkeypatch):
    emulated.install(monkeypatch)
    with pytest.raises(ConfigError, match="Gathering has no filters to tabulate"):
        Evaluator(Gathering(), [1], device="cpu", backend="cuda")


def test_the_cpu_is_no_cuda_device():
    with pytest.raises(ConfigError, match="for CUDA devices, not for cpu: use device='cuda', or"):
        Evaluator(random_schnet(), [1], device="cpu", backend="cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_where_there_is_no_device_nothing_is_said(sayings):
    found = executors.find_executor(torch.device("cuda"))
    assert found.error == "there is no CUDA device: use device='cpu'"
    assert found.notice is None
    assert CudaBackend.installation() == []


def test_where_nvrtc_is_missing(monkeypatch, sayings):
    """One line, once, and the next best backend."""
    why = executors._obstacle("there is no NVRTC")
    monkeypatch.setattr(executors, "find_executor", lambda device: why)
    for _ in range(2):
        chosen = prepared_model.choose_backend("auto", random_schnet(), torch.device("cuda"))
        assert chosen.name == "tabulated"
    assert sayings.messages == ["there is no NVRTC: models are evaluated by the tabulated backend"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.skipif(not BENCHMARK.exists(), reason="there are no benchmarks here")
def test_the_benchmark_says_that_there_is_no_device():
    done = subprocess.run([sys.executable, BENCHMARK], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "there is no CUDA device here: nothing to measure\n"


EVALUATION = """
import sys
from mlpotential import Evaluator
from mlpotential.testing import tiny_schnet
import numpy as np
Evaluator(tiny_schnet(), [6, 1], device="cpu").evaluate(np.array([[[0.0, 0, 0], [1, 0, 0]]]))
print([name for name in sys.modules if name.split(".")[-1] in ("compiler", "driver")
       and "mlpotential" in name])
"""


def test_evaluations_on_a_cpu_load_nothing_of_it():
    done = subprocess.run([sys.executable, "-c", EVALUATION], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
    assert not done.stderr
