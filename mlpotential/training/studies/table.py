"""What the trainings of a study came to, in rows: means over seeds, with standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlpotential.messages import aligned
from mlpotential.properties import LABELS, unit_in_names
from mlpotential.run_folder import csv_text
from mlpotential.training.studies.members import Outcome

SEED = "training.seed"  # what trainings that belong to one row differ in


@dataclass(frozen=True)
class Measure:
    """A kind of error.

    Attributes:
        label: that it is of.
        name: of the label in `training.metrics.Errors`, such as `energy_per_atom`.
        kind: `mae` or `rmse`.
        unit: of its numbers.
    """

    label: str
    name: str
    kind: str
    unit: str

    def of(self, outcome: Outcome) -> float | None:
        """Its number; None where there is none."""
        return outcome.errors.number(self.name, self.kind)

    @property
    def column(self) -> str:
        """Its name in a table, unit included."""
        return f"{self.name}_{self.kind}_{unit_in_names(self.unit)}"


@dataclass(frozen=True)
class Row:
    """Trainings that differ in their seeds alone.

    Attributes:
        values: settings that make the row another than the others.
        data_set: what the errors are over.
        n_seeds: number of trainings.
        errors: mean and its standard error over the trainings, by measure; the latter is NaN for
            one training.
        epochs, steps, wall_s, cpu_s: means.
    """

    values: dict[str, Any]
    data_set: str
    n_seeds: int
    errors: dict[Measure, tuple[float, float]]
    epochs: float
    steps: float
    wall_s: float
    cpu_s: float


def measures_of(outcomes: Sequence[Outcome], kind: str = "mae") -> list[Measure]:
    """Those that all outcomes have: of energies per atom, and of every other label.

    Args:
        outcomes: at least one.
        kind: `mae` or `rmse`.
    """
    first = outcomes[0].errors
    units = {"energy_per_atom": "eV/atom", "forces": LABELS["forces"].unit}
    units |= {"dipole": LABELS["dipole"].unit} | first.other_units
    labels = {name: name.removesuffix("_per_atom") for name in units}
    found = [Measure(labels[name], name, kind, unit) for name, unit in units.items()]
    return [m for m in found if all(m.of(outcome) is not None for outcome in outcomes)]


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """In the order in which their first members come."""
    measures = measures_of(outcomes) + measures_of(outcomes, "rmse")
    groups: dict[tuple[Any, ...], list[Outcome]] = {}
    for outcome in outcomes:
        values = {name: value for name, value in outcome.values.items() if name != SEED}
        groups.setdefault(tuple(values.items()), []).append(outcome)
    return [_row(dict(values), group, measures) for values, group in groups.items()]


def _row(values: dict[str, Any], group: list[Outcome], measures: list[Measure]) -> Row:
    times = {
        name: float(np.mean([getattr(outcome, name) for outcome in group]))
        for name in ("epochs", "steps", "wall_s", "cpu_s")
    }
    errors = {
        measure: mean_and_error([value for o in group if (value := measure.of(o)) is not None])
        for measure in measures
    }
    return Row(values, group[0].data_set, len(group), errors, **times)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, s / sqrt(n) with s^2 = sum (x - mean)^2 / (n - 1)."""
    n = len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return float(np.mean(values)), error


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each row; an error that is not known is left empty."""
    lines = []
    for row in rows:
        line: dict[str, Any] = dict(row.values) | {"n_seeds": row.n_seeds}
        for measure, (mean, error) in row.errors.items():
            column = f"{row.data_set}_{measure.column}"
            line[column] = mean
            line[f"{column}_standard_error"] = none_for_nan(error)
        times = ("epochs", "steps", "wall_s", "cpu_s")
        lines.append(line | {name: getattr(row, name) for name in times})
    return csv_text(lines)


def as_text(rows: Sequence[Row]) -> str:
    """For the screen: mean absolute errors in thousandths, with their standard errors."""
    shown = [m for m in rows[0].errors if m.kind == "mae"]
    names = [name.rpartition(".")[2] for name in rows[0].values]
    heads = [*names, "seeds"]
    heads += [f"{m.label} MAE (m{m.unit})" for m in shown]
    heads += ["epochs", "time (s)", "CPU (s)"]
    lines = [heads]
    for row in rows:
        line = [*map(str, row.values.values()), str(row.n_seeds)]
        line += [significant(*(1e3 * x for x in row.errors[measure])) for measure in shown]
        lines.append([*line, f"{row.epochs:g}", f"{row.wall_s:.1f}", f"{row.cpu_s:.1f}"])
    note = " ± standard error over seeds" if any(row.n_seeds > 1 for row in rows) else ""
    return "\n".join([f"errors on the {rows[0].data_set} set{note}", *aligned(lines)])


def significant(mean: float, error: float) -> str:
    """A number with its standard error to two digits; with four digits where the error is NaN."""
    if math.isnan(error):
        return f"{mean:.4g}"
    digits = max(0, 1 - math.floor(math.log10(error))) if error > 0.0 else 3
    return f"{mean:.{digits}f} ± {error:.{digits}f}"


def none_for_nan(value: float) -> float | None:
    """What a table leaves empty."""
    return None if math.isnan(value) else value
