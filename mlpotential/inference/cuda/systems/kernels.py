"""The kernels of large and periodic structures, compiled when they are needed first."""

from __future__ import annotations

import ctypes
import threading

from mlpotential.inference.cuda.executor import Executor, Kernel, Macros

FOLDER = "systems"
SOURCES = {
    **dict.fromkeys(("place_atoms", "search", "sort_rows", "watch"), "cells"),
    **dict.fromkeys(("embed", "interact", "answer_atoms", "differentiate"), "dense"),
    **dict.fromkeys(("find_edges", "convolve", "pull"), "edges"),
    **dict.fromkeys(("answer_forces", "sum_up"), "forces"),
}


class Kernels:
    """Compiled for one device.

    Args:
        executor: of the device.
    """

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self._compiled: dict[tuple[str | int, ...], Kernel] = {}
        self._lock = threading.Lock()

    def run(
        self,
        name: str,
        macros: Macros,
        grid: int,
        *arguments: ctypes.Structure,
        shared: int = 0,
    ) -> None:
        """Runs one.

        Args:
            name: of its function.
            macros: among them `M_THREADS`, of a block.
            grid: number of blocks.
            arguments: passed by value.
            shared: bytes of shared memory of each block.
        """
        kernel = self._kernel(name, macros)
        kernel(grid, int(macros["M_THREADS"]), shared, arguments)

    def _kernel(self, name: str, macros: Macros) -> Kernel:
        key = name, *macros.values()
        with self._lock:
            if key not in self._compiled:
                source = f"{FOLDER}/{SOURCES[name]}"
                self._compiled[key] = self.executor.kernel(name, macros, source)
            return self._compiled[key]


def blocks_of(n: int, each: int) -> int:
    """How many blocks take n things, so many each."""
    return -(-n // each)
