"""How fast ring polymers of C20 move on a CUDA device, and by the host beside it. Asserts nothing.

    python tests/benchmarks/bench_gpu_pimd.py --json gpu_pimd.json

Parity comes first: 20 steps of RPMD in float64, on the device and on the host. Where they differ by
more than rounding, nothing is measured, and the program exits with 1; without a CUDA device it
exits with 2. A speed is that of a whole run in a folder, as `md-runs pimd` makes it, in float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from ase import Atoms
from ase.io import read

from md_runs.c20 import MODEL, STRUCTURE
from md_runs.force_provider import ModelForces
from md_runs.pimd import PimdRun, run_pimd
from md_runs.pimd.ring_polymer.bead_forces import ModelBeads
from md_runs.pimd.ring_polymer.device import make_on_device
from md_runs.pimd.ring_polymer.dynamics import make_integrator
from md_runs.pimd.settings import Engine
from mlpotential.inference.execution import Execution

BEADS = (1, 8, 16, 32, 64)
ENGINES: tuple[Engine, ...] = ("cuda", "native")
N_STEPS = {"cuda": 5_000, "native": 500}  # chosen: seconds
BOUND = 1e-7  # of displacements after 20 steps, relative to the largest
FAILED, NO_DEVICE = 1, 2
assert set(ENGINES) <= set(get_args(Engine))


def difference(atoms: Atoms, model: Path, execution: Execution, n_beads: int) -> float:
    """Of both engines after 20 steps without a thermostat, relative to the largest displacement."""
    evaluator = ModelForces(model, execution).evaluator(atoms)
    beads = ModelBeads(evaluator, None)

    def forces(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        answer = beads.evaluate(positions)
        return answer.energies, answer.forces

    settings = PimdRun(
        n_steps=20, n_beads=n_beads, dynamics="rpmd", segment_ps=0.01, stride=1, engine="cuda"
    )
    begin = np.repeat(atoms.positions[None], n_beads, axis=0)
    found = []
    for moving in (
        make_integrator(atoms, settings, forces),
        make_on_device(atoms, settings, forces, beads),
    ):
        moving.begin(begin)
        for step in range(1, settings.n_steps + 1):
            moving.step(step)
        found.append(moving.bead_positions() - begin)
    return float(np.abs(found[1] - found[0]).max() / np.abs(found[0]).max())


def steps_per_second(
    atoms: Atoms, model: Path, execution: Execution, n_beads: int, engine: Engine, n_steps: int
) -> float | None:
    """Of a run in a folder; None where it was too short to tell."""
    settings = PimdRun(n_steps=n_steps, n_beads=n_beads, engine=engine)
    with tempfile.TemporaryDirectory() as folder:
        result = run_pimd(atoms, model, settings, folder, progress=False, execution=execution)
    return result.steps_per_second


def main(arguments: Sequence[str] | None = None) -> int:
    """As the docstring above says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path, help="results as a file")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("there is no CUDA device here: nothing to measure", file=sys.stderr)
        return NO_DEVICE
    atoms, execution = read(STRUCTURE), Execution("cuda", "float64", guard="off")
    for n_beads in (1, 8):
        if not (error := difference(atoms, MODEL, execution, n_beads)) <= BOUND:
            print(f"parity fails with {n_beads} beads ({error:.2g}), so nothing is measured")
            return FAILED
    rows: list[dict[str, Any]] = []
    for engine in ENGINES:
        for n_beads in BEADS:
            single = replace(execution, dtype="float32", guard="warn")
            speed = steps_per_second(atoms, MODEL, single, n_beads, engine, N_STEPS[engine])
            rows.append({"engine": engine, "n_beads": n_beads, "steps_per_second": speed})
            print(rows[-1], flush=True)
            if options.json is not None:
                device = torch.cuda.get_device_name()
                content = {"device": device, "torch": torch.__version__, "rows": rows}
                options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
