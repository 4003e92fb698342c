"""A model made ready to be evaluated: on a device, in a dtype, by one of three backends.

`reference` is the model itself with autograd. A SchNet's filters depend on one distance each, so
they can be tabulated; `tabulated` and `native` do that, in torch and compiled for the CPU.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.device import resolve_device
from mlpotential.inference.execution import Backend
from mlpotential.inference.schnet.filter_table import FilterTable, TableError, tabulate_filters
from mlpotential.inference.schnet.native import NativeSchNet, available_instruction_sets
from mlpotential.inference.schnet.tabulated import TabulatedSchNet
from mlpotential.inference.training_domain import NOWHERE, TrainingDomain
from mlpotential.models.model_file import LoadedModel, load_model
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet

# Of filters and slopes; chosen: forces are then within 2e-5 of the largest in float32, where
# rounding alone gives up to 1e-5, and within 3e-8 in float64 (216 random models).
TABLE_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-8}

MOST_THREADS = 1024  # chosen: beyond all use, so that a slip ends in words

_log = logging.getLogger("mlpotential")


class PreparedModel:
    """A copy of a model with whatever its backend needs; knows nothing of structures.

    Attributes:
        potential: in evaluation mode, on the device.
        backend: `native`, `tabulated` or `reference`.
        native: the packed model; None for other backends.
        table_error: of the tabulated filters; None for the reference.
        extras: the extra networks of a model file, by name.
        domain: where the model was trained, as far as its file says.
        domain_tensors: shortest distances, and s and -c s of features side by side, on the device.

    Args: as for `Evaluator`, and so are the errors; `domain` where there is no file to say it.
    """

    def __init__(
        self,
        model: Potential | LoadedModel | str | Path,
        device: str = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
        domain: TrainingDomain = NOWHERE,
    ) -> None:
        if backend not in get_args(Backend):
            raise ConfigError(
                f"backend must be one of {', '.join(get_args(Backend))}, not {backend!r}"
            )
        if not isinstance(threads, int) or not 1 <= threads <= MOST_THREADS:
            raise ConfigError(
                f"threads must be a whole number from 1 to {MOST_THREADS}, not {threads!r}"
            )
        if isinstance(model, Potential):
            networks: dict[str, Potential] = {}
            potential = copy.deepcopy(model)
        else:
            loaded = model if isinstance(model, LoadedModel) else load_model(model)
            networks = loaded.extra_networks
            potential = copy.deepcopy(loaded.potential)
            domain = TrainingDomain.of_record(loaded.record, potential)
        self.device, self.threads = resolve_device(device), threads
        potential = potential.to(
            device=self.device, dtype=potential.dtype if dtype is None else _torch_dtype(dtype)
        )
        self.potential = potential.eval().requires_grad_(False)
        self.domain = domain
        self.domain_tensors = self._on_device(domain)
        self.backend = _fastest(potential, self.device) if backend == "auto" else backend
        self.native: NativeSchNet | None = None
        self.table_error: TableError | None = None
        self._tabulated: TabulatedSchNet | None = None
        if self.backend != "reference":
            self._tabulate()
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
        return PreparedModel._restored, ((*made_from, self.domain), self.extras)

    @classmethod
    def _restored(
        cls, made_from: tuple[Any, ...], extras: dict[str, PreparedModel]
    ) -> PreparedModel:
        model = cls(*made_from)
        model.extras = extras
        return model

    def _tabulate(self) -> None:
        if type(self.potential) is not SchNet:  # what a subclass does is not known here
            raise ConfigError(
                f"only SchNet has filters to tabulate, not {type(self.potential).__name__}: "
                "use backend='reference'"
            )
        if self.backend == "native" and self.device.type != "cpu":
            raise ConfigError(
                f"the native backend is for the CPU, not for {self.device}: use device='cpu', or "
                "backend='tabulated'"
            )
        table: FilterTable = tabulate_filters(self.potential, TABLE_TOLERANCE[self.potential.dtype])
        self.table_error = table.error
        if self.backend == "native":
            self.native = NativeSchNet(self.potential, table, self.threads, domain=self.domain)
        else:
            self._tabulated = TabulatedSchNet(self.potential, table)

    def _on_device(self, domain: TrainingDomain) -> tuple[Tensor | None, Tensor | None]:
        shortest = ranges = None
        if domain.shortest is not None:
            shortest = torch.tensor(domain.shortest, device=self.device)
        if domain.centers is not None and domain.scales is not None:
            both = np.concatenate([domain.scales, -domain.centers * domain.scales], axis=1)
            ranges = torch.tensor(both, dtype=self.potential.dtype, device=self.device)
        return shortest, ranges

    def in_torch(self, graph: AtomGraph, properties: Collection[str]) -> Prediction:
        """What a connected graph on the device has, as tensors; not for the native backend."""
        return (self._tabulated or self.potential)(graph, properties)


def _fastest(potential: Potential, device: torch.device) -> Backend:
    """The fastest backend there is; says once where that is not the native one."""
    if type(potential) is not SchNet:
        _say_once(
            f"{type(potential).__name__} has no filters to tabulate: it is evaluated by the "
            "reference backend"
        )
        return "reference"
    if device.type != "cpu":
        return "tabulated"
    if not available_instruction_sets():
        _say_once(
            "there is no compiled kernel (the package was installed without a C++ compiler): "
            "models are evaluated by the tabulated backend, which is several times slower"
        )
        return "tabulated"
    return "native"


@cache
def _say_once(message: str) -> None:
    _log.warning(message)


def _torch_dtype(dtype: str) -> torch.dtype:
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype must be float32 or float64, not {dtype!r}")
    return torch.float32 if dtype == "float32" else torch.float64
