"""How fast energies and forces come on a CUDA device, by each backend. Asserts nothing.

    python tests/benchmarks/bench_gpu.py --json gpu.json --markdown gpu.md

Molecules are of the shipped models; water and diamond of a random SchNet of their size (T = 6,
F = 128) with a cutoff of 5 A.

Parity comes first: forces of every backend against the model itself in float64 on the CPU, and the
same bits in 20 repetitions and in every batch; large crystals are repeated small ones, so each copy
of an atom must have its forces. Where that fails the program says so, measures nothing and exits
with 1; without a CUDA device it exits with 2. All of it takes less than nine
minutes: what is left when they are nearly over is named and left out.

A time is that of `Evaluator.evaluate` with NumPy arrays in and out, by the wall clock: the median
over evaluations, 10th and 90th percentile. Beside it stands, for the kernel, that of one evaluation
among many on the device alone, by its own events, without transfers.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read

from md_runs import c20, ethanol
from mlpotential import Evaluator, load_model
from mlpotential.graph import AtomGraph
from mlpotential.inference.cuda.answers import AnswerMemory
from mlpotential.inference.cuda.executors import find_executor
from mlpotential.inference.cuda.plans import CLUSTERS
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.cuda.systems.schnet import CudaSystems
from mlpotential.inference.execution import Backend
from mlpotential.inference.schnet.filter_table import table_of
from mlpotential.inference.structures import ConnectedStructures
from mlpotential.inference.training_domain import UNKNOWN_DOMAIN
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig

BACKENDS: tuple[Backend, ...] = ("reference", "tabulated", "cuda")
BOUND = {"float32": 2e-5, "float64": 1e-7}  # of forces, relative to the largest
DEADLINE_S = 500.0  # of the whole; chosen: the last measurement ends before nine minutes
LIMIT_S = 6.0  # of one measurement
MOST_EVALUATIONS = 200
REPETITIONS = 20
SPREAD = 0.05  # A; chosen: of atoms about the stored structure, as at room temperature
FAILED, NO_DEVICE = 1, 2


@dataclass(frozen=True)
class Case:
    """Molecules of one kind, or a crystal.

    Attributes:
        name: of the molecule, and folder of `md_runs`; or of the crystal.
        n_molecules: in one batch; 1 for a crystal.
        repeats: of the small crystal along each vector.
    """

    name: str
    n_molecules: int = 1
    repeats: tuple[int, int, int] = (1, 1, 1)


SMALL = (Case("water"), Case("diamond"))
CASES = tuple(Case("c20", n) for n in (1, 8, 16, 132, 1_056, 8_448))
CASES += tuple(Case("ethanol", n) for n in (1, 8, 1_056))
CASES += (Case("water", repeats=(3, 3, 3)),)
CASES += tuple(Case("diamond", repeats=n) for n in ((2, 2, 2), (4, 4, 4), (12, 13, 10)))
PLACES = {"c20": c20, "ethanol": ethanol}


@dataclass(frozen=True)
class Row:
    """One measurement; None where there is nothing to say, see `remark`."""

    molecule: str
    n_molecules: int
    n_atoms: int
    backend: str
    n_evaluations: int = 0
    median_ms: float | None = None
    p10_ms: float | None = None
    p90_ms: float | None = None
    device_ms: float | None = None
    remark: str = ""


def small_water() -> Atoms:
    """8 molecules at the density of water."""
    rng, box = np.random.default_rng(0), Atoms(cell=[6.21] * 3, pbc=True)
    for place in np.ndindex(2, 2, 2):
        one = molecule("H2O")
        one.rotate(rng.uniform(0.0, 360.0), rng.normal(size=3))
        one.positions += 3.105 * (np.array(place) + 0.5)
        box += one
    return box


def small_diamond() -> Atoms:
    """64 atoms."""
    return bulk("C", "diamond", a=3.57, cubic=True).repeat(2)


CRYSTALS = {"water": small_water, "diamond": small_diamond}


@cache
def random_schnet() -> SchNet:
    """Of the size of the shipped C20 model, with a cutoff."""
    torch.manual_seed(0)
    config = SchNetConfig(
        n_features=128,
        n_interactions=6,
        cutoff=5.0,
        cutoff_function="cosine",
        rbf_stop=5.0,
        rbf_spacing=0.1,
        rbf_gamma=None,
        max_atomic_number=8,
    )
    model = SchNet(config).eval()
    model.elements = (1, 6, 8)
    return model


def geometries(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Atomic numbers, positions [n, n_atoms, 3] and cells [n, 3, 3] (A) or None.

    The first of many are those of few; all copies of an atom of a crystal are displaced alike.
    """
    rng = np.random.default_rng(0)
    if case.name in PLACES:
        atoms = read(PLACES[case.name].STRUCTURE)
        moved = rng.normal(scale=SPREAD, size=(case.n_molecules, len(atoms), 3))
        return atoms.numbers, atoms.positions + moved, None
    atoms = CRYSTALS[case.name]()
    atoms.positions += rng.normal(scale=SPREAD, size=(len(atoms), 3))
    atoms = atoms.repeat(case.repeats)
    return atoms.numbers, atoms.positions[None], atoms.cell[:][None]


