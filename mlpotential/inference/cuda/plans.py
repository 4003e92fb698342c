"""How `molecule.cu` is cut to size: for which molecules, by how many blocks, in how much memory.

A molecule goes to the smallest of a few sizes that holds it, and each size has one plan on a
device. So neither the company of a molecule nor their number changes a bit of what it gets.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache

import torch

from mlpotential.inference.cuda.executor import Limits, Macros

WIDTHS = (32, 64, 128, 256)  # features, as many as a block has threads at most
SIZES = (8, 16, 20, 24, 32, 48, 64)  # atoms
CLUSTERS = (1, 2, 4, 8)  # more than 8 blocks are not portable
FEATURES_PER_BLOCK = 16  # chosen: 64 bytes in float32, the least that is read at once twice
TILE = 32  # atoms of a thread in a dense layer, at most
CHUNKS, SMALL_CHUNKS = (0, 512, 128, 64), (32, 16, 8)  # chosen; 0 is all pairs
VIRIAL_NUMBERS = 72
C_NAMES = {torch.float32: "float", torch.float64: "double"}


@dataclass(frozen=True)
class Plan:
    """The macros of `molecule.cu`, which says what they mean."""

    dtype: torch.dtype
    n_features: int
    n_atoms: int
    cluster: int
    threads: int = 256
    buffers: int = 2
    chunk: int = 0  # 0: all pairs

    @property
    def n_pairs(self) -> int:
        """Of a molecule of that size."""
        return self.n_atoms * (self.n_atoms - 1) // 2

    @property
    def macros(self) -> Macros:
        """As the compiler gets them."""
        return {
            "M_REAL": C_NAMES[self.dtype],
            "M_FEATURES": self.n_features,
            "M_ATOMS": self.n_atoms,
            "M_CLUSTER": self.cluster,
            "M_THREADS": self.threads,
            "M_BUFFERS": self.buffers,
            "M_CHUNK": self.chunk or self.n_pairs,
        }

    @property
    def shared_bytes(self) -> int:
        """Size of `Shared`, member by member."""
        own, n, real = self.n_features // self.cluster, self.n_atoms, self.dtype.itemsize
        chunk = self.chunk or self.n_pairs
        tile = n if n <= TILE else n // 2
        share = -(-self.n_pairs // self.cluster)
        slots = max(own // 32, 1)
        members = [
            *[(real, 16, self.n_features * n)] * self.buffers,  # in
            (real, 16, self.threads * tile),  # part
            *[(real, 16, own * n)] * 4,  # stage, x, y, q
            (real, 16, chunk * own),  # filter
            *[(real, real, 6 * chunk)] * 2,  # value, slope
            (real, real, n),  # weight
            *[(8, 8, count) for count in (3 * n, self.n_pairs)],  # position, distance
            *[(8, 8, count) for count in (slots * self.n_pairs, self.cluster * share)],
            *[(8, 8, self.cluster * n)] * 3,  # energy, charge, deviation
            (8, 8, VIRIAL_NUMBERS),
            (4, 4, chunk),  # knot
            *[(1, 1, self.n_pairs)] * 2,  # first, second
        ]
        end = 0
        for size, alignment, count in members:
            end = _aligned(end, alignment) + size * count
        return _aligned(end, 16)

    @property
    def trace_numbers(self) -> int:
        """What the backward pass needs of one molecule and interaction, in numbers."""
        return 2 * self.n_atoms * self.n_features


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def width_for(n_features: int) -> int | None:
    """The features that so many are filled up to, with zeros; None where they are too many."""
    return next((width for width in WIDTHS if width >= n_features), None)


def size_for(n_atoms: int) -> int | None:
    """The size that a molecule goes to; None where it has too many atoms."""
    return next((size for size in SIZES if size >= n_atoms), None)


@cache
def plan_for(
    dtype: torch.dtype, n_features: int, n_atoms: int, limits: Limits, cluster: int | None = None
) -> Plan | None:
    """The plan of a size on a device; None where it has not enough shared memory.

    Args:
        dtype: of the network.
        n_features: one of `WIDTHS`.
        n_atoms: one of `SIZES`.
        limits: of the device.
        cluster: blocks of a molecule, one of `CLUSTERS`; None for the best.
    """
    for blocks in _clusters(n_features, limits) if cluster is None else (cluster,):
        # What costs least first: pairs in chunks, one buffer, pairs in small chunks.
        large, small = (
            itertools.product((2, 1), chunks, (256, 128)) for chunks in (CHUNKS, SMALL_CHUNKS)
        )
        for buffers, chunk, threads in itertools.chain(large, small):
            plan = Plan(dtype, n_features, n_atoms, blocks, threads, buffers, chunk)
            if _is_sound(plan) and plan.shared_bytes <= limits.shared_bytes:
                return plan
    return None


def _clusters(n_features: int, limits: Limits) -> list[int]:
    """Numbers of blocks, the best first."""
    allowed = [c for c in CLUSTERS if c <= limits.cluster]
    best = max(c for c in allowed if c * FEATURES_PER_BLOCK <= max(n_features, FEATURES_PER_BLOCK))
    return [best, *(c for c in allowed if c > best), *(c for c in reversed(allowed) if c < best)]


def _is_sound(plan: Plan) -> bool:
    """Whether all threads have work, and a chunk is one and holds a row of pairs."""
    tiles = 1 if plan.n_atoms <= TILE else 2
    own = plan.n_features // plan.cluster
    chunk_fits = plan.chunk == 0 or plan.n_atoms - 1 <= plan.chunk < plan.n_pairs
    return chunk_fits and plan.threads % (own * tiles) == 0
