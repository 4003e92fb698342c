"""`md-runs relax`: a structure at the nearest minimum."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from md_runs.commands.options import OtherCalculator, chosen_forces, taken, try_calculator
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.execution import Execution
from mlpotential.input_files import check_output_file

EXAMPLES = """  md-runs relax start.xyz --model model.safetensors --output relaxed.xyz
  md-runs relax start.xyz --calculator my_dft.py --output reference.xyz"""


def run(
    structure: Path,
    *,
    model: Path | None = None,
    output: Path,
    force_tolerance: float = 1e-4,
    max_steps: int = 2000,
    optimizer: Literal["bfgs", "fire"] = "bfgs",
    **options: Any,
) -> int:
    """Relaxes a structure and writes it; in float64 unless another dtype was asked for.

    With a calculator each step is kept in OUTPUT.unfinished, where the same command goes on.

    Args:
        structure: any format ASE reads.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        output: relaxed structure, any format ASE writes.
        force_tolerance: no force is longer at the end, eV/A.
        max_steps: give up after so many.
        optimizer: bfgs takes the fewest steps, fire is robust far from a minimum.
        options: fields of `OtherCalculator` and `Execution`.
    """
    from ase.io import write

    from md_runs.force_provider import ModelForces
    from md_runs.relax import UnfinishedRelaxation, check_settings, relax
    from md_runs.trajectories.structure_file import read_structure

    other, execution = taken(options, OtherCalculator), Execution(**options)
    check_settings(force_tolerance, max_steps, optimizer)
    _check_output(output)
    atoms = read_structure(structure)
    forces = chosen_forces(model, other, execution)
    kept = None
    if isinstance(forces, ModelForces):
        precise = replace(execution, dtype=execution.dtype or "float64")
        forces = replace(forces, execution=precise)
    else:
        try_calculator(forces, atoms)
        kept = UnfinishedRelaxation(output, atoms, forces.named.identity)
        atoms = kept.start()
    atoms.calc = forces.calculator()
    on_step = None if kept is None else kept.save
    relaxed, result = relax(
        atoms, force_tolerance, max_steps, optimizer, on_step=on_step, progress=True
    )
    try:
        write(output, relaxed)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    if kept is not None:
        kept.remove()
    print(
        f"{result.n_steps} steps, energy {result.energy:.6f} eV, longest force "
        f"{result.max_force:.2e} eV/A: {output}"
    )
    return 0


def _check_output(path: Path) -> None:
    """Raises ConfigError, before the work, for a structure file that could not be written after."""
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    try:
        file_format = ioformats.get(filetype(path.name, read=False))
    except UnknownFileTypeError:
        file_format = None
    if file_format is None or not file_format.can_write:
        raise ConfigError(f"ASE writes no structures to files like {path.name!r}: end it in .xyz")
    check_output_file(path)


COMMAND = Command.of(run, EXAMPLES, more=[OtherCalculator, Execution])
