"""SchNet by CUDA kernels that are compiled when they are needed first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch

from mlpotential.graph import Prediction, stress_of
from mlpotential.inference.backend import EvaluationBackend, Obstacle, check_finite
from mlpotential.inference.cuda import executors
from mlpotential.inference.cuda.merging import Part, merged
from mlpotential.inference.cuda.packing import needed_width
from mlpotential.inference.cuda.plans import SIZES, WIDTHS, plan_for, width_for
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.cuda.systems.schnet import CudaSystems
from mlpotential.inference.schnet.charges import NEEDED, with_charges
from mlpotential.inference.schnet.filter_table import obstacle_to_tables, table_of
from mlpotential.inference.structures import Structures
from mlpotential.inference.training_domain import Outliers, TrainingDomain
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet
from mlpotential.models.torch_state import own_torch_state


class CudaBackend(EvaluationBackend):
    """Molecules by one kernel, in a launch; larger and periodic structures by a row of them."""

    name = "cuda"

    def __init__(self, potential: Potential, domain: TrainingDomain, threads: int) -> None:
        assert isinstance(potential, SchNet)  # or it would not be supported
        executor = executors.find_executor(next(potential.parameters()).device)
        assert not isinstance(executor, Obstacle)
        table = table_of(potential)
        self.table_error = table.error
        self._potential, self._domain, self._name = potential, domain, executor.name
        self._molecules = CudaSchNet(potential, table, executor, domain)
        self._systems = CudaSystems(potential, self._molecules.network, executor, domain)

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
        atoms, positions = structures.atoms, structures.positions.reshape(-1, 3)
        needed = {*properties, *(NEEDED[name] for name in NEEDED if name in properties)}
        prediction, outliers = self._evaluated(structures, positions, needed, monitored)
        readout = self._potential.charge_readout
        if readout is not None and "charges" in needed:
            prediction = with_charges(prediction, readout, atoms, positions, set(properties))
        check_finite(prediction)
        stress = stress_of(prediction.virial, structures.cells)
        return replace(
            prediction,
            stress=stress if "stress" in properties else None,
            virial=prediction.virial if "virial" in properties else None,
        ), outliers

    def _evaluated(
        self,
        structures: Structures,
        positions: np.ndarray,
        needed: Collection[str],
        monitored: bool,
    ) -> tuple[Prediction, Outliers | None]:
        """As the kernels give it: each structure by those that it would go to alone."""
        atoms, cells = structures.atoms, structures.cells
        small = np.diff(atoms.graph_start) <= self._molecules.most_atoms
        small &= ~atoms.pbc.any(axis=1)
        if small.all():
            return self._molecules.evaluate(
                atoms.graph_start, atoms.atomic_numbers, positions, needed, monitored
            )
        if not small.any():
            return self._systems.evaluate(atoms, positions, cells, needed, monitored)
        parts = []
        for graphs in (np.flatnonzero(small), np.flatnonzero(~small)):
            some = atoms.chosen(graphs)
            own = positions[atoms.atoms_of(graphs)]
            if small[graphs[0]]:
                found = self._molecules.evaluate(
                    some.graph_start, some.atomic_numbers, own, needed, monitored
                )
            else:
                its = None if cells is None else cells[graphs]
                found = self._systems.evaluate(some, own, its, needed, monitored)
            parts.append(Part(graphs, *found))
        return merged(parts, atoms, self._domain)


def _too_wide(what: str) -> Obstacle:
    return Obstacle(
        error=f"the CUDA kernels take {what}: use backend='tabulated'",
        notice=f"the CUDA kernels take {what}: the model is evaluated by the {{backend}} backend",
    )
