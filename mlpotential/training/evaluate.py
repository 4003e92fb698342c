"""A stored model against labelled data."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.named import split_name
from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.device import resolve_device
from mlpotential.inference.prepared_model import say_once
from mlpotential.models.model_file import load_model, replace_record
from mlpotential.models.potential import Potential, lacking
from mlpotential.settings_checks import check_count
from mlpotential.training.metrics import ErrorAccumulator, Errors, predict_batches

UNITS_OF_FILES = ("energy_unit", "length_unit", "force_unit")  # that are declared for every file


@dataclass(frozen=True)
class Evaluation:
    """Labels and predictions side by side.

    Attributes:
        errors: their differences in numbers.
        values: by label, reference and predicted numbers, [2, n_numbers]: energies per atom (eV),
            components of forces (eV/A) and of the others.
        units: of the labels.
    """

    errors: Errors
    values: dict[str, np.ndarray]
    units: dict[str, str]


def evaluate_model(
    model_path: str | Path,
    data_path: str | Path,
    *,
    with_forces: bool = True,
    device: str = "auto",
    dtype: str | None = None,
    batch_size: int = 32,
    **declared: Any,
) -> Evaluation:
    """Predicts every structure of a file.

    Args:
        model_path: model file.
        data_path: labelled data, or the name of a published set.
        with_forces: read, predict and compare forces too.
        device, dtype: as for an `Evaluator`.
        batch_size: structures at once.
        declared: `energy_unit`, `length_unit` and, where needed, `force_unit`, `dipole_unit` and
            keys such as `energy_key`, as for `read_reference_data`. Labels whose unit is given are
            read, predicted and compared too; of a model without energies, at least one.

    Raises:
        InputError: for an unusable model or data file, elements the model does not know, or a
            dipole_unit with a model that has no dipoles.
    """
    check_count("the batch size", batch_size)
    potential = load_model(model_path).potential.to(resolve_device(device))
    if dtype is not None:
        potential = potential.to(getattr(torch, dtype))
    properties = ["energy", *(["forces"] if with_forces else [])] if potential.has_energy else []
    own = [n for n, unit in declared.items() if n.endswith("_unit") and unit is not None]
    properties += [n.removesuffix("_unit") for n in own if n not in UNITS_OF_FILES]
    if not properties:
        names = ", ".join(f"{name}_unit" for name in potential.outputs)
        raise ConfigError(f"the model gives no energies: say what to compare with {names}")
    if not potential.properties.issuperset(properties):
        raise lacking(set(properties) - potential.properties)
    data = read_reference_data(data_path, properties=properties, **declared)
    unknown = sorted(set(data.elements) - set(potential.elements))
    if unknown:
        raise StructureError(f"the model was not trained on the atomic numbers {unknown}")
    if data.isolated_atoms and split_name(str(data_path))[0] is None:
        warnings.warn(
            f"{data.source}: {len(data.isolated_atoms)} isolated atoms are left out",
            SuspiciousDataWarning,
            stacklevel=2,
        )
    dtype = str(potential.dtype).removeprefix("torch.")
    say_once(f"{len(data)} structures: reference backend, {dtype}", logging.INFO)
    units = {name: potential.rows[name].unit for name in properties}
    accumulator = ErrorAccumulator(units)
    pairs: dict[str, list[np.ndarray]] = {name: [] for name in properties}

    def visit(prediction: Prediction, graph: AtomGraph) -> None:
        accumulator.add(prediction, graph)
        for name, found in pairs.items():
            pair = torch.stack([graph.labels[name], prediction.value(name).detach()])
            pair = pair / graph.atoms_per_graph() if name == "energy" else pair
            found.append(pair.reshape(2, -1).cpu().numpy())

    predict_batches(potential, _batches(data, potential, batch_size), properties, visit)
    values = {name: np.concatenate(found, axis=1) for name, found in pairs.items()}
    return Evaluation(accumulator.errors(), values, units)


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


def _batches(data: ReferenceData, potential: Potential, batch_size: int) -> Iterator[AtomGraph]:
    """Connected structures in order, on the device of the model."""
    batches = ConnectedStructures(data.arrays, potential.cutoff).batches(
        batch_size, next(potential.parameters()).device
    )
    n_batches = -(-len(data) // batch_size)
    yield from tqdm(batches, desc="evaluating", total=n_batches, disable=None)
