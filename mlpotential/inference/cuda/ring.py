"""Ring polymers that move on the device by `ring.cu`, many steps for one word of the host.

A round is a fixed number of steps, each of `ring_start`, an evaluation of all beads, `ring_finish`.
Every step leaves the state behind it in a row of its own, so the host reads whatever it wants of a
round afterwards. On a CUDA device a round is recorded once, as a graph, and replayed.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mlpotential.inference.cuda.executor import Executor
from mlpotential.inference.cuda.interface import address
from mlpotential.inference.resident_forces import RingConstants
from mlpotential.models.torch_state import own_torch_state

SOURCE = "ring"
MOST_THREADS = 256  # of the block that moves a ring polymer; chosen

_int64, _float64, _address = ctypes.c_longlong, ctypes.c_double, ctypes.c_void_p


class Ring(ctypes.Structure):
    """What moves, and how."""

    _fields_ = (
        ("modes", _address),
        ("keeps", _address),
        ("shakes", _address),
        ("stays", _address),
        ("drifts", _address),
        ("pulls", _address),
        ("inverse_roots", _address),
        ("of_center", _address),
        ("key", _address),
        ("n_done", _address),
        ("half_step", _float64),
        ("n_atoms", _int64),
        ("n_beads", _int64),
        ("holds_center", _int64),
    )


class Moment(ctypes.Structure):
    """A state of it."""

    _fields_ = (
        ("positions", _address),
        ("momenta", _address),
        ("forces", _address),
        ("heat", _address),
    )


class Beads(ctypes.Structure):
    """Where they are, and what the potential does to them."""

    _fields_ = (("positions", _address), ("forces", _address))


class BeadKernels(Protocol):
    """What evaluates the beads of every step of a round."""

    executor: Executor
    n_evaluations: int

    def beads(self, number: int) -> Beads:
        """Where an evaluation, of so many in a round, reads positions and puts its forces."""

    def enqueue(self, number: int) -> None:
        """Has it done, after what was enqueued before."""


class DeviceRing:
    """A ring polymer on the device.

    Args:
        constants: of it.
        forces: on its beads; their number of evaluations is that of steps in a round.
    """

    @own_torch_state()
    def __init__(self, constants: RingConstants, forces: BeadKernels) -> None:
        self._forces, executor = forces, forces.executor
        n_beads, n_atoms = len(constants.modes), len(constants.inverse_roots)
        self.n_steps, self._shape = forces.n_evaluations, (n_beads, 3 * n_atoms)
        self._size = size = n_beads * 3 * n_atoms
        device, n_rows = executor.device, forces.n_evaluations + 1
        names = ("modes", "keeps", "shakes", "stays", "drifts", "pulls", "inverse_roots",
                 "of_center", "key")  # fmt: skip
        self._kept = {name: _placed(getattr(constants, name), device) for name in names}
        self._n_done = torch.zeros(1, dtype=torch.int64, device=device)
        self._ring = Ring(
            **{name: address(tensor) for name, tensor in self._kept.items()},
            n_done=address(self._n_done),
            half_step=constants.half_step,
            n_atoms=n_atoms,
            n_beads=n_beads,
            holds_center=constants.holds_center,
        )
        # Rows of positions, momenta, forces and the two numbers of heat; the first is the last one
        # of the round before.
        self._rows = torch.zeros((n_rows, 3 * size + 2), dtype=torch.float64, device=device)
        self._found = torch.empty(
            self._rows.shape,
            dtype=torch.float64,
            device="cpu",
            pin_memory=device.type == "cuda",
        )
        threads = 32
        while threads < min(size, MOST_THREADS):
            threads *= 2
        self._threads, self._shared = threads, 8 * (threads + 3)
        macros = {"M_CLUSTER": 1, "M_THREADS": threads}
        self._start = executor.kernel("ring_start", macros, SOURCE)
        self._finish = executor.kernel("ring_finish", macros, SOURCE)
        self._round: Callable[[], None] | None = None

    def place(
        self, positions: np.ndarray, momenta: np.ndarray, forces: np.ndarray, heat: float, step: int
    ) -> None:
        """As of all resident rings."""
        state = np.stack([positions, momenta, forces]).reshape(-1)
        self._rows[-1] = torch.from_numpy(np.append(state, [heat, 0.0]))
        self._n_done.fill_(step)

    def advance(self) -> None:
        """As of all resident rings."""
        if self._round is None:
            self._round = self._forces.executor.sequence(self._enqueue)
        self._round()
        self._found.copy_(self._rows)

    def state(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, float]:
        """As of all resident rings."""
        row, size = self._found[number + 1].numpy(), self._size
        q, p, f = (row[k * size : (k + 1) * size].reshape(self._shape) for k in range(3))
        return q, p, f, float(row[-2]), float(row[-1])

    def _enqueue(self) -> None:
        self._rows[0].copy_(self._rows[-1])
        for number in range(self.n_steps):
            old, now = self._moment(number), self._moment(number + 1)
            beads = self._forces.beads(number)
            self._start(1, self._threads, self._shared, (self._ring, old, now, beads))
            self._forces.enqueue(number)
            self._finish(1, self._threads, self._shared, (self._ring, now, beads))

    def _moment(self, row: int) -> Moment:
        first, size = self._rows[row].data_ptr(), 8 * self._size
        return Moment(first, first + size, first + 2 * size, first + 3 * size)


def _placed(array: np.ndarray | None, device: torch.device) -> Tensor | None:
    """A copy on the device; whole numbers have its bits and another sign."""
    if array is None:
        return None
    numbers = np.array(array, order="C")
    numbers = numbers.view(np.int64) if numbers.dtype.kind == "u" else numbers
    return torch.from_numpy(numbers).to(device)
