"""Points where averaged fields are shown, their pictures and their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.analysis.sampling.field_averages import FieldAverage
from md_runs.analysis.sampling.results import write_csv
from md_runs.commands.analysis_report import ReportBuilder
from md_runs.commands.prepared_run import PreparedRun, beads_text
from md_runs.run_folders import file_name
from mlpotential.interpretation.fields.files import write_volume
from mlpotential.interpretation.fields.maps import CutMap, SurfaceMap, atoms_near, volume_points
from mlpotential.interpretation.fields.moving import MovingField
from mlpotential.interpretation.fields.places import FieldPlaces
from mlpotential.interpretation.fields.planes import PlaneGrid
from mlpotential.interpretation.fields.surfaces import Surface
from mlpotential.interpretation.figures.cut_picture import cut_figure
from mlpotential.interpretation.figures.surface_page import save_surface_page
from mlpotential.interpretation.figures.surface_picture import surface_figure
from mlpotential.interpretation.result_files import save_npz

Pair = tuple[PreparedRun, PreparedRun]


@dataclass(frozen=True)
class Points:
    """Where fields are evaluated, all at once.

    Attributes:
        all: on the surface, then in the plane, then in the box, [n_points, 3] (A).
        surface: around the reference structure; None without.
        grid: in a plane; None without.
        box: points of volumes, [n_x, n_y, n_z, 3] (A), and the structure in them; None without.
        suffixes: of the files of volumes.
    """

    all: np.ndarray
    surface: Surface | None
    grid: PlaneGrid | None
    box: tuple[Atoms, np.ndarray] | None
    suffixes: tuple[str, ...]

    @classmethod
    def of(cls, atoms: Atoms, places: FieldPlaces) -> Points:
        """Those asked for, of a structure. Raises ConfigError, StructureError as `FieldPlaces`."""
        surface, grid = places.surface_of(atoms), places.grid_of(atoms)
        box = volume_points(atoms, places.spacing) if places.volumes else None
        parts = [surface.vertices] if surface is not None else []
        parts += [grid.points] if grid is not None else []
        parts += [box[1].reshape(-1, 3)] if box is not None else []
        return cls(np.concatenate(parts), surface, grid, box, places.volumes)

    @property
    def on_surface(self) -> slice:
        """Which of all."""
        return slice(0, 0 if self.surface is None else len(self.surface.vertices))

    @property
    def in_plane(self) -> slice:
        """Which of all."""
        start = self.on_surface.stop
        return slice(start, start + (0 if self.grid is None else len(self.grid.points)))

    @property
    def in_box(self) -> slice:
        """Which of all."""
        return slice(self.in_plane.stop, len(self.all))


@dataclass(frozen=True)
class ShownFields:
    """All that is drawn and written, at all points.

    Attributes:
        atoms: the reference structure.
        field: what it is.
        reference: values of the reference structure, [n_points].
        averages: by run.
        titles: of runs, in pictures.
        pair: quantum and classical, whose difference is shown instead of those from the reference.
    """

    atoms: Atoms
    field: MovingField
    reference: np.ndarray
    averages: Mapping[str, FieldAverage]
    titles: Mapping[str, str]
    pair: Pair | None

    @classmethod
    def of(
        cls,
        atoms: Atoms,
        field: MovingField,
        reference: np.ndarray,
        averages: Mapping[str, FieldAverage],
        runs: Sequence[PreparedRun],
        pair: Pair | None,
    ) -> ShownFields:
        """Attributes as of the class; runs are those of the averages."""
        titles = {
            run.name: f"mean of {run.name}, {beads_text(run.n_beads) if run.n_beads > 1 else ''}"
            for run in runs
        }
        titles = {name: title.removesuffix(", ") for name, title in titles.items()}
        return cls(atoms, field, reference, averages, titles, pair)

    def fields(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Titles, and values [n_fields, n_points], of the reference and the means."""
        means = [average.mean for average in self.averages.values()]
        return ("reference structure", *self.titles.values()), np.stack([self.reference, *means])

    def differences(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Titles, and values [n_differences, n_points]."""
        if self.pair is not None:
            quantum, classical = (run.name for run in self.pair)
            means = [self.averages[name].mean for name in (quantum, classical)]
            return (f"{quantum} − {classical}",), (means[0] - means[1])[None]
        with np.errstate(invalid="ignore"):  # infinite less infinite, on a charge
            values = np.stack([a.mean - self.reference for a in self.averages.values()])
        return tuple(f"{name} − reference" for name in self.averages), values

    def arrays(self, points: slice, shape: tuple[int, ...]) -> dict[str, Any]:
        """By their names in files; those of runs begin with an axis of runs."""
        averages = [average.part(points) for average in self.averages.values()]

        def stacked(name: str) -> np.ndarray:
            return np.stack([getattr(a, name) for a in averages]).reshape(len(averages), *shape)

        return {
            "quantity": np.array(self.field.quantity.label),
            "runs": np.array(list(self.averages)),
            "reference": self.reference[points].reshape(shape),
            **{name: stacked(name) for name in ("mean", "standard_error", "spread")},
            "atomic_numbers": self.atoms.numbers,
            "positions_A": self.atoms.positions,
        }


def note_pictures(builder: ReportBuilder, shown: ShownFields, points: Points) -> None:
    """Puts figures and files of all places into a report."""
    if points.surface is not None:
        _note_surface(builder, shown, points.surface, points.on_surface)
    if points.grid is not None:
        _note_cut(builder, shown, points.grid, points.in_plane)
    if points.box is not None:
        _note_volumes(builder, shown, *points.box, points.in_box, points.suffixes)


def _note_surface(
    builder: ReportBuilder, shown: ShownFields, surface: Surface, there: slice
) -> None:
    maps = [
        SurfaceMap(quantity, surface, titles, (shown.atoms,) * len(titles), values[:, there])
        for quantity, (titles, values) in _groups(shown)
    ]
    builder.figures["surface"] = surface_figure(maps)
    builder.files["surface.html"] = partial(save_surface_page, maps)
    arrays = shown.arrays(there, (len(surface.vertices),))
    arrays |= {"points_A": surface.vertices, "faces": surface.faces}
    arrays["surface"] = np.array(surface.formula)
    builder.files["surface.npz"] = partial(save_npz, arrays=arrays)


def _note_cut(builder: ReportBuilder, shown: ShownFields, grid: PlaneGrid, there: slice) -> None:
    shape = len(grid.v), len(grid.u)
    near = atoms_near(grid, shown.atoms)
    maps = [
        CutMap(quantity, grid, titles, (near,) * len(titles), values[:, there].reshape(-1, *shape))
        for quantity, (titles, values) in _groups(shown)
    ]
    builder.figures["cut"] = cut_figure(maps)
    arrays = shown.arrays(there, shape)
    arrays |= {"points_A": grid.points.reshape(*shape, 3), "u_A": grid.u, "v_A": grid.v}
    arrays["plane"] = np.array(grid.plane.words)
    builder.files["cut.npz"] = partial(save_npz, arrays=arrays)
    builder.files["cut.csv"] = partial(write_csv, columns=_columns(shown, grid, there))


def _columns(shown: ShownFields, grid: PlaneGrid, there: slice) -> dict[str, np.ndarray]:
    """Of the table of a cut."""
    unit = shown.field.quantity.unit
    u, v = (x.ravel() for x in np.meshgrid(grid.u, grid.v))
    columns = dict(zip(("u (A)", "v (A)"), (u, v), strict=True))
    columns |= {f"{x} (A)": values for x, values in zip("xyz", grid.points.T, strict=True)}
    columns[f"reference ({unit})"] = shown.reference[there]
    for name, average in shown.averages.items():
        part = average.part(there)
        columns[f"{name} mean ({unit})"] = part.mean
        columns[f"{name} standard error ({unit})"] = part.standard_error
        columns[f"{name} spread ({unit})"] = part.spread
    return columns


def _note_volumes(
    builder: ReportBuilder,
    shown: ShownFields,
    box: Atoms,
    points: np.ndarray,
    there: slice,
    suffixes: Sequence[str],
) -> None:
    volumes = {"reference": shown.reference}
    for name, average in shown.averages.items():
        volumes |= {f"{name}_mean": average.mean, f"{name}_spread": average.spread}
    for name, values in volumes.items():
        write = partial(
            _write_volume, box, points[0, 0, 0], values[there].reshape(points.shape[:3]), shown
        )
        for suffix in suffixes:
            builder.files[file_name(f"{shown.field.quantity.name}_{name}{suffix}")] = write


def _write_volume(
    box: Atoms, origin: np.ndarray, values: np.ndarray, shown: ShownFields, path: Path
) -> None:
    write_volume(box, origin, values, shown.field.quantity, path)


def _groups(shown: ShownFields) -> list[tuple[Any, tuple[tuple[str, ...], np.ndarray]]]:
    """Quantities with what is on their colour scale: fields, and differences."""
    return [
        (shown.field.quantity, shown.fields()),
        (shown.field.difference, shown.differences()),
    ]
