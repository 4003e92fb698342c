"""How fast energies and forces come on a CPU, beside SchNetPack in the same run. Asserts nothing.

All contenders of a case take turns, round after round, so that whatever else the machine does meets
them all alike. A turn is a block of consecutive steps along a walk of the atoms, timed as a whole
after one untimed step: the time per evaluation includes the neighbour list, made anew when due.
What is reported is the median over the blocks and their 10th and 90th percentile.

One thread is timed by its own CPU time, which others on the machine hardly change; two threads by
the wall clock, which they do. The GEMM peak, products of 1024 x 128 by 128 x 128 in torch on one
core, is a contender like any other.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import benchmark_report
import benchmark_runs
import numpy as np
import torch
from ase import Atoms
from benchmark_cases import (
    CASES,
    FLOPS_FORMULA,
    WALK_STEPS,
    Case,
    flops,
    pair_statistics,
    random_network,
    there_and_back,
    walk,
)
from benchmark_contenders import (
    BARE,
    GEMM,
    Clocks,
    Contender,
    Gemm,
    Package,
    Peer,
    Row,
    SchNetPack,
    gemm_gflops_per_s,
)
from tqdm import tqdm

from mlpotential.command_line import exit_code
from mlpotential.errors import ConfigError
from mlpotential.inference.schnet.kernel import available_instruction_sets
from mlpotential.run_folder import write_atomically

SECTIONS = ("kernels", "scaling", "step", "pimd")
EXAMPLES = """examples:
  python tests/benchmarks/bench_cpu.py --quick
  python tests/benchmarks/bench_cpu.py --peer ~/schnetpack/bin/python --json cpu.json
  python tests/benchmarks/bench_cpu.py --section step --section pimd
  python tests/benchmarks/bench_cpu.py --markdown tests/benchmarks/results/cpu.json"""


@dataclass(frozen=True)
class Effort:
    """How long a run is.

    Attributes:
        fewest_rounds, most_rounds: of each contender.
        block_s: length of a block (s), longer for the native backend where a traverse of the walk
            takes longer: its blocks are whole traverses, of which the neighbour list is a part.
        limit_s: rounds of one contender end here (s).
        threads: that are compared.
    """

    fewest_rounds: int
    most_rounds: int
    block_s: float
    limit_s: float
    threads: tuple[int, ...]


FULL = Effort(fewest_rounds=2, most_rounds=20, block_s=0.5, limit_s=10.0, threads=(1, 2))
QUICK = Effort(fewest_rounds=2, most_rounds=5, block_s=0.2, limit_s=0.7, threads=(1,))


@dataclass
class Plan:
    """How often and how long a contender has its turn; where it is on the walk."""

    contender: Contender
    frames: Iterator[int]
    n_rounds: int
    n_steps: int
    warms_up: bool

    def turn(self) -> Sequence[Clocks]:
        """One block, after an untimed step where that costs little."""
        if self.warms_up:
            self.contender.block([next(self.frames)])
        return self.contender.block([next(self.frames) for _ in range(self.n_steps)])


def plan(contender: Contender, effort: Effort, n_frames: int) -> Plan:
    """By the time of one evaluation, the second where the first was short."""
    frames = there_and_back(n_frames)
    for _ in range(2):
        start = time.perf_counter()
        contender.block([next(frames)])
        seconds = time.perf_counter() - start
        if seconds > 1.0:
            break
    n_steps = max(int(effort.block_s / seconds), 1)
    if contender.walks_on:
        n_steps = max(n_steps // WALK_STEPS, 1) * WALK_STEPS
    n_rounds = int(effort.limit_s / (n_steps * seconds))
    n_rounds = min(max(n_rounds, effort.fewest_rounds), effort.most_rounds)
    return Plan(contender, frames, n_rounds, n_steps, warms_up=seconds < 1.0)


def race(
    contenders: Sequence[Contender], effort: Effort, n_frames: int, title: str
) -> dict[Row, dict[str, Any]]:
    """Lets all take turns, those with few rounds now and then; medians and spread of each row."""
    plans = [plan(c, effort, n_frames) for c in contenders]
    blocks: dict[Row, list[Clocks]] = {row: [] for c in contenders for row in c.rows}
    with tqdm(total=sum(p.n_rounds for p in plans), desc=title, leave=False, disable=None) as bar:
        for turn in range(most := max(p.n_rounds for p in plans)):
            for p in plans:
                if turn * p.n_rounds // most < (turn + 1) * p.n_rounds // most:
                    for row, clocks in zip(p.contender.rows, p.turn(), strict=True):
                        blocks[row].append(clocks)
                    bar.update()
    n_steps = {row: p.n_steps for p in plans for row in p.contender.rows}
    return {row: _summary(row, found, n_steps[row]) for row, found in blocks.items()}


def _summary(row: Row, blocks: Sequence[Clocks], n_steps: int) -> dict[str, Any]:
    clock = "thread_cpu_ms" if row.threads == 1 else "wall_ms"
    low, median, high = np.percentile([getattr(b, clock) for b in blocks], [10, 50, 90])
    return {
        **row._asdict(),
        "clock": "thread CPU" if row.threads == 1 else "wall",
        "median_ms": float(median),
        "p10_ms": float(low),
        "p90_ms": float(high),
        "median_wall_ms": float(np.median([b.wall_ms for b in blocks])),
        "n_blocks": len(blocks),
        "evaluations_per_block": n_steps,
    }


def run_case(case: Case, effort: Effort, peer: Peer | None) -> dict[str, Any]:
    """Everything about one case, as the JSON has it."""
    atoms = case.structure()
    frames = walk(atoms.positions, case.n_replicas)
    pairs = pair_statistics(atoms, frames, case.network.cutoff)
    work = flops(case.network, case.n_replicas * len(atoms), pairs.n_pairs)
    contenders, errors = _package_contenders(case, effort, atoms, frames)
    everyone: list[Contender] = [*contenders, Gemm("float32"), Gemm("float64")]
    with tempfile.TemporaryDirectory() as folder:
        if peer is not None and "reference" in case.backends:
            peer.prepare(case.network, atoms, frames, Path(folder))
            everyone += [SchNetPack(peer, n) for n in effort.threads]
        times = race(everyone, effort, len(frames), case.name)
    gemm = {row.dtype: t["median_ms"] for row, t in times.items() if row.program == GEMM}
    peaks = {dtype: gemm_gflops_per_s(ms) for dtype, ms in gemm.items()}
    rows = [_compared(row, times, errors, peaks, work) for row in times if row.program != GEMM]
    return {
        "name": case.name,
        "title": case.title,
        "n_replicas": case.n_replicas,
        "n_atoms": len(atoms),
        **asdict(pairs),
        "flops": work,
        "gemm_peak_gflops_per_s": peaks,
        "force_error_against": f"{_truth_of(case)}, float64, largest / largest force",
        "remark": case.remark,
        "rows": rows,
    }


def _compared(
    row: Row,
    times: dict[Row, dict[str, Any]],
    errors: dict[Row, float],
    peaks: dict[str, float],
    work: int,
) -> dict[str, Any]:
    """The times of a row beside the peer and, where filters are tabulated, the GEMM peak."""
    ms = times[row]["median_ms"]
    network = times.get(Row(BARE, "float32", row.threads))
    share = None
    if row.program in ("tabulated", "native"):
        share = 1e-6 * work / ms / (row.threads * peaks[row.dtype])
    return times[row] | {
        "times_faster_than_schnetpack": None if network is None else network["median_ms"] / ms,
        "share_of_gemm_peak": share,
        "force_error": errors.get(row),
    }


def _truth_of(case: Case) -> str:
    return "reference" if "reference" in case.backends else "native"


def _package_contenders(
    case: Case, effort: Effort, atoms: Atoms, frames: np.ndarray
) -> tuple[list[Package], dict[Row, float]]:
    """All of this package, and their force errors in the first frame."""
    potential = random_network(case.network)

    def make(backend: str, dtype: str, n: int) -> Package:
        return Package(potential, atoms, frames, backend, dtype, n)

    truth = make(_truth_of(case), "float64", 1).forces(0)
    contenders, errors = [], {}
    for backend in case.backends:
        for dtype in ("float32", "float64") if backend == "native" else ("float32",):
            for n in effort.threads:
                contender = make(backend, dtype, n)
                contenders.append(contender)
                if (backend, dtype) != (_truth_of(case), "float64"):
                    off = np.abs(contender.forces(0) - truth).max()
                    errors[contender.rows[0]] = float(off / np.abs(truth).max())
    return contenders, errors


def environment(peer: Peer | None) -> dict[str, Any]:
    """Hardware and versions."""
    names = ("mlpotential", "torch", "numpy", "ase", "ipi", "vesin")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GiB": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "system": f"{platform.system()} {platform.release()}",
        "load_at_start": os.getloadavg()[0],
        "kernel": (available_instruction_sets() or ("not compiled",))[-1],
        "versions": {"python": platform.python_version()} | {n: version(n) for n in names},
        "peer_versions": None if peer is None else peer.ask("versions"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def run(options: argparse.Namespace) -> int:
    """Measures the sections that were asked for; prints and writes as it goes."""
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of i-PI and all other processes
    sections = options.section or list(SECTIONS)
    if options.peer is None:
        measure(options, sections, None)
    else:
        with Peer(options.peer) as peer:
            measure(options, sections, peer)
    return 0


def measure(options: argparse.Namespace, sections: Sequence[str], peer: Peer | None) -> None:
    """As `run`, with the peer at hand."""
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
        "environment": environment(peer),
    }
    print(benchmark_report.heading(results), flush=True)

    def finished(section: str, result: Any, text: str) -> None:
        results[section] = result
        print("\n" + text, flush=True)
        if options.json is not None:
            write_atomically(options.json, json.dumps(results, indent=1) + "\n")

    if "kernels" in sections:
        effort = QUICK if options.quick else FULL
        cases: list[dict[str, Any]] = []
        for case in CASES:
            if case.in_quick or not options.quick:
                cases.append(run_case(case, effort, peer))
                kernels = {"flops_formula": FLOPS_FORMULA, "cases": cases}
                finished("kernels", kernels, benchmark_report.case_text(cases[-1]))
    runs: dict[str, tuple[Callable[[bool], dict[str, Any]], Callable[[dict[str, Any]], str]]] = {
        "scaling": (benchmark_runs.scaling, benchmark_report.scaling_text),
        "step": (benchmark_runs.step, benchmark_report.step_text),
        "pimd": (benchmark_runs.pimd, benchmark_report.pimd_text),
    }
    for section, (section_run, section_text) in runs.items():
        if section in sections:
            result = section_run(options.quick)
            finished(section, result, section_text(result))


def show(path: Path) -> int:
    """Prints the tables of a file of results. Raises ConfigError where it is none."""
    try:
        print(benchmark_report.markdown(json.loads(path.read_text())))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{path} has no results of this program ({error!r})") from error
    return 0


def benchmark_parser(description: str | None, examples: str) -> argparse.ArgumentParser:
    """Of a benchmark, whose words are never abbreviated and whose texts keep their lines."""
    return argparse.ArgumentParser(
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs or prints; a user's mistake becomes one line on standard error and code 2."""
    parser = benchmark_parser(__doc__, EXAMPLES)
    parser.add_argument("--quick", action="store_true", help="about a minute: small cases, noisy")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results")
    parser.add_argument(
        "--peer", type=Path, metavar="PYTHON", help="a Python with SchNetPack 2, to compare with"
    )
    parser.add_argument(
        "--section", choices=SECTIONS, action="append", help="may be given again (all)"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="measure nothing: results as tables"
    )
    options = parser.parse_args(arguments)
    if options.markdown is not None:
        return exit_code("bench_cpu", show, options.markdown)
    return exit_code("bench_cpu", run, options)


if __name__ == "__main__":
    sys.exit(main())
