"""A process of its own that uses the kernel: ends with 0 where its manners are right."""

import contextlib
import ctypes
import ctypes.util
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import torch
from random_models import molecule, random_schnet

from mlpotential.errors import RunError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.schnet.filter_table import tabulate_filters
from mlpotential.inference.schnet.native import NativeSchNet
from mlpotential.neighbors import connect

SHIPPED = Path(__file__).parents[3] / "md_runs/c20"
SMALLEST = np.full(64, 5e-324)
LIBM = ctypes.CDLL(ctypes.util.find_library("m"))


def arithmetic() -> tuple:
    """How this process computes, and torch's settings."""
    with np.errstate(all="ignore"):
        odd = np.array([np.nan, np.inf, -np.inf, 1.0]) * np.zeros(4)
    tiny = torch.full((64,), 5e-324, dtype=torch.float64)
    return (
        (SMALLEST * np.ones(64)).all(),
        bool((tiny * torch.ones(64, dtype=torch.float64)).all()),
        np.isnan(odd).tolist(),
        float("nan") != float("nan"),
        LIBM.fegetround(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


def start_without_a_compiler() -> None:
    """A model file opens and gives an energy without what torch takes a second to import."""
    atoms = ase.io.read(SHIPPED / "c20.xyz")
    evaluator = Evaluator(SHIPPED / "c20.safetensors", atoms.numbers, device="cpu")
    assert np.isfinite(evaluator.evaluate(atoms.positions[None], properties=("energy",)).energy)
    assert {"torch._dynamo", "sympy"}.isdisjoint(sys.modules)


def fork_after_use(evaluator: Evaluator, positions: np.ndarray) -> None:
    """A child evaluates by threads of its own, and gets the same bits."""
    expected = evaluator.evaluate(positions).forces
    child = os.fork()
    if child == 0:
        same = np.array_equal(evaluator.evaluate(positions).forces, expected)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@contextlib.contextmanager
def at_most_more(n_bytes: float) -> Iterator[None]:
    """This process may grow by no more."""
    kept = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + int(n_bytes)
    resource.setrlimit(resource.RLIMIT_AS, (limit, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, kept)


def starve(threads: int, n_atoms: int) -> str:
    """What is said where memory, or room for threads, is short; afterwards the bits are as before.

    20 MB are less than 4000 atoms need, and than the stacks of 63 threads.
    """
    model = random_schnet("none")
    kernel = NativeSchNet(model, tabulate_filters(model, 1e-5), threads)
    small, large = (connect(molecule(n), None) for n in (20, n_atoms))
    few, many = PairGraph.from_graph(small), PairGraph.from_graph(large)
    before, *_ = kernel.evaluate(few, small.positions.numpy(), ("forces",))
    message = ""
    with at_most_more(20e6):
        try:
            kernel.evaluate(many, large.positions.numpy(), ("forces",))
        except (MemoryError, RunError) as error:
            message = f"{type(error).__name__}: {error}"
    after, *_ = kernel.evaluate(few, small.positions.numpy(), ("forces",))
    np.testing.assert_array_equal(after.forces, before.forces)
    return message


def main() -> None:
    start_without_a_compiler()
    before = arithmetic()
    assert before[0], "denormal numbers are lost before the kernel is there"
    graph = molecule(20)
    numbers = graph.atomic_numbers.numpy()
    evaluator = Evaluator(random_schnet(), numbers, False, "cpu", "float32", "native", threads=2)
    positions = graph.positions.numpy()[None]
    evaluator.evaluate(positions)
    assert arithmetic() == before, (before, arithmetic())
    fork_after_use(evaluator, positions)
    assert starve(1, 4000) == "MemoryError: not enough memory to evaluate 4000 atoms at once"
    assert starve(64, 20) == "RunError: the system does not give 64 threads: ask for fewer"


if __name__ == "__main__":
    main()
