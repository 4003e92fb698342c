"""The network that a training run begins with: a fresh one, or that of a model file."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.isolated_atoms import (
    SUFFIXES,
    isolated_atom_energies,
    read_isolated_atoms,
)
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.named import known_units, split_name
from mlpotential.data.statistics import (
    energy_statistics,
    fit_atom_references,
    fit_element_energies,
    read_atom_references,
)
from mlpotential.errors import ConfigError
from mlpotential.models.model_file import LoadedModel, load_model
from mlpotential.models.potential import Potential
from mlpotential.models.readouts.quantities import QuantityReadout
from mlpotential.models.registry import build_potential
from mlpotential.training.config import DataConfig, RunConfig

STRUCTURES_LOOKED_AT = 1000  # chosen: enough for a constant per element
STRUCTURES_AT_ONCE = 32


def starting_model(config: RunConfig, train: ReferenceData) -> Potential:
    """The network as it is before the first step, with the scale of the training data.

    Raises:
        DataError: if a reference energy is missing.
        ModelFileError: if `training.start_from` is no usable model file.
        ConfigError: if that is of other settings, or the network has no parameters for an element
            of the data.
    """
    if config.training.start_from is None:
        model = _fresh_model(config, train)
    else:
        model = _model_of_file(config, train)
    if config.training.tabulated_filters:
        model.tabulate_filters_in_training()
    return model


def random_model(config: RunConfig, elements: tuple[int, ...]) -> Potential:
    """A network for these atomic numbers, with the weights that the seed gives."""
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        torch.manual_seed(config.training.seed)
        settings = config.model.for_elements(elements)
        model = build_potential(settings, config.described_outputs)
        return model.to(getattr(torch, config.training.dtype))


def _fresh_model(config: RunConfig, train: ReferenceData) -> Potential:
    model = random_model(config, train.elements)
    model.check_elements(train.elements)
    model.elements = train.elements
    model.fit_to_structures(train.arrays)
    if model.has_energy:
        references = _atom_references(config.data, train)
        mean, std = energy_statistics(train, references)
        model.scale.set(mean, std, {z: references[z] for z in train.elements})
    for name, readout in model.quantity_readouts.items():
        assert isinstance(readout, QuantityReadout)
        readout.fit_scale(train.with_label(name), name)
    return model


def _atom_references(settings: DataConfig, train: ReferenceData) -> dict[int, float]:
    """By atomic number (eV)."""
    chosen = settings.atom_references
    if chosen == "isolated_atoms":
        return isolated_atom_energies(train)
    energy_unit, length_unit = known_units(
        settings.path, settings.energy_unit, settings.length_unit
    )
    assert energy_unit is not None  # DataConfig asks for it where it is not known
    if train.isolated_atoms and split_name(settings.path)[0] is None:
        warnings.warn(
            f"{train.source}: the energies of {len(train.isolated_atoms)} isolated atoms are used "
            f"with data.atom_references: isolated_atoms alone, which is {chosen}",
            SuspiciousDataWarning,
            stacklevel=2,
        )
    if chosen == "none":
        return dict.fromkeys(train.elements, 0.0)
    if chosen == "least_squares":
        return fit_atom_references(train)
    if chosen.lower().endswith(SUFFIXES):
        return read_isolated_atoms(
            chosen,
            energy_unit=energy_unit,
            length_unit=length_unit,
            energy_key=settings.energy_key,
        )
    return read_atom_references(chosen, energy_unit=energy_unit, key=settings.energy_key)


def _model_of_file(config: RunConfig, train: ReferenceData) -> Potential:
    path = config.training.start_from
    assert path is not None
    loaded = load_model(path)
    _check_settings(config, loaded)
    unknown = sorted(set(train.elements) - set(loaded.potential.elements))
    if unknown:
        raise ConfigError(
            f"{path} knows the elements {list(loaded.potential.elements)}, not {unknown}, which "
            f"{train.source} holds: start from a model that does, or leave out training.start_from"
        )
    model = loaded.potential.to(getattr(torch, config.training.dtype)).requires_grad_(True)
    model.elements, model.terms = train.elements, {}
    if model.has_energy:
        _meet_energies(model, train)
    return model


def _check_settings(config: RunConfig, loaded: LoadedModel) -> None:
    """Raises ConfigError unless the file's network is the one that `model` describes."""
    known = loaded.potential.elements
    settings = (config.model.for_elements(known), loaded.potential.config)
    outputs = (config.described_outputs, loaded.potential.outputs)
    of_model = [{"architecture": s.architecture} | asdict(s) for s in settings]
    _check_same(config, "model", *of_model)
    terms = [{k: asdict(v) for k, v in t.items()} for t in (config.terms, loaded.potential.terms)]
    _check_same(config, "terms", *terms)
    _check_same(config, "outputs", *[{k: asdict(v) for k, v in o.items()} for o in outputs])


def _check_same(
    config: RunConfig, section: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> None:
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if differing:
        needed = ", ".join(f"{name}: {_as_yaml(found.get(name))}" for name in differing)
        raise ConfigError(
            f"training starts from {config.training.start_from}, whose network is another than "
            f"{section}: describes. To begin with it, write below {section}: {needed}"
        )


def _as_yaml(value: object) -> object:
    """A setting as it is written; text of several lines on one."""
    return json.dumps(value) if isinstance(value, str) and "\n" in value else value


def _meet_energies(model: Potential, train: ReferenceData) -> None:
    """Shifts the reference energies of the elements so that energies are met best.

    min_e sum_k (E_k - E'_k - sum_Z n_kZ e_Z)^2 over some structures spread over the data: nothing
    where the data are of the level the model knows, thousands of eV where they are of another.
    """
    known = train.with_label("energy")
    known = known.select(range(0, len(known), -(-len(known) // STRUCTURES_LOOKED_AT)))
    batches = ConnectedStructures(known.arrays, model.cutoff).batches(STRUCTURES_AT_ONCE)
    with torch.no_grad():
        predicted = [model(batch, ("energy",)).energy.numpy() for batch in batches]
    shifts = fit_element_energies(known, known.energies - np.concatenate(predicted))
    for atomic_number, shift in shifts.items():
        model.scale.atom_references[atomic_number] += shift
