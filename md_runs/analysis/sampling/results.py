"""How every analysis result is saved and shown: one mixin for frozen dataclasses.

A result names the unit of a field beside it, `energy: Annotated[float, "eV"]`, and, where it is
tabular, the fields that are columns in `COLUMNS`. What is unknown (NaN, an error bar of a single
block) becomes null in JSON and an empty place in CSV.

Figures are built upon results, not the other way round: a result only names, in `DRAWN_BY`, where
the function lies that draws it, and nothing of Matplotlib or pandas is imported before it is asked
for.
"""

from __future__ import annotations

import csv
import importlib
import io
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_origin, get_type_hints

import numpy as np

from mlpotential.errors import ConfigError
from mlpotential.run_folder import write_atomically, write_json

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


class AnalysisResult:
    """Base of the frozen dataclasses that analysis functions return.

    Attributes:
        UNITS: unit of each field that has one; "1" for a pure number. Collected from the fields; a
            class states here what it knows of fields that it inherits.
        COLUMNS: the fields, arrays of one length, that make up the CSV table.
        UNSAVED: fields for what is derived later, too large for a file.
        DRAWN_BY: the function that draws it, as `package.module:name`, taking it and `ax`; empty
            for none.
    """

    UNITS: ClassVar[dict[str, str]] = {}
    COLUMNS: ClassVar[tuple[str, ...]] = ()
    UNSAVED: ClassVar[tuple[str, ...]] = ()
    DRAWN_BY: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        inherited = [base.UNITS for base in cls.__bases__ if issubclass(base, AnalysisResult)]
        hints = get_type_hints(cls, include_extras=True)
        own = {
            name: hints[name].__metadata__[0]
            for name in cls.__annotations__
            if get_origin(hints[name]) is Annotated
        }
        stated = cls.__dict__.get("UNITS", {})
        cls.UNITS = {k: v for units in (*inherited, own, stated) for k, v in units.items()}

    def to_dict(self) -> dict[str, Any]:
        """The result as plain numbers, lists and texts, with its type and units."""
        names = [f.name for f in fields(self) if f.name not in self.UNSAVED]  # type: ignore[arg-type]
        units = {name: unit for name, unit in self.UNITS.items() if name not in self.UNSAVED}
        return {
            "type": type(self).__name__,
            **({"units": units} if units else {}),
            **{name: plain(getattr(self, name)) for name in names},
        }

    def save_json(self, path: Path) -> None:
        """Writes `to_dict` as strict JSON. Raises RunError where the file cannot be written."""
        write_json(path, self.to_dict())

    def table_columns(self) -> dict[str, Any]:
        """Arrays of one length under `name (unit)`, those of `COLUMNS`.

        Raises:
            TypeError: for a result that is not tabular.
        """
        if not self.COLUMNS:
            raise TypeError(f"{type(self).__name__} is not tabular: save it with save_json")
        return {f"{name} ({self.UNITS[name]})": getattr(self, name) for name in self.COLUMNS}

    def save_csv(self, path: Path) -> None:
        """Writes `table_columns`. Raises RunError as `save_json`."""
        write_csv(path, self.table_columns())

    def to_dataframe(self) -> pandas.DataFrame:
        """`table_columns` for pandas.

        Raises:
            ConfigError: where pandas is not installed.
        """
        columns = self.table_columns()
        try:
            import pandas
        except ImportError as error:
            raise ConfigError(
                "to_dataframe() needs the package pandas: pip install 'mlpotential[tables]', or "
                "take to_dict() or save_csv()"
            ) from error
        return pandas.DataFrame(columns)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draws it as the commands do, and shows nothing.

        Args:
            ax: where to draw; None for a figure of its own, which is `plot().figure`.
            options: of the function that draws, `DRAWN_BY`.

        Raises:
            TypeError: for a result that has no figure.
        """
        if not self.DRAWN_BY:
            raise TypeError(f"{type(self).__name__} has no figure: see md_runs.figures")
        module, _, name = self.DRAWN_BY.partition(":")
        drawn: Axes = getattr(importlib.import_module(module), name)(self, ax=ax, **options)
        return drawn


def write_csv(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns of one length under their headings. Raises RunError where it cannot be written."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(zip(*(plain(column) for column in columns.values()), strict=True))
    write_atomically(path, text.getvalue())


def plain(value: Any) -> Any:
    """A value as JSON knows it: arrays as lists, results as dictionaries, NaN as None.

    Raises:
        TypeError: if the value, or something inside it, has no such form.
    """
    if isinstance(value, AnalysisResult):
        return value.to_dict()
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")
