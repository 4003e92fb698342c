"""`md-runs interpret`: chemical and electrostatic potentials averaged over quantum nuclei."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tqdm import tqdm

from md_runs.analysis.sampling.field_averages import (
    FieldAverage,
    SurfaceAverages,
    average_of_fields,
    surface_averages,
)
from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
from md_runs.commands.interpretation.eckart_structures import (
    Reference,
    chosen_structures,
    mean_reference,
    reference_of_file,
)
from md_runs.commands.options import check_model
from md_runs.commands.prepared_run import PreparedRun, beads_text
from md_runs.commands.structure.distances import of_one_molecule
from mlpotential.errors import DataError
from mlpotential.interpretation.fields.places import FieldPlaces
from mlpotential.messages import bar_hidden
from mlpotential.settings_checks import check_count

if TYPE_CHECKING:
    from md_runs.commands.interpretation.shown_fields import Points
    from mlpotential.interpretation.fields.moving import MovingField

N_FRAMES = 100  # chosen: independent frames of small molecules last a few ps
SURELY = 2.0  # standard errors; chosen: by chance so far away are 8 % of points (10 blocks)

EXAMPLES = """  md-runs interpret pimd --model model.safetensors --probe H
  md-runs interpret pimd --model model.safetensors --kind electrostatic-potential --frames 200
  md-runs interpret classical pimd --model model.safetensors --reference relaxed.xyz"""


def interpret_report(
    runs: Sequence[PreparedRun],
    *,
    model: Path,
    kind: Literal["chemical-potential", "electrostatic-potential"] = "chemical-potential",
    probe: str = "C",
    frames: int = N_FRAMES,
    reference: Path | None = None,
    **options: Any,
) -> AnalysisReport:
    """A field at points that do not move, over the frames and beads of runs of one molecule.

    Args:
        runs: classical, or with beads; of one of each the difference is shown.
        model: its file (.safetensors).
        kind: local chemical potentials, or electrostatic potentials of latent charges.
        probe: element of the probe, of chemical potentials.
        frames: of each run, spread evenly.
        reference: file of the structure that frames are laid on and that surface and plane belong
            to (the mean structure of the first run).
        options: fields of `FieldPlaces`.

    Raises:
        DataError, ConfigError, StructureError, ModelFileError: runs, structures, a model or options
            that do not fit together.
    """
    places = FieldPlaces(**options)
    places.check()
    check_count("--frames", frames)
    check_model(model)
    if not of_one_molecule(runs):
        raise DataError("the runs are of different molecules: give runs of one")
    builder = ReportBuilder()
    structures = builder.for_each(runs, partial(chosen_structures, n_frames=frames))
    fixed = _reference(builder, runs[0], structures[runs[0].name], reference)
    from md_runs.commands.interpretation.shown_fields import Points, ShownFields, note_pictures
    from mlpotential.interpretation.fields.moving import moving_field

    points = Points.of(fixed.atoms, places)
    field = moving_field(kind, model, fixed.atoms, probe)
    still = field.values(fixed.atoms.positions, points.all)
    averages = {
        run.name: _averaged(builder, run, structures[run.name], fixed, field, points, still)
        for run in runs
    }
    _note_assumptions(builder, runs, fixed, field, points)
    if points.surface is not None:
        found = _surface_averages(fixed, field, points, still, averages)
        builder.results |= found
        builder.tables += _tables(found, runs, field)
        _note_significance(builder, points, still, averages)
    pair = quantum_and_classical(runs)
    shown = ShownFields.of(fixed.atoms, field, still, averages, runs, pair)
    note_pictures(builder, shown, points)
    what = {"chemical-potential": f"chemical potential of {probe}"}.get(kind, kind)
    return builder.report("interpret", f"{what.replace('-', ' ')}, averaged over frames and beads")


def _distances(points: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """[n_points, n_atoms] (A)."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(points, atoms))


def _reference(
    builder: ReportBuilder, run: PreparedRun, structures: np.ndarray, path: Path | None
) -> Reference:
    if path is not None:
        return reference_of_file(path, run)
    found, doubt = mean_reference(run, structures)
    builder.warnings += [doubt] if doubt else []
    return found


def _averaged(
    builder: ReportBuilder,
    run: PreparedRun,
    structures: np.ndarray,
    fixed: Reference,
    field: MovingField,
    points: Points,
    still: np.ndarray,
) -> FieldAverage:
    """Over one run; what was chosen is noted."""
    masses = np.asarray(run.segments[0].masses, np.float64)
    laid = fixed.laid_on(structures, masses)
    n_frames, n_beads = laid.shape[:2]
    n_blocks = run.n_blocks if n_frames >= run.n_blocks else 1
    bars = f"error bars from {n_blocks} blocks" if n_blocks > 1 else "too few for error bars"
    builder.assumptions.append(
        f"{run.name}: {n_frames} frames spread evenly, {beads_text(n_beads)} each; {bars}"
    )
    away = np.sqrt(((laid - fixed.atoms.positions) ** 2).sum(axis=-1).mean())
    builder.remarks.append(f"{run.name}: atoms are {away:.3f} A (rms) from the reference")
    if points.surface is not None:
        nearest = min(
            _distances(points.surface.vertices, atoms).min()
            for atoms in laid.reshape(-1, *laid.shape[2:])
        )
        builder.remarks.append(f"{run.name}: atoms come within {nearest:.2f} A of the surface")
    return average_of_fields(_values(field, laid, points.all, run.name), n_frames, n_blocks, still)


