"""A stored model against labelled data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from mlpotential.data.reference_data import ReferenceData, read_reference_data
from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, Prediction, collate
from mlpotential.inference.device import resolve_device
from mlpotential.models.model_file import load_model
from mlpotential.models.potential import Potential, without_charges
from mlpotential.neighbors import connect
from mlpotential.training.metrics import ErrorAccumulator, Errors, predict_batches


@dataclass(frozen=True)
class Evaluation:
    """Labels and predictions side by side.

    Attributes:
        errors: their differences in numbers.
        energies: per atom, reference and predicted, [2, n_structures] (eV).
        forces: components, reference and predicted, [2, n_components] (eV/A); None without.
        dipoles: components, reference and predicted, [2, n_components] (e A); None without.
    """

    errors: Errors
    energies: np.ndarray
    forces: np.ndarray | None
    dipoles: np.ndarray | None = None


def evaluate_model(
    model_path: str | Path,
    data_path: str | Path,
    *,
    energy_unit: str,
    length_unit: str,
    energy_key: str | None = None,
    forces_key: str | None = None,
    dipole_unit: str | None = None,
    dipole_key: str | None = None,
    with_forces: bool = True,
    device: str = "auto",
    dtype: str | None = None,
    batch_size: int = 32,
) -> Evaluation:
    """Predicts every structure of a file.

    Args:
        model_path: model file.
        data_path: labelled data, as `read_reference_data` reads it with the keys and units given.
        with_forces: read, predict and compare forces too.
        dipole_unit: with it, dipoles are read, predicted and compared too.
        device, dtype: as for an `Evaluator`.
        batch_size: structures at once.

    Raises:
        InputError: for an unusable model or data file, elements the model does not know, or a
            dipole_unit with a model that has no dipoles.
    """
    if batch_size < 1:
        raise ConfigError(f"the batch size must be at least 1, not {batch_size}")
    potential = load_model(model_path).potential.to(resolve_device(device))
    if dtype is not None:
        potential = potential.to(getattr(torch, dtype))
    properties = ("energy", *(("forces",) if with_forces else ()))
    if dipole_unit is not None:
        if potential.charge_readout is None:
            raise without_charges(["dipole"])
        properties += ("dipole",)
    data = read_reference_data(
        data_path,
        energy_unit=energy_unit,
        length_unit=length_unit,
        energy_key=energy_key,
        forces_key=forces_key,
        dipole_unit=dipole_unit,
        dipole_key=dipole_key,
        properties=properties,
    )
    unknown = sorted(set(data.elements) - set(potential.elements))
    if unknown:
        raise StructureError(f"the model was not trained on the atomic numbers {unknown}")
    accumulator = ErrorAccumulator()
    energies: list[np.ndarray] = []
    forces: list[np.ndarray] = []
    dipoles: list[np.ndarray] = []

    def visit(prediction: Prediction, graph: AtomGraph) -> None:
        accumulator.add(prediction, graph)
        assert graph.energy is not None
        pair = torch.stack([graph.energy, prediction.energy.detach()]) / graph.atoms_per_graph()
        energies.append(pair.cpu().numpy())
        for components, label, found in (
            (forces, graph.forces, prediction.forces),
            (dipoles, graph.dipole, prediction.dipole),
        ):
            if label is not None:
                components.append(torch.stack([label, found]).reshape(2, -1).cpu().numpy())

    predict_batches(potential, _batches(data, potential, batch_size), properties, visit)
    return Evaluation(
        errors=accumulator.errors(),
        energies=np.concatenate(energies, axis=1),
        forces=np.concatenate(forces, axis=1) if forces else None,
        dipoles=np.concatenate(dipoles, axis=1) if dipoles else None,
    )


def _batches(data: ReferenceData, potential: Potential, batch_size: int) -> Iterator[AtomGraph]:
    """Connected structures in order, on the device of the model."""
    device = next(potential.parameters()).device
    for start in tqdm(range(0, len(data), batch_size), desc="evaluating", disable=None):
        chosen = data[start : start + batch_size]
        yield collate([connect(graph, potential.cutoff) for graph in chosen]).to(device)
