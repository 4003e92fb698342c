"""Neighbours of atoms in shells of distance, by pair of elements: what g(r) is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_numbers as number_of_symbol
from ase.data import chemical_symbols

from md_runs.analysis.structure.periodic_images import (
    checked_cells,
    nearest_images,
    neighbors_within,
    plane_spacings,
)
from mlpotential.errors import DataError

MOST_ATOMS_PAIRWISE = 200  # chosen: up to here all pairs are faster than a search tree
PAIRS_BYTES = 16e6  # chosen: of the vectors between pairs taken at once


def chosen_pairs(
    atomic_numbers: np.ndarray, element_pairs: Sequence[tuple[str, str]] | None
) -> list[tuple[int, int]]:
    """Pairs of atomic numbers, each once.

    Args:
        atomic_numbers: [n_atoms].
        element_pairs: symbols; None for every pair of elements, in either order once.

    Raises:
        DataError: for elements that are not there.
    """
    present = [int(number) for number in np.unique(atomic_numbers)]
    if element_pairs is None:
        return list(itertools.combinations_with_replacement(present, 2))
    for symbol in itertools.chain.from_iterable(element_pairs):
        if number_of_symbol.get(symbol) not in present:
            there = ", ".join(chemical_symbols[number] for number in present)
            raise DataError(f"there is no element {symbol!r} among {there}")
    return list(dict.fromkeys((number_of_symbol[a], number_of_symbol[b]) for a, b in element_pairs))


@dataclass
class NeighborCounts:
    """A measure for `sum_blocks`: neighbours in bins, summed over frames, mean over beads.

    Attributes:
        atomic_numbers: [n_atoms].
        pairs: of atomic numbers; (8, 1) counts the hydrogens around oxygens.
        n_bins: number of bins.
        bin_width: (A).
        pbc: periodic directions.
        reference_volume: for every frame (A^3); None for that of its cell.
        smallest_limit: half the smallest spacing of the cells so far (A).
    """

    atomic_numbers: np.ndarray
    pairs: list[tuple[int, int]]
    n_bins: int
    bin_width: float
    pbc: tuple[bool, bool, bool]
    reference_volume: float | None
    smallest_limit: float = field(default=np.inf, init=False)

    def __post_init__(self) -> None:
        self._atoms = np.flatnonzero(np.isin(self.atomic_numbers, self.pairs))
        self._place = np.full((len(chemical_symbols), len(chemical_symbols)), -1)
        for place, pair in enumerate(self.pairs):
            self._place[pair] = place

    @property
    def reach(self) -> float:
        """The upper edge of the last bin (A)."""
        return self.n_bins * self.bin_width

    def n_pairs(self, pair: tuple[int, int]) -> int:
        """Ordered pairs of different atoms."""
        n_first, n_second = (int(np.sum(self.atomic_numbers == number)) for number in pair)
        return n_first * (n_second - (pair[0] == pair[1]))

    def _volumes_per_pair(
        self, places: np.ndarray, are_images: np.ndarray | bool, volumes: np.ndarray
    ) -> np.ndarray:
        """V over the number of pairs, equation (2) of `rdf`: N_A (N_B - 1), of own images N_A^2."""
        n_pairs = np.maximum(1, [self.n_pairs(pair) for pair in self.pairs])
        n_images = np.array([np.sum(self.atomic_numbers == first) ** 2 for first, _ in self.pairs])
        weights: np.ndarray = volumes / np.where(are_images, n_images[places], n_pairs[places])
        return weights

    def __call__(self, positions: np.ndarray, cells: np.ndarray | None) -> dict[str, Any]:
        """Sums over frames [n_frames, n_beads, n_atoms, 3] (A) in their cells."""
        if positions.shape[2] != len(self.atomic_numbers):
            raise DataError(
                f"{positions.shape[2]} atoms need as many atomic numbers, not "
                f"{len(self.atomic_numbers)}"
            )
        limit, frame_cells, volumes = self._cells_and_volumes(cells, len(positions))
        self.smallest_limit = min(self.smallest_limit, limit)
        pairwise = self.reach <= limit and len(self._atoms) <= MOST_ATOMS_PAIRWISE
        add = self._add_pairs if pairwise else self._add_neighbors
        n_cells, step = len(self.pairs) * self.n_bins, self._frames_at_once(positions.shape[1])
        counts, weighted_counts = np.zeros((2, n_cells))
        for start in range(0, len(positions), step):
            chunk = slice(start, start + step)
            chosen = positions[chunk][:, :, self._atoms]
            cells_of_chunk = None if frame_cells is None else frame_cells[chunk]
            for places, weights in add(chosen, cells_of_chunk, volumes[chunk]):
                counts += np.bincount(places, minlength=n_cells)
                weighted_counts += np.bincount(places, weights, minlength=n_cells)
        shape, n_beads = (len(self.pairs), self.n_bins), positions.shape[1]
        return {
            "frames": len(positions),
            "counts": counts.reshape(shape) / n_beads,
            "weighted_counts": weighted_counts.reshape(shape) / n_beads,
            "volume": np.sum(volumes),
        }

    def _cells_and_volumes(
        self, cells: np.ndarray | None, n_frames: int
    ) -> tuple[float, np.ndarray | None, np.ndarray]:
        """Half the smallest spacing (A), and of each frame the cell and the volume."""
        limit, frame_cells, volumes = np.inf, None, np.full(n_frames, np.nan)
        if cells is not None and any(self.pbc):
            checked = checked_cells(cells, self.pbc)
            limit = 0.5 * float(plane_spacings(checked, self.pbc).min())
            volumes = np.broadcast_to(np.abs(np.linalg.det(checked)), n_frames)
            frame_cells = np.broadcast_to(checked, (n_frames, 3, 3))
        if self.reference_volume is not None:
            volumes = np.full(n_frames, self.reference_volume)
        return limit, frame_cells, volumes

    def _frames_at_once(self, n_beads: int) -> int:
        n_pairs = max(1, len(self._atoms) * (len(self._atoms) - 1) // 2)
        return max(1, int(PAIRS_BYTES / (24 * n_beads * n_pairs)))

    def _add_pairs(
        self, positions: np.ndarray, cells: np.ndarray | None, volumes: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Bins and weights of all pairs of many frames, each pair at its nearest image.

        Within half the smallest spacing that is the only one, and no atom is its own neighbour.
        """
        i, j = np.triu_indices(len(self._atoms), 1)
        vectors = positions[:, :, j] - positions[:, :, i]
        if cells is not None:
            vectors = nearest_images(vectors, cells, self.pbc)
        bins = (np.linalg.norm(vectors, axis=-1) / self.bin_width).astype(np.intp)
        numbers = self.atomic_numbers[self._atoms]
        for place in (self._place[numbers[i], numbers[j]], self._place[numbers[j], numbers[i]]):
            kept = (bins < self.n_bins) & (place >= 0)
            volume = np.broadcast_to(volumes[:, None, None], bins.shape)[kept]
            places = np.broadcast_to(place, bins.shape)[kept]
            weights = self._volumes_per_pair(places, False, volume)
            yield places * self.n_bins + bins[kept], weights

    def _add_neighbors(
        self, positions: np.ndarray, cells: np.ndarray | None, volumes: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Bins and weights of all neighbours, images among them, of one bead after another."""
        numbers = self.atomic_numbers[self._atoms]
        for k, frame in enumerate(positions):
            for bead in frame:
                cell = None if cells is None else cells[k]
                i, j, r = neighbors_within(bead, self.reach, cell, self.pbc)
                place, bins = self._place[numbers[i], numbers[j]], (r / self.bin_width).astype(int)
                kept = (place >= 0) & (bins < self.n_bins)
                weights = self._volumes_per_pair(place[kept], (i == j)[kept], volumes[k])
                yield place[kept] * self.n_bins + bins[kept], weights
