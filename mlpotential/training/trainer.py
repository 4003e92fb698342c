"""The training loop: Adam on mini-batches, validation each epoch, the best weights kept.

The order of the data is a function of the seed and the epoch, so a checkpoint needs no generator
state and an interrupted run continues exactly where it was.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from mlpotential.data.connected_structures import ConnectedStructures
from mlpotential.errors import RunError
from mlpotential.graph import AtomGraph
from mlpotential.interruption import RunInterrupted, stop_on_signals
from mlpotential.messages import bar_hidden
from mlpotential.models.potential import Potential
from mlpotential.run_folder import csv_text, write_atomically
from mlpotential.training.checkpoint import load_checkpoint, require_same_run, save_checkpoint
from mlpotential.training.config import TrainingConfig
from mlpotential.training.losses import loss_per_graph
from mlpotential.training.metrics import ErrorAccumulator, Errors, predict_batches
from mlpotential.training.optimization.curvature import Curvature, differentiable
from mlpotential.training.optimization.optimizer import make_optimizer
from mlpotential.training.optimization.processes import ALONE, Processes
from mlpotential.training.optimization.schedules import Schedule
from mlpotential.training.training_log import log

HISTORY_NAME = "history.csv"


class Trainer:
    """Fits a potential to connected, labelled structures.

    Args:
        model: fitted in place; holds the best weights at the end.
        train: training structures.
        validation: validation structures.
        config: optimisation settings.
        weights: of the labels in the loss.
        folder: for checkpoint and history.
        fingerprint: what must be unchanged for a checkpoint to be continued, by name.
        progress: show a progress bar where standard error is a terminal.
        processes: those that train together, each with all of the above.
        curvature: a further term of the loss; None for none.
    """

    def __init__(
        self,
        model: Potential,
        train: ConnectedStructures,
        validation: ConnectedStructures,
        config: TrainingConfig,
        weights: Mapping[str, float],
        folder: Path,
        fingerprint: dict[str, Any],
        progress: bool = True,
        processes: Processes = ALONE,
        curvature: Curvature | None = None,
    ) -> None:
        self.model = model.train()
        self.train, self.validation = train, validation
        self.config, self.folder, self.fingerprint = config, folder, fingerprint
        self.weights = dict(weights)
        self.labels = tuple({"energy": 0.0, **weights} if model.has_energy else weights)
        self.progress = progress and processes.is_first
        self.processes, self.curvature = processes, curvature
        self.device = next(model.parameters()).device
        self.steps_per_epoch = math.ceil(len(train) / config.batch_size)
        self.optimizer = make_optimizer(model, config.learning_rate, config.weight_decay)
        self.schedule = Schedule(self.optimizer, config, self.steps_per_epoch)
        self.averaged: AveragedModel | None = None
        if config.ema_decay is not None:
            average = get_ema_multi_avg_fn(config.ema_decay)
            self.averaged = AveragedModel(model, multi_avg_fn=average)
        self.step = 0
        self.epoch_loss = 0.0  # sum over the structures seen in the current epoch
        self.best_loss = math.inf
        self.epochs_since_best = 0
        self.best_weights = copy.deepcopy(model.state_dict())
        self.history: list[dict[str, Any]] = []
        self.curvature_rmse: float | None = None  # of elements of Hessians, in the last validation
        self.seconds = (0.0, 0.0)  # of time and of CPU time that `run` took, up to the last save
        self._last_checkpoint = self._last_count = time.monotonic()
        self._last_cpu_count = time.process_time()
        self._drawn: tuple[int, np.ndarray] | None = None  # epoch and its order

    @property
    def epoch(self) -> int:
        """Complete passes over the training data."""
        return self.step // self.steps_per_epoch

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done, or the validation loss has stalled for too long."""
        patience = self.config.early_stopping_patience
        stalled = patience is not None and self.epochs_since_best >= patience
        return self.epoch >= self.config.max_epochs or stalled

    def run(self) -> None:
        """Trains to the end; `resume` first continues an earlier run.

        Raises:
            RunInterrupted: on SIGTERM, SIGINT or SIGHUP, after a checkpoint.
            RunError: if the loss is no longer finite, or the folder cannot be written.
        """
        self._last_count, self._last_cpu_count = time.monotonic(), time.process_time()
        with stop_on_signals() as request, self._progress_bar() as bar:
            while not self.is_finished:
                self._train_one_batch()
                if self.step % self.steps_per_epoch == 0:
                    self._finish_epoch()
                    log.debug(self._describe_last_epoch())
                    bar.set_postfix_str(self._describe_last_epoch(), refresh=False)
                bar.update()
                if signal_number := self.processes.largest(request.signal_number):
                    self._save()
                    self.processes.wait()  # or torchrun would end the one that is still writing
                    raise RunInterrupted(
                        f"interrupted after step {self.step}: the state is saved in "
                        f"{self.folder}, the same command continues it",
                        signal_number,
                    )
                if time.monotonic() - self._last_checkpoint >= self.config.checkpoint_interval_s:
                    self._save()
        self._save()
        self.model.load_state_dict(self.best_weights)
        self.model.eval()

    def _train_one_batch(self) -> None:
        self.schedule.before_step(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        indices, graph = self._next_batch()
        n_structures, loss_sum = len(indices), 0.0
        if graph is not None:
            losses = self._losses(graph, self.processes.share(indices))
            loss_sum = float(losses.detach().sum())
            if math.isfinite(loss_sum):
                # second derivatives by positions, which nobody wants, cost more than all others
                mean = losses.sum() / n_structures
                mean.backward(inputs=list(self.model.parameters()))
        loss_sum = self.processes.sum_gradients(self.model.parameters(), loss_sum)
        if not math.isfinite(loss_sum):
            raise self._exploded("loss", loss_sum / n_structures)
        if self.config.max_gradient_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
        self.optimizer.step()
        self.schedule.after_step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        self.epoch_loss += loss_sum
        self.step += 1

    def _losses(self, graph: AtomGraph, indices: list[int]) -> Tensor:
        """Of training structures, [n_graphs], to be derived by the weights."""
        if self.curvature is None:
            return loss_per_graph(self.model(graph, self.labels), graph, self.weights)
        graph = differentiable(graph)
        prediction = self.model(graph, self.labels)
        losses = loss_per_graph(prediction, graph, self.weights)
        term = self.curvature.of_step(
            prediction.forces, graph, indices, self.step, self.model.cutoff
        )
        return losses + self.config.curvature_weight * term

    def _exploded(self, what: str, value: float) -> RunError:
        return RunError(
            f"the {what} is {value} at step {self.step}: lower training.learning_rate, or set "
            f"training.max_gradient_norm, and start again in another folder than {self.folder}"
        )

    def _next_batch(self) -> tuple[list[int], AtomGraph | None]:
        """Which structures it has, and those that are this process' share; None for nothing."""
        epoch, position = divmod(self.step, self.steps_per_epoch)
        start = position * self.config.batch_size
        chosen = self._order(epoch)[start : start + self.config.batch_size].tolist()
        share = self.processes.share(chosen)
        return chosen, self.train.batch(share).to(self.device) if share else None

    def _order(self, epoch: int) -> np.ndarray:
        """Of the training structures, [n_structures]; drawn once an epoch."""
        if self._drawn is None or self._drawn[0] != epoch:
            generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
            self._drawn = epoch, torch.randperm(len(self.train), generator=generator).numpy()
        return self._drawn[1]

    def _finish_epoch(self) -> None:
        self._agree_on_weights()
        loss, errors = self._validate()
        if not math.isfinite(loss):
            raise self._exploded("validation loss", loss)
        learning_rate = self.schedule.learning_rate
        self.schedule.after_epoch(loss)
        if loss < self.best_loss:
            self.best_loss, self.epochs_since_best = loss, 0
            self.best_weights = copy.deepcopy(self._validated_model().state_dict())
        else:
            self.epochs_since_best += 1
        row: dict[str, Any] = {
            "epoch": self.epoch,
            "step": self.step,
            "learning_rate": learning_rate,
            "train_loss": self.epoch_loss / len(self.train),
            "validation_loss": loss,
        }
        if self.model.has_energy:
            row |= {
                "validation_energy_mae_meV_per_atom": _scaled(errors.energy_per_atom_mae, 1e3),
                "validation_forces_mae_eV_per_angstrom": errors.forces_mae,
                "validation_forces_rmse_eV_per_angstrom": errors.forces_rmse,
            }
        if self.curvature is not None:
            row["validation_curvature_rmse_eV_per_angstrom2"] = self.curvature_rmse
        row |= {self._mae_column(label): errors.pair(label)[0] for label in self._other_labels}
        self.history.append(row)
        self.epoch_loss = 0.0
        self._append_history(row)

    def _validated_model(self) -> Potential:
        if self.averaged is None:
            return self.model
        averaged = self.averaged.module
        assert isinstance(averaged, Potential)
        return averaged

    def _validate(self) -> tuple[float, Errors]:
        """Mean loss per structure and errors on the validation set."""
        total, curvature_sum, n_with_curvature = 0.0, 0.0, 0.0
        own = iter(self.processes.share(range(len(self.validation))))
        model = self._validated_model()

        def visit(prediction: Any, graph: AtomGraph) -> None:
            nonlocal total, curvature_sum, n_with_curvature
            total += float(loss_per_graph(prediction, graph, self.weights).detach().sum())
            if self.curvature is not None:
                indices = [next(own) for _ in range(graph.n_graphs)]
                term, known = self.curvature.of_validation(model, graph, indices)
                total += self.config.curvature_weight * float(term.sum())
                curvature_sum += float((term / (3 * graph.atoms_per_graph())).sum())
                n_with_curvature += float(known.sum())

        errors = self.errors(model, self.validation, visit)
        parts = self.processes.gathered((total, curvature_sum, n_with_curvature))
        total, curvature_sum, n_with_curvature = (sum(part) for part in zip(*parts, strict=True))
        self.curvature_rmse = (
            math.sqrt(curvature_sum / n_with_curvature) if n_with_curvature else None
        )
        return total / len(self.validation), errors

    def errors(
        self,
        model: Potential,
        graphs: ConnectedStructures,
        visit: Callable[[Any, AtomGraph], None] = lambda prediction, graph: None,
    ) -> Errors:
        """Of a model over all structures, whichever process predicts them.

        Args:
            model: with the same weights in all processes.
            graphs: connected, with labels.
            visit: is shown the batches that this process predicts, too.
        """
        accumulator = ErrorAccumulator(self.units)

        def add(prediction: Any, graph: AtomGraph) -> None:
            accumulator.add(prediction, graph)
            visit(prediction, graph)

        predict_batches(model, self.batches(graphs), self.labels, add)
        first, *others = self.processes.gathered(accumulator)
        for other in others:
            first.include(other)
        return first.errors()

    def batches(self, graphs: ConnectedStructures) -> Iterator[AtomGraph]:
        """Those of this process in order, `batch_size` at a time, on the device."""
        own: list[int] = self.processes.share(range(len(graphs)))
        for start in range(0, len(own), self.config.batch_size):
            yield graphs.batch(own[start : start + self.config.batch_size]).to(self.device)

    def _agree_on_weights(self) -> None:
        averaged = {} if self.averaged is None else self.averaged.state_dict()
        weights = [*self.model.state_dict().values(), *averaged.values()]
        self.processes.take_from_first(weights)

    def _count_seconds(self) -> None:
        now, cpu_now = time.monotonic(), time.process_time()
        wall_s, cpu_s = self.seconds
        self.seconds = (wall_s + now - self._last_count, cpu_s + cpu_now - self._last_cpu_count)
        self._last_count, self._last_cpu_count = now, cpu_now

    def _save(self) -> None:
        if not self.processes.is_first:
            return
        self._count_seconds()
        state = {
            "fingerprint": self.fingerprint,
            "step": self.step,
            "epoch_loss": self.epoch_loss,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.schedule.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "best_weights": self.best_weights,
            "best_loss": self.best_loss,
            "epochs_since_best": self.epochs_since_best,
            "history": self.history,
            "seconds": self.seconds,
        }
        save_checkpoint(self.folder, state)
        self._last_checkpoint = time.monotonic()

    def resume(self) -> None:
        """Takes up the state of a checkpoint, where the folder has one.

        Raises:
            RunError: if it is damaged, or of a run with other settings or data.
        """
        is_first = self.processes.is_first
        state = self.processes.from_first(load_checkpoint(self.folder) if is_first else None)
        if state is not None:
            require_same_run(state["fingerprint"], self.fingerprint, self.folder)
            self.step, self.epoch_loss = state["step"], state["epoch_loss"]
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["scheduler"])
            if self.averaged is not None:
                self.averaged.load_state_dict(state["averaged"])
            self.best_weights, self.best_loss = state["best_weights"], state["best_loss"]
            self.epochs_since_best, self.history = state["epochs_since_best"], state["history"]
            self.seconds = tuple(state.get("seconds", self.seconds))  # newer than 0.2.0
        self._agree_on_weights()
        if is_first:
            write_atomically(self.folder / HISTORY_NAME, csv_text(self.history, header=True))

    def _append_history(self, row: dict[str, Any]) -> None:
        if not self.processes.is_first:
            return
        path = self.folder / HISTORY_NAME
        try:
            with open(path, "a") as handle:
                handle.write(csv_text([row], header=len(self.history) == 1))
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}") from error

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.config.max_epochs * self.steps_per_epoch,
            initial=self.step,
            unit="step",
            desc="training",
            disable=bar_hidden(not self.progress),
        )

    def _describe_last_epoch(self) -> str:
        row = self.history[-1]
        energy = row.get("validation_energy_mae_meV_per_atom")
        forces = row.get("validation_forces_mae_eV_per_angstrom")
        parts = [f"epoch {row['epoch']}"]
        parts += [] if energy is None else [f"E {energy:.2f} meV/atom"]
        parts += [] if forces is None else [f"F {1e3 * forces:.1f} meV/A"]
        curvature = row.get("validation_curvature_rmse_eV_per_angstrom2")
        parts += [] if curvature is None else [f"H {curvature:.2g} eV/A^2"]
        for label in self._other_labels:
            mae, unit = row.get(self._mae_column(label)), self.units[label]
            parts += [] if mae is None else [f"{label} {mae:.4g} {unit}"]
        return ", ".join(parts)

    @property
    def units(self) -> dict[str, str]:
        """Of the labels."""
        return {label: self.model.rows[label].unit for label in self.labels}

    @property
    def _other_labels(self) -> list[str]:
        return [label for label in self.labels if label not in ("energy", "forces")]

    def _mae_column(self, label: str) -> str:
        unit = self.model.rows[label].unit_in_names
        return f"validation_{label}_mae_{unit}"


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
