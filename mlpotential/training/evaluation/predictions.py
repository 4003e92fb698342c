"""Predictions of every structure of a file as a table, as for virtual screening.

K. T. Schuett, Learning Representations of Atomistic Systems with Deep Neural Networks,
dissertation, TU Berlin (2018), section 4.1: a model that was trained on a part of chemical space
ranks structures whose properties nobody has calculated.
"""

from __future__ import annotations

import contextlib
import csv
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from mlpotential.data.read import read_structures
from mlpotential.data.reference_data import ReferenceData
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.prepared_model import say_once
from mlpotential.models.potential import Potential
from mlpotential.models.readouts.atomwise import require_molecules
from mlpotential.properties import OF_MOLECULES, Property
from mlpotential.run_folder import opened_atomically
from mlpotential.training.evaluation.batches import connected_batches, loaded_potential
from mlpotential.training.metrics import predict_batches

PER_ATOM = "energy_per_atom"
# Components by the shape of a quantity; a tensor of outputs is symmetric: in ASE's order.
_COMPONENTS: Mapping[tuple[int, ...], Mapping[str, tuple[int, ...]]] = {
    (): {"": ()},
    (3,): {"x": (0,), "y": (1,), "z": (2,)},
    (3, 3): {
        "xx": (0, 0),
        "yy": (1, 1),
        "zz": (2, 2),
        "yz": (1, 2),
        "xz": (0, 2),
        "xy": (0, 1),
    },
}


def predict_structures(
    model_path: str | Path,
    structures_path: str | Path,
    table_path: str | Path,
    *,
    length_unit: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    batch_size: int = 32,
) -> int:
    """Predicts every structure of a file, with labels or without, and writes a table.

    Args:
        model_path: model file.
        structures_path: as for `read_structures`.
        table_path: CSV, see `PredictionTable`.
        length_unit: as for `read_structures`.
        device, dtype: as for an `Evaluator`.
        batch_size: structures at once.

    Returns:
        How many structures there were.

    Raises:
        InputError: for an unusable model or file, an element that the model does not know, or a
            table that cannot be written.
    """
    potential = loaded_potential(model_path, device, dtype, batch_size)
    data = read_structures(structures_path, length_unit=length_unit)
    names = table_outputs(potential, data)
    batches = connected_batches(data, potential, batch_size)
    with opened_table(table_path, data, [potential.rows[name] for name in names]) as table:
        predict_batches(potential, batches, names, table.add)
    return len(data)


def table_outputs(potential: Potential, data: ReferenceData) -> list[str]:
    """What of a model stands in the table of these structures.

    Those of its outputs that they have: dipoles and the like are of molecules alone, and are left
    out, which is said, where a structure is periodic.

    Raises:
        StructureError: if nothing is left.
    """
    names = list(potential.outputs)
    if "dipole" in names and "dipole_magnitude" not in names:
        names.insert(names.index("dipole") + 1, "dipole_magnitude")
    periodic = np.flatnonzero(data.arrays.is_periodic)
    left_out = [name for name in names if name in OF_MOLECULES] if len(periodic) else []
    if not left_out:
        return names
    if len(left_out) == len(names):
        require_molecules(True, left_out[0].replace("_", " "))
    say_once(
        f"not in the table, as {data.name_of(int(periodic[0]))} is periodic: {', '.join(left_out)}",
        logging.WARNING,
    )
    return [name for name in names if name not in left_out]


class PredictionTable:
    """CSV with a line for each structure, written as they are predicted.

    Columns: `index`, the number of the frame in its file, from 0; `formula`; `n_atoms`; then each
    output of the model with its unit: `energy_eV` and `energy_per_atom_eV`, `gap_eV`,
    `dipole_x_e_angstrom`, ..., of symmetric tensors xx, yy, zz, yz, xz and xy. Forces and other
    quantities of atoms are not in it.

    Args:
        file: to be written.
        data: the structures, which come in this order.
        rows: what is predicted of each.
    """

    def __init__(self, file: BinaryIO, data: ReferenceData, rows: Sequence[Property]) -> None:
        self._file, self._data, self._rows = file, data, rows
        self._n_written = 0
        self._has_per_atom = all(row.name != PER_ATOM for row in rows)  # an output of that name
        header = ["index", "formula", "n_atoms"]
        for row in rows:
            header += self._names(row)
        self._write([header])

    def add(self, prediction: Prediction, graph: AtomGraph) -> None:
        """Writes the next structures."""
        n_atoms = graph.atoms_per_graph().cpu().numpy()
        columns = [self._values(prediction, row, n_atoms) for row in self._rows]
        values = np.concatenate(columns, axis=1)
        numbers = np.split(graph.atomic_numbers.cpu().numpy(), np.cumsum(n_atoms)[:-1])
        self._write(
            [
                [self._data.frame_number(k), _formula(z), len(z), *(format(x, ".12g") for x in row)]
                for k, (z, row) in enumerate(
                    zip(numbers, values.tolist(), strict=True), start=self._n_written
                )
            ]
        )
        self._n_written += graph.n_graphs

    def _names(self, row: Property) -> list[str]:
        """Of the columns of a quantity, with units."""
        assert row.shape is not None, "that of outputs does not depend on the architecture"
        names = ["_".join(filter(None, (row.name, c))) for c in _COMPONENTS[row.shape]]
        if row.name == "energy" and self._has_per_atom:
            names.append(PER_ATOM)
        return [f"{name}_{row.unit_in_names}" if row.unit else name for name in names]

    def _values(self, prediction: Prediction, row: Property, n_atoms: np.ndarray) -> np.ndarray:
        """The columns of a quantity, [n_graphs, n_columns]."""
        found = prediction.value(row.name).detach().cpu().numpy().astype(np.float64)
        assert row.shape is not None
        columns = [found[:, *index] for index in _COMPONENTS[row.shape].values()]
        if row.name == "energy" and self._has_per_atom:
            columns.append(found / n_atoms)
        return np.stack(columns, axis=1)

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode())


@contextlib.contextmanager
def opened_table(
    path: str | Path, data: ReferenceData, rows: Sequence[Property]
) -> Iterator[PredictionTable]:
    """A table that has its name when it is whole, not before. Raises RunError as `run_folder`."""
    with opened_atomically(Path(path)) as file:
        yield PredictionTable(file, data, rows)


def _formula(atomic_numbers: np.ndarray) -> str:
    """In Hill's order: `C2H6O`."""
    counts = dict(zip(*np.unique(atomic_numbers, return_counts=True), strict=True))
    symbols = {chemical_symbols[z]: int(n) for z, n in counts.items()}
    return Formula.from_dict(symbols).format("hill")
