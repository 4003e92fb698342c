"""One molecule in many places, evaluated on the device without the host.

Positions are put there by other kernels, forces are read by others; what an evaluation found is
checked afterwards, when many of them are fetched at once, as every evaluation is checked.
"""

from __future__ import annotations

import numpy as np
import torch

from mlpotential.errors import ConfigError
from mlpotential.graph import Prediction
from mlpotential.inference.backend import SMALLEST_DISTANCE, check_finite
from mlpotential.inference.cuda.answers import FINDINGS, AnswerMemory, check_closest, outliers_of
from mlpotential.inference.cuda.interface import address
from mlpotential.inference.cuda.ring import Beads, DeviceRing
from mlpotential.inference.cuda.schnet import CudaSchNet
from mlpotential.inference.guard import ExtrapolationGuard
from mlpotential.inference.resident_forces import RingConstants
from mlpotential.inference.training_domain import is_outside
from mlpotential.models.torch_state import own_torch_state


class ResidentMolecules:
    """Rounds of evaluations.

    Args:
        kernels: of its model.
        atomic_numbers: [n_atoms].
        guard: told of all evaluations.
        n_replicas: in each evaluation.
        n_evaluations: of a round.

    Attributes:
        executor: runs the kernels.
        n_evaluations, energies, forces: as of all resident forces.

    Raises:
        ConfigError: for a molecule that is too large.
    """

    @own_torch_state()
    def __init__(
        self,
        kernels: CudaSchNet,
        atomic_numbers: np.ndarray,
        guard: ExtrapolationGuard,
        n_replicas: int,
        n_evaluations: int,
    ) -> None:
        n_atoms = len(atomic_numbers)
        if n_atoms > kernels.most_atoms:
            raise ConfigError(
                f"forces that stay on the device are of at most {kernels.most_atoms} atoms, not of "
                f"{n_atoms}"
            )
        self._kernels, self._guard, self._n_replicas = kernels, guard, n_replicas
        self.executor, self.n_evaluations = kernels.executor, n_evaluations
        self._numbers = np.tile(atomic_numbers.astype(np.int32), n_replicas)
        self._starts = n_atoms * np.arange(n_replicas + 1, dtype=np.int64)
        self._layout = kernels.laid_out(self._starts, self._numbers)
        kernels.load(self._layout)  # nothing can be loaded while a graph is recorded
        n_graphs, n_all = n_evaluations * n_replicas, n_evaluations * len(self._numbers)
        device, self._monitored = self.executor.device, bool(guard.checks)
        wanted = ("energy", "forces")
        self._memory = AnswerMemory(n_graphs, n_all, wanted, self._monitored, device)
        self._host = self._memory.host()
        shape = (n_evaluations, len(self._numbers), 3)
        self._positions = torch.zeros(shape, dtype=torch.float64, device=device)
        self._answers = [
            self._memory.structure_of(self._graphs(k), self._atoms(k)) for k in range(n_evaluations)
        ]

    def _graphs(self, number: int) -> slice:
        return slice(number * self._n_replicas, (number + 1) * self._n_replicas)

    def _atoms(self, number: int) -> slice:
        return slice(number * len(self._numbers), (number + 1) * len(self._numbers))

    def beads(self, number: int) -> Beads:
        """As of all kernels of beads."""
        return Beads(address(self._positions[number]), self._answers[number].forces)

    def enqueue(self, number: int) -> None:
        """As of all kernels of beads."""
        self._kernels.enqueue(self._layout, self._positions[number], self._answers[number])

    def ring(self, constants: RingConstants) -> DeviceRing:
        """As of all resident forces."""
        return DeviceRing(constants, self)

    def fetch(self) -> None:
        """As of all resident forces."""
        found, n = self._memory.fetched_to(self._host), self.n_evaluations
        self.energies = found["energy"].reshape(n, -1)
        self.forces = found["forces"].reshape(n, self._n_replicas, -1, 3)
        self._closest = found["closest"]
        self._findings = found["findings"] if self._monitored else None
        # Most rounds are in order, and this is seen at once.
        amiss = ~(self._closest[:, 0].reshape(n, -1).min(axis=1) >= SMALLEST_DISTANCE)
        amiss |= ~np.isfinite(self.energies).all(axis=1)
        amiss |= ~np.isfinite(self.forces.reshape(n, -1)).all(axis=1)
        if self._findings is not None:
            by_step = self._findings.reshape(n, -1, len(FINDINGS))
            columns = [by_step[..., k] for k, name in enumerate(FINDINGS) if name != "partners"]
            amiss |= is_outside(*columns).any(axis=1)
        self._amiss = amiss

    def check(self, number: int) -> None:
        """As of all resident forces."""
        outliers = None
        if self._amiss[number]:
            atoms = self._atoms(number)
            check_closest(self._closest[atoms], self._starts)
            if self._findings is not None:
                findings = self._findings[atoms].copy()
                domain = self._kernels.domain
                outliers = outliers_of(findings, domain, self._numbers, self._starts)
            forces = self.forces[number].reshape(-1, 3)
            check_finite(Prediction(energy=self.energies[number], forces=forces))
        if self._monitored:
            self._guard.assess(self._n_replicas, [] if outliers is None else [outliers])
