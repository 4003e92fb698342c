"""A stored model against labelled data."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.named import split_name
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.models.model_file import load_model, replace_record
from mlpotential.models.potential import Potential, lacking
from mlpotential.properties import label_row
from mlpotential.training.evaluation.batches import connected_batches, loaded_potential
from mlpotential.training.evaluation.predictions import opened_table, table_outputs
from mlpotential.training.metrics import ErrorAccumulator, Errors, predict_batches

UNITS_OF_FILES = ("energy_unit", "length_unit", "force_unit")  # that are declared for every file


@dataclass(frozen=True)
class Evaluation:
    """Labels and predictions side by side; labels of weight 0 are none.

    Attributes:
        errors: their differences in numbers.
        values: by label, reference and predicted numbers, [2, n_numbers]: energies per atom (eV),
            components of forces (eV/A) and of the others.
        units: of the labels.
        n_atoms: of the structures whose energies are in `values`, [n_energies].
        has_cells: whether any structure has a cell.
    """

    errors: Errors
    values: dict[str, np.ndarray]
    units: dict[str, str]
    n_atoms: np.ndarray
    has_cells: bool


def evaluate_model(
    model_path: str | Path,
    data_path: str | Path,
    *,
    with_forces: bool = True,
    device: str = "auto",
    dtype: str | None = None,
    batch_size: int = 32,
    predictions: str | Path | None = None,
    **declared: Any,
) -> Evaluation:
    """Predicts every structure of a file and compares with its labels.

    Args:
        model_path: model file.
        data_path: labelled data, or the name of a published set.
        with_forces: read, predict and compare forces too.
        device, dtype: as for an `Evaluator`.
        batch_size: structures at once.
        predictions: write what the model gives of each structure to this file, too, compared or
            not: a `PredictionTable`.
        declared: `energy_unit`, `length_unit` and, where needed, `force_unit`, `dipole_unit` and
            keys such as `energy_key`, as for `read_reference_data`. Labels whose unit is given are
            read, predicted and compared too; of a model without energies, at least one.

    Raises:
        InputError: for an unusable model or data file, elements the model does not know, or a
            dipole_unit with a model that has no dipoles.
    """
    potential = loaded_potential(model_path, device, dtype, batch_size)
    properties = _compared_labels(potential, with_forces, declared)
    data = read_reference_data(data_path, properties=properties, **declared)
    _warn_of_isolated_atoms(data, data_path)
    return compare(potential, data, properties, batch_size, predictions)


def compare(
    potential: Potential,
    data: ReferenceData,
    properties: Sequence[str],
    batch_size: int = 32,
    predictions: str | Path | None = None,
) -> Evaluation:
    """Predicts every structure and compares with its labels.

    Args:
        potential: on its device.
        data: labelled.
        properties: the labels to compare.
        batch_size, predictions: as of `evaluate_model`.

    Raises:
        StructureError: for an element that the model does not know.
    """
    compared = _Comparison({name: potential.rows[name].unit for name in properties})
    batches = connected_batches(data, potential, batch_size)
    with contextlib.ExitStack() as stack:
        visitors, outputs = [compared.add], []
        if predictions is not None:
            outputs = table_outputs(potential, data)
            rows = [potential.rows[name] for name in outputs]
            visitors.append(stack.enter_context(opened_table(predictions, data, rows)).add)

        def visit(prediction: Prediction, graph: AtomGraph) -> None:
            for add in visitors:
                add(prediction, graph)

        predict_batches(potential, batches, {*properties, *outputs}, visit)
    return compared.evaluation(bool(data.arrays.has_cell.any()))


def _compared_labels(
    potential: Potential, with_forces: bool, declared: Mapping[str, str | None]
) -> list[str]:
    """Energies, forces and the labels whose unit was declared."""
    properties = ["energy", *(["forces"] if with_forces else [])] if potential.has_energy else []
    own = [n for n, unit in declared.items() if n.endswith("_unit") and unit is not None]
    properties += [n.removesuffix("_unit") for n in own if n not in UNITS_OF_FILES]
    if not properties:
        names = ", ".join(f"{name}_unit" for name in potential.outputs)
        raise ConfigError(f"the model gives no energies: say what to compare with {names}")
    if not potential.properties.issuperset(properties):
        raise lacking(set(properties) - potential.properties)
    return properties


def _warn_of_isolated_atoms(data: ReferenceData, path: str | Path) -> None:
    if data.isolated_atoms and split_name(str(path))[0] is None:
        warnings.warn(
            f"{data.source}: {len(data.isolated_atoms)} isolated atoms are left out",
            SuspiciousDataWarning,
            stacklevel=3,
        )


class _Comparison:
    """Adds up batches; `evaluation` gives the result. `units` are those of the labels."""

    def __init__(self, units: dict[str, str]) -> None:
        self._units, self._errors = units, ErrorAccumulator(units)
        self._pairs: dict[str, list[np.ndarray]] = {name: [] for name in units}
        self._n_atoms: list[np.ndarray] = [np.zeros(0, np.int64)]

    def add(self, prediction: Prediction, graph: AtomGraph) -> None:
        """Adds a batch of predictions and the labels its graph carries."""
        self._errors.add(prediction, graph)
        for name, found in self._pairs.items():
            counts = graph.label_weights(name) > 0.0
            n_atoms = graph.atoms_per_graph()[counts]
            counts = counts[graph.graph_index] if label_row(name).per == "atom" else counts
            pair = torch.stack([graph.labels[name], prediction.value(name).detach()])[:, counts]
            if name == "energy":
                pair = pair / n_atoms
                self._n_atoms.append(n_atoms.cpu().numpy())
            found.append(pair.reshape(2, -1).cpu().numpy())

    def evaluation(self, has_cells: bool) -> Evaluation:
        """Of all batches so far."""
        values = {name: np.concatenate(found, axis=1) for name, found in self._pairs.items()}
        n_atoms = np.concatenate(self._n_atoms)
        return Evaluation(self._errors.errors(), values, self._units, n_atoms, has_cells)


def add_errors(
    model_path: str | Path, errors: Mapping[str, Errors], wavenumbers: Mapping[str, Any]
) -> None:
    """Keeps errors, by data set, and deviations of wavenumbers in the record of a model file.

    Raises:
        ModelFileError: if it is no usable model file.
        RunError: if it cannot be written.
    """
    record = load_model(model_path).record
    kept = record.errors | {name: asdict(found) for name, found in errors.items()}
    replaced = replace(record, errors=kept, wavenumbers=record.wavenumbers | dict(wavenumbers))
    replace_record(model_path, replaced)
