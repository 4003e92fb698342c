"""Connected structures in the form the compiled kernel reads: flat arrays, pairs row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlpotential.graph import AtomGraph

INT32 = ("atomic_numbers", "neighbors", "shift_index")
INT64 = ("graph_start", "row_start")


@dataclass(frozen=True)
class PairGraph:
    """Structures one after another with a half list of pairs, grouped by their first atoms.

    All arrays are C-contiguous. Pairs beyond the model's cutoff may be among them.

    Attributes:
        graph_start: first atom of each structure and the end of the last, [n_graphs + 1], int64.
        atomic_numbers: [n_atoms], int32.
        row_start: first pair of each first atom and the end, [n_atoms + 1], int64.
        neighbors: second atoms, [n_pairs], int32.
        shift_index: the row of `translations` that moves each second atom, [n_pairs], int32; None
            without cells.
        translations: lattice translations, [n_translations, 3], float64 (A); None without cells.
    """

    graph_start: np.ndarray
    atomic_numbers: np.ndarray
    row_start: np.ndarray
    neighbors: np.ndarray
    shift_index: np.ndarray | None = None
    translations: np.ndarray | None = None

    @classmethod
    def from_graph(cls, graph: AtomGraph) -> PairGraph:
        """From structures with edges (`neighbors.connect`)."""
        # Pairs row by row, i.e. by their first atoms; those of one atom keep their order.
        i, j = graph.pair_index.cpu().numpy()  # each [n_pairs]
        order = np.argsort(i, kind="stable")

        # Here each pair has a translation of its own, shift . cell of its structure, [n_pairs, 3],
        # so that pair k in the new order is moved by row k.
        shift_index = translations = None
        if graph.cell is not None and graph.edge_shift is not None:
            cells = graph.cell[graph.graph_index[graph.pair_index[0]]]
            shifts = graph.edge_shift[: graph.n_pairs, None, :]
            translations = np.ascontiguousarray((shifts @ cells).squeeze(1).cpu().numpy()[order])
            shift_index = np.arange(graph.n_pairs, dtype=np.int32)
        return cls(
            graph_start=_starts(graph.atoms_per_graph().cpu().numpy()),
            atomic_numbers=graph.atomic_numbers.cpu().numpy().astype(np.int32),
            row_start=_starts(np.bincount(i, minlength=graph.n_atoms)),
            neighbors=j[order].astype(np.int32),
            shift_index=shift_index,
            translations=translations,
        )

    @classmethod
    def joined(cls, graphs: Sequence[PairGraph]) -> PairGraph:
        """Many as one; all with cells or all without."""
        # Atoms and pairs of a graph are numbered on from the ends of those before it.
        n_atoms = _starts([g.n_atoms for g in graphs])  # [n_graphs + 1], and so is n_pairs
        n_pairs = _starts([len(g.neighbors) for g in graphs])

        # So are translations, which differ in number: [n_translations of all, 3] in the end.
        shift_index = translations = None
        moved = [(g.shift_index, g.translations) for g in graphs if g.translations is not None]
        if moved:
            indices, vectors = zip(*moved, strict=True)
            translations = np.concatenate(vectors)
            shift_index = _shifted(indices, _starts([len(v) for v in vectors]))
        return cls(
            graph_start=_joined_starts([g.graph_start for g in graphs], n_atoms),
            atomic_numbers=np.concatenate([g.atomic_numbers for g in graphs]),
            row_start=_joined_starts([g.row_start for g in graphs], n_pairs),
            neighbors=_shifted([g.neighbors for g in graphs], n_atoms),
            shift_index=shift_index,
            translations=translations,
        )

    @property
    def n_atoms(self) -> int:
        """Of all structures together."""
        return len(self.atomic_numbers)

    @property
    def n_graphs(self) -> int:
        """Number of structures."""
        return len(self.graph_start) - 1

    @cached_property
    def addresses(self) -> dict[str, int | None]:
        """Of all arrays by their names, for compiled programs; they hold as long as this object."""
        indices = {name: address(getattr(self, name), np.int32) for name in INT32}
        starts = {name: address(getattr(self, name), np.int64) for name in INT64}
        return indices | starts | {"translations": address(self.translations, np.float64)}

    def number_in_graph(self, atom: int) -> int:
        """The number of an atom within its own structure."""
        graph = int(np.searchsorted(self.graph_start, atom, side="right")) - 1
        return atom - int(self.graph_start[graph])


def address(array: np.ndarray | None, dtype: type | np.dtype) -> int | None:
    """Of the first number of an array of this type, without gaps; null for None."""
    if array is None:
        return None
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    return array.ctypes.data


def _starts(counts: np.ndarray | Sequence[int]) -> np.ndarray:
    """Where each of them begins, and the end: [n] -> [n + 1], int64."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _joined_starts(parts: Sequence[np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Starts [n_k + 1] of many parts, moved by their offsets -> [sum of n_k + 1].

    The end of a part is the start of the next, so it is left out of all but the last.
    """
    moved = [part[:-1] + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
    return np.concatenate([*moved, offsets[-1:]])


def _shifted(parts: Sequence[np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Indices [n_k] of many parts, moved by their offsets -> [sum of n_k], int32."""
    moved = [part + offset for part, offset in zip(parts, offsets[:-1], strict=True)]
    return np.concatenate(moved).astype(np.int32)
