"""LAMMPS beside MD of this package: CPU seconds per step, and what the exchange costs.

    python tests/benchmarks/bench_lammps.py --venv .lammps_venv [--cells 8 16] [--ranks 1 2]

Diamond of n x n x n cubic cells (4,096 atoms for 8, 32,768 for 16), a network of random weights
with T = 6, F = 128 and 5 A, float32. `CPU s/step` is of all processes together; MPI waits busily,
so waiting counts. `s/step` is the CPU time of one process without exchanges, `speed-up` that of one
rank over it, and `exchange %` the rest, which on a busy machine is mostly waiting. `--memory N`
measures the memory of each process for n = N instead (50: a million atoms).
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "calculators/lammps"))

from ase import Atoms
from ase.io.lammpsdata import write_lammps_data
from ase.md.verlet import VelocityVerlet
from ase.units import fs
from benchmark_cases import CUTOFF_5, diamond, random_network
from lammps_runs import Lammps

from calculators import MLPotentialCalculator
from calculators.lammps.export import export
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import save_model

INPUT = """
units           metal
atom_modify     sort 100 0.0
read_data       {data}
pair_style      mlpotential model.mlpk guard off threads {threads}
pair_coeff      * * C
neighbor        1.0 bin
velocity        all create 300.0 7 mom yes rot yes dist gaussian
timestep        0.0005
fix             move all nve
compute         m all pair mlpotential
thermo_style    custom step pe c_m[5] c_m[6] c_m[7] c_m[8]
thermo          {steps}
run             {steps}
"""


@dataclass(frozen=True)
class Step:
    """A step of a run, CPU seconds of all processes together.

    Attributes:
        seconds: of the pair style, waiting included.
        exchange: of them, in exchanges, waiting included.
        copies, pairs: of all processes.
    """

    seconds: float
    exchange: float
    copies: float
    pairs: float


def lammps_step(lammps: Lammps, folder: Path, data: str, ranks: int, steps: int) -> Step:
    """Of LAMMPS, between the first step and the last."""
    text = INPUT.format(data=data, steps=steps, threads=1)
    log = lammps.run(text, folder, ranks)
    table = re.findall(r"^\s+Step .*\n((?:[\s\d.e+-]+\n)+)", log, re.MULTILINE)[-1]
    first, last = ([float(x) for x in line.split()] for line in table.strip().splitlines())
    return Step((last[3] - first[3]) / steps, (last[2] - first[2]) / steps, last[4], last[5])


def own_step(model: Path, atoms: Atoms, steps: int) -> float:
    """CPU seconds per step of velocity Verlet in ASE with the calculator of the package."""
    atoms = atoms.copy()
    atoms.calc = MLPotentialCalculator(model, device="cpu", guard="off")
    dynamics = VelocityVerlet(atoms, 0.5 * fs)
    dynamics.run(1)
    before = time.process_time()
    dynamics.run(steps)
    return (time.process_time() - before) / steps


def print_steps(lammps: Lammps, folder: Path, options: argparse.Namespace) -> None:
    """The table of times."""
    model = folder / "model.safetensors"
    columns = "atoms, run, CPU s/step, s/step, of own MD, speed-up, exchange %, copies, pairs"
    print(("{:>11} " * 9).format(*columns.split(", ")))
    for cells in options.cells:
        atoms = diamond(cells)
        write_lammps_data(folder / f"{cells}.data", atoms, specorder=["C"], masses=True)
        times = [own_step(model, atoms, options.steps) for _ in range(options.repeats)]
        own = statistics.median(times)
        print(f"{len(atoms):11,d} {'own MD':>11} {own:11.3f} {own:11.3f}", flush=True)
        first = None
        for ranks in options.ranks:
            found = [
                lammps_step(lammps, folder, f"{cells}.data", ranks, options.steps)
                for _ in range(options.repeats)
            ]
            step = min(found, key=lambda step: step.seconds)
            alone = (step.seconds - step.exchange) / ranks
            first = first or alone
            print(
                f"{len(atoms):11,d} {f'{ranks} ranks':>11} {step.seconds:11.3f} {alone:11.3f} "
                f"{alone / own:11.2f} {first / alone:11.2f} "
                f"{100 * step.exchange / step.seconds:11.1f} "
                f"{step.copies / ranks:11,.0f} {step.pairs:11,.0f}",
                flush=True,
            )


def print_memory(lammps: Lammps, folder: Path, options: argparse.Namespace) -> None:
    """Resident memory of one process for each of the ranks."""
    atoms = diamond(options.memory)
    write_lammps_data(folder / "memory.data", atoms, specorder=["C"], masses=True)
    for ranks in sorted(options.ranks, reverse=True):  # the most of any process so far is known
        text = INPUT.format(data="memory.data", steps=0, threads=1)
        log = lammps.run(text, folder, ranks)
        (most,) = re.findall(r"Per MPI rank memory allocation .*= \S+ \| \S+ \| (\S+) Mbytes", log)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        print(
            f"{len(atoms):,d} atoms on {ranks} ranks: at most {peak:.2f} GB resident so far in a "
            f"process, {1e6 * peak * ranks / len(atoms):.1f} kB an atom; LAMMPS counts {most} MB"
        )


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--cells", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", type=int)
    options = parser.parse_args()
    print(f"{platform.node()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lammps = Lammps.with_plugin(options.venv.absolute(), folder / "plugins")
        golden = diamond(1)
        save_model(
            folder / "model.safetensors",
            random_network(CUTOFF_5),
            AtomGraph.from_arrays(golden.numbers, golden.positions, golden.cell.array, True),
        )
        export(folder / "model.safetensors", folder / "model.mlpk")
        (print_steps if options.memory is None else print_memory)(lammps, folder, options)


if __name__ == "__main__":
    main()
