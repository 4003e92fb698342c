"""What would evaluate a model here, how well and how fast, in words."""

from __future__ import annotations

import time

import numpy as np
import torch

from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend
from mlpotential.inference.prepared_model import TABLE_TOLERANCE
from mlpotential.inference.schnet.filter_table import tabulate_filters
from mlpotential.inference.schnet.native import available_instruction_sets
from mlpotential.models.model_file import LoadedModel
from mlpotential.models.potential import Potential
from mlpotential.models.schnet import SchNet

REPEATS = 5


def describe_backends(model: LoadedModel) -> str:
    """Kernel, filter table and, on the golden structures, each backend's error and time (CPU)."""
    available = available_instruction_sets()
    kernel = (
        f"{available[-1]} (usable here: {', '.join(available)})"
        if available
        else "absent: install the package where a C++ compiler is to have it"
    )
    lines = [f"compiled kernel: {kernel}"]
    if not isinstance(model.potential, SchNet):
        name = type(model.potential).__name__
        return "\n".join([*lines, f"{name} has no filters to tabulate: backend reference"])
    for dtype in ("float32", "float64"):
        lines += _lines_about_table(model.potential, dtype)
    backends: list[Backend] = ["reference", "tabulated"]
    if available:
        backends.append("native")
    lines += _lines_about_backends(model, backends)
    return "\n".join(lines)


def _lines_about_table(potential: SchNet, dtype: str) -> list[str]:
    kind = getattr(torch, dtype)
    table = tabulate_filters(potential, TABLE_TOLERANCE[kind])
    megabytes = table.knots.numel() * kind.itemsize / 1e6
    return [
        f"filter table for {dtype}: {len(table.knots)} knots, {table.spacing:.4f} A apart, "
        f"{megabytes:.1f} MB",
        f"  largest error between knots: filters {table.error.filters:.1e}, slopes "
        f"{table.error.slopes:.1e} of the largest (asked for: {TABLE_TOLERANCE[kind]:.0e})",
    ]


def _lines_about_backends(model: LoadedModel, backends: list[Backend]) -> list[str]:
    golden = model.golden
    title = f"on the {golden.n_graphs} golden structures ({golden.n_atoms} atoms), one thread:"
    lines = [title, f"  {'backend':<11}{'dtype':<9}{'force error / largest force':>28}{'time':>12}"]
    exact, _ = _forces(model.potential, golden, "reference", "float64")
    for backend in backends:
        for dtype in ("float32", "float64"):
            forces, seconds = _forces(model.potential, golden, backend, dtype)
            error = np.abs(forces - exact).max() / max(np.abs(exact).max(), 1e-6)
            lines.append(f"  {backend:<11}{dtype:<9}{error:>28.1e}{1e3 * seconds:>9.2f} ms")
    return lines


def _forces(
    potential: Potential, graph: AtomGraph, backend: Backend, dtype: str
) -> tuple[np.ndarray, float]:
    """Forces, and the shortest time of an evaluation (s), edges included."""
    evaluator = Evaluator(potential, potential.elements[:1], False, "cpu", dtype, backend)
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        forces = evaluator.evaluate_graph(graph).forces
        times.append(time.perf_counter() - begin)
    return forces, min(times)
