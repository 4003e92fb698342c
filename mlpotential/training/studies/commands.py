"""The sub-commands `learning-curve` and `sweep`. Free of torch until the files are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlpotential.command_line import Command
from mlpotential.data.sets.named import files_of
from mlpotential.input_files import require_data_files

if TYPE_CHECKING:
    from mlpotential.training.studies.members import Member, Outcome


def learning_curve(
    overrides: Sequence[str],
    /,
    config: str,
    *,
    n_train: Sequence[int],
    folder: str,
    seeds: Sequence[int] | None = None,
) -> int:
    """Trains on parts of the data and tells how errors fall with their size.

    Args:
        overrides: settings that replace those of the file, such as `--training.max_epochs 100`.
        config: YAML file of a training run; data.n_train, or the largest size, is what is drawn.
        n_train: numbers of structures to train on.
        folder: of all trainings, the table and the figure.
        seeds: of the weights; errors are averaged over them (default: training.seed).
    """
    from mlpotential.training.config_file import read_config

    settings = read_config(config, overrides)
    data = settings.data
    require_data_files(files_of((data.path, data.validation_path, data.test_path)))

    def members() -> list[Member]:
        from mlpotential.training.studies.learning_curve import learning_curve_members

        return learning_curve_members(settings, list(n_train), seeds, Path(folder))

    return _study(members, Path(folder), "learning_curve")


def sweep(overrides: Sequence[str], /, config: str, *, folder: str) -> int:
    """Trains with every combination of the given settings.

    Args:
        overrides: settings with their values, such as `--model.n_interactions 1 2 3`.
        config: YAML file of a training run.
        folder: of all trainings, the table and the figure.
    """
    require_data_files([config])

    def members() -> list[Member]:
        from mlpotential.training.studies.sweep import sweep_members

        return sweep_members(config, overrides, Path(folder))

    return _study(members, Path(folder), "sweep")


def _study(make_members: Callable[[], list[Member]], folder: Path, name: str) -> int:
    from mlpotential.run_folder import write_atomically
    from mlpotential.training.optimization.processes import joined_processes
    from mlpotential.training.studies.members import run_members
    from mlpotential.training.studies.table import as_csv, as_text, rows_of

    def keep(outcomes: list[Outcome]) -> None:
        write_atomically(folder / f"{name}.csv", as_csv(rows_of(outcomes)))

    with joined_processes() as processes:
        outcomes = run_members(make_members(), folder, keep, processes=processes)
    if processes.is_first:
        from mlpotential.training.studies.figure import save_figure

        rows = rows_of(outcomes)
        save_figure(rows, folder / f"{name}.png")
        print(as_text(rows))
        print(f"table:  {folder / name}.csv\nfigure: {folder / name}.png")
    return 0


LEARNING_CURVE = Command.of(
    learning_curve,
    "  mlpotential learning-curve run.yaml --n-train 1000 5000 20000 --folder curve\n"
    "  mlpotential learning-curve run.yaml --n-train 100 300 1000 --seeds 0 1 2 --folder curve "
    "--training.max_epochs 200\n\n"
    "The training sets are nested; validation and test set are the same for all. Each training is\n"
    "in a folder of its own, and the same command goes on where it was stopped.",
)
SWEEP = Command.of(
    sweep,
    "  mlpotential sweep run.yaml --model.n_interactions 1 2 3 6 --folder sweep\n"
    "  mlpotential sweep run.yaml --model.n_features 32 64 --training.learning_rate 1e-3 1e-4 "
    "--training.seed 0 1 2 --folder sweep\n\n"
    "Settings with several values are combined, those with one are the same for all; errors are\n"
    "averaged over seeds. The same command goes on where it was stopped.",
)
