"""What runs kernels: a CUDA device, or whatever else has this interface.

A kernel is called with its numbers of blocks and threads and with structures of `interface.py`,
whose addresses are of memory that the executor's device can read. It returns before it has ended;
work of torch on the same device waits for it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

Macros = Mapping[str, str | int]


@dataclass(frozen=True)
class Limits:
    """Of a device.

    Attributes:
        shared_bytes: shared memory that a block can have.
        cluster: blocks of a cluster; 1 where the device has no clusters.
        multiprocessors: each runs a few blocks at a time.
    """

    shared_bytes: int
    cluster: int
    multiprocessors: int = 1

    @property
    def in_words(self) -> str:
        """For people."""
        clusters = f"clusters of {self.cluster}" if self.cluster > 1 else "without clusters"
        return f"{self.shared_bytes // 1024} kB of shared memory a block, {clusters}"


class Kernel(Protocol):
    """A compiled kernel, ready to run."""

    def __call__(
        self, grid: int, block: int, shared: int, arguments: Sequence[ctypes.Structure]
    ) -> None:
        """Runs it.

        Args:
            grid: number of blocks.
            block: threads of each.
            shared: bytes of shared memory of each.
            arguments: passed by value.
        """


class Executor(Protocol):
    """Compiles kernels for a device, and runs them there.

    Attributes:
        name: of the architecture, in words.
        device: where memory is.
        limits: of the device.
    """

    name: str
    device: torch.device
    limits: Limits

    def kernel(self, name: str, macros: Macros, source: str | None = None) -> Kernel:
        """A kernel.

        Args:
            name: of its function.
            macros: to be defined.
            source: its file below this folder, without `.cu`; None for that of its name.

        Raises:
            RunError: where it cannot be compiled or loaded.
        """
