"""One training run, from a configuration to a model file.

data -> split -> references and scale -> connected graphs -> `Trainer` -> errors -> model file.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.lone_atoms import have_lone_atoms
from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.sets.named import is_without_file
from mlpotential.data.splits import check_no_overlap, random_split, without_repeats
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph, collate
from mlpotential.models.model_file import ModelRecord, golden_sample, load_model, save_model
from mlpotential.models.potential import Potential
from mlpotential.models.terms.evaluation import check_reach
from mlpotential.models.terms.remaining_labels import without_terms
from mlpotential.run_folder import lock_folder
from mlpotential.training.checkpoint import run_fingerprint
from mlpotential.training.config import RunConfig
from mlpotential.training.config_file import write_config
from mlpotential.training.metrics import Errors, predict_batches
from mlpotential.training.optimization.curvature_sources import curvature_of
from mlpotential.training.optimization.processes import ALONE, Processes
from mlpotential.training.report import format_errors
from mlpotential.training.seen_in_training import (
    feature_ranges,
    named_shortest_distances,
    neighborhoods,
)
from mlpotential.training.starting_point import random_model, starting_model
from mlpotential.training.trainer import Trainer
from mlpotential.training.training_log import log, logged_in

MODEL_NAME = "model.safetensors"
CONFIG_NAME = "config.yaml"


@dataclass(frozen=True)
class DataSets:
    """The three sets of a run; `test` may be empty. `split`: indices where one file was split."""

    train: ReferenceData
    validation: ReferenceData
    test: ReferenceData | None
    split: dict[str, list[int]] | None


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves.

    Attributes:
        model_path: the model file.
        errors: of the model, by data set.
        epochs, steps: that were made.
        wall_s, cpu_s: that they took, without interruptions; CPU time is that of the first process.
    """

    model_path: Path
    errors: dict[str, Errors]
    epochs: int
    steps: int
    wall_s: float
    cpu_s: float


def run_training(
    config: RunConfig, progress: bool = True, processes: Processes = ALONE
) -> TrainingResult:
    """Trains, or continues training, in `config.folder`; finished runs return at once.

    Args:
        config: settings.
        progress: show a progress bar where standard error is a terminal.
        processes: those that train together: each calls this with the same settings.

    Raises:
        InputError: for unusable data or settings, a folder in use or of another run, or another
            process that has ended.
        RunInterrupted: on SIGTERM, SIGINT or SIGHUP; the same call continues.
    """
    folder = Path(config.folder)
    with _working_in(folder, processes):
        data = read_data_sets(config)
        device = processes.device(config.training.device)
        curvature = curvature_of(config, data.train, data.validation, device)
        fingerprint = run_fingerprint(
            config.training,
            architecture=config.model.architecture,
            model=asdict(config.model),
            outputs={name: asdict(output) for name, output in config.described_outputs.items()},
            output_weights={k: v.weight for k, v in config.outputs.items() if k != "energy"},
            terms={name: asdict(term) for name, term in config.terms.items()},
            train_sha256=data.train.sha256,
            validation_sha256=data.validation.sha256,
            atom_references=config.data.atom_references,
            started_from=_started_from(config),
            curvature_source=None if curvature is None else curvature.sha256,
        )
        processes.require_same("settings or data", (fingerprint, asdict(config)))
        remaining = _without_terms(config, data)
        model = starting_model(config, remaining.train).to(device)
        check_reach(config.terms, model.elements, model.cutoff)
        train = ConnectedStructures(remaining.train.arrays, model.cutoff)
        validation = ConnectedStructures(remaining.validation.arrays, model.cutoff)
        trainer = Trainer(
            model,
            train,
            validation,
            config.training,
            config.loss_weights,
            folder,
            fingerprint,
            progress,
            processes,
            curvature,
        )
        trainer.resume()
        log.info(_beginning(config, data, trainer))
        if processes.is_first:
            write_config(folder / CONFIG_NAME, config)
        trainer.run()
        if model.has_energy and config.training.targets == "forces":
            fit_integration_constant(model, trainer)
        errors = {"validation": trainer.errors(model, validation)}
        if remaining.test is not None:
            test = ConnectedStructures(remaining.test.arrays, model.cutoff)
            errors["test"] = trainer.errors(model, test)
        if processes.is_first:
            record = _record(config, data, errors, trainer)
            golden = collate(golden_sample(data.test or data.validation))
            model.terms = config.terms
            save_model(folder / MODEL_NAME, model, golden, record)
        processes.wait()
        log.debug(f"{format_errors(errors)}\nmodel: {folder / MODEL_NAME}")
    counts = (trainer.epoch, trainer.step, *trainer.seconds)
    return TrainingResult(folder / MODEL_NAME, errors, *counts)