def evaluator(case: Case, device: str, dtype: str, backend: Backend) -> Evaluator:
    """Of a shipped or random model, unguarded."""
    numbers, _, cells = geometries(case)
    model = PLACES[case.name].MODEL if case.name in PLACES else random_schnet()
    return Evaluator(model, numbers, cells is not None, device, dtype, backend, guard="off")


def parity(device: str) -> list[str]:
    """What is wrong, in lines; prints what is measured."""
    wrong = []
    for case in (*(Case(name, 8) for name in PLACES), *SMALL):
        name = case.name
        _, positions, cells = geometries(case)
        exact = evaluator(case, "cpu", "float64", "reference").evaluate(positions, cells).forces
        for dtype, bound in BOUND.items():
            for backend in BACKENDS:
                if backend == "reference" and dtype == "float32":
                    continue  # rounding of its own, which is promised nowhere
                forces = evaluator(case, device, dtype, backend).evaluate(positions, cells).forces
                error = np.abs(forces - exact).max() / np.abs(exact).max()
                print(f"parity  {name:8s} {backend:10s} {dtype}  {error:.1e}", flush=True)
                if not error <= bound:
                    wrong.append(f"{name}, {backend}, {dtype}: forces are off by {error:.1e}")
        own = evaluator(case, device, "float32", "cuda")
        first = own.evaluate(positions, cells).forces
        same = all(
            np.array_equal(own.evaluate(positions, cells).forces, first) for _ in range(REPETITIONS)
        )
        alone = np.concatenate(
            [
                own.evaluate(one[None], None if cells is None else cells[:1]).forces
                for one in positions
            ]
        )
        if not same or not np.array_equal(alone, first):
            wrong.append(f"{name}, cuda: not the same bits in repetitions or alone")
    return wrong + copies(device)


def copies(device: str) -> list[str]:
    """What is wrong with the forces of the copies in large crystals, in lines."""
    wrong = []
    for case in CASES:
        if case.name not in CRYSTALS:
            continue
        found = []
        for one in (Case(case.name), case):
            _, positions, cells = geometries(one)
            found.append(
                evaluator(one, device, "float32", "cuda").evaluate(positions, cells).forces
            )
        small, large = found
        error = np.abs(large.reshape(-1, *small.shape) - small).max() / np.abs(small).max()
        print(f"copies  {len(large):7,d} atoms of {case.name}  {error:.1e}", flush=True)
        if not error <= BOUND["float32"]:
            wrong.append(
                f"{case.name} of {len(large)} atoms: forces of copies differ by {error:.1e}"
            )
    return wrong


def measured(case: Case, backend: Backend, device: str) -> Row:
    """Evaluations with arrays in and out, and on the device alone."""
    numbers, positions, cells = geometries(case)
    row = Row(case.name, case.n_molecules, len(numbers), backend)
    try:
        own = evaluator(case, device, "float32", backend)
        own.evaluate(positions, cells)
        times: list[float] = []
        begin = time.perf_counter()
        while len(times) < MOST_EVALUATIONS and time.perf_counter() - begin < LIMIT_S:
            start = time.perf_counter()
            own.evaluate(positions, cells)
            times.append(1e3 * (time.perf_counter() - start))
        alone = None
        if backend == "cuda":
            alone = device_ms(case, device, None) if cells is None else system_ms(case, device)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return Row(**{**asdict(row), "remark": "not enough memory"})
    low, median, high = np.percentile(times, [10, 50, 90])
    spread = {"median_ms": float(median), "p10_ms": float(low), "p90_ms": float(high)}
    return Row(**{**asdict(row), **spread, "n_evaluations": len(times), "device_ms": alone})


def device_ms(case: Case, device: str, cluster: int | None) -> float | None:
    """Median time of the kernel of molecules alone (ms); None where so many blocks have no plan."""
    potential = load_model(PLACES[case.name].MODEL).potential.to(device).eval()
    numbers, positions, _ = geometries(case)
    network = CudaSchNet(
        potential, table_of(potential), find_executor(torch.device(device)), cluster=cluster
    )
    if network.plan(len(numbers)) is None:
        return None
    starts = len(numbers) * np.arange(case.n_molecules + 1)
    layout = network._laid_out(starts, np.tile(numbers, case.n_molecules).astype(np.int32))
    n_atoms = len(layout.atomic_numbers)
    memory = AnswerMemory(
        case.n_molecules, n_atoms, ("energy", "forces"), False, network.executor.device
    )
    placed = torch.from_numpy(positions.reshape(-1, 3)).to(device)
    answer = memory.structure

    def evaluate() -> None:
        for launch in layout.launches:
            network._run(launch, layout, placed, answer)

    return median_ms(evaluate)


