"""One training run, from a configuration to a model file.

data -> split -> references and scale -> connected graphs -> `Trainer` -> errors -> model file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlpotential.data.read import read_reference_data
from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.splits import check_no_overlap, random_split
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph, collate
from mlpotential.models.model_file import ModelRecord, golden_sample, load_model, save_model
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect
from mlpotential.run_folder import lock_folder
from mlpotential.training.checkpoint import run_fingerprint
from mlpotential.training.config import DataConfig, RunConfig
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
from mlpotential.training.starting_point import starting_model
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
            train_sha256=data.train.sha256,
            validation_sha256=data.validation.sha256,
            atom_references=config.data.atom_references,
            started_from=_started_from(config),
            curvature_source=None if curvature is None else curvature.sha256,
        )
        processes.require_same("settings or data", (fingerprint, asdict(config)))
        model = starting_model(config, data.train).to(device)
        train, validation = (_connected(d, model.cutoff) for d in (data.train, data.validation))
        trainer = Trainer(
            model,
            train,
            validation,
            config.training,
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
        if config.training.targets == "forces":
            fit_integration_constant(model, trainer)
        errors = {"validation": trainer.errors(model, validation)}
        if data.test is not None:
            errors["test"] = trainer.errors(model, _connected(data.test, model.cutoff))
        if processes.is_first:
            record = _record(config, data, errors, trainer)
            golden = collate(golden_sample(list(data.test or data.validation)))
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
    properties = config.training.properties
    everything = _read(settings, settings.path, properties)
    validation, test, split = None, None, None
    if settings.validation_path is not None:
        validation = _first(
            _read(settings, settings.validation_path, properties), settings.n_validation
        )
    if settings.test_path is not None:
        test = _read(settings, settings.test_path, properties)
    n_validation = 0 if validation is not None else settings.n_validation or 0
    n_train = settings.n_train or len(everything) - n_validation
    if n_train < 1:
        raise DataError(
            f"data.n_validation is {n_validation}, which leaves none of the {len(everything)} "
            f"frames of {everything.source} to train on"
        )
    train = everything
    if n_validation or n_train < len(everything) or settings.train_subset is not None:
        n_test = 0 if test is not None else None
        drawn = random_split(
            len(everything), n_train, n_validation, n_test, seed=settings.split_seed
        ).first_to_train(settings.train_subset)
        numbers = everything.frame_numbers or range(len(everything))
        split = {name: [numbers[k] for k in ks] for name, ks in drawn.as_lists().items()}
        train = everything.select(drawn.train)
        validation = validation or everything.select(drawn.validation)
        if test is None and drawn.test:
            test = everything.select(drawn.test)
    assert validation is not None  # DataConfig asks for one or the other
    for held_out in (validation, test):
        if held_out is not None:
            check_no_overlap(train, held_out)
            _check_elements(train, held_out)
    return DataSets(train, validation, test, split)


def _first(data: ReferenceData, n_frames: int | None) -> ReferenceData:
    """The first frames; all for None. Raises DataError if there are less."""
    if n_frames is None:
        return data
    if n_frames > len(data):
        raise DataError(
            f"data.n_validation is {n_frames}, but {data.source} has {len(data)} frames"
        )
    return data.select(range(n_frames))


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


def _read(settings: DataConfig, path: str, properties: tuple[str, ...]) -> ReferenceData:
    return read_reference_data(
        path,
        energy_unit=settings.energy_unit,
        length_unit=settings.length_unit,
        properties=properties,
        **settings.label_options,
    )


def _connected(data: ReferenceData, cutoff: float | None) -> list[AtomGraph]:
    return [connect(graph, cutoff) for graph in data]


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
        "settings": asdict(config.training),
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
