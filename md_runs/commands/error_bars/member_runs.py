"""The model error of anything, from a run by each member of a committee.

Means differ between these runs because members differ and because sampling ends. With the sample
variance of the means and their standard errors e_k, the model error is

    error^2 = var_k <A>_k - mean_k e_k^2,   (1)

zero where sampling explains all. It is known within a share 1 / sqrt(2 (M - 1)) for M members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from md_runs.analysis.sampling.uncertainty import Estimate, estimate_text, number_text
from md_runs.analysis.spectra.peaks import PeakTable
from md_runs.commands.analysis_report import ReportBuilder, Table
from md_runs.commands.prepared_run import PreparedRun
from mlpotential.errors import ConfigError

NEAR = 2.0  # resolutions; chosen: a peak that moved further may be another one
TITLE = "model error: standard deviation over the runs of the members, less their sampling error"


def spread_of_members(values: np.ndarray, errors: np.ndarray, scale: float = 1.0) -> float:
    """Eq. (1), times the scale of a calibrated committee.

    Args:
        values: mean of each run, [n_members].
        errors: their standard errors, [n_members]; NaN where there is none.
        scale: of the spread.
    """
    variance = np.var(values, ddof=1) - np.mean(np.nan_to_num(errors) ** 2)  # (1)
    return float(scale * np.sqrt(max(0.0, variance)))


def check_member_runs(runs: Sequence[PreparedRun], are_members: bool) -> Sequence[PreparedRun]:
    """The runs of members: all but the first one. Raises ConfigError for less than two of them."""
    if are_members and len(runs) < 3:
        raise ConfigError(
            "--members takes the run of a committee and after it one of each member, at least "
            f"two: {len(runs) - 1} given"
        )
    return runs[1:] if are_members else ()


def note_member_means(
    builder: ReportBuilder,
    runs: Sequence[PreparedRun],
    by_quantity: Mapping[str, Mapping[str, Any]],
) -> None:
    """Adds the model error of means.

    Args:
        builder: of the report.
        runs: of the committee, and of each member.
        by_quantity: distributions of each quantity by the names of runs.
    """
    first, rows = runs[0].name, []
    for label, by_run in by_quantity.items():
        of_members = [by_run[run.name].mean for run in runs[1:]]
        values, errors = (
            np.array([float(getattr(mean, name)) for mean in of_members])
            for name in ("value", "standard_error")
        )
        error = spread_of_members(values, errors, _scale(runs))
        mean: Estimate = by_run[first].mean
        unit = by_run[first].UNITS["mean"]
        sampling = f"{float(mean.standard_error):.2g}"
        rows.append((f"{label} ({unit})", estimate_text(mean), sampling, f"{error:.2g}"))
    columns = ("quantity", "mean", "sampling error", "model error")
    builder.tables.append(Table(TITLE, columns, tuple(rows)))
    _say_scale(builder, runs)


def note_member_peaks(builder: ReportBuilder, runs: Sequence[PreparedRun]) -> None:
    """Adds the model error of the places of peaks, which stand among the results of the report.

    Peaks of members are those nearest, within two resolutions; where one has none, nobody knows.

    Args:
        builder: of the report, with `NAME_peaks` of each run.
        runs: of the committee, and of each member.
    """
    first, *others = (_peaks(builder, run) for run in runs)
    rows = []
    for place, error in zip(first.wavenumbers_per_cm, first.wavenumber_errors_per_cm, strict=True):
        near = [_nearest(peaks, place) for peaks in others]
        found = [one for one in near if one is not None]
        spread = "-"
        if len(found) == len(others):
            values, errors = np.array(found).T
            spread = f"{spread_of_members(values, errors, _scale(runs)):.2g}"
        sampling = f"{error:.2g}" if np.isfinite(error) else "-"
        rows.append((number_text(float(place), float(error)), sampling, spread, f"{len(found)}"))
    columns = ("wavenumber (1/cm)", "sampling error", "model error", "members with the peak")
    builder.tables.append(Table(TITLE, columns, tuple(rows)))
    _say_scale(builder, runs)


def _peaks(builder: ReportBuilder, run: PreparedRun) -> PeakTable:
    found = builder.results[f"{run.name}_peaks"]
    assert isinstance(found, PeakTable)
    return found


def _nearest(peaks: PeakTable, place: float) -> tuple[float, float] | None:
    """Place and error of the nearest peak (1/cm); None where there is none."""
    distances = np.abs(peaks.wavenumbers_per_cm - place)
    if len(distances) == 0 or distances.min() > NEAR * peaks.resolution_per_cm:
        return None
    k = int(distances.argmin())
    return float(peaks.wavenumbers_per_cm[k]), float(peaks.wavenumber_errors_per_cm[k])


def _scale(runs: Sequence[PreparedRun]) -> float:
    return runs[0].segments[0].member_energy_scale or 1.0


def _say_scale(builder: ReportBuilder, runs: Sequence[PreparedRun]) -> None:
    scale = runs[0].segments[0].member_energy_scale
    if scale is None:
        builder.warnings.append(
            f"{runs[0].name}: does not say how its committee is calibrated: the spread over its "
            "members is no error bar (mlpotential calibrate, before the run)"
        )
    else:
        builder.assumptions.append(
            f"{runs[0].name}: spread over members calibrated (x {scale:.3g})"
        )
