"""Models packed for the emulated kernel, and connected graphs to evaluate with them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from emulated import EmulatedExecutor
from random_models import molecule

from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.cuda.executor import Executor
from mlpotential.inference.cuda.plans import Plan
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.schnet.filter_table import TABLE_TOLERANCE, tabulate_filters
from mlpotential.inference.training_domain import UNKNOWN_DOMAIN, TrainingDomain
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect

OF_KERNEL = ("energy", "forces", "virial", "atomic_energies")


class Planned(CudaSchNet):
    """With a plan of the caller's."""

    given: Plan | None = None

    def plan(self, n_atoms: int) -> Plan | None:
        return self.given or super().plan(n_atoms)


class Packed:
    """A model packed for the kernel, fed with connected graphs."""

    def __init__(
        self,
        model: SchNet,
        dtype: str = "float32",
        cluster: int | None = None,
        executor: Executor | None = None,
        domain: TrainingDomain = UNKNOWN_DOMAIN,
        plan: Plan | None = None,
    ) -> None:
        own = copy.deepcopy(model).to(getattr(torch, dtype))
        table = tabulate_filters(own, TABLE_TOLERANCE[own.dtype])
        self.network = Planned(own, table, executor or EmulatedExecutor(), domain, cluster)
        self.network.given = plan

    def __call__(self, graph: AtomGraph, properties=OF_KERNEL, monitored: bool = False):
        pairs = PairGraph.from_graph(graph)
        return self.network.evaluate(
            pairs.graph_start, pairs.atomic_numbers, graph.positions.numpy(), properties, monitored
        )


def molecules(sizes: Sequence[int], cutoff: float | None) -> AtomGraph:
    """Connected, each of so many atoms and all different."""
    return connect(collate([molecule(n, seed) for seed, n in enumerate(sizes)]), cutoff)
