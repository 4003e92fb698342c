"""`md-runs c20` and `md-runs c20-data`: the C20 study, and training data for a model of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from md_runs.c20 import MODEL
from md_runs.c20.settings import FULL_LENGTH_PS, C20Study, recording_stride
from mlpotential.command_line import Command
from mlpotential.inference.execution import Execution, add_execution_options

STUDY_EXAMPLES = """  md-runs c20
  md-runs c20 --length-ps 20 --folder long
  md-runs c20 --length-ps 20 --bead-series 1 2 4 16 --folder long
  md-runs c20 --model mine.safetensors --beads 16 --temperature-K 200 --folder cold
  md-runs c20 --full --yes"""

DATA_EXAMPLES = """  mlpotential convert force_model published.safetensors --elements C
  md-runs c20-data --model published.safetensors --folder data
  md-runs c20-data --model published.safetensors --folder small --n-train 3000 --n-validation 500"""


def add_study_options(parser: argparse.ArgumentParser) -> None:
    """What `run_study` takes."""
    add = parser.add_argument
    add("--model", type=Path, default=MODEL, help="model file (the shipped)")
    add("--folder", type=Path, help="(c20_study, with --full c20_full)")
    add("--length-ps", type=float, default=2.0, help="of each of the two runs (2)")
    add("--beads", type=int, default=8, help="replicas of the ring polymer (8)")
    add(
        "--bead-series",
        type=int,
        nargs="+",
        default=[],
        metavar="P",
        help="further runs with these numbers of beads, for their convergence (none)",
    )
    add("--temperature-K", type=float, default=300.0, help="(300)")
    add("--seed", type=int, default=0, help="of velocities and thermostats (0)")
    add("--full", action="store_true", help="1.25 ns, the length in the paper; needs --yes")
    add("--yes", action="store_true", help="start --full after seeing its time")
    add_execution_options(parser)


def run_study(
    model: Path,
    folder: Path | None,
    length_ps: float,
    beads: int,
    bead_series: list[int],
    temperature_K: float,
    seed: int,
    full: bool,
    yes: bool,
    **execution: Any,
) -> int:
    """Runs, or continues, the study, and writes its figures and tables."""
    length_ps = FULL_LENGTH_PS if full else length_ps
    folder = folder or Path("c20_full" if full else "c20_study")
    study = C20Study(
        model=model,
        folder=folder,
        classical_ps=length_ps,
        path_integral_ps=length_ps,
        n_beads=beads,
        bead_series=tuple(bead_series),
        temperature_K=temperature_K,
        stride=recording_stride(folder, length_ps),
        seed=seed,
        execution=Execution(**execution),
    )
    from md_runs.c20 import report
    from md_runs.c20 import study as stages

    if full:
        print(f"1.25 ns of both runs will take about {stages.estimated_hours(study):.1f} h here")
        if not yes:
            print("add --yes to start; it can be stopped and continued at any moment")
            return 1
    print(report.write_report(study, stages.run_study(study)))
    print(f"\nfigures, tables and summary.json: {study.folder}")
    return 0


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """What `make_data` takes."""
    add = parser.add_argument
    add("--model", type=Path, required=True, help="that moves and labels the atoms")
    add("--folder", type=Path, required=True, help="of sets and runs; continued")
    add("--n-train", type=int, default=20_000, help="at 300, 500, 600 K (20000)")
    add("--n-validation", type=int, default=4_500, help="at 500 K (4500)")
    add("--n-test", type=int, default=500, help="at 500 K (500)")


def make_data(model: Path, folder: Path, n_train: int, n_validation: int, n_test: int) -> int:
    """Makes, or continues making, the three sets."""
    from md_runs.c20.training_data import make_training_data

    make_training_data(model, folder, n_train, n_validation, n_test)
    return 0


STUDY = Command(add_study_options, run_study, STUDY_EXAMPLES)
DATA = Command(add_data_options, make_data, DATA_EXAMPLES)
