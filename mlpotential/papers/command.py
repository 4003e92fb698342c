"""The sub-command `papers`. Free of torch until something is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlpotential.command_line import Command
from mlpotential.data.sets.named import files_of
from mlpotential.errors import ConfigError
from mlpotential.input_files import require_data_files
from mlpotential.settings_checks import check_count, named_values

if TYPE_CHECKING:
    from mlpotential.papers.paper_table import PaperTable


def papers(
    overrides: Sequence[str],
    /,
    table: str | None = None,
    *,
    rows: Sequence[str] = (),
    splits: Sequence[int] = (0, 1),
    files: Sequence[str] = (),
    folder: str = "papers",
    histograms: str | None = None,
) -> int:
    """Measures rows of the papers' tables again, and shows them beside the papers' numbers.

    Args:
        overrides: settings that replace those of the rows, such as `--training.max_epochs 2000`.
        table: its name; without one, all are listed.
        rows: to train, names or patterns such as 'SchNet_T3_*'; without them, what is in the folder
            is shown.
        splits: seeds of the division of the data and of the weights (0 1); errors are averaged.
        files: data that a table needs, such as ethanol=md17_ethanol.extxyz.gz (eV and Angstrom) or
            ethanol=md17:ethanol.npz.
        folder: of all tables, a folder each, with a folder for each training.
        histograms: train nothing: draw the absolute errors of all test structures, those of all
            splits together, of the rows that are finished, into this file.
    """
    from mlpotential.papers.paper_table import read_table, table_names

    if table is None:
        for name in table_names():
            found = read_table(name)
            print(f"{name:24} {len(found.rows):3} rows  {found.title} ({found.source})")
        return 0
    recipe = read_table(table)
    place = Path(folder) / table
    if histograms is not None:
        from mlpotential.papers.test_set_errors import save_row_histograms

        chosen = recipe.chosen(rows or ["*"])
        drawn = save_row_histograms(recipe, chosen, place, histograms)
        print(f"{', '.join(drawn)}: {histograms}")
        return 0
    paths = _paths_of(recipe, files)
    _train_and_show(recipe, rows, splits, place, paths, overrides)
    return 0


def _paths_of(table: PaperTable, words: Sequence[str]) -> dict[str, str]:
    """`ethanol=PATH` by name. Raises ConfigError for names that the table does not have."""
    known = ", ".join(f"{name}=PATH ({what})" for name, what in table.files.items())
    expected = f"--files of {table.name} takes {known or 'nothing'}"
    paths = named_values(words, expected)
    if unknown := paths.keys() - table.files.keys():
        raise ConfigError(f"{expected}, not {', '.join(sorted(unknown))}")
    require_data_files(files_of(paths.values()))
    return paths


def _train_and_show(
    table: PaperTable,
    patterns: Sequence[str],
    splits: Sequence[int],
    place: Path,
    paths: Mapping[str, str],
    overrides: Sequence[str],
) -> None:
    """Trains the rows, where any are wanted, and prints the table."""
    from mlpotential.papers.measurement import kept_results, members_of, save_results
    from mlpotential.papers.results import as_markdown

    for split in splits:
        check_count("--splits", split, smallest=0)
    if patterns:
        from mlpotential.training.optimization.processes import joined_processes
        from mlpotential.training.studies.members import run_members

        members = members_of(table, table.chosen(patterns), splits, place, paths, overrides)
        with joined_processes() as processes:
            run_members(members, None, lambda _: save_results(table, place), processes=processes)
        if not processes.is_first:
            return
    elif overrides:
        raise ConfigError(f"{' '.join(overrides)} needs --rows, which are trained with it")
    print(as_markdown(table, kept_results(table, place)))


PAPERS = Command.of(
    papers,
    "  mlpotential papers\n"
    "  mlpotential papers qm9_learning_curve --folder papers\n"
    "  mlpotential papers qm9_learning_curve --rows 'SchNet_T3_*' --splits 0 1 --folder papers\n"
    "  mlpotential papers md17 --rows 'ethanol_*' --files ethanol=md17:ethanol.npz\n"
    "  mlpotential papers qm9_properties --rows '*_N5000' --histograms errors.png\n\n"
    "Each row is a training of its own in a folder of its own. The same command goes on where it\n"
    "was stopped; several may run beside each other where their rows differ.",
)
