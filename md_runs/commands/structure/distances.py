"""`md-runs distances`: neighbours, size, bonds and angles; quantum effects; enough beads?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.path_integrals.bead_convergence import BeadConvergence, bead_convergence
from md_runs.analysis.sampling.uncertainty import (
    Estimate,
    difference_of_estimates,
    estimate_text,
    ratio_of_estimates,
)
from md_runs.analysis.structure import frame_quantities
from md_runs.analysis.structure.angle_distributions import angle_distribution, dihedral_distribution
from md_runs.analysis.structure.distances import (
    distance_distribution,
    nearest_neighbor_distribution,
    size_distributions,
)
from md_runs.analysis.structure.distribution_difference import distribution_difference
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
from md_runs.commands.error_bars.member_runs import check_member_runs, note_member_means
from md_runs.commands.error_bars.model_errors import note_model_errors
from md_runs.commands.prepared_run import PreparedRun
from md_runs.commands.structure.rdf import blocks_sentence
from md_runs.figures.distributions import overlay_figure, quantum_effect_figure
from md_runs.figures.path_integrals import bead_convergence_figure
from md_runs.run_folders import file_name
from mlpotential.errors import ConfigError

BIN_WIDTH = 0.01  # A; chosen: bonds are 0.05 A wide
TOLERANCE = 0.001  # A; chosen: what the mean bond may lack of its limit

Atoms = tuple[int, ...]
Measure = tuple[str, Sequence[Atoms], Callable[..., Any]]  # kind, of which atoms, by what

EXAMPLES = """  md-runs distances classical --bonds 0-1 0-2 --angles 1-0-2
  md-runs distances classical pimd --output quantum_effects
  md-runs distances pimd_4 pimd_8 pimd_16 --bonds 0-1 --tolerance 0.001"""


def parse_atoms(texts: Sequence[str], n_together: int) -> tuple[Atoms, ...]:
    """`0-1` and `0-1-2` as tuples of atoms, counted from 0. Raises ConfigError for others."""
    tuples = []
    for text in texts:
        parts = text.split("-")
        if len(parts) != n_together or not all(part.isdecimal() for part in parts):
            example = "-".join(map(str, range(n_together)))
            raise ConfigError(
                f"{text!r} does not name {n_together} atoms: write them as {example}, from 0"
            )
        tuples.append(tuple(map(int, parts)))
    return tuple(tuples)


def distances_report(
    runs: Sequence[PreparedRun],
    *,
    neighbors: int = 1,
    bonds: Sequence[str] = (),
    angles: Sequence[str] = (),
    dihedrals: Sequence[str] = (),
    bin_width: float = BIN_WIDTH,
    tolerance: float = TOLERANCE,
    members: bool = False,
) -> AnalysisReport:
    """Distributions of distances and angles of all runs, over beads.

    Args:
        runs: classical, or with beads.
        neighbors: how many nearest ones of each atom.
        bonds: pairs of atoms, counted from 0, I-J.
        angles: three atoms, I-J-K.
        dihedrals: four atoms, I-J-K-L.
        bin_width: of distances, A.
        tolerance: of the mean distance, for enough beads, A.
        members: the runs after the first are of one member of its committee each: their spread is
            its model error.

    Raises:
        DataError, ConfigError: runs or options that do not fit together.
    """
    of_members = check_member_runs(runs, members)
    builder = ReportBuilder()
    by_quantity: dict[str, dict[str, Any]] = {}
    measures: tuple[Measure, ...] = (
        ("bond", parse_atoms(bonds, 2), partial(distance_distribution, bin_width=bin_width)),
        ("angle", parse_atoms(angles, 3), angle_distribution),
        ("dihedral", parse_atoms(dihedrals, 4), dihedral_distribution),
    )

    def analyse(run: PreparedRun) -> None:
        for distribution in _distributions(run, neighbors, bin_width, measures):
            by_quantity.setdefault(distribution.label, {})[run.name] = distribution
            builder.results[f"{run.name}_{distribution.label}"] = distribution
        builder.assumptions.append(
            f"{run.name}: bins of {bin_width:g} A and 1 degree (dihedrals 2), "
            f"{blocks_sentence(run.n_blocks)}"
        )

    builder.for_each(runs, analyse)
    builder.tables.append(_table(by_quantity))
    if of_members:
        note_member_means(builder, runs, by_quantity)
    note_model_errors(builder, runs, partial(_averaged, n_neighbors=neighbors, measures=measures))
    builder.figures["distances"] = overlay_figure(list(by_quantity.values()))
    classical = [run for run in runs if run.n_beads == 1]
    quantum = [run for run in runs if run.n_beads > 1]
    if of_members:
        builder.assumptions.append("the runs after the first are each of one member of a committee")
    elif not of_one_molecule(runs):
        builder.assumptions.append("the runs are of different molecules: nothing is subtracted")
    elif len(classical) == 1 and len(quantum) == 1:
        _quantum_effects(builder, by_quantity, quantum[0].name, classical[0].name)
    elif len({run.n_beads for run in quantum}) > 1:
        # of the first bond asked for, or the nearest neighbors
        labels = [name for name in by_quantity if name.startswith("bond ")] or list(by_quantity)
        by_run = by_quantity[labels[0]]
        means = {name: distribution.mean for name, distribution in by_run.items()}
        quantity = f"mean {labels[0]}"
        found = convergence_with_beads(builder, runs, means, quantity, "A", tolerance)
        if found is not None:
            by_beads = {run.n_beads: by_run[run.name] for run in runs}
            builder.figures["bead_convergence"] = bead_convergence_figure(by_beads, found)
    return builder.report("distances", "distances and angles, over frames and beads")


def of_one_molecule(runs: Sequence[PreparedRun]) -> bool:
    """Whether all runs have the same atoms in the same order, and a cell or none."""
    numbers = [np.asarray(run.segments[0].atomic_numbers) for run in runs]
    same_cells = len({run.is_periodic for run in runs}) == 1
    return same_cells and all(np.array_equal(numbers[0], other) for other in numbers)


def _distributions(
    run: PreparedRun, n_neighbors: int, bin_width: float, measures: Sequence[Measure]
) -> list[Any]:
    """All quantities of one run."""
    trajectory = run.trajectory
    positions, n_blocks = trajectory.positions, run.n_blocks
    cell: dict[str, Any] = {}
    if run.is_periodic:
        cell = {"cells": trajectory.cells, "pbc": trajectory.pbc}
    found: list[Any] = []
    if trajectory.n_atoms > 1:
        found.append(
            nearest_neighbor_distribution(positions, n_neighbors, bin_width, n_blocks, **cell)
        )
        if not run.is_periodic:
            masses = np.asarray(trajectory.masses, np.float64)
            found += size_distributions(positions, masses, bin_width, n_blocks)
    for kind, tuples, measure in measures:
        for atoms in tuples:
            label = f"{kind} {_name(trajectory.atomic_numbers, atoms)}"
            found.append(measure(positions, np.array([atoms]), label, n_blocks=n_blocks, **cell))
    return found


def _averaged(
    run: PreparedRun, n_neighbors: int, measures: Sequence[Measure]
) -> dict[str, tuple[frame_quantities.Measure, str]]:
    """What model errors are of, by the labels of `_distributions`; no dihedrals, which turn."""
    trajectory = run.trajectory
    found: dict[str, tuple[frame_quantities.Measure, str]] = {}
    if trajectory.n_atoms > 1:
        name = "nearest neighbour" if n_neighbors == 1 else f"{n_neighbors} nearest neighbours"
        found[name] = frame_quantities.of_neighbors(n_neighbors), "A"
        if not run.is_periodic:
            found["largest distance"] = frame_quantities.of_diameter(), "A"
            found["radius of gyration"] = frame_quantities.of_radius(trajectory.masses), "A"
    by_kind = {
        "bond": (frame_quantities.of_pairs, "A"),
        "angle": (frame_quantities.of_triples, "degree"),
    }
    for kind, tuples, _ in measures:
        for atoms in tuples if kind in by_kind else ():
            make, unit = by_kind[kind]
            found[f"{kind} {_name(trajectory.atomic_numbers, atoms)}"] = (
                make(np.array([atoms])),
                unit,
            )
    return found


def _name(atomic_numbers: np.ndarray, atoms: Atoms) -> str:
    """`C0-H1`; an atom that is not there keeps its number, and the analysis refuses it."""
    n_atoms = len(atomic_numbers)
    return "-".join(
        f"{chemical_symbols[int(atomic_numbers[k])]}{k}" if k < n_atoms else str(k) for k in atoms
    )


def _table(by_quantity: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for label, by_run in by_quantity.items():
        for name, distribution in by_run.items():
            unit = distribution.UNITS["mean"]
            rows.append(
                (
                    f"{label} ({unit})",
                    name,
                    str(distribution.n_beads),
                    estimate_text(distribution.mean),
                    estimate_text(distribution.standard_deviation),
                )
            )
    columns = ("quantity", "run", "beads", "mean", "standard deviation")
    return Table("means and spreads", columns, tuple(rows))


def _quantum_effects(
    builder: ReportBuilder,
    by_quantity: Mapping[str, Mapping[str, Any]],
    quantum: str,
    classical: str,
) -> None:
    """Path integral minus classical of every quantity."""
    rows = []
    for label, by_run in by_quantity.items():
        q, c = by_run[quantum], by_run[classical]
        difference = distribution_difference(q, c)
        builder.results[f"difference_{label}"] = difference
        builder.figures[file_name(f"distances_difference_{label}")] = quantum_effect_figure(
            q, c, difference
        )
        shift = estimate_text(difference_of_estimates(q.mean, c.mean))
        ratio = estimate_text(ratio_of_estimates(q.standard_deviation, c.standard_deviation))
        rows.append((f"{label} ({q.UNITS['mean']})", shift, ratio))
    columns = ("quantity", "shift of the mean", "ratio of the widths")
    builder.tables.append(Table(f"{quantum} against {classical}", columns, tuple(rows)))


def convergence_with_beads(
    builder: ReportBuilder,
    runs: Sequence[PreparedRun],
    estimates: Mapping[str, Estimate],
    quantity: str,
    unit: str,
    within: float,
) -> BeadConvergence | None:
    """Notes how an estimate of each run depends on its beads; None where that cannot be told.

    Args:
        builder: of the report.
        runs: of one molecule.
        estimates: by the name of the run.
        quantity: what they are of.
        unit: of the estimates.
        within: tolerance for enough beads, in this unit.
    """
    if len({run.n_beads for run in runs}) < len(runs) or min(run.n_blocks for run in runs) < 2:
        builder.warnings.append(
            "convergence with beads is left out: it takes runs with error bars, no two of them "
            "with the same number of beads"
        )
        return None
    by_beads = {run.n_beads: estimates[run.name] for run in runs}
    convergence = bead_convergence(by_beads, quantity, unit, within)
    builder.results["bead_convergence"] = convergence
    builder.remarks.append(
        f"{convergence.verdict}; limit of infinitely many beads "
        f"{estimate_text(convergence.limit, unit)} by Richardson's extrapolation of the two "
        "largest numbers"
    )
    return convergence


COMMAND = analysis_command(
    "distances", distances_report, EXAMPLES, aliases={"neighbors": "--neighbours"}
)
