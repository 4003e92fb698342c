"""Absolute errors of finished rows over all test structures of all splits (A Figs. 9, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlpotential.errors import DataError
from mlpotential.papers.paper_table import Column, PaperRow, PaperTable
from mlpotential.training.config_file import read_config
from mlpotential.training.evaluation.batches import loaded_potential
from mlpotential.training.evaluation.error_histogram import (
    AbsoluteErrors,
    absolute_errors,
    plot_error_histogram,
)
from mlpotential.training.evaluation.evaluate import Evaluation, compare
from mlpotential.training.pictures import panels_beside, save_picture
from mlpotential.training.run import CONFIG_NAME, MODEL_NAME, read_data_sets
from mlpotential.training.studies.members import OUTCOME_NAME

BATCH_SIZE = 64
PER_ATOM = "_per_atom"


def save_row_histograms(
    table: PaperTable, rows: Sequence[PaperRow], folder: Path, path: str | Path
) -> list[str]:
    """A panel for each error of each row that is finished; the names of these rows.

    Args:
        table: of the rows.
        rows: that are wanted.
        folder: of the table, where its trainings are.
        path: of a picture.

    Raises:
        DataError: if no row is finished.
        InputError: if a model or the data of a row cannot be read any more.
        RunError: if the picture cannot be written.
    """
    found = {row.name: errors for row in rows if (errors := pooled_errors(table, row, folder))}
    if not found:
        raise DataError(f"none of these rows is finished in {folder}: train them with --rows first")
    figure, panels = panels_beside(sum(map(len, found.values())), 4.2, 4.4)
    beside = iter(panels)
    for name, errors in found.items():
        for error in errors:
            ax = next(beside)
            plot_error_histogram(replace(error, quantity=f"{name}: {error.quantity}"), ax)
    save_picture(figure, path)
    return list(found)


def pooled_errors(table: PaperTable, row: PaperRow, folder: Path) -> list[AbsoluteErrors]:
    """Of a row, one for each column that its models give; none where no split is finished.

    Args:
        table, folder: as for `save_row_histograms`.
        row: of the table.
    """
    paths = sorted(folder.glob(f"{row.name}_split_*/{OUTCOME_NAME}"))
    if not paths:
        return []
    first_of_label: dict[str, Column] = {}  # a label may have a MAE and a RMSE
    for column in table.columns:
        first_of_label.setdefault(column.label, column)
    labels = [_label(column) for column in first_of_label.values()]
    evaluations = [_evaluation(path.parent, labels) for path in paths]
    return [
        _pooled(evaluations, column)
        for column in first_of_label.values()
        if _label(column) in evaluations[0].values
    ]


def _label(column: Column) -> str:
    return column.label.removesuffix(PER_ATOM)


def _evaluation(run: Path, labels: Sequence[str]) -> Evaluation:
    """The model of a finished training on the test structures of its own split."""
    config = read_config(run / CONFIG_NAME)
    test = read_data_sets(config).test
    if test is None:
        raise DataError(f"{run} left no structures to test")
    potential = loaded_potential(run / MODEL_NAME, "auto", None, BATCH_SIZE)
    given = [label for label in labels if label in potential.properties and label in config.labels]
    return compare(potential, test, given, BATCH_SIZE)


def _pooled(evaluations: Sequence[Evaluation], column: Column) -> AbsoluteErrors:
    """Of all splits, in the unit of the column."""
    per_atom = column.label.endswith(PER_ATOM)
    parts = [absolute_errors(found, _label(column), per_atom) for found in evaluations]
    values = np.concatenate([part.values for part in parts]) * column.per_own_unit
    return AbsoluteErrors(values, parts[0].quantity, column.unit)
