"""A stored model and the structures that it is to predict, batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from ase.data import chemical_symbols
from tqdm import tqdm

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph
from mlpotential.inference.device import resolve_device
from mlpotential.inference.prepared_model import say_once
from mlpotential.messages import bar_hidden
from mlpotential.models.model_file import load_model
from mlpotential.models.potential import Potential
from mlpotential.settings_checks import check_count


def loaded_potential(
    model_path: str | Path, device: str, dtype: str | None, batch_size: int
) -> Potential:
    """The network of a model file on a device; in its own dtype for None.

    Raises:
        ModelFileError: for an unusable file.
        ConfigError: for an unusable device or batch size.
    """
    check_count("the batch size", batch_size)
    potential = load_model(model_path).potential.to(resolve_device(device))
    return potential if dtype is None else potential.to(getattr(torch, dtype))


def connected_batches(
    data: ReferenceData, potential: Potential, batch_size: int
) -> Iterator[AtomGraph]:
    """Connected structures in order, on the device of the model.

    Raises:
        StructureError: at once, for an element that the model does not know, named with its frame,
            or periodic structures where the model has no cutoff.
    """
    _check_elements(data, potential)
    structures = ConnectedStructures(data.arrays, potential.cutoff)
    dtype = str(potential.dtype).removeprefix("torch.")
    say_once(f"{len(data)} structures: reference backend, {dtype}", logging.INFO)
    batches = structures.batches(batch_size, next(potential.parameters()).device)
    n_batches = -(-len(data) // batch_size)
    return iter(tqdm(batches, desc="evaluating", total=n_batches, disable=bar_hidden()))


def _check_elements(data: ReferenceData, potential: Potential) -> None:
    if unknown := sorted(set(data.elements) - set(potential.elements)):
        arrays = data.arrays
        atom = int(np.argmax(np.isin(arrays.all_numbers, unknown)))
        missing = ", ".join(chemical_symbols[z] for z in unknown)
        known = ", ".join(chemical_symbols[z] for z in potential.elements)
        raise StructureError(
            f"{data.source}: the model was not trained on {missing} (first in "
            f"{data.name_of(int(arrays.structure_of_atom[atom]))}), but on {known}: remove these "
            "structures"
        )
