"""Files of fields: `.npz` and `.csv` of surfaces and cuts, `.cube` of volumes."""

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
    """A cube file; its lengths are in Bohr, its values in the unit that its first line says.

    Args:
        atoms: with the box as their cell.
        origin: of the box, [3] (A).
        values: [n_x, n_y, n_z].
        quantity: they are.
        path: of the file.
    """
    comment = f"{quantity.name} in {quantity.unit}"
    with tempfile.TemporaryFile("w+") as text:  # ASE's writer needs a file of the system
        write_cube(text, atoms, values, origin, comment)
        text.seek(0)
        write_atomically(path, text.read())


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
