"""`md-runs relax`: a structure at the nearest minimum."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from md_runs.commands.options import check_model
from mlpotential.command_line import Command
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.execution import Execution
from mlpotential.input_files import check_output_file

EXAMPLES = "  md-runs relax start.xyz --model model.safetensors --output relaxed.xyz"


def run(
    structure: Path,
    *,
    model: Path,
    output: Path,
    force_tolerance: float = 1e-4,
    max_steps: int = 2000,
    optimizer: Literal["bfgs", "fire"] = "bfgs",
    **execution: Any,
) -> int:
    """Relaxes a structure and writes it; in float64 unless another dtype was asked for.

    Args:
        structure: any format ASE reads.
        model: model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', a
            committee.
        output: relaxed structure, any format ASE writes.
        force_tolerance: no force is longer at the end, eV/A.
        max_steps: give up after so many.
        optimizer: bfgs takes the fewest steps, fire is robust far from a minimum.
        execution: fields of `Execution`.
    """
    from ase.io import write

    from md_runs.force_provider import ModelForces
    from md_runs.relax import check_settings, relax
    from md_runs.trajectories.structure_file import read_structure

    execution["dtype"] = execution["dtype"] or "float64"
    precise = Execution(**execution)
    check_settings(force_tolerance, max_steps, optimizer)
    _check_output(output)
    atoms = read_structure(structure)
    check_model(model)
    atoms.calc = ModelForces(model, precise).calculator()
    relaxed, result = relax(atoms, force_tolerance, max_steps, optimizer)
    try:
        write(output, relaxed)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
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


COMMAND = Command.of(run, EXAMPLES, more=[Execution])
