"""`md-runs rdf`: g(r) with coordination numbers, or the pair density h(r) of a molecule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.sampling.uncertainty import estimate_text, number_text
from md_runs.analysis.structure.rdf import (
    PairDistribution,
    RadialDistribution,
    pair_distribution,
    radial_distributions,
)
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
from md_runs.commands.prepared_run import PreparedRun, beads_text
from md_runs.figures.distributions import overlay_figure, radial_distribution_figure
from mlpotential.errors import ConfigError, DataError

MOLECULE_BIN_WIDTH = 0.01  # A; chosen: bonds are 0.05 A wide
LIQUID_BIN_WIDTH = 0.05  # A; chosen: shells are 0.3 A wide
SHELL_HEIGHT = 1.2  # chosen: of g; a lower maximum is no shell
MINIMUM_DEPTH = 0.05  # chosen: of g, below 1 and above a minimum
SIGNIFICANT = 4.0  # chosen: standard errors; one of 100 bins exceeds 3 by chance now and then

EXAMPLES = """  md-runs rdf water.h5 --pairs O-O O-H --r-max 6
  md-runs rdf classical pimd --output compared
  md-runs rdf droplet --reference-volume 1000 --r-max 5"""


def parse_pair(text: str) -> tuple[str, str]:
    """`O-H` as a pair. Raises ConfigError for others."""
    first, separator, second = text.partition("-")
    if not (separator and first.isalpha() and second.isalpha()):
        raise ConfigError(f"{text!r} is no pair of elements: write it as O-H")
    for symbol in (first, second):
        if symbol not in chemical_symbols[1:]:
            raise ConfigError(f"{symbol!r} in {text!r} is no element: write the pair as O-H")
    return first, second


def rdf_report(
    runs: Sequence[PreparedRun],
    *,
    pairs: Sequence[str] | None = None,
    r_max: float | None = None,
    bin_width: float | None = None,
    reference_volume: float | None = None,
    coordination_within: float | None = None,
) -> AnalysisReport:
    """Distributions of interatomic distances of all runs, over beads.

    Args:
        runs: with a cell, or molecules.
        pairs: elements, O-H for H around O (all).
        r_max: where g(r) ends, A (half the smallest cell, 6 in small ones; a molecule).
        bin_width: of the histograms, A (0.05 of g(r), 0.01 of h(r)).
        reference_volume: what density refers to, A^3 (that of the cell).
        coordination_within: count neighbors within, A (to the first minimum).

    Raises:
        DataError, ConfigError, StructureError: runs or options that do not fit together.
    """
    builder = ReportBuilder()
    element_pairs = [parse_pair(text) for text in pairs] if pairs else None
    is_periodic = [all(run.trajectory.pbc) and run.is_periodic for run in runs]
    if reference_volume is None and not any(is_periodic):
        if element_pairs or coordination_within:
            raise ConfigError(
                "partial g(r) and coordination numbers need a density: there is no cell that is "
                "periodic in all directions, so give --reference-volume"
            )
        _pair_densities(builder, runs, bin_width or MOLECULE_BIN_WIDTH)
        return builder.report(
            "rdf", "pair density h(r): no cell, so there is no density to refer to"
        )
    if reference_volume is None and not all(is_periodic):
        lacking = runs[is_periodic.index(False)].path
        raise DataError(
            f"{lacking} has no cell, others have: give --reference-volume, or leave out"
        )
    rows: list[tuple[str, ...]] = []

    def analyse(run: PreparedRun) -> tuple[RadialDistribution, ...]:
        partials = _radial(run, element_pairs, r_max, bin_width, reference_volume)
        _note_radial(builder, run, partials)
        rows.extend((run.name, *_row(g, coordination_within)) for g in partials)
        return partials

    by_run = builder.for_each(runs, analyse)
    columns = ("run", "pair", "first maximum (A)", "g", "neighbours", "within (A)")
    builder.tables.append(Table("shells (A-B: atoms B around an atom A)", columns, tuple(rows)))
    _draw(builder, by_run)
    return builder.report("rdf", "radial distribution functions g(r) and coordination numbers")


def _pair_densities(builder: ReportBuilder, runs: Sequence[PreparedRun], bin_width: float) -> None:
    rows = []

    def analyse(run: PreparedRun) -> PairDistribution:
        h = pair_distribution(run.trajectory.positions, bin_width, run.n_blocks)
        top = int(np.argmax(h.density))
        height = number_text(float(h.density[top]), float(h.standard_error[top]))
        ends = f"{h.distances[0]:.3f} to {h.distances[-1]:.3f}"
        rows.append((run.name, f"{h.distances[top]:.3f}", height, ends))
        builder.assumptions.append(
            f"{run.name}: bins of {bin_width:g} A, {h.n_pairs} pairs, {beads_text(h.n_beads)}; "
            f"{blocks_sentence(h.n_blocks)}"
        )
        return h

    found = builder.for_each(runs, analyse)
    builder.results |= found
    columns = ("run", "highest at (A)", "h (1/A)", "from, to (A)")
    builder.tables.append(Table("h(r), whose integral is 1", columns, tuple(rows)))
    builder.figures["rdf"] = overlay_figure([found])


def blocks_sentence(n_blocks: int) -> str:
    """Where error bars of distributions come from."""
    if n_blocks == 1:
        return "no error bars (--blocks asks for them)"
    return f"error bars by bootstrap over {n_blocks} blocks"


def _radial(
    run: PreparedRun,
    element_pairs: Sequence[tuple[str, str]] | None,
    r_max: float | None,
    bin_width: float | None,
    reference_volume: float | None,
) -> tuple[RadialDistribution, ...]:
    trajectory, width = run.trajectory, bin_width or LIQUID_BIN_WIDTH
    if r_max is None and not run.is_periodic:
        h = pair_distribution(trajectory.positions, MOLECULE_BIN_WIDTH, 1)
        r_max = width * np.ceil((h.distances[-1] + 0.5 * h.bin_width) / width)
    cells: Any = trajectory.cells
    return radial_distributions(
        trajectory.positions,
        trajectory.atomic_numbers,
        cells,
        trajectory.pbc,
        element_pairs,
        r_max,
        width,
        reference_volume,
        run.n_blocks,
    )


def _note_radial(
    builder: ReportBuilder, run: PreparedRun, partials: Sequence[RadialDistribution]
) -> None:
    """What was assumed of one run."""
    builder.results |= {f"{run.name}_{g.label}": g for g in partials}
    first = partials[0]
    source = "of the cell" if first.is_volume_of_cell else "as given"
    builder.assumptions.append(
        f"{run.name}: bins of {first.bin_width:g} A up to {first.upper_edges[-1]:.4g} A, "
        f"reference volume {first.reference_volume:.6g} A^3 ({source}), "
        f"{beads_text(first.n_beads)}; {blocks_sentence(first.n_blocks)}"
    )
    limit = first.largest_unambiguous_distance
    if limit < first.upper_edges[-1] * (1 - 1e-9):
        builder.assumptions.append(
            f"{run.name}: beyond half the cell, {limit:.4g} A, all images are counted"
        )


def _row(g: RadialDistribution, coordination_distance: float | None) -> tuple[str, ...]:
    """Pair, first maximum, its height, neighbours and where they were counted."""
    top, bottom = first_shell(g.g, np.nan_to_num(g.standard_error))
    place, height = "-", "-"
    if top is not None:
        place = f"{g.distances[top]:.4g}"
        height = number_text(float(g.g[top]), float(g.standard_error[top]))
    within = coordination_distance
    if within is None and bottom is not None:
        within = float(g.upper_edges[bottom])
    if within is None:
        return g.label, place, height, "-", "no minimum"
    return g.label, place, height, estimate_text(g.coordination_within(within)), f"{within:.4g}"


def first_shell(g: np.ndarray, errors: np.ndarray) -> tuple[int | None, int | None]:
    """Indices of the first maximum that stands out, and of the minimum after it.

    The maximum is the highest point before g has fallen below 1, the minimum the lowest before g
    has risen again, all by more than chance; None where there is none.

    Args:
        g: [n_bins].
        errors: their standard errors, [n_bins].
    """
    top: int | None = None
    bottom: int | None = None
    chance = SIGNIFICANT * errors
    for k, value in enumerate(g):
        if bottom is None:
            is_high = value > SHELL_HEIGHT and value - chance[k] > 1
            if is_high and (top is None or value > g[top]):
                top = k
            if top is not None and value + max(chance[k], MINIMUM_DEPTH) < 1:
                bottom = k
        elif value < g[bottom]:
            bottom = k
        elif value - chance[k] > g[bottom] + MINIMUM_DEPTH:
            return top, bottom
    return top, None


def _draw(builder: ReportBuilder, by_run: Mapping[str, tuple[RadialDistribution, ...]]) -> None:
    """One run: all pairs in one figure. Several: a figure for each pair, and all in panels."""
    if len(by_run) == 1:
        builder.figures["rdf"] = radial_distribution_figure(next(iter(by_run.values())))
        return
    labels = [g.label for partials in by_run.values() for g in partials]
    by_pair = {
        label: {name: g for name, partials in by_run.items() for g in partials if g.label == label}
        for label in dict.fromkeys(labels)
    }
    for label, distributions in by_pair.items():
        builder.figures[f"rdf_{label}"] = radial_distribution_figure(distributions)
    if len(by_pair) > 1:
        builder.figures["rdf"] = overlay_figure(list(by_pair.values()))


COMMAND = analysis_command("rdf", rdf_report, EXAMPLES)
