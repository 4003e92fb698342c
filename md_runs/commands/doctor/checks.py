"""Whether what runs need works: the command, i-PI, the shipped models, and how fast one of them is.

A check imports what it examines when it is called, so that nothing broken hides the others.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from md_runs import c20, ethanol
from mlpotential.doctor.finding import Check, Finding, check_of_program
from mlpotential.doctor.model_files import check_model_file

START_LIMIT_S = 120.0  # chosen: i-PI starts in a second or two, from a slow disk in a minute
N_EVALUATIONS = 30  # chosen: the median of these is steady


def check_ipi() -> Finding:
    """The program of the installed i-PI is there and starts.

    Raises:
        RunError: if it is not there.
    """
    from md_runs.pimd.ipi_process import ipi_program

    try:
        version = importlib.metadata.version("ipi")
    except importlib.metadata.PackageNotFoundError:
        return Finding("i-PI is not installed: pip install 'ipi>=3.3.1'", "broken")
    path = ipi_program()
    started = subprocess.run(
        [sys.executable, str(path), "--help"],
        capture_output=True,
        text=True,
        timeout=START_LIMIT_S,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    if started.returncode != 0:
        reason = (started.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        return Finding(
            f"{path} does not start ({reason}): install it again with pip install "
            "--force-reinstall 'ipi>=3.3.1'",
            "broken",
        )
    return Finding(f"{version}, {path}, starts")


def check_time() -> Finding:
    """One evaluation of C20 with the shipped model, as a run does it at each step.

    Raises:
        InputError: as `Evaluator`.
    """
    from md_runs.trajectories.structure_file import read_structure
    from mlpotential.inference.evaluator import Evaluator

    atoms = read_structure(c20.STRUCTURE)
    evaluator = Evaluator(c20.MODEL, atoms.numbers)
    times = []
    for _ in range(N_EVALUATIONS):
        begin = time.perf_counter()
        evaluator.evaluate(atoms.positions[None], None, ("energy", "forces"))
        times.append(time.perf_counter() - begin)
    return Finding(
        f"{1e3 * float(np.median(times)):.2f} ms for energy and forces, {evaluator} (median of "
        f"{N_EVALUATIONS})"
    )


CHECKS: dict[str, Check] = {
    "md-runs": partial(check_of_program, "md-runs"),
    "i-PI": check_ipi,
    "model C20": partial(check_model_file, Path(c20.MODEL)),
    "model ethanol": partial(check_model_file, Path(ethanol.MODEL)),
    "C20 evaluation": check_time,
}