def _values(
    field: MovingField, laid: np.ndarray, points: np.ndarray, name: str
) -> Iterator[np.ndarray]:
    """Of each frame, [n_beads, n_points], behind a progress bar."""
    bar = tqdm(
        desc=name, total=laid.shape[0] * laid.shape[1], disable=bar_hidden(), unit=" structures"
    )
    with bar:
        for beads in laid:
            yield np.stack([field.values(positions, points) for positions in beads])
            bar.update(len(beads))


def _note_assumptions(
    builder: ReportBuilder,
    runs: Sequence[PreparedRun],
    fixed: Reference,
    field: MovingField,
    points: Points,
) -> None:
    builder.assumptions += [
        f"reference: {fixed.words}; every bead of every frame is turned and shifted into its "
        "Eckart frame (mass-weighted), so that points are fixed to the molecule",
        "points that come inside atoms of some beads are averaged as all others, though no model "
        "has learned what is there",
        f"{len(points.all)} points",
    ]
    builder.assumptions += [field.remark] if field.remark else []
    if points.surface is not None:
        builder.assumptions.append(f"surface of the reference: {points.surface.formula}")
    if points.grid is not None:
        builder.assumptions.append(f"plane: {points.grid.plane.words} of the reference")


def _surface_averages(
    fixed: Reference,
    field: MovingField,
    points: Points,
    still: np.ndarray,
    averages: Mapping[str, FieldAverage],
) -> dict[str, SurfaceAverages]:
    """Parts of the surface, by run."""
    surface, there = points.surface, points.on_surface
    assert surface is not None
    nearest = _distances(surface.vertices, fixed.atoms.positions).argmin(axis=1)
    names = tuple(f"{symbol}{k}" for k, symbol in enumerate(fixed.atoms.symbols))
    parts = (surface.vertex_areas, nearest, names, field.quantity.unit)
    return {
        f"{name}_surface": surface_averages(average.part(there), still[there], *parts)
        for name, average in averages.items()
    }


def _note_significance(
    builder: ReportBuilder,
    points: Points,
    still: np.ndarray,
    averages: Mapping[str, FieldAverage],
) -> None:
    """How much of the difference from the reference is more than noise."""
    assert points.surface is not None
    areas, there = points.surface.vertex_areas, points.on_surface
    for name, average in averages.items():
        part = average.part(there)
        if len(part.block_means) > 1:
            certain = np.abs(part.mean - still[there]) > SURELY * part.standard_error
            share = areas[certain].sum() / areas.sum()
            builder.remarks.append(
                f"{name}: on {100.0 * share:.0f} % of the surface the mean is more than "
                f"{SURELY:g} standard errors from the reference"
            )


def _tables(
    found: Mapping[str, SurfaceAverages], runs: Sequence[PreparedRun], field: MovingField
) -> list[Table]:
    """What the surface says, and quantum against classical where there is one of each."""
    unit = field.quantity.unit
    rows = [
        (
            part,
            run.name,
            f"{100.0 * surface.area_share[k]:.1f}",
            number_text(surface.reference[k]),
            number_text(surface.mean[k], surface.standard_error[k]),
            number_text(surface.mean[k] - surface.reference[k], surface.standard_error[k]),
            f"{surface.spread[k]:.3g}",
        )
        for k, part in enumerate(next(iter(found.values())).parts)
        for run in runs
        for surface in [found[f"{run.name}_surface"]]
    ]
    columns = (
        "surface nearest to", "run", "area (%)", f"reference ({unit})", f"mean ({unit})",
        f"mean - reference ({unit})", f"spread ({unit})",
    )  # fmt: skip
    tables = [Table("means over the surface", columns, tuple(rows))]
    if (pair := quantum_and_classical(runs)) is None:
        return tables
    q, c = (found[f"{run.name}_surface"] for run in pair)
    errors = np.hypot(q.standard_error, c.standard_error)
    rows_of_pair = tuple(
        (part, number_text(q.mean[k] - c.mean[k], errors[k]), f"{q.spread[k] / c.spread[k]:.3g}")
        for k, part in enumerate(q.parts)
    )
    headings = ("surface nearest to", f"shift of the mean ({unit})", "ratio of the spreads")
    return [*tables, Table(f"{pair[0].name} against {pair[1].name}", headings, rows_of_pair)]


def quantum_and_classical(
    runs: Sequence[PreparedRun],
) -> tuple[PreparedRun, PreparedRun] | None:
    """The run with beads and the one without, where there is one of each and no other."""
    by_beads = sorted(runs, key=lambda run: run.n_beads, reverse=True)
    if len(runs) == 2 and by_beads[1].n_beads == 1 < by_beads[0].n_beads:
        return by_beads[0], by_beads[1]
    return None


COMMAND = analysis_command("interpret", interpret_report, EXAMPLES, more=[FieldPlaces])
