"""How fast energies and forces come on a CUDA device, by each backend. Asserts nothing.

    python tests/benchmarks/bench_gpu.py --json gpu.json --markdown gpu.md

Parity comes first: forces of every backend against the model itself in float64 on the CPU, and the
same bits in 20 repetitions and in every batch. Where that fails the program says so, measures
nothing and exits with 1; without a CUDA device it exits with 2. All of it takes less than nine
minutes: what is left when they are nearly over is named and left out.

A time is that of `Evaluator.evaluate` with NumPy arrays in and out, by the wall clock: the median
over evaluations, 10th and 90th percentile. Beside it stands, for the kernel, that of one evaluation
among many on the device alone, by its own events, without transfers.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase.io import read

from md_runs import c20, ethanol
from mlpotential import Evaluator, load_model
from mlpotential.inference.cuda.answers import AnswerMemory
from mlpotential.inference.cuda.executors import find_executor
from mlpotential.inference.cuda.plans import CLUSTERS
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.execution import Backend
from mlpotential.inference.schnet.filter_table import table_of

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
    """Molecules of one kind.

    Attributes:
        name: of the molecule, and folder of `md_runs`.
        n_molecules: in one batch.
    """

    name: str
    n_molecules: int


CASES = tuple(Case("c20", n) for n in (1, 8, 16, 132, 1_056, 8_448))
CASES += tuple(Case("ethanol", n) for n in (1, 8, 1_056))
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


def geometries(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and positions [n, n_atoms, 3] (A); the first of many are those of few."""
    atoms = read(PLACES[name].STRUCTURE)
    rng = np.random.default_rng(0)
    return atoms.numbers, atoms.positions + rng.normal(scale=SPREAD, size=(n, len(atoms), 3))


def evaluator(name: str, device: str, dtype: str, backend: Backend) -> Evaluator:
    """Of a shipped model, unguarded."""
    numbers, _ = geometries(name, 1)
    return Evaluator(PLACES[name].MODEL, numbers, False, device, dtype, backend, guard="off")


def parity(device: str) -> list[str]:
    """What is wrong, in lines; prints what is measured."""
    wrong = []
    for name in PLACES:
        _, positions = geometries(name, 8)
        exact = evaluator(name, "cpu", "float64", "reference").evaluate(positions).forces
        for dtype, bound in BOUND.items():
            for backend in BACKENDS:
                if backend == "reference" and dtype == "float32":
                    continue  # rounding of its own, which is promised nowhere
                forces = evaluator(name, device, dtype, backend).evaluate(positions).forces
                error = np.abs(forces - exact).max() / np.abs(exact).max()
                print(f"parity  {name:8s} {backend:10s} {dtype}  {error:.1e}", flush=True)
                if not error <= bound:
                    wrong.append(f"{name}, {backend}, {dtype}: forces are off by {error:.1e}")
        own = evaluator(name, device, "float32", "cuda")
        first = own.evaluate(positions).forces
        same = all(
            np.array_equal(own.evaluate(positions).forces, first) for _ in range(REPETITIONS)
        )
        alone = np.concatenate([own.evaluate(one[None]).forces for one in positions])
        if not same or not np.array_equal(alone, first):
            wrong.append(f"{name}, cuda: not the same bits in repetitions or alone")
    return wrong


def measured(case: Case, backend: Backend, device: str) -> Row:
    """Evaluations with arrays in and out, and on the device alone."""
    numbers, positions = geometries(case.name, case.n_molecules)
    row = Row(case.name, case.n_molecules, len(numbers), backend)
    try:
        own = evaluator(case.name, device, "float32", backend)
        own.evaluate(positions)
        times: list[float] = []
        begin = time.perf_counter()
        while len(times) < MOST_EVALUATIONS and time.perf_counter() - begin < LIMIT_S:
            start = time.perf_counter()
            own.evaluate(positions)
            times.append(1e3 * (time.perf_counter() - start))
        alone = device_ms(case, device, None) if backend == "cuda" else None
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return Row(**{**asdict(row), "remark": "not enough memory"})
    low, median, high = np.percentile(times, [10, 50, 90])
    spread = {"median_ms": float(median), "p10_ms": float(low), "p90_ms": float(high)}
    return Row(**{**asdict(row), **spread, "n_evaluations": len(times), "device_ms": alone})


def device_ms(case: Case, device: str, cluster: int | None) -> float | None:
    """Median time of the kernel alone (ms); None where so many blocks have no plan."""
    potential = load_model(PLACES[case.name].MODEL).potential.to(device).eval()
    numbers, positions = geometries(case.name, case.n_molecules)
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

    def evaluations(n: int) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(n):
            for launch in layout.launches:
                network._run(launch, layout, placed, answer)
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
        "| molecules | backend | ms, median | 10 % .. 90 % | ms, device | us per molecule | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        each = None if row["median_ms"] is None else 1e3 * row["median_ms"] / row["n_molecules"]
        lines.append(
            f"| {row['n_molecules']:,} x {row['molecule']} | {row['backend']} "
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
                n_atoms = len(geometries(case.name, 1)[0])
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
