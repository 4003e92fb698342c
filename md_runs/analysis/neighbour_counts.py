"""Neighbours of atoms in shells of distance, by pair of elements: what g(r) is made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_numbers as number_of_symbol
from ase.data import chemical_symbols

from md_runs.analysis.periodic_images import checked_cells, neighbours_within, plane_spacings
from mlpotential.errors import DataError


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
class NeighbourCounts:
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

    def n_pairs(self, pair: tuple[int, int], has_images: bool) -> int:
        """Ordered pairs of atoms; an atom is a pair with its own image, where there are any."""
        n_first, n_second = (int(np.sum(self.atomic_numbers == number)) for number in pair)
        return n_first * (n_second - (pair[0] == pair[1] and not has_images))

    def __call__(self, positions: np.ndarray, cells: np.ndarray | None) -> dict[str, Any]:
        """Sums over frames [n_frames, n_beads, n_atoms, 3] (A) in their cells."""
        if positions.shape[2] != len(self.atomic_numbers):
            raise DataError(
                f"{positions.shape[2]} atoms need as many atomic numbers, not "
                f"{len(self.atomic_numbers)}"
            )
        frame_cells, volumes = self._cells_and_volumes(cells, len(positions))
        counts, counts_times_volume = np.zeros((2, len(self.pairs), self.n_bins))
        for frame, cell, volume in zip(positions, frame_cells, volumes, strict=True):
            of_frame = sum(self._neighbours(bead[self._atoms], cell) for bead in frame) / len(frame)
            counts += of_frame
            counts_times_volume += volume * of_frame
        return {
            "frames": len(positions),
            "counts": counts,
            "counts_times_volume": counts_times_volume,
            "volume": np.sum(volumes),
        }

    def _cells_and_volumes(
        self, cells: np.ndarray | None, n_frames: int
    ) -> tuple[Sequence[np.ndarray | None], Sequence[float]]:
        """Of each frame."""
        frame_cells: Sequence[np.ndarray | None] = [None] * n_frames
        volumes: Sequence[float] = []
        if cells is not None and any(self.pbc):
            checked = checked_cells(cells, self.pbc)
            spacing = float(plane_spacings(checked, self.pbc).min())
            self.smallest_limit = min(self.smallest_limit, 0.5 * spacing)
            whole = np.broadcast_to(checked, (n_frames, 3, 3))
            frame_cells, volumes = list(whole), list(np.abs(np.linalg.det(whole)))
        if self.reference_volume is not None:
            volumes = [self.reference_volume] * n_frames
        return frame_cells, volumes

    def _neighbours(self, positions: np.ndarray, cell: np.ndarray | None) -> np.ndarray:
        """Neighbours of one bead of one frame, [n_pairs, n_bins]."""
        numbers = self.atomic_numbers[self._atoms]
        i, j, r = neighbours_within(positions, self.reach, cell, self.pbc)
        place, bins = self._place[numbers[i], numbers[j]], (r / self.bin_width).astype(np.intp)
        kept = (place >= 0) & (bins < self.n_bins)
        flat = np.bincount(
            place[kept] * self.n_bins + bins[kept], minlength=len(self.pairs) * self.n_bins
        )
        return flat.reshape(len(self.pairs), self.n_bins)
