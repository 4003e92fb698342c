"""The model error of averages beside their sampling error, where a run recorded its committee."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from md_runs.analysis.sampling.committee_reweighting import ModelError, model_error
from md_runs.analysis.sampling.uncertainty import estimate_text
from md_runs.analysis.structure.frame_quantities import Measure, frame_series
from md_runs.commands.analysis_report import ReportBuilder, Table
from md_runs.commands.prepared_run import PreparedRun
from md_runs.trajectories.frame_arrays import centroid

LEAST_FRAMES = 20  # chosen: two for each block

MeasuresOf = Callable[[PreparedRun], Mapping[str, tuple[Measure, str]]]  # with units, by label


def model_error_sentence(is_calibrated: bool) -> str:
    """What the model errors of modes are."""
    how = "calibrated" if is_calibrated else "not calibrated: no error bar (mlpotential calibrate)"
    return f"model error (1/cm): standard deviation over the members of the committee, {how}"


def note_model_errors(
    builder: ReportBuilder, runs: Sequence[PreparedRun], measures_of: MeasuresOf
) -> None:
    """Adds a table of model errors for all runs that hold energies of committee members.

    Args:
        builder: of the report.
        runs: of the command.
        measures_of: what is averaged over the frames of a run.
    """
    rows = []
    for run in runs:
        for error in _model_errors(builder, run, measures_of):
            builder.results[f"{run.name}_{error.label}_model_error"] = error
            rows.append(
                (
                    f"{error.label} ({error.unit})",
                    run.name,
                    estimate_text(error.mean),
                    f"{float(error.mean.standard_error):.2g}",
                    estimate_text(error.error),
                    f"{100 * error.effective_share:.0f} %",
                )
            )
    if rows:
        columns = ("quantity", "run", "mean", "sampling error", "model error", "effective frames")
        title = "model error: standard deviation over the members of the committee, reweighted"
        builder.tables.append(Table(title, columns, tuple(rows)))


def _model_errors(
    builder: ReportBuilder, run: PreparedRun, measures_of: MeasuresOf
) -> list[ModelError]:
    trajectory = run.segments[0]
    energies = trajectory.member_energies
    if energies is None or len(run.segments) > 1 or run.temperature_K is None:
        return []
    if trajectory.n_frames < LEAST_FRAMES:
        builder.assumptions.append(f"{run.name}: too few frames for a model error")
        return []
    scale = trajectory.member_energy_scale
    cells = trajectory.cells if run.is_periodic else None
    of_members = np.asarray(centroid(energies)[:])
    found = [
        model_error(
            frame_series(measure, trajectory.positions, cells, trajectory.pbc),
            of_members,
            run.temperature_K,
            label,
            unit,
            run.n_blocks,
            1.0 if scale is None else scale,
        )
        for label, (measure, unit) in measures_of(run).items()
    ]
    builder.assumptions.append(
        f"{run.name}: model error of {of_members.shape[1]} members by first-order reweighting, "
        + ("energies not calibrated" if scale is None else f"energies calibrated (x {scale:.3g})")
    )
    if trajectory.calibration is not None:
        builder.assumptions.append(f"{run.name}: {trajectory.calibration}")
    if scale is None:
        builder.warnings.append(
            f"{run.name}: the spread of the committee is no error bar before mlpotential calibrate"
        )
    for error in found:
        if not error.is_trustworthy:
            builder.warnings.append(
                f"{run.name}: the model error of {error.label} is not to be trusted: of all frames "
                f"{100 * error.effective_share:.1f} %, {error.n_effective:.1f} independent ones, "
                "count for the member that differs most: run longer, run each member by itself, "
                "or train on frames of the run"
            )
    return found
