"""Path-integral molecular dynamics through a real i-PI process, with a model file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ase import Atoms

from md_runs.model_warnings import REPORT_NAME, warn_of_hard_cutoff
from md_runs.pimd.ipi_input import ForceProvider, to_ipi_frame
from md_runs.pimd.ipi_run import PimdResult, run_with_provider
from md_runs.pimd.segments import SegmentsResult, run_segments_with_provider
from md_runs.pimd.settings import PimdRun
from md_runs.run_folders import STRUCTURE_NAME
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution

Model = str | Path | Sequence[str | Path]

MODEL_NAME = "model.safetensors"
MEMBER_NAME = "model_{}.safetensors"


def run_pimd(
    atoms: Atoms,
    model: Model,
    settings: PimdRun,
    folder: str | Path,
    progress: bool = True,
    execution: Execution = DEFAULT_EXECUTION,
    stall_limit_s: float = 600.0,
) -> PimdResult:
    """Runs path-integral MD, or goes on with the run that is in the folder.

    Args:
        atoms: where all beads start; its masses count, its velocities do not. A periodic cell stays
            as it is but for a rotation to i-PI's frame (a along x, b in the xy plane).
        model: model file, or those of a committee (a list or a pattern); the folder keeps copies.
        settings: of the run.
        folder: made where needed; one run per folder.
        progress: show a bar, if standard error is a terminal.
        execution: where and how the model is evaluated.
        stall_limit_s: a run without a new step for so long is stopped (s).

    Raises:
        StructureError, ModelFileError, ConfigError: if there can be no such run.
        RunError: if the folder is in use or holds another run, if i-PI fails or stands still, or if
            a number in the outputs is not finite.
        RunInterrupted: after SIGTERM or SIGINT; i-PI has stopped softly.

    Warns:
        UserWarning: if the model has a hard cutoff.
        ExtrapolationWarning: if the run was outside the training data of the model.
    """
    if settings.dynamics != "pimd":
        raise ConfigError(
            f"{settings.dynamics} is made of segments: call run_ring_polymer_segments for it"
        )
    atoms = to_ipi_frame(atoms)
    provider = _model_provider(atoms, model, execution)
    return run_with_provider(atoms, provider, settings, Path(folder), progress, stall_limit_s)


def run_ring_polymer_segments(
    atoms: Atoms,
    model: Model,
    settings: PimdRun,
    folder: str | Path,
    source: str | Path | None = None,
    progress: bool = True,
    execution: Execution = DEFAULT_EXECUTION,
    stall_limit_s: float = 600.0,
) -> SegmentsResult:
    """RPMD or TRPMD in segments that start from frames of a PIMD run, or the rest of them.

    Args:
        atoms: elements, masses and cell; where the beads of the PIMD run start, if there is none.
        model: as for `run_pimd`.
        settings: of the segments; `n_steps` is that of all together.
        folder: made where needed; segment k is a run in `segment_k`.
        source: folder of a PIMD run of the same atoms, model, beads and temperature; None to make
            one, in the folder `pimd`.
        progress: show bars, if standard error is a terminal.
        execution: where and how the model is evaluated.
        stall_limit_s: a run without a new step for so long is stopped (s).

    Raises:
        StructureError, ModelFileError, ConfigError: if there can be no such run.
        RunError: as `run_pimd`, or if the source is another one or too short.
        RunInterrupted: after SIGTERM or SIGINT; the same call continues.

    Warns:
        UserWarning: if the model has a hard cutoff.
        ExtrapolationWarning: if a run was outside the training data of the model.
    """
    atoms = to_ipi_frame(atoms)
    provider = _model_provider(atoms, model, execution)
    source = None if source is None else Path(source)
    return run_segments_with_provider(
        atoms, provider, settings, Path(folder), source, progress, stall_limit_s
    )


def _model_provider(atoms: Atoms, model: Model, execution: Execution) -> ForceProvider:
    """The driver with a model that was tried on the atoms."""
    from calculators.ipi_driver import driver_path
    from mlpotential.inference.committee import member_files
    from mlpotential.inference.evaluator import Evaluator

    evaluator = Evaluator(model, atoms.numbers, atoms.pbc, **asdict(execution))
    evaluator.evaluate(atoms.positions[None], atoms.cell.array[None] if atoms.pbc.any() else None)
    warn_of_hard_cutoff(evaluator.traits, stacklevel=4)  # whoever called run_...
    execution = replace(execution, dtype=evaluator.dtype)
    paths = member_files(model)
    names = [MODEL_NAME] if len(paths) == 1 else [MEMBER_NAME.format(k) for k in range(len(paths))]
    sha256 = ", ".join(sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths))
    parameters = {
        "model": MODEL_NAME if len(paths) == 1 else MEMBER_NAME.format("*"),
        "structure": STRUCTURE_NAME,
        "report": REPORT_NAME,
    }
    return ForceProvider(
        pes_path=driver_path(),
        parameters=parameters | {name: str(value) for name, value in asdict(execution).items()},
        files=dict(zip(names, paths, strict=True)),
        identity={"model (sha256)": sha256, "dtype": str(execution.dtype)},
        gives_dipole="dipole" in evaluator.properties,
    )
