"""`md-runs relax`: a structure at the nearest minimum."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Literal

from md_runs.commands.options import add_structure_and_model, check_file
from mlpotential.command_line import Command

EXAMPLES = "  md-runs relax start.xyz --model model.safetensors --output relaxed.xyz"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `run` takes."""
    add = parser.add_argument
    add_structure_and_model(parser)
    add("--output", type=Path, required=True, help="relaxed structure (ASE format)")
    add("--force-tolerance", type=float, default=1e-4, help="eV/A (1e-4)")
    add("--max-steps", type=int, default=2000, help="give up after (2000)")
    add("--optimizer", choices=("bfgs", "fire"), default="bfgs", help="(bfgs)")


def run(
    structure: Path,
    model: Path,
    output: Path,
    force_tolerance: float,
    max_steps: int,
    optimizer: Literal["bfgs", "fire"],
    **execution: Any,
) -> int:
    """Relaxes a structure and writes it; in float64 unless another dtype was asked for."""
    from ase.io import write

    from md_runs.relax import check_settings, relax
    from md_runs.trajectories.structure_file import read_structure
    from mlpotential.errors import RunError

    check_settings(force_tolerance, max_steps, optimizer)
    _check_output(output)
    atoms = read_structure(structure)
    from calculators import MLPotentialCalculator  # and torch

    execution["dtype"] = execution["dtype"] or "float64"
    atoms.calc = MLPotentialCalculator(model, **execution)
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

    from mlpotential.errors import ConfigError

    try:
        file_format = ioformats.get(filetype(path.name, read=False))
    except UnknownFileTypeError:
        file_format = None
    if file_format is None or not file_format.can_write:
        raise ConfigError(f"ASE writes no structures to files like {path.name!r}: end it in .xyz")
    check_file(path)


COMMAND = Command(add_options, run, EXAMPLES)
