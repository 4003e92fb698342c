"""`md-runs msd`: how far atoms of each element travel, and their diffusion coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.sampling.uncertainty import Estimate, estimate_text
from md_runs.analysis.structure.mean_square_displacement import (
    MeanSquareDisplacement,
    finite_size_correction,
    mean_square_displacements,
)
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
from md_runs.commands.prepared_run import PreparedRun
from md_runs.commands.structure.overlays import panels_of
from md_runs.figures.transport import mean_square_figure
from md_runs.trajectories.frame_arrays import FRAMES_AT_ONCE, FrameArray, centroid
from md_runs.trajectories.trajectory import Trajectory, has_moving_cell, unwrapped
from mlpotential.errors import DataError

MOST_BYTES = 1e9  # chosen: of the positions that are kept in memory
UNUSUAL = 4.0  # chosen: standard errors of an exponent that is not 1
STRAIGHT = 0.1  # chosen: what an exponent of 1 may lack, whatever its error

EXAMPLES = """  md-runs msd nvt
  md-runs msd nvt --longest-lag-ps 20 --fit-from-ps 5
  md-runs msd small.h5 large.h5 --output sizes"""


def msd_report(
    runs: Sequence[PreparedRun],
    *,
    longest_lag_ps: float | None = None,
    fit_from_ps: float | None = None,
    fit_to_ps: float | None = None,
    keep_drift: bool = False,
) -> AnalysisReport:
    """Mean square displacements of all runs; of ring polymers, of the centroid.

    Args:
        runs: with motion in time.
        longest_lag_ps: longest time that displacements are over, ps (half a block of the run).
        fit_from_ps: where the line of the diffusion coefficient begins, ps (a fifth of that).
        fit_to_ps: where it ends, ps (there).
        keep_drift: do not take displacements relative to the centre of mass.

    Raises:
        DataError, ConfigError: runs without motion, options that do not fit them.
    """
    builder = ReportBuilder()
    lags = {"longest_lag": longest_lag_ps, "fit_from": fit_from_ps, "fit_to": fit_to_ps}
    lags_fs = {f"{name}_fs": None if ps is None else 1000.0 * ps for name, ps in lags.items()}

    def analyse(run: PreparedRun) -> tuple[MeanSquareDisplacement, ...]:
        run.check_is_motion()
        segments, stride, how = _followed(run.segments)
        first = run.segments[0]
        found = mean_square_displacements(
            segments,
            [chemical_symbols[int(z)] for z in first.atomic_numbers],
            np.asarray(first.masses, np.float64),
            stride * first.frame_interval_fs,
            remove_drift=not keep_drift,
            fixed=first.fixed,
            n_blocks=run.n_blocks,
            **lags_fs,
        )
        _note(builder, run, found, how)
        return found

    by_run = builder.for_each(runs, analyse)
    rows = tuple((name, *_row(one)) for name, found in by_run.items() for one in found)
    columns = ("run", "element", "D (A^2/ps)", "D (1e-5 cm^2/s)", "exponent", "fitted (ps)")
    builder.tables.append(Table("diffusion coefficients, msd = 6 D t", columns, rows))
    builder.figures["msd"] = mean_square_figure(panels_of(by_run))
    return builder.report("msd", "mean square displacements and diffusion coefficients")


def _followed(segments: Sequence[Trajectory]) -> tuple[list[np.ndarray], int, str]:
    """Unwrapped centroids of all segments, [n_frames, n_atoms, 3] (A).

    Returns:
        Positions, the stride of frames, and a sentence on both.
    """
    n_bytes = sum(24.0 * segment.n_frames * segment.n_atoms for segment in segments)
    stride = int(np.ceil(n_bytes / MOST_BYTES))
    text = f", every {stride} frames" * (stride > 1)
    followed = [unwrapped(segment) for segment in segments]
    if any(has_moving_cell(segment) for segment in segments):
        return (
            [_strided(centroid(one.positions), stride) for one in followed],
            stride,
            f"{text}, in the mean cell (without the motion of the cell)",
        )
    if any(one.positions is not s.positions for one, s in zip(followed, segments, strict=True)):
        text += ", followed through the faces of the cell by nearest images"
    return [_strided(centroid(one.positions), stride) for one in followed], stride, text


def _strided(positions: FrameArray, stride: int) -> np.ndarray:
    """Every so many frames, read in pieces, [n_frames, n_atoms, 3] (A)."""
    step = stride * FRAMES_AT_ONCE
    pieces = (positions[start : start + step] for start in range(0, len(positions), step))
    return np.concatenate([np.asarray(piece, np.float64)[::stride] for piece in pieces])


def _note(
    builder: ReportBuilder,
    run: PreparedRun,
    found: Sequence[MeanSquareDisplacement],
    how: str,
) -> None:
    """What was assumed of one run, and whether it diffuses."""
    builder.results |= {f"{run.name}_{one.label}": one for one in found}
    first = found[0]
    blocks = "no error bars: one block only"
    if first.n_blocks > 1:
        of = "segments" if len(run.segments) > 1 else "blocks"
        blocks = f"error bars from {first.n_blocks} {of}"
    drift = "relative to the centre of mass" if first.is_drift_removed else "drift NOT removed"
    fixed = run.segments[0].fixed
    still = "" if fixed is None else f", {int(fixed.sum())} fixed atoms left out"
    longest, *line = (fs / 1000 for fs in (first.times_fs[-1], first.fit_from_fs, first.fit_to_fs))
    builder.assumptions.append(
        f"{run.name}: {run.dynamics_remark}; displacements {drift}{still}{how}, lags up to "
        f"{longest:.4g} ps, lines from {line[0]:.4g} to {line[1]:.4g} ps; {blocks}"
    )
    if all(run.segments[0].pbc) and run.is_periodic:
        builder.assumptions.append(f"{run.name}: {_finite_size(run)}")
    if run.dynamics is not None and run.dynamics.broadening_per_cm != 0:
        builder.warnings.append(
            f"{run.name}: {run.dynamics} slows diffusion by its friction: D of the system is that "
            "of NVE or Bussi"
        )
    for one in found:
        exponent = one.exponent
        error = np.nan_to_num(exponent.standard_error)
        if not abs(exponent.value - 1) <= max(STRAIGHT, UNUSUAL * error):
            builder.warnings.append(
                f"{run.name}: {one.label} does not diffuse, msd grows as t^"
                f"{estimate_text(exponent)} (2 flies, 0 is bound): D is no diffusion coefficient. "
                "Run longer, or fit later"
            )


def _finite_size(run: PreparedRun) -> str:
    """What the size of the cell takes away from D."""
    cells: Any = run.segments[0].cells
    side = float(np.abs(np.linalg.det(np.asarray(cells[:], np.float64))).mean() ** (1 / 3))
    text = "the finite size of the cell is not corrected for"
    try:
        temperature_K, _ = run.known_temperature_K()
    except DataError:
        return text
    lack = finite_size_correction(temperature_K, side, 1.0)
    return (
        f"{text}: in a cube of {side:.4g} A the D of a fluid lacks {lack:.2g} A^2/ps for a "
        "viscosity of 1 mPa s, inversely to it (Yeh and Hummer 2004)"
    )


def _row(one: MeanSquareDisplacement) -> tuple[str, ...]:
    """Element, D in two units, exponent, and the lags of the line."""
    d = one.diffusion_coefficient
    in_cm = Estimate(10 * d.value, 10 * d.standard_error, d.n_blocks)
    fitted = f"{one.fit_from_fs / 1000:.4g} to {one.fit_to_fs / 1000:.4g}"
    numbers = (estimate_text(d), estimate_text(in_cm), estimate_text(one.exponent))
    return (f"{one.label} ({one.n_atoms})", *numbers, fitted)


COMMAND = analysis_command("msd", msd_report, EXAMPLES)
