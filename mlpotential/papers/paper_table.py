"""A table of the papers as a recipe: what each row trains, and what the papers found. No torch.

A recipe is a YAML file in `recipes/`:

    title: QM9, energy U0 by number of training molecules
    source: A Fig. 3
    about: What one must know to compare; printed below the table.
    files: {ethanol: 'MD17 ethanol, PBE+TS'}   # that `--files ethanol=PATH` gives
    columns:
      energy: {unit: meV}                       # of a label: MAE, or `kind: rmse`
    settings: {data: ..., model: ..., training: ...}   # as in a file of `mlpotential train`
    rows:
      SchNet_T3_N1000:
        model.n_interactions: 3                 # one setting
        model: {architecture: DTNN}             # or a section, which replaces the common one
        published: {energy: {value: 14, n_train: 110000, source: A Fig. 3}}

A data path `$ethanol` is the file that was given under this name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from mlpotential.data.declared_units import ev_per_angstrom, scalar_unit
from mlpotential.data.sets.named import split_name
from mlpotential.errors import ConfigError, nearest_name
from mlpotential.properties import unit_in_names
from mlpotential.training.config import RunConfig
from mlpotential.training.config_file import config_of, read_yaml

RECIPES = "recipes"
PATHS = ("path", "validation_path", "test_path")


@dataclass(frozen=True)
class Column:
    """A kind of error.

    Attributes:
        name: in the recipe.
        label: of the model's prediction, as in `training.metrics.Errors`.
        unit: in which it is shown.
        kind: of error.
    """

    name: str
    label: str
    unit: str
    kind: Literal["mae", "rmse"] = "mae"

    @property
    def head(self) -> str:
        """Its title, unit included."""
        return f"{self.label} {self.kind.upper()} ({self.unit})"

    @property
    def in_names(self) -> str:
        """Its name as a column of a file."""
        return f"{self.label}_{self.kind}_{unit_in_names(self.unit)}"

    @property
    def per_own_unit(self) -> float:
        """Factor from the unit of this program to the one shown."""
        per_atom = self.unit.removesuffix("/atom")
        is_force = self.label == "forces"
        own = ev_per_angstrom(self.unit) if is_force else scalar_unit(per_atom)[1]
        return 1.0 / own


@dataclass(frozen=True)
class Published:
    """A number of a paper, in the unit of its column.

    Attributes:
        value: mean absolute or root mean square error.
        source: paper and table.
        n_train: structures it was trained on; None where the row has as many.
        error: its standard error; None where the paper gives none.
    """

    value: float
    source: str
    n_train: int | None = None
    error: float | None = None

    def __str__(self) -> str:
        error = "" if self.error is None else f" ± {self.error:g}"
        n_train = "" if self.n_train is None else f", N = {self.n_train:,}"
        return f"{self.value:g}{error} ({self.source}{n_train})"


@dataclass(frozen=True)
class PaperRow:
    """What is trained, and what the papers found, by name of the column."""

    name: str
    settings: Mapping[str, Any]
    published: Mapping[str, Published] = field(default_factory=dict)

    @property
    def n_train(self) -> int | None:
        """Structures to train on where the row has its own number."""
        number: int | None = self.settings.get("data.train_subset")
        return number


@dataclass(frozen=True)
class PaperTable:
    """One recipe, read.

    Attributes:
        name: of its file.
        title: what is measured.
        source: paper and table or figure.
        about: what one must know to compare.
        files: data that are not named sets, by the names that paths in the settings have.
        columns: that are shown.
        settings: common to all rows.
        rows: by name.
    """

    name: str
    title: str
    source: str
    about: str
    files: Mapping[str, str]
    columns: Sequence[Column]
    settings: Mapping[str, Any]
    rows: Mapping[str, PaperRow]

    @property
    def is_learning_curve(self) -> bool:
        """Whether its rows differ in the number of structures to train on."""
        return len({row.n_train for row in self.rows.values()} - {None}) > 2

    def chosen(self, patterns: Sequence[str]) -> list[PaperRow]:
        """Rows by names or patterns such as `SchNet_*`, in the order of the table.

        Raises:
            ConfigError: for a pattern that no row matches.
        """
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in self.rows):
                raise ConfigError(
                    f"{self.name} has no row {pattern!r}; it has {', '.join(self.rows)}."
                    + nearest_name(pattern, self.rows)
                )
        return [r for n, r in self.rows.items() if any(fnmatchcase(n, p) for p in patterns)]

    def config(
        self,
        row: PaperRow,
        split: int,
        folder: Path,
        paths: Mapping[str, str],
        overrides: Sequence[str] = (),
    ) -> RunConfig:
        """The training of a row.

        Args:
            row: of this table.
            split: seed of the division of the data, of the initial weights and of their order.
            folder: of the training.
            paths: of the files that the settings name.
            overrides: settings that replace those of the recipe, as on the command line.

        Raises:
            ConfigError: if a file is missing, or settings do not fit.
        """
        settings = _merged(self.settings, row.settings)
        _fill_paths(self, row, settings["data"], paths)
        chosen = [f"--data.split_seed={split}", f"--training.seed={split}", f"--folder={folder}"]
        where = f"row {row.name} of {self.name}"
        return config_of(settings, [*overrides, *chosen], where, Path.cwd())


def table_names() -> list[str]:
    """Of all recipes, in alphabetical order."""
    found = (entry.name for entry in files(__package__).joinpath(RECIPES).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def read_table(name: str) -> PaperTable:
    """A recipe by name.

    Raises:
        ConfigError: if there is none of this name.
    """
    names = table_names()
    if name not in names:
        known = f"there is no table {name!r}; known: {', '.join(names)}."
        raise ConfigError(known + nearest_name(name, names))
    content = read_yaml(Path(str(files(__package__).joinpath(RECIPES, f"{name}.yaml"))))
    columns = [Column(n, **{"label": n, **column}) for n, column in content["columns"].items()]
    rows = {row: _row(row, settings or {}) for row, settings in content["rows"].items()}
    return PaperTable(
        name,
        content["title"],
        content["source"],
        content["about"],
        content.get("files", {}),
        columns,
        content["settings"],
        rows,
    )


def _row(name: str, settings: Mapping[str, Any]) -> PaperRow:
    own = dict(settings)
    published = {column: Published(**p) for column, p in own.pop("published", {}).items()}
    return PaperRow(name, own, published)


def _merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names replace one setting, sections a whole one; sections come first."""
    sections = {**common, **{name: section for name, section in own.items() if "." not in name}}
    settings = {name: dict(section) for name, section in sections.items()}
    for name, value in own.items():
        if "." in name:
            section, _, field_name = name.partition(".")
            settings[section][field_name] = value
    return settings


def _fill_paths(
    table: PaperTable, row: PaperRow, data: dict[str, Any], paths: Mapping[str, str]
) -> None:
    """`$ethanol` becomes what was given; sets whose name says their units declare none."""
    for key, name in _names_of_files(data):
        if name not in paths:
            raise ConfigError(
                f"row {row.name} of {table.name} needs {table.files[name]}: give --files "
                f"{name}=PATH, a file in eV and Angstrom, or one such as md17:PATH whose units "
                "are known"
            )
        data[key] = paths[name]
        if split_name(paths[name])[0] is not None:
            data.pop("energy_unit", None)
            data.pop("length_unit", None)


def _names_of_files(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in PATHS:
        path = str(data.get(key, ""))
        if path.startswith("$"):
            yield key, path.removeprefix("$")
