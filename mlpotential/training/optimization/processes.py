"""Several processes that train one model together, each on its share of every batch.

`torchrun` starts them and tells each by environment variables who it is. All know all the data and
draw the same order; of the n structures of a batch, process k of m takes the k-th, the (k+m)-th and
so on. With l_j the loss of structure j and G_k the gradient that process k finds for its own,

    G_k = d/dw (1/n) sum_(j of k) l_j,    G = sum_k G_k = d/dw (1/n) sum_j l_j,             (1)

which is the gradient of one process with the whole batch, to rounding, whatever m and the shares:
also where a process has no structure. G is summed as one flat vector after the backward pass.
`DistributedDataParallel`, which sums while it runs, leaves gradients of a step unsummed, silently,
where a parameter has none, as the last bias of a network has with a loss of forces alone.

Process 0 alone writes. Whatever has to be decided (to stop, which weights were best) follows from
numbers that all have. A process that ends closes its connections, which ends the others.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor, nn

from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.device import resolve_device

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # that torchrun sets
# Chosen: longer than what process 0 does alone at the end. One that ends is noticed at once.
LONGEST_WAIT = timedelta(hours=1)

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """The processes of a training, as one of them sees them.

    Attributes:
        rank: number of this one, from 0.
        count: how many there are.
        rank_here: number of this one among those on this machine.
        are_joined: whether they are connected; a process alone is not.
    """

    rank: int = 0
    count: int = 1
    rank_here: int = 0
    are_joined: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def share(self, items: Sequence[Value]) -> list[Value]:
        """What this process takes of them."""
        return [items[k] for k in range(self.rank, len(items), self.count)]

    def device(self, name: str) -> torch.device:
        """The device of this process; of several processes on a machine, each has a GPU.

        Raises:
            ConfigError: if there is none, or several are told to take the same.
        """
        found = resolve_device(name)
        if self.count == 1 or found.type == "cpu":
            return found
        if found.index is not None:
            raise ConfigError(
                f"training.device is {name}, which {self.count} processes cannot share: use cuda, "
                "and each takes one"
            )
        if self.rank_here >= torch.cuda.device_count():
            raise ConfigError(
                f"process {self.rank} is number {self.rank_here + 1} on this machine, which has "
                f"{torch.cuda.device_count()} GPUs: start at most so many on it"
            )
        return torch.device("cuda", self.rank_here)

    def sum_gradients(self, parameters: Iterable[nn.Parameter], loss_sum: float) -> float:
        """Gives each parameter the sum of all its gradients, Eq. (1), and returns that of the sums.

        One that has a gradient in no process stays without, as the optimizer of one process would
        find it.

        Args:
            parameters: the same in all processes, in the same order.
            loss_sum: any number; not finite where the gradients are of no use.
        """
        if not self.are_joined:
            return loss_sum
        parameters = list(parameters)
        known = [float(p.grad is not None) for p in parameters]
        numbers = parameters[0].new_tensor([*known, loss_sum], dtype=torch.float64)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([numbers, *(g.reshape(-1).double() for g in gradients)])
        with _told_of_ended_processes():
            torch.distributed.all_reduce(flat)
        numbers, flat = flat[: len(numbers)], flat[len(numbers) :]
        *known, total = numbers.tolist()
        summed = flat.split([p.numel() for p in parameters])
        for parameter, n_known, gradient in zip(parameters, known, summed, strict=True):
            parameter.grad = gradient.to(parameter.dtype).view_as(parameter) if n_known else None
        return float(total)

    def largest(self, number: int) -> int:
        """The largest number that a process has."""
        if not self.are_joined:
            return number
        largest = torch.tensor(number)
        with _told_of_ended_processes():
            torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX)
        return int(largest)

    def gathered(self, value: Value) -> list[Value]:
        """The values of all processes, in their order."""
        if not self.are_joined:
            return [value]
        values: list[Any] = [None] * self.count
        with _told_of_ended_processes():
            torch.distributed.all_gather_object(values, value)
        return values

    def from_first(self, value: Value) -> Value:
        """The value that process 0 has."""
        if not self.are_joined:
            return value
        values: list[Any] = [value]
        with _told_of_ended_processes():
            torch.distributed.broadcast_object_list(values, src=0)
        first: Value = values[0]
        return first

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Fills tensors with those of process 0: the rounding of another processor must not add up.

        Args:
            tensors: in the same order in all processes.
        """
        if self.are_joined:
            with _told_of_ended_processes():
                for tensor in tensors:
                    torch.distributed.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Until all processes are here."""
        self.gathered(None)

    def require_same(self, what: str, value: object) -> None:
        """Raises RunError, in all processes, unless all have the same value."""
        values = self.gathered(value)
        other = [k for k, found in enumerate(values) if found != values[0]]
        if other:
            raise RunError(
                f"process {other[0]} has other {what} than process 0: start all processes with the "
                "same command and the same files"
            )


ALONE = Processes()


@contextlib.contextmanager
def joined_processes() -> Iterator[Processes]:
    """Those that `torchrun` started; `ALONE` where it did not. Messages are those of process 0.

    Raises:
        RunError: if they do not find each other.
    """
    if not all(name in os.environ for name in VARIABLES):
        yield ALONE
        return
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    processes = Processes(rank, count, int(os.environ.get("LOCAL_RANK", rank)), are_joined=True)
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(processes.rank_here % torch.cuda.device_count())
    try:
        torch.distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"process {rank} of {count} did not find the others ({_first_line(error)}): start them "
            "with torchrun --nproc-per-node N -m mlpotential ..."
        ) from error
    log = logging.getLogger("mlpotential")
    was_disabled = log.disabled
    log.disabled = was_disabled or not processes.is_first
    try:
        yield processes
    finally:
        log.disabled = was_disabled
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _told_of_ended_processes() -> Iterator[None]:
    """Whatever a connection reports, in words: it is closed where another process has ended."""
    try:
        yield
    except RuntimeError as error:
        raise RunError(
            "another process of this training has ended, so this one ends, too: see what the other "
            "said. The last checkpoint is kept, and the same command continues it "
            f"({_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
