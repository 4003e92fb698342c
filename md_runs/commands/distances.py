"""`md-runs distances`: neighbours, size, bonds and angles; quantum effects; enough beads?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.path_integrals.bead_convergence import bead_convergence
from md_runs.analysis.sampling.uncertainty import (
    difference_of_estimates,
    estimate_text,
    ratio_of_estimates,
)
from md_runs.analysis.structure.angle_distributions import angle_distribution, dihedral_distribution
from md_runs.analysis.structure.distances import (
    distance_distribution,
    nearest_neighbour_distribution,
    size_distributions,
)
from md_runs.analysis.structure.distribution_difference import Distribution, distribution_difference
from md_runs.commands.findings import Findings, Notebook, Table, file_name
from md_runs.commands.prepared_run import RunView
from md_runs.commands.rdf import blocks_sentence
from md_runs.figures.distributions import overlay_figure, quantum_effect_figure
from md_runs.figures.path_integrals import bead_convergence_figure
from mlpotential.errors import ConfigError

BIN_WIDTH = 0.01  # A; chosen: bonds are 0.05 A wide
TOLERANCE = 0.001  # A; chosen: what the mean bond may lack of its limit

Atoms = tuple[int, ...]


@dataclass(frozen=True)
class DistanceOptions:
    """What is asked for.

    Attributes:
        n_neighbours: nearest neighbours of each atom.
        bonds, angles, dihedrals: tuples of two, three, four atoms, counted from 0.
        bin_width: of distances (A).
        tolerance: of the mean distance, for the number of beads (A).
    """

    n_neighbours: int = 1
    bonds: tuple[Atoms, ...] = ()
    angles: tuple[Atoms, ...] = ()
    dihedrals: tuple[Atoms, ...] = ()
    bin_width: float = BIN_WIDTH
    tolerance: float = TOLERANCE


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


def distances_findings(
    views: Sequence[RunView],
    options: DistanceOptions = DistanceOptions(),
) -> Findings:
    """Distributions of distances and angles of all runs, over beads.

    Raises:
        DataError, ConfigError: runs or options that do not fit together.
    """
    notes = Notebook()
    by_quantity: dict[str, dict[str, Distribution]] = {}
    for view in views:
        notes.open_run(view.assumptions, view.doubts)
        found = _distributions(view, options)
        for distribution in found:
            by_quantity.setdefault(distribution.label, {})[view.name] = distribution
            notes.results[f"{view.name}_{distribution.label}"] = distribution
        notes.assumptions.append(
            f"{view.name}: bins of {options.bin_width:g} A and 1 degree (dihedrals 2), "
            f"{blocks_sentence(view.n_blocks)}"
        )
    notes.tables.append(_table(by_quantity))
    notes.figures["distances"] = overlay_figure(list(by_quantity.values()))
    classical = [view for view in views if view.n_beads == 1]
    quantum = [view for view in views if view.n_beads > 1]
    if not of_one_molecule(views):
        notes.assumptions.append("the runs are of different molecules: nothing is subtracted")
    elif len(classical) == 1 and len(quantum) == 1:
        _quantum_effects(notes, by_quantity, quantum[0].name, classical[0].name)
    elif len({view.n_beads for view in quantum}) > 1:
        _bead_convergence(notes, by_quantity, views, options)
    return notes.findings("distances", "distances and angles, over frames and beads")


def of_one_molecule(views: Sequence[RunView]) -> bool:
    """Whether all runs have the same atoms in the same order, and a cell or none."""
    numbers = [np.asarray(view.trajectory.atomic_numbers) for view in views]
    same_cells = len({view.is_periodic for view in views}) == 1
    return same_cells and all(np.array_equal(numbers[0], other) for other in numbers)


def _distributions(view: RunView, options: DistanceOptions) -> list[Any]:
    """All quantities of one run."""
    trajectory = view.trajectory
    positions, n_blocks = trajectory.positions, view.n_blocks
    cell: dict[str, Any] = {}
    if view.is_periodic:
        cell = {"cells": trajectory.cells, "pbc": trajectory.pbc}
    found: list[Any] = []
    if trajectory.n_atoms > 1:
        found.append(
            nearest_neighbour_distribution(
                positions, options.n_neighbours, options.bin_width, n_blocks, **cell
            )
        )
        if not view.is_periodic:
            masses = np.asarray(trajectory.masses, np.float64)
            found += size_distributions(positions, masses, options.bin_width, n_blocks)
    for kind, tuples, analyse in _measures(options):
        for atoms in tuples:
            label = f"{kind} {_name(trajectory.atomic_numbers, atoms)}"
            extra = {"bin_width": options.bin_width} if kind == "bond" else {}
            found.append(
                analyse(positions, np.array([atoms]), label, n_blocks=n_blocks, **extra, **cell)
            )
    return found


def _measures(
    options: DistanceOptions,
) -> tuple[tuple[str, tuple[Atoms, ...], Callable[..., Any]], ...]:
    return (
        ("bond", options.bonds, distance_distribution),
        ("angle", options.angles, angle_distribution),
        ("dihedral", options.dihedrals, dihedral_distribution),
    )


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
    notes: Notebook, by_quantity: Mapping[str, Mapping[str, Any]], quantum: str, classical: str
) -> None:
    """Path integral minus classical of every quantity."""
    rows = []
    for label, by_run in by_quantity.items():
        q, c = by_run[quantum], by_run[classical]
        difference = distribution_difference(q, c)
        notes.results[f"difference_{label}"] = difference
        notes.figures[file_name(f"distances_difference_{label}")] = quantum_effect_figure(
            q, c, difference
        )
        shift = estimate_text(difference_of_estimates(q.mean, c.mean))
        ratio = estimate_text(ratio_of_estimates(q.standard_deviation, c.standard_deviation))
        rows.append((f"{label} ({q.UNITS['mean']})", shift, ratio))
    columns = ("quantity", "shift of the mean", "ratio of the widths")
    notes.tables.append(Table(f"{quantum} against {classical}", columns, tuple(rows)))


def _bead_convergence(
    notes: Notebook,
    by_quantity: Mapping[str, Mapping[str, Any]],
    views: Sequence[RunView],
    options: DistanceOptions,
) -> None:
    """The first bond asked for, or the nearest neighbours, against the number of beads."""
    n_beads = [view.n_beads for view in views]
    if len(set(n_beads)) < len(n_beads):
        notes.doubts.append(
            "several runs have the same number of beads: convergence with beads is left out"
        )
        return
    if min(view.n_blocks for view in views) < 2:
        notes.doubts.append("convergence with beads needs error bars: run longer")
        return
    label = next(iter(by_quantity))
    label = next((name for name in by_quantity if name.startswith("bond ")), label)
    by_beads = {view.n_beads: by_quantity[label][view.name] for view in views}
    means = {p: distribution.mean for p, distribution in by_beads.items()}
    convergence = bead_convergence(means, f"mean {label}", "A", options.tolerance)
    notes.results["bead_convergence"] = convergence
    notes.figures["bead_convergence"] = bead_convergence_figure(by_beads, convergence)
    notes.remarks.append(
        f"{convergence.verdict}; limit of infinitely many beads {estimate_text(convergence.limit)} "
        "A by Richardson's extrapolation of the two largest numbers"
    )
