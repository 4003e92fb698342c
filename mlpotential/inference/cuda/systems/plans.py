"""How the kernels of large and periodic structures are cut to size.

None of this changes a bit of what a structure gets: sums over features, neighbours and atoms have
orders of their own, whatever the blocks are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from mlpotential.inference.cuda.executor import Limits, Macros
from mlpotential.inference.cuda.plans import C_NAMES

SLICE = 32  # features of a block in a convolution, as in `systems.h`
VECTOR_BYTES = 16
DENSE_THREADS = 256
PAIR_THREADS = 384  # chosen: two blocks fit on a multiprocessor, with 80 registers a thread
ALONE_THREADS = 768  # of a block that fits alone, for its shared memory
BLOCKS_AT_ONCE = 2  # of those on a multiprocessor
PLAIN_THREADS = 256  # of all other kernels
TILE_BYTES, SMALL_TILE_BYTES = 128, 32  # atoms of a thread in a dense layer, in bytes
SUMS = 7  # of a structure, as in `forces.cu`


@dataclass(frozen=True)
class SystemPlan:
    """The macros of the kernels, and their memory.

    Attributes:
        dtype: of the network.
        n_features: one of `plans.WIDTHS`.
        tile: atoms of a thread in a dense layer.
        table_bytes: of the filters that a block keeps in shared memory; 0 where they do not fit.
        pair_threads: of a block in a convolution.
        pair_blocks: of a convolution, so many that the device runs all at once.
    """

    dtype: torch.dtype
    n_features: int
    tile: int
    table_bytes: int
    pair_threads: int
    pair_blocks: int

    @cached_property
    def dense_macros(self) -> Macros:
        """Of `dense.cu`, as the compiler gets them."""
        return self._sizes | {"M_THREADS": DENSE_THREADS, "M_TILE": self.tile}

    @cached_property
    def pair_macros(self) -> Macros:
        """Of `edges.cu`."""
        return self._sizes | {
            "M_THREADS": self.pair_threads,
            "M_TABLE": int(self.table_bytes > 0),
        }

    @cached_property
    def plain_macros(self) -> Macros:
        """Of `forces.cu`."""
        return self._sizes | {"M_THREADS": PLAIN_THREADS}

    @property
    def _sizes(self) -> dict[str, str | int]:
        return {"M_REAL": C_NAMES[self.dtype], "M_FEATURES": self.n_features, "M_CLUSTER": 1}

    @property
    def n_slices(self) -> int:
        """Of the features, in a convolution."""
        return self.n_features // SLICE

    @property
    def rows(self) -> int:
        """Atoms of a block in a dense layer."""
        return self.tile * (DENSE_THREADS // self.n_features)

    @property
    def dense_bytes(self) -> int:
        """Shared memory of a dense layer: its input, a vector longer than the atoms are."""
        return self.n_features * (self.rows * self.dtype.itemsize + VECTOR_BYTES)

    @property
    def edge_bytes(self) -> int:
        """Of a pair within the cutoff: its place in the table, neighbour and interval."""
        return VECTOR_BYTES

    @property
    def pair_warps(self) -> int:
        """Of a block; each takes an atom."""
        return self.pair_threads // 32

    @property
    def blocks_of_a_slice(self) -> int:
        """At most, in a convolution."""
        return max(self.pair_blocks // self.n_slices, 1)

    def plain_blocks(self, n_atoms: int) -> int:
        """Of a kernel with a warp for each atom."""
        return -(-n_atoms // (PLAIN_THREADS // 32))

    @property
    def sum_bytes(self) -> int:
        """Shared memory of the sums over a structure."""
        return 8 * SUMS * PLAIN_THREADS


def system_plan(
    dtype: torch.dtype, n_features: int, n_knots: int, n_atoms: int, limits: Limits
) -> SystemPlan:
    """The plan for structures of so many atoms together.

    Args:
        dtype: of the network.
        n_features: one of `plans.WIDTHS`.
        n_knots: of the filter table.
        n_atoms: of all structures.
        limits: of the device.
    """
    table_bytes, at_once = 3 * n_knots * SLICE * dtype.itemsize, BLOCKS_AT_ONCE
    if table_bytes > limits.shared_bytes:
        table_bytes = 0
    elif at_once * table_bytes > limits.shared_bytes:
        at_once = 1
    has_room = dtype == torch.float32 and at_once == 1
    large, small = (
        SystemPlan(
            dtype=dtype,
            n_features=n_features,
            tile=n_bytes // dtype.itemsize,
            table_bytes=table_bytes,
            pair_threads=ALONE_THREADS if has_room else PAIR_THREADS,
            pair_blocks=at_once * limits.multiprocessors,
        )
        for n_bytes in (TILE_BYTES, SMALL_TILE_BYTES)
    )
    leaves_idle = n_atoms < limits.multiprocessors * large.rows
    return small if leaves_idle or large.dense_bytes > limits.shared_bytes else large
