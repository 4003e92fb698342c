"""SchNet for structures of any size: which kernels run, one after another, and on what memory.

Each interaction is a convolution (a sum over pairs, `edges.cu`) and a chain of dense layers of each
atom by itself (`dense.cu`); the way back is the same the other way round. Pairs come from a list
that the device keeps (`neighbor_list.py`).
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import Prediction
from mlpotential.inference.cuda.answers import AnswerMemory, answered
from mlpotential.inference.cuda.executor import Executor
from mlpotential.inference.cuda.interface import Answer, address
from mlpotential.inference.cuda.packing import PackedNetwork
from mlpotential.inference.cuda.systems.interface import Layer, Work
from mlpotential.inference.cuda.systems.kernels import Kernels, blocks_of
from mlpotential.inference.cuda.systems.neighbor_list import DeviceList
from mlpotential.inference.cuda.systems.plans import SystemPlan, system_plan
from mlpotential.inference.structures import Atoms
from mlpotential.inference.training_domain import Outliers, TrainingDomain
from mlpotential.models.schnet import SchNet

ATOMS_AT_ONCE = 2**18  # chosen: 1.6 GB of trace for T = 6, F = 128 in float32


@dataclass(frozen=True)
class Group:
    """Structures one after another that are evaluated together.

    Attributes:
        graphs, atoms: which of all.
        pairs: of them.
        plan: for so many atoms.
    """

    graphs: slice
    atoms: slice
    pairs: DeviceList
    plan: SystemPlan


class CudaSystems:
    """A packed SchNet for the kernels of large and periodic structures.

    Args:
        model: in float32 or float64.
        network: its weights and tables.
        executor: runs the kernels.
        domain: where the model was trained, as far as it is known.
    """

    def __init__(
        self, model: SchNet, network: PackedNetwork, executor: Executor, domain: TrainingDomain
    ) -> None:
        self.domain, self.executor = domain, executor
        self._network, self._dtype, self._cutoff = network, model.dtype, model.cutoff
        self._n_interactions = len(model.blocks)
        self._kernels = Kernels(executor)
        self._atoms: Atoms | None = None  # the latest
        self._groups: tuple[Group, ...] = ()
        self._lock = threading.Lock()  # lists are of one evaluation at a time

    def plan(self, n_atoms: int) -> SystemPlan:
        """For structures of so many atoms together."""
        network = self._network
        return system_plan(
            self._dtype, network.width, network.n_knots, n_atoms, self.executor.limits
        )

    def evaluate(
        self,
        atoms: Atoms,
        positions: np.ndarray,
        cells: np.ndarray | None,
        properties: Collection[str],
        monitored: bool = False,
    ) -> tuple[Prediction, Outliers | None]:
        """Energies and derivatives of any structures.

        Args:
            atoms: of them.
            positions: [n_atoms, 3], float64 (A).
            cells: zeros for a molecule, [n_graphs, 3, 3] (A); None where no structure has one.
            properties: any of energy, forces, virial, atomic_energies and, where the model has
                them, charges: as they come out of its network.
            monitored: look for atoms outside the training domain.

        Returns:
            Float64 arrays, and outliers if there are any.

        Raises:
            StructureError: for two atoms in one place, or atoms too many cells away.
            RunError: where a kernel cannot be compiled or run.
        """
        positions = positions.reshape(-1, 3)
        if cells is None:
            cells = np.zeros((atoms.n_graphs, 3, 3))
        with self._lock:
            found = self._found(atoms, positions, cells, properties, monitored)
        return answered(found, properties, self.domain, atoms.atomic_numbers, atoms.graph_start)

    def _found(
        self,
        atoms: Atoms,
        positions: np.ndarray,
        cells: np.ndarray,
        properties: Collection[str],
        monitored: bool,
    ) -> dict[str, np.ndarray]:
        """The answer by name; evaluates with lists as they are, and again where one was stale."""
        groups, device = self._grouped(atoms), self.executor.device
        memory = AnswerMemory(
            atoms.n_graphs, atoms.n_atoms, properties, monitored, device, len(groups)
        )
        placed = torch.tensor(positions, device=device)  # arrays may be read-only
        for number, group in enumerate(groups):
            own = placed[group.atoms], cells[group.graphs]
            if not group.pairs.watch(*own, memory.stale[number : number + 1]):
                group.pairs.build(positions[group.atoms], *own)
            self._run(group, *own, memory.structure_of(group.graphs, group.atoms))
        found = memory.fetched()
        if not found["stale"].any():
            return found
        for group, stale in zip(groups, found["stale"], strict=True):
            if not stale:
                continue
            own = placed[group.atoms], cells[group.graphs]
            group.pairs.build(positions[group.atoms], *own)
            self._run(group, *own, memory.structure_of(group.graphs, group.atoms))
        return memory.fetched()

    def _grouped(self, atoms: Atoms) -> tuple[Group, ...]:
        """With lists; most runs evaluate the same atoms again and again."""
        if self._atoms is None or not self._atoms.is_same(atoms):
            groups, starts = [], atoms.graph_start.tolist()
            for graphs in _runs(np.diff(atoms.graph_start).tolist(), ATOMS_AT_ONCE):
                some = slice(starts[graphs.start], starts[graphs.stop])
                pairs = DeviceList(atoms.some(graphs), self._cutoff, self._kernels)
                groups.append(Group(graphs, some, pairs, self.plan(some.stop - some.start)))
            self._atoms, self._groups = atoms, tuple(groups)
        return self._groups

    def _run(self, group: Group, positions: Tensor, cells: np.ndarray, answer: Answer) -> None:
        """All kernels of an evaluation, with a list that is there."""
        plan, n, last = group.plan, group.pairs.atoms.n_atoms, self._n_interactions - 1
        on_device = torch.tensor(cells, device=self.executor.device)
        system = group.pairs.structure(positions, on_device, group.atoms.start)
        memory = self._memory(plan, n, group.pairs.n_listed)
        work = Work(**{name: address(tensor) for name, tensor in memory.items()})
        network = self._network.structure
        per_warp = blocks_of(n, plan.pair_warps)

        def by_pairs(name: str, grid: int, *more: ctypes.Structure, shared: int = 0) -> None:
            everything = (network, system, work, *more)
            self._kernels.run(name, plan.pair_macros, grid, *everything, shared=shared)

        def over_slices(name: str, number: int) -> None:
            blocks = min(per_warp, plan.blocks_of_a_slice)
            grid = blocks * plan.n_slices
            by_pairs(name, grid, Layer(number, blocks), shared=plan.table_bytes)

        def dense(name: str, *more: ctypes.Structure) -> None:
            grid = blocks_of(n, plan.rows)
            everything = (network, system, work, *more)
            self._kernels.run(name, plan.dense_macros, grid, *everything, shared=plan.dense_bytes)

        by_pairs("find_edges", per_warp, answer)
        dense("embed")
        for number in range(self._n_interactions):
            over_slices("convolve", number)
            dense("interact", Layer(number))
        dense("answer_atoms", answer)
        if answer.forces:
            for number in range(last, -1, -1):
                over_slices("pull", number)
                if number:
                    dense("differentiate", Layer(number))
            forces = (network, system, work, answer)
            self._kernels.run("answer_forces", plan.plain_macros, plan.plain_blocks(n), *forces)
        n_graphs = group.pairs.atoms.n_graphs
        sums = (system, work, answer)
        self._kernels.run("sum_up", plan.plain_macros, n_graphs, *sums, shared=plan.sum_bytes)

    def _memory(self, plan: SystemPlan, n_atoms: int, n_listed: int) -> dict[str, Tensor]:
        """Of `Work`; a pair of each kind at least, so that there is memory."""
        device, pairs = self.executor.device, max(n_listed, 1)

        def of(dtype: torch.dtype, *shape: int) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        features = n_atoms, plan.n_features
        trace = self._n_interactions, *features
        return {
            "edges": of(torch.uint8, pairs, plan.edge_bytes),
            "images": of(torch.int32, pairs),
            "counts": of(torch.int32, n_atoms),
            **{name: of(self._dtype, *features) for name in ("x", "m", "g", "q")},
            **{name: of(self._dtype, *trace) for name in ("y", "a")},
            "tensions": of(torch.float64, plan.n_slices, pairs),
            "virials": of(torch.float64, n_atoms, 6),
        }


def _runs(sizes: Sequence[int], most: int) -> list[slice]:
    """Structures one after another, of at most so many atoms together or one by itself."""
    runs, begin, total = [], 0, 0
    for k, n in enumerate(sizes):
        if total and total + n > most:
            runs.append(slice(begin, k))
            begin, total = k, 0
        total += n
    return [*runs, slice(begin, len(sizes))]