def system_ms(case: Case, device: str) -> float:
    """Median time of all kernels of a crystal, with a list that is there (ms)."""
    potential = copy.deepcopy(random_schnet()).to(device)
    executor = find_executor(torch.device(device))
    packed = CudaSchNet(potential, table_of(potential), executor).network
    network = CudaSystems(potential, packed, executor, UNKNOWN_DOMAIN)
    numbers, positions, cells = geometries(case)
    graph = AtomGraph.from_arrays(numbers, positions[0], cells[0], True)
    atoms, wanted = ConnectedStructures(graph, 5.0).atoms, ("energy", "forces")
    network.evaluate(atoms, positions, cells, wanted)
    (group,) = network._groups
    memory = AnswerMemory(1, atoms.n_atoms, wanted, False, executor.device, 1)
    placed, answer = torch.from_numpy(positions[0]).to(device), memory.structure

    def evaluate() -> None:
        group.pairs.watch(placed, cells, memory.stale)
        network._run(group, placed, cells, answer)

    return median_ms(evaluate)


def median_ms(evaluate: Callable[[], None]) -> float:
    """On the device, of one among many (ms)."""

    def evaluations(n: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(n):
            evaluate()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / n

    n = max(1, min(50, int(200.0 / max(evaluations(1), 0.01))))
    return statistics.median(evaluations(n) for _ in range(5))


def clusters(device: str) -> list[dict[str, Any]]:
    """The kernel alone with other numbers of blocks for a molecule than it takes by itself."""
    found = []
    for n in (8, 8_448):
        for cluster in CLUSTERS:
            case = Case("c20", n)
            ms = device_ms(case, device, cluster)
            found.append({"n_molecules": n, "cluster": cluster, "device_ms": ms})
    return found


def environment(device: str) -> dict[str, Any]:
    """Hardware and versions."""
    properties = torch.cuda.get_device_properties(device)
    names = ("mlpotential", "torch", "numpy")
    return {
        "date": datetime.date.today().isoformat(),
        "device": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "memory_GiB": properties.total_memory / 2**30,
        "cuda": torch.version.cuda,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in names},
    }


def number(value: float | None) -> str:
    """Of three digits, or a dash."""
    return "-" if value is None else f"{value:.3g}"


def markdown(results: dict[str, Any]) -> str:
    """The table of all rows."""
    place = results["environment"]
    lines = [
        f"{place['device']}, CUDA {place['cuda']}, torch {place['versions']['torch']}, "
        f"mlpotential {place['versions']['mlpotential']}, {place['date']}; float32",
        "",
        "| structures | backend | ms, median | 10 % .. 90 % | ms, device | us per structure | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        each = None if row["median_ms"] is None else 1e3 * row["median_ms"] / row["n_molecules"]
        lines.append(
            f"| {row['n_molecules']:,} x {row['molecule']} ({row['n_atoms']:,} atoms) "
            f"| {row['backend']} "
            f"| {number(row['median_ms'])} | {number(row['p10_ms'])} .. {number(row['p90_ms'])} "
            f"| {number(row['device_ms'])} | {number(each)} | {row['remark']} |"
        )
    if results["clusters"]:
        lines += ["", "| molecules | blocks of each | ms, device |", "|---|---|---|"]
        lines += [
            f"| {row['n_molecules']:,} x c20 | {row['cluster']} | {number(row['device_ms'])} |"
            for row in results["clusters"]
        ]
    return "\n".join(lines) + "\n"


def run(options: argparse.Namespace, device: str, cases: Sequence[Case]) -> int:
    """Parity, then times; what is there is written after each of them."""
    begin = time.perf_counter()
    results: dict[str, Any] = {"environment": environment(device), "rows": [], "clusters": []}
    print(json.dumps(results["environment"]), flush=True)
    if wrong := parity(device):
        print("\n".join(["parity fails, so nothing is measured:", *wrong]))
        return FAILED

    def keep() -> None:
        if options.json is not None:
            options.json.write_text(json.dumps(results, indent=1) + "\n")
        if options.markdown is not None:
            options.markdown.write_text(markdown(results))

    for backend in reversed(BACKENDS):  # the kernel first, should time run out
        for case in cases:
            if time.perf_counter() - begin > DEADLINE_S:
                remark = "left out, the time was over"
                n_atoms = len(geometries(case)[0])
                row = Row(case.name, case.n_molecules, n_atoms, backend, remark=remark)
            else:
                row = measured(case, backend, device)
            results["rows"].append(asdict(row))
            print(row, flush=True)
            keep()
        if backend == "cuda" and time.perf_counter() - begin < DEADLINE_S:
            results["clusters"] = clusters(device)
            keep()
    print("\n" + markdown(results))
    return 0


def main() -> int:
    """As the docstring above says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path, help="results as a file")
    parser.add_argument("--markdown", type=Path, help="the table as a file")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("there is no CUDA device here: nothing to measure", file=sys.stderr)
        return NO_DEVICE
    return run(options, "cuda", CASES)


if __name__ == "__main__":
    sys.exit(main())
