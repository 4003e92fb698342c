"""What a path-integral step costs with both engines, and where its time goes. Asserts nothing.

Engines take turns, round after round, so that whatever else the machine does meets them alike. A
run of the native engine is taken apart while it runs, by the CPU time of its thread:

    kernel      inside the compiled function
    around it   the rest of `Evaluator.evaluate`
    integrator  normal modes, thermostat, noise, checks
    output      frames, energies and checkpoints, without waiting for the disk

A step of i-PI is the CPU time of its process per step, start-up taken off as the difference of a
long run and a short one; "wall" is what the clock says of both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import bench_cpu
import benchmark_report
import numpy as np
import torch
from ase import Atoms
from ase.io import read
from tqdm import tqdm

from md_runs.c20 import MODEL, STRUCTURE
from md_runs.pimd import PimdRun, run_pimd
from md_runs.pimd.ring_polymer.run import _Simulation
from mlpotential import Evaluator
from mlpotential.command_line import exit_code
from mlpotential.inference.execution import Execution
from mlpotential.inference.schnet.native import NativeSchNet
from mlpotential.run_folder import write_atomically

EXECUTION = Execution("cpu", "float32", "native", 1)
EXAMPLES = """examples:
  python tests/benchmarks/bench_pimd.py --quick
  python tests/benchmarks/bench_pimd.py --beads 8 --beads 32 --json pimd.json"""


class Timers:
    """CPU time of this thread spent in chosen methods (s), by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def watching(self, methods: dict[str, Sequence[tuple[type, str]]]) -> Iterator[None]:
        """Inside, calls of the methods are counted to the name they are listed under."""
        with ExitStack() as stack:
            for name, listed in methods.items():
                self.seconds[name] = 0.0
                for owner, method in listed:
                    timed = self._timed(name, getattr(owner, method))
                    stack.enter_context(mock.patch.object(owner, method, timed))
            yield

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begin = time.thread_time()
            try:
                return method(*arguments, **named)
            finally:
                self.seconds[name] += time.thread_time() - begin

        return call


WATCHED: dict[str, Sequence[tuple[type, str]]] = {
    "kernel": [(NativeSchNet, "_call")],
    "evaluator": [(Evaluator, "evaluate")],
    "step": [(_Simulation, "_advance")],
    "output": [(_Simulation, "_record"), (_Simulation, "_save")],
}


def native_step(atoms: Atoms, settings: PimdRun, folder: Path) -> dict[str, float]:
    """One run, taken apart (ms per step)."""
    timers = Timers()
    with timers.watching(WATCHED):
        run = run_pimd(atoms, MODEL, settings, folder, False, EXECUTION)
    ms = {name: 1e3 * seconds / settings.n_steps for name, seconds in timers.seconds.items()}
    assert run.steps_per_second is not None  # long enough to tell
    return {
        "kernel": ms["kernel"],
        "around it": ms["evaluator"] - ms["kernel"],
        "integrator": ms["step"] - ms["evaluator"],
        "output": ms["output"],
        "CPU": ms["step"] + ms["output"],
        "wall": 1e3 / run.steps_per_second,
    }


def ipi_step(atoms: Atoms, settings: PimdRun, folder: Path) -> dict[str, float]:
    """One run and the rest of it, in two processes of i-PI (ms per step)."""
    cpu_s = []
    for n_steps in (settings.n_steps // 5, settings.n_steps):
        before = _cpu_of_children_s()
        part = PimdRun(**{**vars(settings), "n_steps": n_steps, "engine": "ipi"})
        run = run_pimd(atoms, MODEL, part, folder / str(n_steps), False, EXECUTION)
        cpu_s.append(_cpu_of_children_s() - before)
    assert run.steps_per_second is not None  # long enough to tell
    more = settings.n_steps - settings.n_steps // 5
    return {"CPU": 1e3 * (cpu_s[1] - cpu_s[0]) / more, "wall": 1e3 / run.steps_per_second}


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(beads: Sequence[int], quick: bool) -> dict[str, Any]:
    """Medians over the rounds, by number of beads and engine."""
    n_rounds, atoms = (2 if quick else 5), read(STRUCTURE)
    assert isinstance(atoms, Atoms)  # one index, one structure
    engines = {"native": native_step, "ipi": ipi_step}
    turns = [(n, name) for _ in range(n_rounds) for n in beads for name in engines]
    found: dict[tuple[int, str], list[dict[str, float]]] = {turn: [] for turn in turns}
    with tempfile.TemporaryDirectory() as scratch:
        for k, (n, name) in enumerate(tqdm(turns, desc="pimd", leave=False, disable=None)):
            n_steps = max((2000 if quick else 8000) // n, 100)
            settings = PimdRun(n_steps=n_steps, n_beads=n, engine="native")
            folder = Path(scratch) / str(k)
            found[n, name].append(engines[name](atoms, settings, folder))
    return {
        "n_rounds": n_rounds,
        "rows": [
            {"n_beads": n, "engine": name, "ms": _medians(rounds)}
            for (n, name), rounds in found.items()
        ],
    }


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}


def text(results: dict[str, Any]) -> str:
    """A table of both engines."""
    columns = ("kernel", "around it", "integrator", "output", "CPU", "wall")
    header = ["beads", "engine", *(f"{name}, ms" for name in columns)]
    header += ["step / evaluation", "i-PI / native, CPU"]
    lines = []
    of_ipi = {r["n_beads"]: r["ms"]["CPU"] for r in results["rows"] if r["engine"] == "ipi"}
    for row in results["rows"]:
        ms, ratios = row["ms"], (None, None)
        if row["engine"] == "native":
            evaluation = ms["kernel"] + ms["around it"]
            ratios = ms["CPU"] / evaluation, of_ipi[row["n_beads"]] / ms["CPU"]
        numbers = [*(ms.get(name) for name in columns), *ratios]
        lines.append([str(row["n_beads"]), row["engine"], *map(benchmark_report.number, numbers)])
    first = f"C20, shipped model, float32, 1 thread, medians of {results['n_rounds']} rounds"
    return "\n".join([first, *benchmark_report.aligned(header, lines)])


def run(options: argparse.Namespace) -> int:
    """Measures and prints."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of i-PI
    results = {"environment": bench_cpu.environment(None)}
    results |= measure(options.beads or [1, 8, 32], options.quick)
    print(text(results))
    if options.json is not None:
        write_atomically(options.json, json.dumps(results, indent=1) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs; a user's mistake becomes one line on standard error and code 2."""
    parser = bench_cpu.benchmark_parser(__doc__, EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="short and noisy")
    parser.add_argument("--beads", type=int, action="append", help="may be given again (1, 8, 32)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    return exit_code("bench_pimd", run, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
