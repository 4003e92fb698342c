"""An `Evaluator` as a model of torch-sim: many structures in one batch, of one kind or mixed.

O. Cohen et al., TorchSim, doi:10.1088/3050-287X/ae1799. Batches of replicas of one structure go to
the evaluator as they are, which keeps their neighbour lists between steps; mixed batches are
searched anew each time. Cells of torch-sim have lattice vectors as columns; units are ours.

This module imports torch-sim, and nothing of ours imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference.committee import Models, read_members
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend, GuardMode
from mlpotential.models.potential import Potential

try:
    from torch_sim.models.interface import ModelInterface
except ImportError as error:
    raise ImportError("torch-sim is not installed: pip install 'mlpotential[torch-sim]'") from error

ANY_ELEMENT = (1,)  # of an evaluator before its first batch, whose model knows all


class TorchSimModel(ModelInterface):
    """A `ModelInterface` for `torch_sim.integrate`, `optimize` and `static`.

    Args:
        model: as for `Evaluator`.
        dtype: of states, and of what is given back.
        compute_stress: of periodic structures; zeros of molecules, which have none.
        device, backend, threads, guard: as for `Evaluator`; states belong on the same device.
        network_dtype: float32 or float64; None for the model's own.

    Raises:
        ConfigError: a dtype of states that is none; or as `Evaluator` does.

    The forward pass raises and warns as `Evaluator.evaluate` does. Its results are detached:
    nothing can be differentiated through them.
    """

    def __init__(
        self,
        model: Models,
        dtype: torch.dtype = torch.float64,
        compute_stress: bool = True,
        device: str | torch.device = "auto",
        network_dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
        guard: GuardMode = "warn",
    ) -> None:
        super().__init__()
        if dtype not in (torch.float32, torch.float64):
            raise ConfigError(f"the dtype of states is torch.float64 or torch.float32, not {dtype}")
        members = read_members(model)
        first = members[0] if isinstance(members[0], Potential) else members[0].potential
        self._evaluator = Evaluator(
            members if len(members) > 1 else members[0],
            first.elements[:1] or ANY_ELEMENT,
            False,
            device,
            network_dtype,
            backend,
            threads,
            guard,
        )
        self._device, self._dtype = self._evaluator.device, dtype
        self._compute_forces, self._compute_stress = True, compute_stress
        self._memory_scales_with = "n_atoms_x_density"

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        """Energies [n_systems] (eV), forces [n_atoms, 3] (eV/A), stresses [n_systems, 3, 3].

        Args:
            state: `SimState`, or the same by names.
            _: is not used.
        """
        numbers = _array(_entry(state, "atomic_numbers")).astype(np.int64)
        positions = _array(_entry(state, "positions"))
        systems = _array(_entry(state, "system_idx")).astype(np.int64)
        pbc = np.broadcast_to(_array(_entry(state, "pbc")).astype(bool), 3)
        cells = _array(_entry(state, "cell")).transpose(0, 2, 1) if pbc.any() else None
        counts = np.bincount(systems)
        wanted = ["energy", "forces"]
        if self._compute_stress and cells is not None:
            wanted.append("stress")
        if _are_replicas(numbers, counts):
            found = self._of_replicas(numbers[: counts[0]], pbc, positions, cells, wanted)
        else:
            graph = _graph(numbers, positions, systems, pbc, cells)
            found = self._evaluator.evaluate_graph(graph, wanted)
        results = {"energy": found.energy, "forces": found.forces}
        if self._compute_stress:
            none = np.zeros((len(counts), 3, 3))
            results["stress"] = none if found.stress is None else found.stress
        return {
            name: torch.as_tensor(values, dtype=self._dtype, device=self._device)
            for name, values in results.items()
        }

    def _of_replicas(
        self,
        numbers: np.ndarray,
        pbc: np.ndarray,
        positions: np.ndarray,
        cells: np.ndarray | None,
        wanted: list[str],
    ) -> Prediction:
        """By an evaluator that is made anew only when the atoms change."""
        known = self._evaluator
        if not (np.array_equal(known.atomic_numbers, numbers) and np.array_equal(known.pbc, pbc)):
            self._evaluator = known.for_atoms(numbers, pbc)
        return self._evaluator.evaluate(positions.reshape(-1, len(numbers), 3), cells, wanted)


def _entry(state: Any, name: str) -> Any:
    return state[name] if isinstance(state, dict) else getattr(state, name)


def _array(values: Any) -> np.ndarray:
    """A tensor on any device, or what becomes an array; floating numbers as float64."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy()


def _are_replicas(numbers: np.ndarray, counts: np.ndarray) -> bool:
    """Whether all systems have the same atoms in the same order."""
    if counts.min() != counts.max():
        return False
    by_system = numbers.reshape(len(counts), -1)
    return bool((by_system == by_system[0]).all())


def _graph(
    numbers: np.ndarray,
    positions: np.ndarray,
    systems: np.ndarray,
    pbc: np.ndarray,
    cells: np.ndarray | None,
) -> AtomGraph:
    n_graphs = int(systems[-1]) + 1
    return AtomGraph(
        atomic_numbers=torch.from_numpy(numbers),
        positions=torch.from_numpy(np.ascontiguousarray(positions)),
        graph_index=torch.from_numpy(systems),
        n_graphs=n_graphs,
        pbc=torch.from_numpy(np.tile(pbc, (n_graphs, 1))),
        cell=None if cells is None else torch.from_numpy(np.ascontiguousarray(cells)),
    )
