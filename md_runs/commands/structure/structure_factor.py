"""`md-runs structure-factor`: S(q) of periodic runs, Debye scattering of molecules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.analysis.structure.structure_factor import (
    StructureFactor,
    debye_structure_factors,
    structure_factors,
)
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
from md_runs.commands.prepared_run import PreparedRun, beads_text
from md_runs.commands.structure.overlays import panels_of
from md_runs.commands.structure.rdf import blocks_sentence, parse_pair
from md_runs.figures.transport import structure_factor_figure
from md_runs.trajectories.trajectory import Trajectory, with_frames
from mlpotential.errors import DataError
from mlpotential.settings_checks import check_count

Q_MAX = 10.0  # 1/A; chosen: beyond it a liquid scatters like a gas
BIN_WIDTH = 0.1  # 1/A; chosen: peaks of liquids are 0.3 1/A wide
DEBYE_POINTS = 200
MOST_WAVES = 1e9  # chosen: of atoms, vectors and frames; half a minute

EXAMPLES = """  md-runs structure-factor nvt
  md-runs structure-factor water.h5 --pairs O-O O-H --q-max 15
  md-runs structure-factor c20_run --q-max 20 --output debye"""


def structure_factor_report(
    runs: Sequence[PreparedRun],
    *,
    pairs: Sequence[str] | None = None,
    q_max: float = Q_MAX,
    bin_width: float = BIN_WIDTH,
    vectors: int = 50,
) -> AnalysisReport:
    """Static structure factors of all runs, over beads.

    Args:
        runs: periodic in all directions, or molecules.
        pairs: elements, O-H (all).
        q_max: largest wave vector, 1/A.
        bin_width: of shells of wave vectors, 1/A.
        vectors: of each shell at most, those that the cell allows.

    Raises:
        DataError, ConfigError, StructureError: runs or options that do not fit together.
    """
    check_count("--vectors", vectors)
    builder = ReportBuilder()
    element_pairs = [parse_pair(text) for text in pairs] if pairs else None

    def analyse(run: PreparedRun) -> tuple[StructureFactor, ...]:
        found, how = _factors(run, element_pairs, q_max, bin_width, vectors)
        builder.results |= {f"{run.name}_{one.label}": one for one in found}
        builder.assumptions.append(
            f"{run.name}: {how}, {beads_text(run.n_beads)}; {blocks_sentence(found[0].n_blocks)}; "
            "no form factors"
        )
        return found

    by_run = builder.for_each(runs, analyse)
    rows = tuple((name, *_row(one)) for name, found in by_run.items() for one in found)
    columns = ("run", "pair", "smallest q (1/A)", "S", "highest at (1/A)", "S")
    builder.tables.append(Table("structure factors (Ashcroft-Langreth)", columns, rows))
    builder.figures["structure_factor"] = structure_factor_figure(panels_of(by_run))
    return builder.report("structure-factor", "static structure factors S(q)")


def _factors(
    run: PreparedRun,
    element_pairs: Sequence[tuple[str, str]] | None,
    q_max: float,
    bin_width: float,
    vectors: int,
) -> tuple[tuple[StructureFactor, ...], str]:
    """Those of one run, and how they were found."""
    n_shells = int(np.ceil(q_max / bin_width))
    if not run.is_periodic:
        trajectory, thinned = _thinned(run, run.trajectory.n_atoms**2 / 2 * DEBYE_POINTS)
        q = q_max * np.arange(1, DEBYE_POINTS + 1) / DEBYE_POINTS
        found = debye_structure_factors(
            trajectory.positions, trajectory.atomic_numbers, q, element_pairs, run.n_blocks
        )
        return found, f"a molecule that turns freely: Debye's formula{thinned}"
    if not all(run.trajectory.pbc):
        raise DataError(
            f"{run.path} is periodic in some directions only: a structure factor is of a bulk, or "
            "of a molecule"
        )
    trajectory, thinned = _thinned(run, run.trajectory.n_atoms * n_shells * vectors)
    found = structure_factors(
        trajectory.positions,
        trajectory.atomic_numbers,
        trajectory.cells,
        element_pairs,
        q_max,
        bin_width,
        vectors,
        run.n_blocks,
    )
    return found, (
        f"direct sum over wave vectors of the cell, shells of {bin_width:g} 1/A with at most "
        f"{vectors} of them{thinned}; partials by Ashcroft and Langreth, and by Faber and Ziman"
    )


def _thinned(run: PreparedRun, waves_per_bead: float) -> tuple[Trajectory, str]:
    """Evenly spaced frames, as many as there is time for, and a sentence on it."""
    trajectory = run.trajectory
    most = max(2 * run.n_blocks, int(MOST_WAVES / (waves_per_bead * trajectory.n_beads)))
    if trajectory.n_frames <= most:
        return trajectory, ""
    chosen = np.unique(np.linspace(0, trajectory.n_frames - 1, most).round().astype(int))
    return with_frames(trajectory, chosen), f" over {most} of {trajectory.n_frames} frames"


def _row(one: StructureFactor) -> tuple[str, ...]:
    """Pair, and S at the smallest q and where it is highest."""
    top = int(np.argmax(one.ashcroft_langreth))
    texts = []
    for place in (0, top):
        value, error = one.ashcroft_langreth[place], one.standard_error[place]
        texts += [f"{one.wavevectors[place]:.4g}", number_text(float(value), float(error))]
    return (one.label, *texts)


COMMAND = analysis_command("structure-factor", structure_factor_report, EXAMPLES)
