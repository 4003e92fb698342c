"""`md-runs rdf`: g(r) with coordination numbers, or the pair density h(r) of a molecule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from md_runs.analysis.sampling.uncertainty import estimate_text, number_text
from md_runs.analysis.structure.rdf import (
    PairDistribution,
    RadialDistribution,
    pair_distribution,
    radial_distributions,
)
from md_runs.commands.findings import Findings, Notebook, Table
from md_runs.commands.prepared_run import RunView, beads_text
from md_runs.figures.distributions import (
    coordination_figure,
    overlay_figure,
    radial_distribution_figure,
)
from mlpotential.errors import ConfigError, DataError

MOLECULE_BIN_WIDTH = 0.01  # A; chosen: bonds are 0.05 A wide
LIQUID_BIN_WIDTH = 0.05  # A; chosen: shells are 0.3 A wide
SHELL_HEIGHT = 1.2  # chosen: of g; a lower maximum is no shell
MINIMUM_DEPTH = 0.05  # chosen: of g, below 1 and above a minimum
SIGNIFICANT = 4.0  # chosen: standard errors; one of 100 bins exceeds 3 by chance now and then


@dataclass(frozen=True)
class RdfOptions:
    """What is asked for; None where it is to be chosen.

    Attributes:
        element_pairs: symbols, ("O", "H") for the hydrogens around oxygens; None for all.
        max_distance: (A); None for half the cell, or the size of the molecule.
        bin_width: (A).
        reference_volume: what density is measured against (A^3), where no cell tells it.
        coordination_distance: where neighbours are counted (A); None for the first minimum of g.
    """

    element_pairs: tuple[tuple[str, str], ...] | None = None
    max_distance: float | None = None
    bin_width: float | None = None
    reference_volume: float | None = None
    coordination_distance: float | None = None


def rdf_findings(views: Sequence[RunView], options: RdfOptions = RdfOptions()) -> Findings:
    """Distributions of interatomic distances of all runs, over beads.

    Raises:
        DataError, ConfigError, StructureError: runs or options that do not fit together.
    """
    notes = Notebook()
    for view in views:
        notes.open_run(view.assumptions, view.doubts)
    is_periodic = [all(view.trajectory.pbc) and view.is_periodic for view in views]
    if options.reference_volume is None and not any(is_periodic):
        if options.element_pairs or options.coordination_distance:
            raise ConfigError(
                "partial g(r) and coordination numbers need a density: there is no cell that is "
                "periodic in all directions, so give --reference-volume"
            )
        _pair_densities(notes, views, options)
        return notes.findings(
            "rdf", "pair density h(r): no cell, so there is no density to refer to"
        )
    if options.reference_volume is None and not all(is_periodic):
        lacking = views[is_periodic.index(False)].path
        raise DataError(
            f"{lacking} has no cell, others have: give --reference-volume, or leave out"
        )
    _radial_distributions(notes, views, options)
    return notes.findings("rdf", "radial distribution functions g(r) and coordination numbers")


def _pair_densities(notes: Notebook, views: Sequence[RunView], options: RdfOptions) -> None:
    width = options.bin_width or MOLECULE_BIN_WIDTH
    found: dict[str, PairDistribution] = {}
    rows = []
    for view in views:
        h = pair_distribution(view.trajectory.positions, width, view.n_blocks)
        found[view.name] = h
        top = int(np.argmax(h.density))
        height = number_text(float(h.density[top]), float(h.standard_error[top]))
        ends = f"{h.distances[0]:.3f} to {h.distances[-1]:.3f}"
        rows.append((view.name, f"{h.distances[top]:.3f}", height, ends))
        notes.assumptions.append(
            f"{view.name}: bins of {width:g} A, {h.n_pairs} pairs, {beads_text(h.n_beads)}; "
            f"{blocks_sentence(h.n_blocks)}"
        )
    notes.results |= found
    columns = ("run", "highest at (A)", "h (1/A)", "from, to (A)")
    notes.tables.append(Table("h(r), whose integral is 1", columns, tuple(rows)))
    notes.figures["rdf"] = overlay_figure([found])


def blocks_sentence(n_blocks: int) -> str:
    """Where error bars of distributions come from."""
    if n_blocks == 1:
        return "no error bars (--blocks asks for them)"
    return f"error bars by bootstrap over {n_blocks} blocks"


def _radial_distributions(notes: Notebook, views: Sequence[RunView], options: RdfOptions) -> None:
    by_run = {view.name: _radial(view, options) for view in views}
    rows = []
    for view in views:
        partials = by_run[view.name]
        notes.results |= {f"{view.name}_{g.label}": g for g in partials}
        first = partials[0]
        source = "of the cell" if first.is_volume_of_cell else "as given"
        notes.assumptions.append(
            f"{view.name}: bins of {first.bin_width:g} A up to {first.upper_edges[-1]:.4g} A, "
            f"reference volume {first.reference_volume:.6g} A^3 ({source}), "
            f"{beads_text(first.n_beads)}; {blocks_sentence(first.n_blocks)}"
        )
        limit = first.largest_unambiguous_distance
        if limit < first.upper_edges[-1] * (1 - 1e-9):
            notes.assumptions.append(
                f"{view.name}: beyond half the cell, {limit:.4g} A, all images are counted"
            )
        rows += [(view.name, *_row(g, options.coordination_distance)) for g in partials]
    columns = ("run", "pair", "first maximum (A)", "g", "neighbours", "within (A)")
    notes.tables.append(Table("shells (A-B: atoms B around an atom A)", columns, tuple(rows)))
    _draw(notes, by_run)


def _radial(view: RunView, options: RdfOptions) -> tuple[RadialDistribution, ...]:
    trajectory, reach = view.trajectory, options.max_distance
    width = options.bin_width or LIQUID_BIN_WIDTH
    if reach is None and not view.is_periodic:
        h = pair_distribution(trajectory.positions, MOLECULE_BIN_WIDTH, 1)
        reach = width * np.ceil((h.distances[-1] + 0.5 * h.bin_width) / width)
    cells: Any = trajectory.cells
    return radial_distributions(
        trajectory.positions,
        trajectory.atomic_numbers,
        cells,
        trajectory.pbc,
        options.element_pairs,
        reach,
        width,
        options.reference_volume,
        view.n_blocks,
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


def _draw(notes: Notebook, by_run: Mapping[str, tuple[RadialDistribution, ...]]) -> None:
    """One run: all pairs in one figure. Several: a figure for each pair, and all in panels."""
    if len(by_run) == 1:
        notes.figures["rdf"] = radial_distribution_figure(next(iter(by_run.values())))
        return
    labels = [g.label for partials in by_run.values() for g in partials]
    by_pair = {
        label: {name: g for name, partials in by_run.items() for g in partials if g.label == label}
        for label in dict.fromkeys(labels)
    }
    for label, distributions in by_pair.items():
        notes.figures[f"rdf_{label}"] = coordination_figure(distributions)
    if len(by_pair) > 1:
        notes.figures["rdf"] = overlay_figure(list(by_pair.values()))
