"""What a user of the kernel sees: large systems, the steps of ASE, path integrals in i-PI.

Run as a program this measures one size for `scaling`, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from ase.io import read
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from benchmark_cases import (
    ALL_PAIRS,
    CUTOFF_5,
    WALK_STEPS,
    diamond,
    pair_statistics,
    random_network,
    there_and_back,
    walk,
)
from tqdm import tqdm

from calculators import MLPotentialCalculator
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.c20.settings import FULL_LENGTH_PS, C20Study
from md_runs.pimd import PimdRun, run_pimd
from mlpotential import AtomGraph, Evaluator, SchNet, load_model, save_model
from mlpotential.inference.execution import Execution
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.schnet.filter_table import tabulate_filters
from mlpotential.inference.schnet.native import NativeSchNet
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect

SCALING_EDGES = (4, 5, 8, 10, 13, 16, 18)  # 8 n^3 atoms
QUICK_SCALING_EDGES = (4, 8)
HARMLESS = 1e-3  # of the random network's energies, so that atoms hardly feel it
PAPER_HOURS = 7.0  # Schuett et al. (2018): 1.25 ns of 8 beads on a GTX 1080
N_BEADS = 8
WANTED = ("energy", "forces", "atomic_energies")  # what the calculator asks for
TABLE_TOLERANCE = 1e-5  # of the evaluator in float32


def scaling(quick: bool) -> dict[str, Any]:
    """Diamond of growing size, native, float32, one thread; each size in a process of its own."""
    sizes = []
    edges = QUICK_SCALING_EDGES if quick else SCALING_EDGES
    n_steps = 5 if quick else WALK_STEPS
    for edge in tqdm(edges, desc="scaling", leave=False, disable=None):
        command = [sys.executable, __file__, str(edge), str(n_steps)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        sizes.append(json.loads(done.stdout))
    n_atoms = np.array([size["n_atoms"] for size in sizes])
    times, peaks = ([s[k] for s in sizes] for k in ("thread_cpu_ms", "peak_memory_growth_kB"))
    return {
        "network": "T = 6, F = 128, 5 A, native, float32, 1 thread",
        "sizes": sizes,
        "fitted_exponent_of_time": float(np.polyfit(np.log(n_atoms), np.log(times), 1)[0]),
        "fitted_peak_memory_kB_per_atom": float(np.polyfit(n_atoms, peaks, 1)[0]),
    }


def measure_size(edge: int, n_steps: int) -> dict[str, Any]:
    """Time and memory of steps along the walk, the making of the neighbour list included."""
    torch.set_num_threads(1)
    atoms = diamond(edge)
    evaluator = Evaluator(
        random_network(CUTOFF_5), atoms.numbers, atoms.pbc, "cpu", "float32", backend="native"
    )
    frames, cells = walk(atoms.positions, 1), atoms.cell.array[None]
    order = there_and_back(len(frames))
    before = _resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now
    evaluator.evaluate(frames[next(order)], cells)
    start = time.thread_time()
    for _ in range(n_steps):
        evaluator.evaluate(frames[next(order)], cells)
    spent = time.thread_time() - start
    grown_kB = (_resident_bytes("VmHWM") - before) / 1e3
    return {
        "n_atoms": len(atoms),
        "n_pairs": pair_statistics(atoms, frames[:2], CUTOFF_5.cutoff).n_pairs,
        "thread_cpu_ms": 1e3 * spent / n_steps,
        "thread_cpu_us_per_atom": 1e6 * spent / n_steps / len(atoms),
        "peak_memory_growth_kB": grown_kB,
    }


def _resident_bytes(name: str) -> int:
    """VmRSS, now, or VmHWM, the peak, of this process (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise LookupError(name)


class NoForces:
    """A calculator as lean as can be: what is left of a step is ASE's integrator."""

    def __init__(self, n_atoms: int) -> None:
        self._forces = np.zeros((n_atoms, 3))

    def get_forces(self, atoms: Atoms) -> np.ndarray:
        """Zeros, [n_atoms, 3]."""
        return self._forces


def step(quick: bool) -> dict[str, Any]:
    """NVE steps of C20 in ASE beside bare evaluations; all take turns, thread-CPU time."""
    n_blocks, block = (10, 50) if quick else (40, 100)
    models = [load_model(MODEL).potential, _harmless_network()]
    return {
        "steps_per_block": block,
        "n_blocks": n_blocks,
        "models": [
            {"model": name, **_step_times(potential, n_blocks, block)}
            for name, potential in tqdm(_named(models), desc="step", leave=False, disable=None)
        ],
    }


def _step_times(potential: SchNet, n_blocks: int, block: int) -> dict[str, float]:
    """Medians (us): the kernel, the evaluator, steps of ASE with the calculator and without."""
    atoms = _c20()
    positions = atoms.positions.copy()
    graph = PairGraph.from_graph(connect(AtomGraph.from_atoms(atoms), potential.cutoff))
    kernel = NativeSchNet(potential, tabulate_filters(potential, TABLE_TOLERANCE))
    evaluator = Evaluator(potential, atoms.numbers, False, "cpu", "float32", backend="native")
    model = MLPotentialCalculator(potential, "cpu", "float32", backend="native")
    works: dict[str, Callable[[], object]] = {
        "kernel_us": lambda: [kernel.evaluate(graph, positions, WANTED) for _ in range(block)],
        "evaluator_us": lambda: [
            evaluator.evaluate(positions[None], None, WANTED) for _ in range(block)
        ],
        "ase_step_us": _nve(atoms, model, block),
        "ase_step_without_calculator_us": _nve(_c20(), NoForces(len(atoms)), block),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(n_blocks + 1):  # the first is not counted
        for name, work in works.items():
            start = time.thread_time()
            work()
            times[name].append(1e6 * (time.thread_time() - start) / block)
    medians = {name: float(np.median(t[1:])) for name, t in times.items()}
    above = np.subtract(times["ase_step_us"], times["kernel_us"])[1:]
    low, median, high = np.percentile(above, [10, 50, 90])
    return medians | {
        "above_kernel_us": float(median),
        "above_kernel_p10_us": float(low),
        "above_kernel_p90_us": float(high),
    }


def _nve(atoms: Atoms, calculator: object, n_steps: int) -> Callable[[], object]:
    atoms.calc = calculator
    MaxwellBoltzmannDistribution(atoms, temperature_K=300.0, rng=np.random.default_rng(0))
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    return lambda: dynamics.run(n_steps)


def pimd(quick: bool) -> dict[str, Any]:
    """8 beads of C20 in a real i-PI process, wall time; all take turns."""
    study = C20Study()
    n_steps, n_repeats = (400, 1) if quick else (4000, 3)
    settings = PimdRun(
        n_steps=n_steps,
        n_beads=N_BEADS,
        temperature_K=study.temperature_K,
        timestep_fs=study.timestep_fs,
    )
    total = FULL_LENGTH_PS * 1000.0 / study.timestep_fs
    with tempfile.TemporaryDirectory() as scratch:
        models = _pimd_models(Path(scratch))
        runs = [(name, threads) for name in models for threads in ((1,) if quick else (1, 2))]
        speeds: dict[tuple[str, int], list[float]] = {run: [] for run in runs}
        turns = list(enumerate(runs * n_repeats))
        for number, (name, threads) in tqdm(turns, desc="pimd", leave=False, disable=None):
            execution = Execution("cpu", "float32", "native", threads)
            folder = Path(scratch) / f"run_{number}"
            done = run_pimd(_c20(), models[name], settings, folder, False, execution)
            assert done.steps_per_second is not None  # long enough to tell
            speeds[name, threads].append(done.steps_per_second)
    return {
        "n_beads": N_BEADS,
        "timestep_fs": study.timestep_fs,
        "n_steps": n_steps,
        "full_length_ps": FULL_LENGTH_PS,
        "paper_hours": PAPER_HOURS,
        "runs": [
            {
                "model": name,
                "threads": threads,
                "steps_per_s": found,
                "median_steps_per_s": float(np.median(found)),
                "hours_for_full_length": total / float(np.median(found)) / 3600.0,
            }
            for (name, threads), found in speeds.items()
        ],
    }


def _pimd_models(scratch: Path) -> dict[str, Path]:
    random = scratch / "random.safetensors"
    save_model(random, _harmless_network(), AtomGraph.from_atoms(_c20()))
    paths = [MODEL, random]
    names = [name for name, _ in _named([load_model(path).potential for path in paths])]
    return dict(zip(names, paths, strict=True))


def _named(models: Sequence[Potential]) -> list[tuple[str, SchNet]]:
    """The shipped model and the random one, each with what people call it."""
    named = []
    for kind, model in zip(("shipped model", "random weights"), models, strict=True):
        assert isinstance(model, SchNet)  # both are
        size = f"T = {model.config.n_interactions}, F = {model.config.n_features}"
        named.append((f"{kind}, {size}", model))
    return named


def _c20() -> Atoms:
    atoms = read(STRUCTURE)
    assert isinstance(atoms, Atoms)  # a single one
    return atoms


def _harmless_network() -> SchNet:
    """The published size without cutoff: the work does not depend on where the atoms drift."""
    network = random_network(ALL_PAIRS)
    network.scale.set(0.0, HARMLESS)
    return network


if __name__ == "__main__":
    print(json.dumps(measure_size(int(sys.argv[1]), int(sys.argv[2]))))
