"""`md-runs c20` and `md-runs c20-data`: the C20 study, and training data for a model of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from md_runs.c20 import MODEL
from md_runs.c20.settings import FULL_LENGTH_PS, C20Study, folder_defaults
from md_runs.commands.options import (
    OtherCalculator,
    check_model,
    chosen_forces,
    printed_extrapolation,
    taken,
)
from md_runs.force_provider import CalculatorForces
from md_runs.pimd.settings import Engine
from mlpotential.command_line import Command
from mlpotential.inference.execution import Execution

STUDY_EXAMPLES = """  md-runs c20
  md-runs c20 --length-ps 20 --folder long
  md-runs c20 --length-ps 20 --bead-series 1 2 4 16 --folder long
  md-runs c20 --model mine.safetensors --beads 16 --temperature-K 200 --folder cold
  md-runs c20 --calculator tblite.ase:TBLite --drivers 2 --folder gfn2 \\
      --calculator-arguments '{method: GFN2-xTB, verbosity: 0}'
  md-runs c20 --full --yes"""

DATA_EXAMPLES = """  mlpotential convert force_model published.safetensors --elements C
  md-runs c20-data --model published.safetensors --folder data
  md-runs c20-data --model published.safetensors --folder small --n-train 3000 --n-validation 500"""


def run_study(
    *,
    model: Path | None = None,
    folder: Path | None = None,
    length_ps: float = 2.0,
    beads: int = 8,
    bead_series: Sequence[int] = (),
    engine: Engine | None = None,
    temperature_K: float = 300.0,
    seed: int | None = None,
    full: bool = False,
    yes: bool = False,
    **options: Any,
) -> int:
    """Runs, or continues, the study, and writes its figures and tables.

    Args:
        model: model file (the shipped).
        folder: of the study (c20_study, with --full c20_full).
        length_ps: of each of the two runs, ps.
        beads: replicas of the ring polymer.
        bead_series: further runs with these numbers of beads, for their convergence (none).
        engine: what moves the ring polymer: native, in this process, or ipi, a process of i-PI
            (that of the study in the folder, native of a new one).
        temperature_K: of all runs, K.
        seed: of velocities and thermostats (that of the study in the folder, 1 of a new one).
        full: 1.25 ns, the length in the paper; needs --yes.
        yes: start --full after seeing its time.
        options: fields of `OtherCalculator` and `Execution`.
    """
    other, execution = taken(options, OtherCalculator), Execution(**options)
    if model is None and other.calculator is None:
        model = MODEL
    forces = chosen_forces(model, other, execution)
    length_ps = FULL_LENGTH_PS if full else length_ps
    folder = folder or Path("c20_full" if full else "c20_study")
    defaults = folder_defaults(folder, length_ps)
    study = C20Study(
        model=model or MODEL,
        calculator=forces if isinstance(forces, CalculatorForces) else None,
        folder=folder,
        classical_ps=length_ps,
        path_integral_ps=length_ps,
        n_beads=beads,
        bead_series=tuple(bead_series),
        engine=engine or defaults.engine,
        temperature_K=temperature_K,
        stride=defaults.stride,
        seed=defaults.seed if seed is None else seed,
        execution=execution,
    )
    from md_runs.c20 import report
    from md_runs.c20 import study as stages

    if full:
        print(f"1.25 ns of both runs will take about {stages.estimated_hours(study):.1f} h here")
        if not yes:
            print("add --yes to start; it can be stopped and continued at any moment")
            return 1
    with printed_extrapolation():
        results = stages.run_study(study)
    print(report.write_report(study, results))
    print(f"\nfigures, tables and summary.json: {study.folder}")
    return 0


def make_data(
    *,
    model: Path,
    folder: Path,
    n_train: int = 20_000,
    n_validation: int = 4_500,
    n_test: int = 500,
    n_beads: int = 8_000,
    n_near_minimum: int = 3_000,
) -> int:
    """Makes, or continues making, training, validation and test sets.

    Args:
        model: that moves and labels the atoms.
        folder: of sets and runs; continued if used.
        n_train: frames at 300, 500, 600 K.
        n_validation: frames at 500 K.
        n_test: frames in each test set: at 500 K, beads, near the minimum.
        n_beads: beads of path-integral MD in training; a tenth more in validation.
        n_near_minimum: frames near the minimum in training; a tenth more in validation.
    """
    check_model(model)
    from md_runs.c20.training_data import DataSize, make_training_data

    size = DataSize(n_train, n_validation, n_test, n_beads, n_near_minimum)
    make_training_data(model, folder, size)
    return 0


STUDY = Command.of(run_study, STUDY_EXAMPLES, more=[OtherCalculator, Execution])
DATA = Command.of(make_data, DATA_EXAMPLES)
