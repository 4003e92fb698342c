"""Trainings of a paper's table, and what they left in its folder.

Each training has a folder of its own in that of the table, `ROW_split_N`, as `mlpotential train`
leaves it with `outcome.json` beside the model; `results.csv` and `results.md` tell of all that are
finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlpotential.papers.paper_table import PaperRow, PaperTable
from mlpotential.papers.results import SPLIT, RowResult, as_csv, as_markdown, result_of
from mlpotential.run_folder import write_atomically
from mlpotential.training.studies.members import OUTCOME_NAME, Member, read_outcome

ROW = "row"


def members_of(
    table: PaperTable,
    rows: Sequence[PaperRow],
    splits: Sequence[int],
    folder: Path,
    paths: Mapping[str, str],
    overrides: Sequence[str] = (),
) -> list[Member]:
    """The trainings of rows, one for each split, rows first: a first look at all comes early.

    Args:
        table: of the rows.
        rows: that are wanted.
        splits: seeds.
        folder: of the table.
        paths: of the files that the rows need.
        overrides: settings that replace those of the recipe.

    Raises:
        ConfigError: if a file is missing, or settings do not fit.
    """
    return [
        Member(
            {ROW: row.name, SPLIT: split},
            table.config(row, split, folder / f"{row.name}_split_{split}", paths, overrides),
        )
        for split in splits
        for row in rows
    ]


def kept_results(table: PaperTable, folder: Path) -> dict[str, RowResult]:
    """Of the rows of which at least one split is finished.

    Args:
        table: whose rows are looked for.
        folder: of the table.

    Raises:
        RunError: if what is kept cannot be read.
    """
    found = {}
    for row in table.rows.values():
        paths = sorted(folder.glob(f"{row.name}_split_*/{OUTCOME_NAME}"))
        if paths:
            found[row.name] = result_of(table, row, [read_outcome(path) for path in paths])
    return found


def save_results(table: PaperTable, folder: Path) -> None:
    """Writes the table of what is finished, as CSV and Markdown, and the figure of a curve."""
    results = kept_results(table, folder)
    if table.is_learning_curve:
        from mlpotential.papers.figure import save_learning_curves

        save_learning_curves(table, results, folder / "results.png")
    write_atomically(folder / "results.csv", as_csv(table, list(results.values())))
    write_atomically(folder / "results.md", as_markdown(table, results))
