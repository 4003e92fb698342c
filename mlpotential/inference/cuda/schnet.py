"""SchNet by `molecule.cu`: chooses kernels, hands over memory and reads the answer."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import Prediction
from mlpotential.inference.cuda.answers import AnswerMemory, answered
from mlpotential.inference.cuda.executor import Executor, Kernel
from mlpotential.inference.cuda.interface import Answer, Batch, address
from mlpotential.inference.cuda.packing import PackedNetwork, needed_width
from mlpotential.inference.cuda.plans import SIZES, Plan, plan_for, size_for, width_for
from mlpotential.inference.schnet.filter_table import FilterTable
from mlpotential.inference.training_domain import UNKNOWN_DOMAIN, Outliers, TrainingDomain
from mlpotential.models.schnet import SchNet

KERNEL = "molecule"
TRACE_BYTES = 2**29  # chosen: of molecules that need more, some go after others


@dataclass(frozen=True)
class Launch:
    """Molecules of one size.

    Attributes:
        plan: of their size.
        graphs: their numbers, [n], int64 on the device.
    """

    plan: Plan
    graphs: Tensor


@dataclass(frozen=True)
class Layout:
    """Which atoms there are, on the device; positions come and go.

    Attributes:
        graph_start, atomic_numbers: the arrays that it was made of.
        starts, elements: the same as tensors, int64 and int32.
        launches: the largest molecules first, which take longest.
    """

    graph_start: np.ndarray
    atomic_numbers: np.ndarray
    starts: Tensor
    elements: Tensor
    launches: tuple[Launch, ...]


class CudaSchNet:
    """A SchNet packed for the kernel, which is compiled when a size of molecules is met first.

    Args:
        model: in float32 or float64, of at most `plans.WIDTHS[-1]` features; its weights are
            copied.
        table: of its filters, in float64.
        executor: runs the kernel.
        domain: where the model was trained, as far as it is known.
        cluster: blocks of a molecule; None for the best.

    Attributes:
        network: as it is packed.
        most_atoms: of a molecule; larger ones have no plan.
    """

    def __init__(
        self,
        model: SchNet,
        table: FilterTable,
        executor: Executor,
        domain: TrainingDomain = UNKNOWN_DOMAIN,
        cluster: int | None = None,
    ) -> None:
        width = width_for(needed_width(model))
        assert width is not None  # or it would not be supported
        self.domain, self.executor = domain, executor
        self._width, self._cluster, self._dtype = width, cluster, model.dtype
        self.network = PackedNetwork(model, table, width, executor.device, domain)
        self._n_interactions = len(model.blocks)
        self._kernels: dict[Plan, Kernel] = {}
        self._lock = threading.Lock()
        self._layout: Layout | None = None  # the latest
        fitting = itertools.takewhile(lambda size: self.plan(size) is not None, SIZES)
        self.most_atoms = max(fitting, default=0)

    def plan(self, n_atoms: int) -> Plan | None:
        """Of a molecule; None where it is too large."""
        size = size_for(n_atoms)
        if size is None:
            return None
        return plan_for(self._dtype, self._width, size, self.executor.limits, self._cluster)

    def evaluate(
        self,
        graph_start: np.ndarray,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        properties: Collection[str],
        monitored: bool = False,
    ) -> tuple[Prediction, Outliers | None]:
        """Energies and derivatives of molecules of at most `most_atoms`.

        Args:
            graph_start: first atom of each molecule and the end of the last, [n_graphs + 1].
            atomic_numbers: [n_atoms], int32.
            positions: [n_atoms, 3], float64 (A).
            properties: any of energy, forces, virial, atomic_energies and, where the model has
                them, charges: as they come out of its network.
            monitored: look for atoms outside the training domain.

        Returns:
            Float64 arrays, and outliers if there are any.

        Raises:
            StructureError: for two atoms in one place.
            RunError: where a kernel cannot be compiled or run.
        """
        layout, device = self.laid_out(graph_start, atomic_numbers), self.executor.device
        n_graphs, n_atoms = len(graph_start) - 1, len(atomic_numbers)
        memory = AnswerMemory(n_graphs, n_atoms, properties, monitored, device)
        placed = torch.tensor(positions.reshape(-1, 3), device=device)  # arrays may be read-only
        self.enqueue(layout, placed, memory.structure)
        found = memory.fetched()
        return answered(found, properties, self.domain, atomic_numbers, graph_start)

    def enqueue(self, layout: Layout, positions: Tensor, answer: Answer) -> None:
        """Evaluates molecules after whatever the device has to do before.

        Args:
            layout: of `laid_out`.
            positions: [n_atoms, 3], float64 on the device (A).
            answer: where results go.
        """
        for launch in layout.launches:
            self._run(launch, layout, positions, answer)

    def load(self, layout: Layout) -> None:
        """Has all kernels of a layout compiled and loaded, which the first `enqueue` does else."""
        for launch in layout.launches:
            self._kernel(launch.plan)

    def laid_out(self, graph_start: np.ndarray, atomic_numbers: np.ndarray) -> Layout:
        """On the device; most runs evaluate the same atoms again and again."""
        layout = self._layout
        if (
            layout is None
            or layout.graph_start is not graph_start
            or layout.atomic_numbers is not atomic_numbers
        ):
            device = self.executor.device
            self._layout = layout = Layout(
                graph_start,
                atomic_numbers,
                torch.from_numpy(graph_start).to(device),
                torch.from_numpy(atomic_numbers).to(device),
                self._launches(np.diff(graph_start)),
            )
        return layout

    def _launches(self, n_atoms: np.ndarray) -> tuple[Launch, ...]:
        """Of molecules with so many atoms, [n_graphs]."""
        counts, device = np.unique(n_atoms), self.executor.device
        plans = {int(n): self.plan(int(n)) for n in counts}
        known = {plan for plan in plans.values() if plan is not None}
        assert None not in plans.values(), f"no plan for one of {counts} atoms"
        launches = []
        for plan in sorted(known, key=lambda plan: -plan.n_atoms):
            fitting = [n for n in plans if plans[n] == plan]
            graphs = np.flatnonzero(np.isin(n_atoms, fitting))
            at_once = max(TRACE_BYTES // self._trace_bytes(plan), 1)
            for begin in range(0, len(graphs), at_once):
                part = torch.from_numpy(graphs[begin : begin + at_once])
                launches.append(Launch(plan, part.to(device)))
        return tuple(launches)

    def _trace_bytes(self, plan: Plan) -> int:
        """Of one molecule."""
        return self._n_interactions * plan.trace_numbers * self._dtype.itemsize

    def _run(self, launch: Launch, layout: Layout, positions: Tensor, answer: Answer) -> None:
        plan, n = launch.plan, len(launch.graphs)
        n_bytes = n * self._trace_bytes(plan)
        trace = torch.empty(n_bytes, dtype=torch.uint8, device=self.executor.device)
        batch = Batch(
            graphs=address(launch.graphs),
            starts=address(layout.starts),
            atomic_numbers=address(layout.elements),
            positions=address(positions),
            trace=address(trace),
        )
        arguments = (self.network.structure, batch, answer)
        self._kernel(plan)(n * plan.cluster, plan.threads, plan.shared_bytes, arguments)

    def _kernel(self, plan: Plan) -> Kernel:
        with self._lock:
            if plan not in self._kernels:
                self._kernels[plan] = self.executor.kernel(KERNEL, plan.macros)
            return self._kernels[plan]
