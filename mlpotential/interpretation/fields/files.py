"""Files of fields: `.npz` and `.csv` of surfaces and cuts, `.cube` and `.vtk` of volumes."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io.cube import write_cube

from mlpotential.interpretation.fields.maps import CutMap, Quantity, SurfaceMap
from mlpotential.interpretation.result_files import save_npz
from mlpotential.run_folder import csv_text, write_atomically

MOST_ROWS = 20_000  # of a table; chosen: what spreadsheets take without a sigh


def write_surface(surface_map: SurfaceMap, path: Path) -> None:
    """Everything that is drawn, as arrays by name."""
    surface = surface_map.surface
    arrays = {
        "vertices_A": surface.vertices,
        "faces": surface.faces,
        "surface": np.array(surface.formula),
    }
    save_npz(path, arrays | _of_fields(surface_map))


def write_cut(cut_map: CutMap, path: Path) -> None:
    """Everything that is drawn, as arrays by name, and a table beside it where that is small."""
    grid = cut_map.grid
    shape = (len(grid.v), len(grid.u), 3)
    arrays = {
        "points_A": grid.points.reshape(shape),
        "u_A": grid.u,
        "v_A": grid.v,
        "plane": np.array(grid.plane.words),
    }
    save_npz(path, arrays | _of_fields(cut_map))
    if cut_map.values.size > MOST_ROWS:
        return
    columns = [f"{title} ({cut_map.quantity.unit})" for title in cut_map.titles]
    values = cut_map.values.reshape(len(columns), -1)
    u, v = (x.ravel() for x in np.meshgrid(grid.u, grid.v))
    names = ["u_A", "v_A", "x_A", "y_A", "z_A", *columns]
    table = np.column_stack([u, v, grid.points, *values])
    rows = [dict(zip(names, (f"{x:.9g}" for x in row), strict=True)) for row in table]
    write_atomically(path.with_suffix(".csv"), csv_text(rows))


def write_volume(
    atoms: Atoms, origin: np.ndarray, values: np.ndarray, quantity: Quantity, path: Path
) -> None:
    """A `.cube` or `.vtk` file, whose first lines say the unit of its values.

    Lengths are in Bohr in a cube file, and in Angstrom in one of VTK.

    Args:
        atoms: with the box as their cell.
        origin: of the box, [3] (A).
        values: [n_x, n_y, n_z].
        quantity: they are.
        path: of the file.
    """
    comment = f"{quantity.name} in {quantity.unit}"
    if path.suffix == ".vtk":
        write_atomically(path, _vtk_text(atoms.cell.array, origin, values, quantity.name, comment))
        return
    with tempfile.TemporaryFile("w+") as text:  # ASE's writer needs a file of the system
        write_cube(text, atoms, values, origin, comment)
        text.seek(0)
        write_atomically(path, text.read())


def _vtk_text(
    box: np.ndarray, origin: np.ndarray, values: np.ndarray, name: str, comment: str
) -> str:
    """VTK's legacy format, https://docs.vtk.org/en/latest/vtk_file_formats/vtk_legacy_file_format.html

    Args:
        box: edges as rows, [3, 3] (A); a voxel is one of n-th of each, as in a cube file.
        origin: [3] (A).
        values: [n_x, n_y, n_z].
        name: of the values, without blanks.
        comment: one line.
    """
    shape = values.shape
    steps = box / np.array(shape)[:, None]
    lines = ["# vtk DataFile Version 3.0", comment, "ASCII"]
    dimensions = f"DIMENSIONS {shape[0]} {shape[1]} {shape[2]}"
    if np.array_equal(steps, np.diag(np.diag(steps))):
        spacings = np.diag(steps)
        lines += ["DATASET STRUCTURED_POINTS", dimensions]
        lines += [f"ORIGIN {_row(origin)}", f"SPACING {_row(spacings)}"]
    else:
        # x runs fastest: the last axis of `indices` after they are reversed.
        places = np.indices(shape).reshape(3, *shape).transpose(3, 2, 1, 0).reshape(-1, 3)
        lines += ["DATASET STRUCTURED_GRID", dimensions, f"POINTS {values.size} double"]
        lines += [_row(point) for point in origin + places @ steps]
    lines += [f"POINT_DATA {values.size}", f"SCALARS {name} double 1", "LOOKUP_TABLE default"]
    lines += [f"{value:.9g}" for value in values.transpose(2, 1, 0).ravel()]
    return "\n".join(lines) + "\n"


def _row(vector: np.ndarray) -> str:
    return " ".join(f"{x:.12g}" for x in vector)


def file_stem(title: str) -> str:
    """A title as part of a file name."""
    return re.sub(r"\W+", "_", title).strip("_")


def _of_fields(fields: SurfaceMap | CutMap) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "values": fields.values,
        "titles": np.array(fields.titles),
        "quantity": np.array(fields.quantity.label),
    }
    for k, atoms in enumerate(fields.atoms):
        arrays[f"atomic_numbers_{k}"], arrays[f"positions_{k}_A"] = atoms.numbers, atoms.positions
    return arrays
