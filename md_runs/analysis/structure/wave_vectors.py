"""Wave vectors that a periodic cell allows, q = 2 pi n A^-T with whole numbers n, in shells of |q|.

A large cell allows millions; of each shell as many are kept as asked for, by lot (seeded), so that
none of its directions is preferred. Of q and -q one is kept: they scatter alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlpotential.errors import ConfigError

MOST_CANDIDATES = 1e9  # chosen: a minute


@dataclass(frozen=True)
class WaveVectors:
    """Wave vectors sorted by shells.

    Attributes:
        numbers: n, [n_vectors, 3] of int.
        lengths: |q|, [n_vectors] (1/A).
        starts: index of the first vector of each shell that has any, [n_shells].
    """

    numbers: np.ndarray
    lengths: np.ndarray
    starts: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Vectors of each shell, [n_shells]."""
        return np.diff(np.append(self.starts, len(self.lengths)))

    def shell_means(self, values: np.ndarray) -> np.ndarray:
        """Means over shells, [..., n_vectors] -> [..., n_shells]."""
        means: np.ndarray = np.add.reduceat(values, self.starts, axis=-1) / self.counts
        return means


def allowed_wave_vectors(
    cell: np.ndarray, max_wavevector: float, shell_width: float, most_per_shell: int
) -> WaveVectors:
    """Those up to a length, without q = 0.

    Args:
        cell: lattice vectors as rows, [3, 3] (A).
        max_wavevector: largest |q| (1/A).
        shell_width: of |q| (1/A).
        most_per_shell: vectors of each shell.

    Raises:
        ConfigError: no vector is so short, or there are too many.
    """
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    most = (max_wavevector * np.linalg.norm(cell, axis=1) / (2 * np.pi)).astype(int)
    if np.prod(2.0 * most + 1) > MOST_CANDIDATES:
        raise ConfigError(
            f"a cell so large allows too many wave vectors up to {max_wavevector:g} 1/A: ask for "
            "less (--q-max)"
        )
    lot = np.random.default_rng(0)
    kept = np.zeros((0, 3), int)
    keys = np.zeros(0)
    for first in range(most[0] + 1):
        numbers = _half_plane(first, most)
        lengths = np.linalg.norm(numbers @ reciprocal, axis=1)
        is_short = lengths <= max_wavevector * (1 + 1e-12)
        kept = np.concatenate([kept, numbers[is_short]])
        keys = np.concatenate([keys, lot.uniform(size=int(is_short.sum()))])
        chosen = _chosen(kept @ reciprocal, keys, shell_width, most_per_shell)
        kept, keys = kept[chosen], keys[chosen]
    if not len(kept):
        raise ConfigError(
            f"the cell allows no wave vector up to {max_wavevector:g} 1/A: ask for more (--q-max)"
        )
    lengths = np.linalg.norm(kept @ reciprocal, axis=1)
    shells = (lengths / shell_width * (1 + 1e-12)).astype(int)
    return WaveVectors(kept, lengths, np.unique(shells, return_index=True)[1])


def _half_plane(first: int, most: np.ndarray) -> np.ndarray:
    """All n with this first number, one of n and -n, without 0: [n, 3]."""
    others = [np.arange(-m, m + 1) for m in most[1:]]
    second, third = (grid.ravel() for grid in np.meshgrid(*others, indexing="ij"))
    numbers = np.column_stack([np.full(len(second), first), second, third])
    if first == 0:
        numbers = numbers[(second > 0) | ((second == 0) & (third > 0))]
    return numbers


def _chosen(
    vectors: np.ndarray, keys: np.ndarray, shell_width: float, most_per_shell: int
) -> np.ndarray:
    """Indices of the vectors with the smallest keys of each shell, sorted by shells."""
    shells = (np.linalg.norm(vectors, axis=1) / shell_width * (1 + 1e-12)).astype(int)
    order = np.lexsort((keys, shells))
    shells = shells[order]
    rank = np.arange(len(order)) - np.searchsorted(shells, shells)
    return order[rank < most_per_shell]
