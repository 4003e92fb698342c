"""From a long trajectory on disk to spectra and distributions: seconds and memory.

    python tests/benchmarks/bench_trajectory.py [--n-frames 1000000] [--n-text-frames 20000]

An H5MD file of a molecule with 20 atoms (positions and velocities, 0.5 fs apart) is written first,
then each analysis runs in a process of its own, with one thread, that reports its CPU time, wall
time and largest memory. Text formats are much slower to read, so fewer frames of them are read, and
the table extrapolates to as many as the H5MD file has.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ase.io
import h5py
import numpy as np
import scipy
from ase import Atoms
from ase.data import atomic_masses

from md_runs.analysis.spectra.density_of_states import vibrational_density_of_states
from md_runs.analysis.structure.rdf import pair_distribution
from md_runs.reading import read_run
from md_runs.trajectories.frame_arrays import LazyFrames, of_bead
from md_runs.trajectories.h5md_writer import write_h5md
from md_runs.trajectories.trajectory import Trajectory, with_frames
from mlpotential.units import ASE_TIME_PER_FS

INTERVAL_FS = 0.5
N_ATOMS = 20
N_LAGS = 8192  # a resolution of 4 1/cm
LINES_PER_CM = np.linspace(200.0, 3200.0, 3 * N_ATOMS)


def vibrating_molecule(n_frames: int) -> Trajectory:
    """A carbon cage whose coordinates oscillate, made when frames are asked for."""
    generator = np.random.default_rng(0)
    golden = np.pi * (3 - np.sqrt(5)) * np.arange(N_ATOMS)
    z = 1 - (2 * np.arange(N_ATOMS) + 1) / N_ATOMS
    r = np.sqrt(1 - z**2)
    cage = 2.0 * np.stack([r * np.cos(golden), r * np.sin(golden), z], axis=1)
    omega = 2 * np.pi * 2.99792458e-5 * LINES_PER_CM.reshape(N_ATOMS, 3)
    phases = generator.uniform(0, 2 * np.pi, omega.shape)

    def positions(start: int, stop: int) -> np.ndarray:
        times = INTERVAL_FS * np.arange(start, stop)[:, None, None, None]
        return cage + 0.05 * np.cos(omega * times + phases)

    def velocities(start: int, stop: int) -> np.ndarray:
        times = INTERVAL_FS * np.arange(start, stop)[:, None, None, None]
        return -0.05 * omega * np.sin(omega * times + phases)

    shape = (n_frames, 1, N_ATOMS, 3)
    numbers = np.full(N_ATOMS, 6)
    return Trajectory(
        atomic_numbers=numbers,
        masses=atomic_masses[numbers],
        times_fs=INTERVAL_FS * np.arange(n_frames),
        positions=LazyFrames(shape, positions),
        velocities_angstrom_per_fs=LazyFrames(shape, velocities),
    )


def density_of_states(path: Path) -> int:
    """Modes in the density of states: 54 for 20 atoms."""
    trajectory = read_run(path)
    assert trajectory.velocities_angstrom_per_fs is not None
    spectrum = vibrational_density_of_states(
        [of_bead(trajectory.velocities_angstrom_per_fs, 0)],
        [of_bead(trajectory.positions, 0)],
        trajectory.masses,
        trajectory.frame_interval_fs,
        N_LAGS,
    )
    return round(float(spectrum.integral.value))


def pair_density(path: Path) -> int:
    """Pairs in the pair density: 190 for 20 atoms."""
    return pair_distribution(read_run(path).positions).n_pairs


def both(path: Path) -> int:
    """The two analyses one after the other."""
    return density_of_states(path) + pair_density(path)


def only_read(path: Path) -> int:
    """Frames of a file that is read to its end."""
    return read_run(path, INTERVAL_FS).n_frames


TASKS: dict[str, Callable[[Path], int]] = {
    task.__name__: task for task in (density_of_states, pair_density, both, only_read)
}


def measured(task: str, path: Path) -> dict[str, float]:
    """Runs one task in a process of its own."""
    command = [sys.executable, __file__, "--task", task, str(path)]
    start = time.perf_counter()
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cpu, megabytes, result = map(float, output.split())
    return {"cpu": cpu, "wall": time.perf_counter() - start, "MB": megabytes, "result": result}


def run_task(task: str, path: Path) -> None:
    """Prints CPU seconds (of the task without imports), peak memory (MB) and the result."""
    start = time.process_time()
    result = TASKS[task](path)
    seconds = time.process_time() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, result)


def write_text_formats(trajectory: Trajectory, folder: Path) -> dict[str, Path]:
    """Extended XYZ and `.traj` by ASE, and i-PI's xyz."""
    assert trajectory.velocities_angstrom_per_fs is not None
    frames = []
    for k in range(trajectory.n_frames):
        atoms = Atoms(trajectory.atomic_numbers, trajectory.positions[k, 0])
        atoms.set_velocities(trajectory.velocities_angstrom_per_fs[k, 0] / ASE_TIME_PER_FS)
        frames.append(atoms)
    paths = {"extended XYZ": folder / "run.extxyz", ".traj": folder / "run.traj"}
    for path in paths.values():
        ase.io.write(path, frames)
    for name, values in (
        ("positions{angstrom}", trajectory.positions),
        ("velocities{ase}", trajectory.velocities_angstrom_per_fs[...] / ASE_TIME_PER_FS),
    ):
        with open(folder / f"sim.{name[:3]}_0.xyz", "w") as handle:
            for k in range(trajectory.n_frames):
                handle.write(
                    f"{N_ATOMS}\n# CELL(abcABC):   35.00000    35.00000    35.00000    90.00000    "
                    f"90.00000    90.00000  Step:  {k:10d}  Bead:       0 {name}  "
                    "cell{angstrom}\n"
                )
                for row in values[k, 0]:
                    handle.write("{:>8s} {:12.5e} {:12.5e} {:12.5e}\n".format("C", *row))
    return paths | {"i-PI xyz, two files": folder / "sim"}


