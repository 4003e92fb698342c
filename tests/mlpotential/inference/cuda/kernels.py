"""Models packed for the emulated kernels, and connected graphs to evaluate with them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from emulated import EmulatedExecutor
from random_models import CUTOFFS, molecule

from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.cuda.executor import Executor
from mlpotential.inference.cuda.packing import PackedNetwork, needed_width
from mlpotential.inference.cuda.plans import Plan, width_for
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.cuda.systems.plans import SystemPlan
from mlpotential.inference.cuda.systems.schnet import CudaSystems
from mlpotential.inference.schnet.filter_table import TABLE_TOLERANCE, tabulate_filters
from mlpotential.inference.structures import Atoms, ConnectedStructures
from mlpotential.inference.training_domain import UNKNOWN_DOMAIN, TrainingDomain
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect

ACTIVATIONS = ("ssp", "ssp_linear_from_14", "silu", "tanh")
MODELS = list(itertools.product(CUTOFFS, ("ssp", "none"), ACTIVATIONS))
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
        atoms = atoms_of(graph)
        return self.network.evaluate(
            atoms.graph_start, atoms.atomic_numbers, graph.positions.numpy(), properties, monitored
        )


class PlannedSystems(CudaSystems):
    """With some of the plan of the caller's."""

    given: Mapping[str, int] = {}

    def plan(self, n_atoms: int) -> SystemPlan:
        return replace(super().plan(n_atoms), **self.given)


class PackedSystems:
    """A model packed for the kernels of large and periodic structures."""

    def __init__(
        self,
        model: SchNet,
        dtype: str = "float32",
        executor: Executor | None = None,
        domain: TrainingDomain = UNKNOWN_DOMAIN,
        tolerance: float | None = None,
        **plan: int,
    ) -> None:
        own = copy.deepcopy(model).to(getattr(torch, dtype))
        executor = executor or EmulatedExecutor()
        table = tabulate_filters(own, tolerance or TABLE_TOLERANCE[own.dtype])
        width = width_for(needed_width(own))
        packed = PackedNetwork(own, table, width, executor.device, domain)
        self.network = PlannedSystems(own, packed, executor, domain)
        self.network.given = plan

    def __call__(self, graph: AtomGraph, properties=OF_KERNEL, monitored: bool = False):
        cells = None if graph.cell is None else graph.cell.numpy()
        positions = graph.positions.numpy()
        return self.network.evaluate(atoms_of(graph), positions, cells, properties, monitored)


def atoms_of(graph: AtomGraph) -> Atoms:
    return ConnectedStructures(graph, None).atoms


def molecules(sizes: Sequence[int], cutoff: float | None) -> AtomGraph:
    """Connected, each of so many atoms and all different."""
    return connect(collate([molecule(n, seed) for seed, n in enumerate(sizes)]), cutoff)
