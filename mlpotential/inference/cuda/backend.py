"""SchNet by a CUDA kernel that is compiled when it is needed first; for molecules."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from mlpotential.graph import Prediction, collate, stress_of
from mlpotential.inference.backend import EvaluationBackend, Obstacle, check_finite
from mlpotential.inference.cuda import executors
from mlpotential.inference.cuda.merging import Part, merged
from mlpotential.inference.cuda.packing import needed_width
from mlpotential.inference.cuda.plans import SIZES, WIDTHS, plan_for, width_for
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.schnet.charges import NEEDED, with_charges
from mlpotential.inference.schnet.filter_table import obstacle_to_tables, table_of
from mlpotential.inference.schnet.tabulated import TabulatedBackend
from mlpotential.inference.structures import ConnectedStructures, Structures
from mlpotential.inference.training_domain import Outliers, TrainingDomain
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.models.torch_state import own_torch_state
from mlpotential.neighbors import split

_log = logging.getLogger("mlpotential")


class CudaBackend(EvaluationBackend):
    """Molecules by the kernel; larger and periodic structures by the tabulated backend."""

    name = "cuda"

    def __init__(self, potential: Potential, domain: TrainingDomain, threads: int) -> None:
        assert isinstance(potential, SchNet)  # or it would not be supported
        executor = executors.find_executor(next(potential.parameters()).device)
        assert not isinstance(executor, Obstacle)
        table = table_of(potential)
        self.table_error = table.error
        self._potential, self._domain, self._threads = potential, domain, threads
        self._network = CudaSchNet(potential, table, executor, domain)
        self._name = executor.name
        self._tabulated: TabulatedBackend | None = None
        self._lock = threading.Lock()

    def at_work(self, dtype: str) -> str:
        """What evaluates, in words."""
        return f"CUDA kernel ({self._name}), {dtype}"

    @classmethod
    def obstacle(cls, potential: Potential, device: torch.device) -> Obstacle | None:
        """Another device, filters that cannot be tabulated, no NVRTC, a network too wide."""
        executor = executors.find_executor(device)
        if isinstance(executor, Obstacle):
            return executor
        if (obstacle := obstacle_to_tables(potential)) is not None:
            return obstacle
        assert isinstance(potential, SchNet)  # it has tables
        needed = needed_width(potential)
        if (width := width_for(needed)) is None:
            return _too_wide(f"at most {WIDTHS[-1]} features or hidden ones, not {needed}")
        if plan_for(potential.dtype, width, SIZES[0], executor.limits) is None:
            return _too_wide(f"less than {width} features in {potential.dtype} on {executor.name}")
        return None

    @classmethod
    def installation(cls) -> list[str]:
        """What there is on a machine with CUDA devices."""
        if not torch.cuda.is_available():
            return []
        executor = executors.find_executor(torch.device("cuda"))
        name = torch.cuda.get_device_name()
        if isinstance(executor, Obstacle):
            return [f"CUDA kernel: none for {name}. {executor.error}"]
        return [f"CUDA kernel: for {name} ({executor.name}), {executor.limits.in_words}"]

    @classmethod
    def describe(cls, potential: Potential) -> list[str]:
        """What there is; that there is nothing is an obstacle."""
        found = executors.find_executor(torch.device("cuda"))
        return [] if isinstance(found, Obstacle) else cls.installation()

    @own_torch_state()
    def predict(
        self, structures: Structures, properties: Collection[str], monitored: bool
    ) -> tuple[Prediction, Outliers | None]:
        """As every backend."""
        fits = self._fits(structures)
        if fits.all():
            return self._by_kernel(structures, properties, monitored)
        _say_others(self._network.most_atoms)
        if not fits.any():
            return self._others.predict(structures, properties, monitored)
        parts = []
        for graphs in (np.flatnonzero(fits), np.flatnonzero(~fits)):
            some = _chosen(structures, graphs, self._potential.cutoff)
            predict = self._by_kernel if fits[graphs[0]] else self._others.predict
            parts.append(Part(graphs, *predict(some, properties, monitored)))
        return merged(parts, structures.pairs, self._domain)

    def _fits(self, structures: Structures) -> np.ndarray:
        """Which structures the kernel takes, [n_graphs], bool."""
        fits = np.diff(structures.pairs.graph_start) <= self._network.most_atoms
        if structures.cells is not None:
            fits &= ~structures.cells.any(axis=(1, 2))
        return fits

    def _by_kernel(
        self, structures: Structures, properties: Collection[str], monitored: bool
    ) -> tuple[Prediction, Outliers | None]:
        pairs, positions = structures.pairs, structures.positions
        needed = {*properties, *(NEEDED[name] for name in NEEDED if name in properties)}
        prediction, outliers = self._network.evaluate(
            pairs.graph_start, pairs.atomic_numbers, positions, needed, monitored
        )
        readout = self._potential.charge_readout
        if readout is not None and "charges" in needed:
            prediction = with_charges(prediction, readout, pairs, positions, set(properties))
        check_finite(prediction)
        stress = stress_of(prediction.virial, structures.cells)
        return replace(
            prediction,
            stress=stress if "stress" in properties else None,
            virial=prediction.virial if "virial" in properties else None,
        ), outliers

    @property
    def _others(self) -> TabulatedBackend:
        """Made when it is needed first."""
        with self._lock:
            if self._tabulated is None:
                self._tabulated = TabulatedBackend(self._potential, self._domain, self._threads)
            return self._tabulated


def _too_wide(what: str) -> Obstacle:
    return Obstacle(
        error=f"the CUDA kernel takes {what}: use backend='tabulated'",
        notice=f"the CUDA kernel takes {what}: the model is evaluated by the {{backend}} backend",
    )


@cache
def _say_others(most_atoms: int) -> None:
    _log.warning(
        "the CUDA kernel takes molecules of up to %d atoms with this model: larger and periodic "
        "structures are evaluated by the tabulated backend",
        most_atoms,
    )


def _chosen(
    structures: Structures, graphs: Sequence[int] | np.ndarray, cutoff: float | None
) -> Structures:
    """Some of them, connected anew."""
    singles = split(structures.graph)
    return ConnectedStructures(collate([singles[k] for k in graphs]), cutoff)