@contextlib.contextmanager
def _working_in(folder: Path, processes: Processes) -> Iterator[None]:
    """The folder is locked and has a log, both by the process that writes there."""
    if not processes.is_first:
        yield
        return
    with lock_folder(folder), logged_in(folder):
        yield


def _beginning(config: RunConfig, data: DataSets, trainer: Trainer) -> str:
    """What is trained, on what, and whether it goes on, in lines."""
    sets = {"train on": data.train, "validate": data.validation, "test": data.test}
    counts = [f"{len(d)} structures of {d.source} to {use}" for use, d in sets.items() if d]
    n_parameters = sum(p.numel() for p in trainer.model.parameters())
    n_processes = trainer.processes.count
    together = f", {n_processes} processes" if n_processes > 1 else ""
    done = f"after epoch {trainer.epoch}, step {trainer.step}"
    return "\n".join(
        [
            *counts,
            f"{config.model.architecture}, {n_parameters} parameters, {config.training.dtype}, on "
            f"{trainer.device}, seed {config.training.seed}{together}",
            f"continues {done}" if trainer.step else f"starts in {config.folder}",
        ]
    )


def read_data_sets(config: RunConfig) -> DataSets:
    """Reads and, where one file holds all sets, splits the reference data.

    Raises:
        DataError: if a file or label is missing, or sets overlap.
    """
    settings = config.data
    everything = _read(config, settings.path)
    validation, test = None, None
    if settings.validation_path is not None:
        validation = _first(_read(config, settings.validation_path), settings.n_validation)
    if settings.test_path is not None:
        test = _read(config, settings.test_path)
    n_validation = 0 if validation is not None else settings.n_validation or 0
    n_train = settings.n_train or len(everything) - n_validation
    if n_train < 1:
        raise DataError(
            f"data.n_validation is {n_validation}, which leaves none of the {len(everything)} "
            f"frames of {everything.source} to train on"
        )
    train, is_split = everything, n_validation > 0 or n_train < len(everything)
    is_split = is_split or settings.train_subset is not None
    if is_split:
        n_test = 0 if test is not None else None
        drawn = random_split(
            len(everything), n_train, n_validation, n_test, seed=settings.split_seed
        )
        train = everything.select(drawn.train)
        validation = validation or everything.select(drawn.validation)
        if test is None and drawn.test:
            test = everything.select(drawn.test)
    assert validation is not None  # DataConfig asks for one or the other
    validation, test = _held_out(config, train, validation, test)
    if settings.train_subset is not None:
        train = _first_to_train(train, settings.train_subset)
        for held_out in filter(None, (validation, test)):
            _check_elements(train, held_out)
    of_path = {  # those that the file at data.path was split into
        "train": train,
        "validation": validation if settings.validation_path is None else None,
        "test": test if settings.test_path is None else None,
    }
    split = {name: list(data.frame_numbers or ()) if data else [] for name, data in of_path.items()}
    return DataSets(train, validation, test, split if is_split else None)


def _without_terms(config: RunConfig, data: DataSets) -> DataSets:
    """The labels that physical terms leave to the network."""
    if not config.terms:
        return data
    log.info(f"the terms {', '.join(config.terms)} are taken off energies and forces")
    train, validation = (without_terms(d, config.terms) for d in (data.train, data.validation))
    test = None if data.test is None else without_terms(data.test, config.terms)
    return DataSets(train, validation, test, data.split)


def _held_out(
    config: RunConfig, train: ReferenceData, validation: ReferenceData, test: ReferenceData | None
) -> tuple[ReferenceData, ReferenceData | None]:
    """Validation and test set, checked against the training set.

    Structures that occur in training, too, are left out of them where the settings say so, and of
    qm9, which nobody can mend.
    """
    held_out = [validation] if test is None else [validation, test]
    drop = config.data.drop_repeats or is_without_file(config.data.path)
    apart = without_repeats(train, *held_out) if drop else []
    if not all(map(len, apart)) or not apart:
        check_no_overlap(train, *held_out)
    else:
        n_left_out = sum(map(len, held_out)) - sum(map(len, apart))
        if n_left_out:
            log.info(
                f"{n_left_out} held-out structures of {train.source} are also in the training set, "
                "and left out"
            )
        held_out = apart
    for data in held_out:
        _check_elements(train, data)
    return held_out[0], None if test is None else held_out[1]


