"""Calibrates the spread of a committee on labels that no member was trained on.

The calibration is kept in the files of all members, not beside them: a committee is a list or a
pattern of files in any folders, which runs copy, and a file of its own would be left behind. It
names the weights of all members, so that any other company does without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import ConfigError, DataError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.calibration import (
    CONFORMAL_LEVEL,
    LEAST_LABELS,
    Calibration,
    calibrated_spread,
    conformal_bound,
    force_score,
    weights_sha256,
)
from mlpotential.inference.committee import member_files
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import (
    LoadedModel,
    load_model,
    replace_record,
)
from mlpotential.training.seen_in_training import named_shortest_distances

TRAINED_ON = ("train", "validation")  # names of data that a model file has seen
SAME_DISTANCE = 1e-9  # relative; chosen: rounding of float64, which no other structure meets


def calibrate_committee(
    paths: Sequence[str | Path],
    data: ReferenceData,
    *,
    level: float = CONFORMAL_LEVEL,
    device: str = "auto",
    batch_size: int = 32,
) -> Calibration:
    """Fits the error bars of a committee and writes them into the files of its members.

    Args:
        paths: of all members; or one pattern.
        data: held-out structures with energies and forces.
        level: share of structures within the conformal bound.
        device: as for `Evaluator`.
        batch_size: structures at once.

    Raises:
        ConfigError: for a model by itself, or one twice, or a level that is no probability.
        DataError: for too few structures, or such as a member was trained on.
        InputError: as `Evaluator`.
        RunError: if a file cannot be written.
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"the level of a bound must be between 0 and 1, not {level}")
    files = [file for path in paths for file in member_files(path)]
    models = [_uncalibrated(load_model(path)) for path in files]
    fingerprints = tuple(sorted(weights_sha256(model.potential) for model in models))
    if len(models) < 2:
        raise ConfigError(
            "one model by itself has no spread to calibrate: give the files of all members of a "
            "committee (mlpotential train --committee N makes one)"
        )
    if len(set(fingerprints)) < len(models):
        raise ConfigError("a model is given twice: name each member of the committee once")
    data = data.with_label("energy").with_label("forces")
    if len(data) < LEAST_LABELS:
        raise DataError(
            f"{data.source} holds {len(data)} structures with energies and forces, too few to "
            f"calibrate on: give at least {LEAST_LABELS}"
        )
    for path, model in zip(files, models, strict=True):
        refuse_training_data(path, model, data)
    calibration = _calibration(models, fingerprints, data, (level, device, batch_size))
    for path, model in zip(files, models, strict=True):
        replace_record(path, replace(model.record, calibration=calibration.record))
    return calibration


def _uncalibrated(model: LoadedModel) -> LoadedModel:
    return replace(model, record=replace(model.record, calibration={}))


def refuse_training_data(path: Path, model: LoadedModel, data: ReferenceData) -> None:
    """Raises DataError for data that a model file knows from its training.

    By the hashes of the data it tells of, and by the shortest distances of its training data: two
    sets that share one to the last digits share the structure that it is of.
    """
    for name in TRAINED_ON:
        if model.record.training.get("data", {}).get(name, {}).get("sha256") == data.sha256:
            raise DataError(
                f"{data.source} is the {name} data of {path}, where its errors are too small: "
                "calibrate on structures that no member has seen"
            )
    known = model.record.shortest_distances
    found = named_shortest_distances(data) if known else {}
    shared = [
        pair
        for pair in known.keys() & found.keys()
        if abs(found[pair] - known[pair]) <= SAME_DISTANCE * known[pair]
    ]
    if shared:
        raise DataError(
            f"{data.source} holds structures that {path} was trained on (the shortest "
            f"{' and '.join(sorted(shared))} distance of both is the same to all digits), where "
            "its errors are too small: calibrate on structures that no member has seen"
        )


def _calibration(
    models: Sequence[LoadedModel],
    fingerprints: tuple[str, ...],
    data: ReferenceData,
    how: tuple[float, str, int],
) -> Calibration:
    level, device, batch_size = how
    first = data[0]
    numbers, pbc = first.atomic_numbers.numpy(), first.pbc[0].numpy()
    evaluator = Evaluator(models, numbers, pbc, device, guard="off")
    parts = [
        _errors_and_spreads(evaluator, [data[k] for k in range(start, stop)])
        for start in range(0, len(data), batch_size)
        for stop in [min(start + batch_size, len(data))]
    ]
    energies = np.concatenate([energy for energy, _ in parts], axis=1)
    of_structures = [forces for _, structures in parts for forces in structures]
    forces = np.concatenate(of_structures, axis=1)
    energy = calibrated_spread(*energies)
    of_forces = calibrated_spread(*forces)
    scores = [force_score(errors, of_forces.scale * std) for errors, std in of_structures]
    return Calibration(
        members=fingerprints,
        data_sha256=data.sha256,
        n_structures=len(data),
        energy=energy,
        forces=of_forces,
        bound=conformal_bound(np.array(scores), level),
    )


def _errors_and_spreads(
    evaluator: Evaluator, graphs: Sequence[AtomGraph]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Of energies [2, n_graphs] (eV), and of forces, a [2, n_atoms, 3] (eV/A) of each structure."""
    batch = collate(graphs)
    found = evaluator.evaluate_graph(batch, ("energy", "forces", "energy_std", "forces_std"))
    labels = {name: values.double().cpu().numpy() for name, values in batch.labels.items()}
    forces = np.stack([found.forces - labels["forces"], found.forces_std])
    ends = np.cumsum(batch.atoms_per_graph().numpy())
    energies = np.stack([found.energy - labels["energy"], found.energy_std])
    return energies, np.split(forces, ends[:-1], axis=1)
