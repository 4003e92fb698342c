"""`md-runs classical`: molecular dynamics of classical nuclei."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from md_runs.classical.settings import ClassicalRun
from md_runs.commands.error_bars.conditions import Conditions
from md_runs.commands.options import (
    OtherCalculator,
    check_folder,
    chosen_forces,
    taken,
    try_calculator,
)
from mlpotential.command_line import Command
from mlpotential.inference.execution import Execution

EXAMPLES = (
    "  md-runs classical relaxed.xyz --model model.safetensors --folder nvt "
    "--temperature-K 300 --n-steps 20000\n"
    "  md-runs classical crystal.xyz --model model.safetensors --folder npt "
    "--ensemble npt-isotropic --pressure-GPa 0.0001 --n-steps 20000\n"
    "  md-runs classical relaxed.xyz --calculator tblite.ase:TBLite "
    "--calculator-arguments '{method: GFN2-xTB, verbosity: 0}' --folder gfn2 --n-steps 5000\n"
    "  md-runs classical relaxed.xyz --model model.safetensors --folder nvt --n-steps 20000 "
    "--until 'bond_C-H < 0.0005' 'temperature < 1' --at-most 2e6"
)


def run(structure: Path, *, model: Path | None = None, folder: Path, **options: Any) -> int:
    """Runs, or continues, classical MD.

    Args:
        structure: file with the atoms to start from, any format ASE reads.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        folder: for all files of the run; a run that is there goes on.
        options: fields of `ClassicalRun`, `Conditions`, `OtherCalculator` and `Execution`.
    """
    from md_runs.trajectories.structure_file import read_structure

    settings, conditions = taken(options, ClassicalRun), taken(options, Conditions)
    other = taken(options, OtherCalculator)
    execution = Execution(**options)
    check_folder(folder, "--folder")
    atoms = read_structure(structure)
    forces = chosen_forces(model, other, execution)
    from md_runs.classical.run import run_classical
    from mlpotential.units import G_PER_CM3_PER_AMU_PER_ANGSTROM3

    try_calculator(forces, atoms, "1000 steps", 1000)
    atoms.calc = forces.calculator()
    result, holds = conditions.run(
        atoms, settings, folder, lambda settings: run_classical(atoms, settings, folder)
    )
    means = f"mean temperature {result.mean_temperature_K} K"
    if result.mean_volume is not None:
        density = G_PER_CM3_PER_AMU_PER_ANGSTROM3 * atoms.get_masses().sum()
        means += (
            f", pressure {result.mean_pressure_GPa} GPa, volume {result.mean_volume} A^3, density "
            f"{density / result.mean_volume.value:.4f} g/cm^3"
        )
    print(f"{means}: {result.trajectory_file}")
    if result.extrapolation is not None:
        print(result.extrapolation)
    return 0 if holds else 1


COMMAND = Command.of(run, EXAMPLES, more=[ClassicalRun, Conditions, OtherCalculator, Execution])