def _first(data: ReferenceData, n_frames: int | None) -> ReferenceData:
    """The first frames; all for None. Raises DataError if there are less."""
    if n_frames is None:
        return data
    if n_frames > len(data):
        raise DataError(
            f"data.n_validation is {n_frames}, but {data.source} has {len(data)} frames"
        )
    return data.select(range(n_frames))


def _first_to_train(train: ReferenceData, n_frames: int) -> ReferenceData:
    """The first frames of those that were drawn. Raises DataError if there are less."""
    if n_frames > len(train):
        raise DataError(
            f"data.train_subset is {n_frames}, but {len(train)} frames of {train.source} are drawn "
            "to train on"
        )
    return train.select(range(n_frames))


def _check_elements(train: ReferenceData, held_out: ReferenceData) -> None:
    untrained = sorted(set(held_out.elements) - set(train.elements))
    if untrained:
        raise DataError(
            f"{held_out.source} holds the atomic numbers {untrained}, which no training structure "
            f"of {train.source} has: they would stay untrained"
        )


def fit_integration_constant(model: Potential, trainer: Trainer) -> None:
    """Shifts the energy per atom so that training energies are met best (least squares).

    Forces determine the energy up to a constant: min_c sum_k (E_k - E'_k - c n_k)^2 gives
    c = sum_k n_k (E_k - E'_k) / sum_k n_k^2.
    """
    numerator = denominator = 0.0

    def visit(prediction: Any, graph: AtomGraph) -> None:
        nonlocal numerator, denominator
        n_atoms = graph.atoms_per_graph() * (graph.label_weights("energy") > 0.0).double()
        assert graph.energy is not None
        numerator += float((n_atoms * (graph.energy - prediction.energy)).sum())
        denominator += float((n_atoms**2).sum())

    predict_batches(model, trainer.batches(trainer.train), ("energy",), visit)
    sums = trainer.processes.gathered((numerator, denominator))
    numerator, denominator = (sum(parts) for parts in zip(*sums, strict=True))
    model.scale.mean_per_atom += numerator / denominator


def _read(config: RunConfig, path: str) -> ReferenceData:
    data = read_reference_data(
        path,
        energy_unit=config.data.energy_unit,
        length_unit=config.data.length_unit,
        force_unit=config.data.force_unit,
        properties=config.labels,
        index=None,
        **config.label_options,
    )
    cutoff = random_model(config, data.elements).cutoff
    return data if cutoff is None else _without_lone_atoms(data, cutoff, config.data.drop_isolated)


def _without_lone_atoms(data: ReferenceData, cutoff: float, drop: bool) -> ReferenceData:
    """Leaves out, or warns of, structures with atoms that see no other."""
    is_lone = have_lone_atoms(data.arrays, cutoff)
    if not is_lone.any():
        return data
    first = data.name_of(int(np.argmax(is_lone)))
    what = (
        f"{data.source}: {is_lone.sum()} of {len(data)} structures, the first {first}, have atoms "
        f"without a neighbour within the cutoff of {cutoff:g} A"
    )
    if is_lone.all():
        raise DataError(f"{what}: is the length unit right, and is model.cutoff long enough?")
    if not drop:
        warnings.warn(
            f"{what}, where forces cannot be learned: data.drop_isolated: true leaves them out",
            SuspiciousDataWarning,
            stacklevel=2,
        )
        return data
    log.info(f"{what}, and are left out")
    return data.select(np.flatnonzero(~is_lone))


def _started_from(config: RunConfig) -> str | None:
    """sha256 of the content of the model file that training begins with."""
    path = config.training.start_from
    return None if path is None else load_model(path).sha256


def _record(
    config: RunConfig, data: DataSets, errors: dict[str, Errors], trainer: Trainer
) -> ModelRecord:
    training = {
        "data": {
            name: {"source": d.source, "n_structures": len(d), "sha256": d.sha256}
            for name, d in (
                ("train", data.train),
                ("validation", data.validation),
                ("test", data.test),
            )
            if d is not None
        },
        "split": data.split,
        "settings": asdict(config.training) | {"loss_weights": config.loss_weights},
        "started_from": trainer.fingerprint["started_from"],
        "curvature_source": trainer.fingerprint["curvature_source"],
        "atom_references": Path(config.data.atom_references).name,
        "epochs": trainer.epoch,
        "steps": trainer.step,
    }
    return ModelRecord(
        title=f"{config.model.architecture} trained on {data.train.source}",
        training=training,
        errors={name: asdict(e) for name, e in errors.items()},
        shortest_distances=named_shortest_distances(data.train),
        feature_ranges=feature_ranges(trainer.model, trainer.train, config.training.batch_size),
        neighborhoods=neighborhoods(trainer.model, trainer.train),
    )