def row(name: str, n_frames: int, found: dict[str, Any], n_wanted: int) -> None:
    """One line of the table."""
    scale = n_wanted / n_frames
    print(
        f"| {name} | {n_frames} | {found['cpu']:.1f} | {found['wall']:.1f} | {found['MB']:.0f} | "
        f"{found['cpu'] * scale:.0f} | {found['result']:.0f} |",
        flush=True,
    )


def main() -> None:
    """Makes the files and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-frames", type=int, default=1_000_000)
    parser.add_argument("--n-text-frames", type=int, default=20_000)
    parser.add_argument("--task", nargs=2, metavar=("TASK", "FILE"))
    arguments = parser.parse_args()
    if arguments.task:
        run_task(arguments.task[0], Path(arguments.task[1]))
        return
    n_frames, n_text = arguments.n_frames, arguments.n_text_frames
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one thread")
    print(f"NumPy {np.__version__}, SciPy {scipy.__version__}, h5py {h5py.__version__}, ", end="")
    print(f"ASE {ase.__version__}; {N_ATOMS} atoms, {INTERVAL_FS} fs, {N_LAGS} lags\n")
    print("| task | frames | CPU s | wall s | peak MB | CPU s for all frames | result |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as name:
        folder, trajectory = Path(name), vibrating_molecule(n_frames)
        write_h5md(trajectory, folder / "run.h5")
        for task in ("density_of_states", "pair_density", "both"):
            found = measured(task, folder / "run.h5")
            row(f"H5MD: {task.replace('_', ' ')}", n_frames, found, n_frames)
        paths = write_text_formats(with_frames(trajectory, np.arange(n_text)), folder)
        for kind, path in paths.items():
            row(f"reading {kind}", n_text, measured("only_read", path), n_frames)


if __name__ == "__main__":
    main()
