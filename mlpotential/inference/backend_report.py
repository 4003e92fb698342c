"""What would evaluate a model here, how well and how fast, in words."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import cast

import numpy as np
import torch

import mlpotential
from mlpotential import __version__
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend
from mlpotential.inference.guard import ExtrapolationGuard
from mlpotential.inference.prepared_model import BACKENDS, PreparedModel
from mlpotential.models.model_file import GOLDEN_TOLERANCE, LoadedModel
from mlpotential.models.potential import Potential

REPEATS = 5


def describe_installation() -> str:
    """Versions, where the package is taken from, and what its backends have here."""
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "ase", "ipi")]
    lines = [
        f"mlpotential {__version__} in {Path(mlpotential.__file__).parents[1]}, Python "
        f"{platform.python_version()}, {', '.join(versions)}"
    ]
    return "\n".join(lines + [line for backend in BACKENDS for line in backend.installation()])


def describe_backends(model: LoadedModel) -> str:
    """What each backend has here and, on the golden structures, its error and time.

    On the CPU and, where there is one, on the CUDA device.
    """
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda")] if torch.cuda.is_available() else []
    usable: dict[torch.device, list[Backend]] = {device: [] for device in devices}
    lines = []
    for backend in BACKENDS:
        lines += backend.describe(model.potential)
        obstacles = {device: backend.obstacle(model.potential, device) for device in devices}
        for device, obstacle in obstacles.items():
            if obstacle is None:
                usable[device].append(cast(Backend, backend.name))
        if all(obstacles.values()):
            *_, obstacle = obstacles.values()
            assert obstacle is not None  # as all of them
            lines.append(f"not {backend.name}: {obstacle.error}")
    return "\n".join(lines + [row for device in devices for row in _table(model, usable, device)])


@dataclass(frozen=True)
class FastestCheck:
    """How the fastest backend reproduces the golden structures of a model here.

    Attributes:
        at_work: what evaluates, in words.
        energy_deviation: largest, per atom (eV).
        force_deviation: largest, relative to the longest force component.
        tolerance: what each may be (eV; dimensionless), that of the dtype.
    """

    at_work: str
    energy_deviation: float
    force_deviation: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether both are within the tolerance."""
        return max(self.energy_deviation, self.force_deviation) <= self.tolerance

    def __str__(self) -> str:
        return (
            f"{self.at_work}: energies per atom within {self.energy_deviation:.1e} eV, forces "
            f"within {self.force_deviation:.1e} of the largest"
        )


def fastest_check(model: LoadedModel) -> FastestCheck | None:
    """The golden structures by the backend that runs take; None for a model without energies."""
    labels = model.golden.labels
    if not {"energy", "forces"} <= labels.keys():
        return None
    cpu = torch.device("cpu")
    fastest = next(backend for backend in BACKENDS if backend.supports(model.potential, cpu))
    prepared = PreparedModel(model.potential, cpu, None, cast(Backend, fastest.name))
    answer = _unwatched(prepared).evaluate_graph(model.golden)
    n_atoms = model.golden.atoms_per_graph().numpy()
    forces = labels["forces"].numpy()
    deviation = np.abs(answer.energy - labels["energy"].numpy()) / n_atoms
    return FastestCheck(
        at_work=prepared.at_work,
        energy_deviation=float(deviation.max()),
        force_deviation=float(
            np.abs(answer.forces - forces).max() / max(np.abs(forces).max(), 1e-6)
        ),
        tolerance=GOLDEN_TOLERANCE[prepared.potential.dtype],
    )


def _table(
    model: LoadedModel, usable: Mapping[torch.device, list[Backend]], device: torch.device
) -> list[str]:
    """One row for each backend and dtype."""
    golden = model.golden
    where = "one thread" if device.type == "cpu" else torch.cuda.get_device_name(device)
    title = f"on the {golden.n_graphs} golden structures ({golden.n_atoms} atoms), {where}:"
    lines = [title, f"  {'backend':<11}{'dtype':<9}{'force error / largest force':>28}{'time':>12}"]
    exact, _ = _forces(model.potential, golden, "reference", "float64", torch.device("cpu"))
    for backend in reversed(usable[device]):
        for dtype in ("float32", "float64"):
            forces, seconds = _forces(model.potential, golden, backend, dtype, device)
            error = np.abs(forces - exact).max() / max(np.abs(exact).max(), 1e-6)
            lines.append(f"  {backend:<11}{dtype:<9}{error:>28.1e}{1e3 * seconds:>9.2f} ms")
    return lines


def _forces(
    potential: Potential, graph: AtomGraph, backend: Backend, dtype: str, device: torch.device
) -> tuple[np.ndarray, float]:
    """Forces, and the shortest time of an evaluation (s), edges included."""
    prepared = PreparedModel(potential, device, dtype, backend)
    evaluator = _unwatched(prepared)
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        forces = evaluator.evaluate_graph(graph).forces
        times.append(time.perf_counter() - begin)
    return forces, min(times)


def _unwatched(prepared: PreparedModel) -> Evaluator:
    """An evaluator of any structures that announces nothing."""
    elements = prepared.potential.elements[:1]
    return Evaluator._of((prepared,), elements, False, ExtrapolationGuard("off", ()))
