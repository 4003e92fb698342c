"""A model made ready to be evaluated: on a device, in a dtype, by the backend that was chosen.

`BACKENDS` is the one place where backends are listed. `reference` is the model itself with
autograd; `tabulated`, `native` and `cuda` are for SchNet, whose filters depend on one distance each
and can be tabulated: in torch, compiled for the CPU, and for CUDA devices.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch

from mlpotential.errors import ConfigError
from mlpotential.graph import Prediction
from mlpotential.inference.backend import EvaluationBackend
from mlpotential.inference.calibration import Calibration, weights_sha256
from mlpotential.inference.cuda.backend import CudaBackend
from mlpotential.inference.device import resolve_device
from mlpotential.inference.execution import Backend
from mlpotential.inference.reference import ReferenceBackend
from mlpotential.inference.schnet.native import NativeBackend
from mlpotential.inference.schnet.tabulated import TabulatedBackend
from mlpotential.inference.structures import Structures
from mlpotential.inference.torch_backend import as_arrays
from mlpotential.inference.training_domain import UNKNOWN_DOMAIN, Outliers, TrainingDomain
from mlpotential.models.model_file import LoadedModel, load_model
from mlpotential.models.potential import Potential
from mlpotential.models.terms.evaluation import with_terms
from mlpotential.models.torch_state import own_torch_state
from mlpotential.properties import PROPERTIES

# The fastest first; the last one supports everything.
BACKENDS: tuple[type[EvaluationBackend], ...] = (
    CudaBackend,
    NativeBackend,
    TabulatedBackend,
    ReferenceBackend,
)

MAX_THREADS = 1024  # chosen: beyond all use, so that a slip ends in words

_log = logging.getLogger("mlpotential")


class PreparedModel:
    """A copy of a model with whatever its backend needs; knows nothing of structures.

    Args: as for `Evaluator`, and so are the errors; `domain` where there is no file to say it.

    Attributes:
        potential: in evaluation mode, on the device.
        device: where it is.
        backend: name of the one that was chosen.
        at_work: what evaluates, in words.
        table_error: of the tabulated filters; None for a backend without.
        extras: the extra networks of a model file, by name.
        domain: where the model was trained, as far as its file says.
        calibration: of the committee that its file says it belongs to; None where it says nothing.
        fingerprint: of its weights, where there is a calibration.
    """

    @own_torch_state()
    def __init__(
        self,
        model: Potential | LoadedModel | str | Path,
        device: str | torch.device = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
        domain: TrainingDomain = UNKNOWN_DOMAIN,
    ) -> None:
        if backend not in get_args(Backend):
            raise ConfigError(
                f"backend must be one of {', '.join(get_args(Backend))}, not {backend!r}"
            )
        if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
            raise ConfigError(
                f"threads must be a whole number from 1 to {MAX_THREADS}, not {threads!r}"
            )
        if isinstance(model, Potential):
            networks: dict[str, Potential] = {}
            self.calibration: Calibration | None = None
            self.fingerprint = ""
            potential = copy.deepcopy(model)
        else:
            loaded = model if isinstance(model, LoadedModel) else load_model(model)
            networks = loaded.extra_networks
            potential = copy.deepcopy(loaded.potential)
            domain = TrainingDomain.of_record(loaded.record, potential)
            self.calibration = Calibration.of_record(loaded.record.calibration)
            self.fingerprint = weights_sha256(potential) if self.calibration else ""
        self.device, self.threads, self.domain = resolve_device(device), threads, domain
        potential = potential.to(
            device=self.device, dtype=potential.dtype if dtype is None else _torch_dtype(dtype)
        )
        self.potential = potential.eval().requires_grad_(False)
        chosen = choose_backend(backend, potential, self.device)
        self._backend = chosen(potential, domain, threads)
        self.backend, self.table_error = chosen.name, self._backend.table_error
        self.at_work = self._backend.at_work(str(potential.dtype).removeprefix("torch."))
        self.extras = {
            name: PreparedModel(network, device, dtype, backend, threads)
            for name, network in networks.items()
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> PreparedModel:
        """Itself: nothing in it ever changes."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from: a packed model belongs to its process."""
        made_from = (self.potential, str(self.device), None, self.backend, self.threads)
        told = {
            "extras": self.extras,
            "calibration": self.calibration,
            "fingerprint": self.fingerprint,
        }
        return PreparedModel._restored, ((*made_from, self.domain), told)

    @classmethod
    def _restored(cls, made_from: tuple[Any, ...], told: dict[str, Any]) -> PreparedModel:
        model = cls(*made_from)
        vars(model).update(told)
        return model

    def predict(
        self, structures: Structures, properties: Collection[str], monitored: bool = False
    ) -> tuple[Prediction, Outliers | None]:
        """What the backend gives, and what it does not.

        The latter are the energies of extra networks and, of the model itself, Born charges and
        outputs that the backend has not.

        Args:
            structures: of elements that the model knows.
            properties: as for `Evaluator.evaluate`, without those of committees.
            monitored: look for atoms outside the training domain.

        Returns:
            Fresh float64 NumPy arrays, and outliers if there are any. Raises as `Evaluator`.
        """
        asked = [name for name in properties if name != "extra_energies"]
        of_backend = [name for name in asked if name in self._backend.gives]
        prediction, outliers = self._backend.predict(structures, of_backend, monitored)
        if self.potential.terms and not self._backend.adds_terms:
            prediction = with_terms(prediction, self.potential.terms, structures.graph)
        if others := [name for name in asked if name not in self._backend.gives]:
            prediction = replace(prediction, **self._by_the_model(structures, others))
        if "extra_energies" in properties:
            energies = {
                k: x.predict(structures, ("energy",))[0].energy for k, x in self.extras.items()
            }
            prediction = replace(prediction, extra_energies=energies)
        return prediction, outliers

    @own_torch_state()
    def _by_the_model(self, structures: Structures, names: Collection[str]) -> dict[str, Any]:
        """Fields of a prediction with these properties."""
        tensors = as_arrays(self.potential(structures.graph.to(self.device), names))
        found = {name: getattr(tensors, name) for name in names if name in PROPERTIES}
        return found | ({} if tensors.scalars is None else {"scalars": tensors.scalars})


def choose_backend(
    name: Backend, potential: Potential, device: torch.device
) -> type[EvaluationBackend]:
    """The backend of this name, or for `auto` the fastest that supports the potential there.

    Says once where something is amiss that a faster one would need.

    Raises:
        ConfigError: if the backend that was asked for does not support it.
    """
    if name != "auto":
        chosen = next(backend for backend in BACKENDS if backend.name == name)
        if (obstacle := chosen.obstacle(potential, device)) is not None:
            raise ConfigError(obstacle.error)
        return chosen
    notices = []
    for backend in BACKENDS:
        if (obstacle := backend.obstacle(potential, device)) is None:
            break
        notices += [] if obstacle.notice is None else [obstacle.notice]
    if notices:
        say_once(notices[0].format(backend=backend.name), logging.WARNING)
    return backend


@cache
def say_once(message: str, level: int) -> None:
    """Through the log of the package."""
    _log.log(level, message)


def _torch_dtype(dtype: str) -> torch.dtype:
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype must be float32 or float64, not {dtype!r}")
    return torch.float32 if dtype == "float32" else torch.float64
