"""Reference data: structures with quantum-chemistry labels. `data.read` makes them of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph
from mlpotential.properties import LABELS

_HASH_VERSION = b"mlpotential reference data 1"
# Those of version 0.2, whose weights are hashed whether there are such labels or not.
_FIRST_LABELS = ("energy", "forces", "dipole")
_HASHED = ("atomic_numbers", "positions", "pbc", "cell", *LABELS, "weights")


@dataclass(frozen=True, eq=False)
class ReferenceData(Sequence[AtomGraph]):
    """An immutable sequence of labelled structures.

    A label is present in all structures or, where it was not asked for, in none.

    Attributes:
        graphs: one structure each, labels in the units of `properties.LABELS`.
        source: where they come from, for messages and model files.
        frame_numbers: where each stands in its file, from 0, for messages; None for their order.
        isolated_atoms: energies (eV) by atomic number of frames that are no training data, but
            reference energies: those marked `config_type=IsolatedAtom`.
    """

    graphs: tuple[AtomGraph, ...]
    source: str
    frame_numbers: tuple[int, ...] | None = None
    isolated_atoms: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graphs", tuple(self.graphs))
        for label in (*LABELS, *self.scalars):
            present = [graph.label(label) is not None for graph in self.graphs]
            if any(present) and not all(present):
                raise DataError(
                    f"{self.source}: {label} is known for {sum(present)} of {len(present)} "
                    f"structures; the first without is {self.name_of(present.index(False))}"
                )

    def __len__(self) -> int:
        return len(self.graphs)

    @overload
    def __getitem__(self, index: int) -> AtomGraph: ...
    @overload
    def __getitem__(self, index: slice) -> ReferenceData: ...
    def __getitem__(self, index: int | slice) -> AtomGraph | ReferenceData:
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self.graphs[index]

    def __repr__(self) -> str:
        return f"ReferenceData({len(self)} structures from {self.source})"

    def select(self, indices: Iterable[int]) -> ReferenceData:
        """The structures at these indices, in this order.

        Raises:
            DataError: if an index is negative or too large.
        """
        chosen = [int(i) for i in indices]
        for i in chosen:
            if not 0 <= i < len(self):
                raise DataError(f"{self.source} has no frame {i}: there are {len(self)}, from 0")
        numbers = self.frame_numbers or range(len(self))
        return replace(
            self,
            graphs=tuple(self.graphs[i] for i in chosen),
            frame_numbers=tuple(numbers[i] for i in chosen),
        )

    def name_of(self, k: int) -> str:
        """`frame 61`: the number that the k-th structure has in its file."""
        return f"frame {self.frame_numbers[k] if self.frame_numbers else k}"

    @property
    def scalars(self) -> list[str]:
        """Names of the named scalars that were read."""
        return list({name: None for graph in self.graphs for name in graph.scalars})

    def has(self, label: str) -> bool:
        """Whether this label or named scalar was read."""
        return any(graph.label(label) is not None for graph in self.graphs)

    @cached_property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers that occur, ascending."""
        return tuple(sorted({int(z) for g in self.graphs for z in g.atomic_numbers.unique()}))

    @cached_property
    def element_counts(self) -> np.ndarray:
        """Atoms of each element of `elements` in each structure, [n_frames, n_elements].

        Raises:
            DataError: if there are no structures.
        """
        if not len(self):
            raise DataError(f"{self.source}: statistics of no structures")
        elements = np.array(self.elements)
        return np.array(
            [(g.atomic_numbers.numpy()[:, None] == elements).sum(axis=0) for g in self], np.float64
        )

    @cached_property
    def energies(self) -> np.ndarray:
        """[n_frames] (eV).

        Raises:
            DataError: if energies were not asked for.
        """
        if not self.has("energy"):
            raise DataError(f"{self.source} was read without energies, but they are needed here")
        return np.array([graph.energy.item() for graph in self.graphs if graph.energy is not None])

    def values(self, label: str) -> np.ndarray:
        """A label of structures or a named scalar, [n_frames, ...] in the units of this program.

        Raises:
            DataError: if it was not asked for.
        """
        if not self.has(label):
            raise DataError(f"{self.source} was read without {label}, which is needed here")
        values = [graph.label(label) for graph in self.graphs]
        return np.concatenate([v.numpy() for v in values if v is not None])

    def with_label(self, label: str) -> ReferenceData:
        """The structures whose weight for this label is not zero: where it is one."""
        if all(graph.weights is None for graph in self.graphs):
            return self
        chosen = [k for k, g in enumerate(self.graphs) if g.label_weights(label).item() > 0.0]
        if not chosen:
            raise DataError(f"{self.source}: the weight of the {label} is 0 in all structures")
        return self.select(chosen)

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: numbers, positions, cells and labels, in order, whatever the file.

        Each array enters as its name, its shape and its little-endian bytes (-0.0 as 0.0).
        """
        digest = hashlib.sha256(_HASH_VERSION)
        for graph in self.graphs:
            of_table = {name: getattr(graph, name) for name in _HASHED}
            of_table["weights"] = _weights_of_labels(graph)
            for name, tensor in (of_table | dict(sorted(graph.scalars.items()))).items():
                if tensor is not None:
                    array = tensor.numpy()
                    array = array.astype("<f8") + 0.0 if array.dtype.kind == "f" else array
                    array = array.astype("<i8") if array.dtype.kind == "i" else array
                    digest.update(f"{name}{array.shape}".encode())
                    digest.update(array.tobytes())
        return digest.hexdigest()


def _weights_of_labels(graph: AtomGraph) -> Tensor | None:
    """Columns of the labels of `graph`, [1, n_labels]; None where all are 1."""
    if graph.weights is None:
        return None
    names = list(dict.fromkeys((*_FIRST_LABELS, *graph.labels)))
    return torch.stack([graph.label_weights(name) for name in names], dim=1)
