"""Structures with their edges, joined to batches when these are asked for.

Without a cutoff all molecules of a size have the same pairs, kept once. Within a cutoff the pairs
of a structure are searched for when it is first needed, and kept as long as there is room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import overload

import numpy as np
import torch

from mlpotential.data.structure_arrays import StructureArrays
from mlpotential.errors import StructureError
from mlpotential.graph import AtomGraph
from mlpotential.neighbors import all_pairs, neighbor_pairs

MOST_KEPT = 2**29  # bytes of pairs, chosen: the rest of a training run needs as much


class ConnectedStructures(Sequence[AtomGraph]):
    """Single structures with edges, or many of them as one graph.

    Args:
        graphs: single structures; edges that they have are made anew.
        cutoff: largest distance of an edge (A); None for all pairs.

    Raises:
        StructureError: if a structure is periodic and there is no cutoff.
    """

    def __init__(self, graphs: Sequence[AtomGraph], cutoff: float | None) -> None:
        self.arrays, self.cutoff = StructureArrays.of(graphs), cutoff
        if cutoff is None and self.arrays.is_periodic.any():
            raise StructureError(
                "the model has no cutoff, so it cannot be used with periodic boundaries: "
                "an atom would see infinitely many images. Use a model with a cutoff"
            )
        self._of_size: dict[int, np.ndarray] = {}
        self._kept: dict[int, tuple[np.ndarray, np.ndarray | None]] = {}
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self.arrays)

    @overload
    def __getitem__(self, index: int) -> AtomGraph: ...
    @overload
    def __getitem__(self, index: slice) -> ConnectedStructures: ...
    def __getitem__(self, index: int | slice) -> AtomGraph | ConnectedStructures:
        if isinstance(index, slice):
            return ConnectedStructures(self.arrays[index], self.cutoff)
        return self.batch([range(len(self))[index]])

    def batch(self, chosen: Sequence[int] | np.ndarray) -> AtomGraph:
        """Structures at these places as one graph, with edges in the order of `graph`."""
        graph = self.arrays.batch(chosen)
        counts = self.arrays.n_atoms[np.asarray(chosen, np.int64)].tolist()
        found = [self._pairs(k, n) for k, n in zip(chosen, counts, strict=True)]
        first_atoms = np.cumsum([0, *counts[:-1]])
        pairs = np.concatenate(
            [p + a for (p, _), a in zip(found, first_atoms, strict=True)], axis=1
        )
        pairs = pairs.astype(np.int64, copy=False)
        edges = torch.from_numpy(np.concatenate([pairs, pairs[::-1]], axis=1))
        if graph.cell is None:
            return replace(graph, edge_index=edges)
        shifts = np.concatenate([np.zeros((p.shape[1], 3)) if s is None else s for p, s in found])
        edge_shift = torch.from_numpy(np.concatenate([shifts, -shifts]).astype(np.float64))
        return replace(graph, edge_index=edges, edge_shift=edge_shift)

    def batches(self, batch_size: int, device: torch.device | str = "cpu") -> Iterator[AtomGraph]:
        """All of them in order, `batch_size` at a time."""
        for start in range(0, len(self), batch_size):
            yield self.batch(range(start, min(start + batch_size, len(self)))).to(device)

    def _pairs(self, k: int, n_atoms: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Each pair once, [2, n_pairs], and the translations of its second atom, [n_pairs, 3]."""
        if self.cutoff is None:
            if n_atoms not in self._of_size:
                self._of_size[n_atoms] = all_pairs(n_atoms)
            return self._of_size[n_atoms], None
        if k in self._kept:
            return self._kept[k]
        single = self.arrays[int(k)]
        cell = None if single.cell is None else single.cell[0].numpy()
        pairs, shifts = neighbor_pairs(
            single.positions.numpy(), self.cutoff, cell, single.pbc[0].numpy()
        )
        found = (pairs.astype(np.int32), None if cell is None else shifts.astype(np.int32))
        self._n_bytes += sum(array.nbytes for array in found if array is not None)
        if self._n_bytes <= MOST_KEPT:
            self._kept[k] = found
        return found
