"""What the kernels answer: one piece of memory on the device, and its parts by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from mlpotential.graph import Prediction
from mlpotential.inference.backend import SMALLEST_DISTANCE, coincident_atoms
from mlpotential.inference.cuda.interface import Answer, address
from mlpotential.inference.training_domain import Outliers, TrainingDomain, is_outside

# What the guard reads of each atom: columns of `findings`, in the names of `Outliers`.
FINDINGS = (
    "distance_deficits",
    "partners",
    "feature_deviations",
    "nearest_ratios",
    "coordination_deficits",
)
WHOLE_NUMBERS = ("partners", "coordination_deficits")
DERIVATIVES = {"forces", "virial"}  # one comes with the other


class AnswerMemory:
    """Parts of one tensor, which is fetched at once.

    Args:
        n_graphs, n_atoms: of all molecules.
        properties: of `Prediction`, of those that the kernel gives.
        monitored: whether findings are wanted.
        device: where the kernel runs.
        n_lists: of neighbours, each of which may prove stale.
    """

    def __init__(
        self,
        n_graphs: int,
        n_atoms: int,
        properties: Collection[str],
        monitored: bool,
        device: torch.device,
        n_lists: int = 0,
    ) -> None:
        shapes: dict[str, tuple[int, ...]] = {
            "energy": (n_graphs,),
            "atomic_energies": (n_atoms,),
            "closest": (n_atoms, 2),
            "stale": (n_lists,),
        }
        if not DERIVATIVES.isdisjoint(properties):
            shapes |= {"forces": (n_atoms, 3), "virial": (n_graphs, 3, 3)}
        if "charges" in properties:
            shapes["charges"] = (n_atoms,)
        if monitored:
            shapes["findings"] = (n_atoms, len(FINDINGS))
        sizes = [math.prod(shape) for shape in shapes.values()]
        self._shapes = shapes
        self._memory = torch.empty(sum(sizes), dtype=torch.float64, device=device)
        self._parts: dict[str, Tensor] = dict(zip(shapes, self._memory.split(sizes), strict=True))
        self.stale.zero_()

    @property
    def structure(self) -> Answer:
        """An argument of the kernel."""
        return self.structure_of(slice(None), slice(None))

    def structure_of(self, graphs: slice, atoms: slice) -> Answer:
        """For some of the structures, one after another."""

        def part(name: str, rows: slice) -> int | None:
            tensor = self._parts.get(name)
            return None if tensor is None else address(tensor.view(self._shapes[name])[rows])

        return Answer(
            energies=part("energy", graphs),
            atomic_energies=part("atomic_energies", atoms),
            charges=part("charges", atoms),
            forces=part("forces", atoms),
            virials=part("virial", graphs),
            closest=part("closest", atoms),
            findings=part("findings", atoms),
        )

    @property
    def stale(self) -> Tensor:
        """1 where a list may lack a pair, else 0, [n_lists]."""
        return self._parts["stale"]

    def fetched(self) -> dict[str, np.ndarray]:
        """Arrays of their own on the host, by name; waits for the kernel."""
        found = self._named(self._memory.cpu().numpy())
        return {name: array.copy() for name, array in found.items()}

    def host(self) -> Tensor:
        """Memory of the host for `fetched_to`; a CUDA device reaches it by itself."""
        is_cuda = self._memory.device.type == "cuda"
        shape = self._memory.shape
        return torch.empty(shape, dtype=torch.float64, device="cpu", pin_memory=is_cuda)

    def fetched_to(self, host: Tensor) -> dict[str, np.ndarray]:
        """As `fetched`, but parts of `host`, which the next call overwrites."""
        host.copy_(self._memory)
        return self._named(host.numpy())

    def _named(self, whole: np.ndarray) -> dict[str, np.ndarray]:
        found, begin = {}, 0
        for name, shape in self._shapes.items():
            end = begin + math.prod(shape)
            found[name] = whole[begin:end].reshape(shape)
            begin = end
        return found


def answered(
    found: Mapping[str, np.ndarray],
    properties: Collection[str],
    domain: TrainingDomain,
    atomic_numbers: np.ndarray,
    graph_start: np.ndarray,
) -> tuple[Prediction, Outliers | None]:
    """What was asked for of what kernels found, and outliers, if they were looked for and are.

    Args:
        found: of `AnswerMemory.fetched`.
        properties: that were asked for; the energy comes with any.
        domain: of the model.
        atomic_numbers: [n_atoms].
        graph_start: first atom of each structure and the end of the last, [n_graphs + 1].

    Raises:
        StructureError: for two atoms in one place.
    """
    check_closest(found["closest"], graph_start)
    wanted = {"energy", *properties} & found.keys()
    outliers = None
    if "findings" in found:
        outliers = outliers_of(found["findings"], domain, atomic_numbers, graph_start)
    return Prediction(**{name: found[name] for name in wanted}), outliers


def check_closest(closest: np.ndarray, graph_start: np.ndarray) -> None:
    """Raises StructureError for two atoms in one place.

    Args:
        closest: of later atoms of the molecule, distance (A) and number, [n_atoms, 2].
        graph_start: first atom of each molecule and the end, [n_graphs + 1].
    """
    i = int(closest[:, 0].argmin())
    if closest[i, 0] < SMALLEST_DISTANCE:
        first = int(graph_start[np.searchsorted(graph_start, i, side="right") - 1])
        raise coincident_atoms(i - first, int(closest[i, 1]) - first, float(closest[i, 0]))


def outliers_of(
    findings: np.ndarray,
    domain: TrainingDomain,
    atomic_numbers: np.ndarray,
    graph_start: np.ndarray,
) -> Outliers | None:
    """Atoms outside the domain, if there are any.

    Args:
        findings: [n_atoms, len(FINDINGS)].
        domain: of the model.
        atomic_numbers: [n_atoms].
        graph_start: [n_graphs + 1].
    """
    columns = dict(zip(FINDINGS, findings.T, strict=True))
    values = [column for name, column in columns.items() if name != "partners"]
    if not is_outside(*(column.max() for column in values)):
        return None
    for name in WHOLE_NUMBERS:
        columns[name] = columns[name].astype(np.int64)
    return Outliers(
        domain=domain, atomic_numbers=atomic_numbers, graph_start=graph_start, **columns
    )
