"""Reference data: structures with quantum-chemistry labels. `data.read` makes them of files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import numpy as np

from mlpotential.data.structure_arrays import StructureArrays
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph
from mlpotential.properties import LABELS, label_row

_HASH_VERSION = b"mlpotential reference data 1"
# Those of version 0.2, whose weights are hashed whether there are such labels or not.
_FIRST_LABELS = ("energy", "forces", "dipole")
_HASHED = ("atomic_numbers", "positions", "pbc", "cell", *LABELS, "weights")


@dataclass(frozen=True, eq=False)
class ReferenceData(Sequence[AtomGraph]):
    """An immutable sequence of labelled structures.

    A label is present in all structures or, where it was not asked for, in none.

    Attributes:
        graphs: one structure each, labels in the units of `properties.LABELS`; kept as
            `StructureArrays`, so that each is made anew when it is asked for.
        source: where they come from, for messages and model files.
        frame_numbers: where each stands in its file, from 0, for messages; None for their order.
        isolated_atoms: energies (eV) by atomic number of frames that are no training data, but
            reference energies: those marked `config_type=IsolatedAtom`.
    """

    graphs: Sequence[AtomGraph]
    source: str
    frame_numbers: Sequence[int] | None = None
    isolated_atoms: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.graphs, StructureArrays):
            self._require_equal_labels()
            object.__setattr__(self, "graphs", StructureArrays.of(self.graphs))

    def _require_equal_labels(self) -> None:
        names = dict.fromkeys([*LABELS, *(name for graph in self.graphs for name in graph.scalars)])
        for label in names:
            present = [graph.label(label) is not None for graph in self.graphs]
            if any(present) and not all(present):
                raise DataError(
                    f"{self.source}: {label} is known for {sum(present)} of {len(present)} "
                    f"structures; the first without is {self.name_of(present.index(False))}"
                )

    @property
    def arrays(self) -> StructureArrays:
        """The structures as they are kept."""
        assert isinstance(self.graphs, StructureArrays)
        return self.graphs

    def __len__(self) -> int:
        return len(self.graphs)

    @overload
    def __getitem__(self, index: int) -> AtomGraph: ...
    @overload
    def __getitem__(self, index: slice) -> ReferenceData: ...
    def __getitem__(self, index: int | slice) -> AtomGraph | ReferenceData:
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self.arrays[index]

    def __repr__(self) -> str:
        return f"ReferenceData({len(self)} structures from {self.source})"

    def select(self, indices: Iterable[int]) -> ReferenceData:
        """The structures at these indices, in this order.

        Raises:
            DataError: if an index is negative or too large.
        """
        chosen = np.fromiter(indices, np.int64)
        outside = (chosen < 0) | (chosen >= len(self))
        if outside.any():
            raise DataError(
                f"{self.source} has no frame {chosen[outside][0]}: there are {len(self)}, from 0"
            )
        numbers = np.asarray(self.frame_numbers or range(len(self)))
        return replace(
            self,
            graphs=self.arrays.select(chosen),
            frame_numbers=tuple(numbers[chosen].tolist()),
        )

    def frame_number(self, k: int) -> int:
        """The number that the k-th structure has in its file."""
        return self.frame_numbers[k] if self.frame_numbers else k

    def name_of(self, k: int) -> str:
        """`frame 61`, by the number in the file."""
        return f"frame {self.frame_number(k)}"

    @property
    def scalars(self) -> list[str]:
        """Names of the named scalars that were read."""
        return [name for name in self.arrays.labels if name not in LABELS]

    def has(self, label: str) -> bool:
        """Whether this label or named scalar was read."""
        return len(self) > 0 and label in self.arrays.labels

    @cached_property
    def elements(self) -> tuple[int, ...]:
        """The atomic numbers that occur, ascending."""
        return tuple(np.unique(self.arrays.all_numbers).tolist())

    @cached_property
    def element_counts(self) -> np.ndarray:
        """Atoms of each element of `elements` in each structure, [n_frames, n_elements].

        Raises:
            DataError: if there are no structures.
        """
        if not len(self):
            raise DataError(f"{self.source}: statistics of no structures")
        n_elements = len(self.elements)
        element = np.searchsorted(self.elements, self.arrays.all_numbers)
        cells = self.arrays.structure_of_atom * n_elements + element
        counts = np.bincount(cells, minlength=len(self) * n_elements)
        return counts.reshape(len(self), n_elements).astype(np.float64)

    @cached_property
    def energies(self) -> np.ndarray:
        """[n_frames] (eV).

        Raises:
            DataError: if energies were not asked for.
        """
        if not self.has("energy"):
            raise DataError(f"{self.source} was read without energies, but they are needed here")
        return self.arrays.label("energy")

    def values(self, label: str) -> np.ndarray:
        """A label of structures or a named scalar, [n_frames, ...] in the units of this program.

        Raises:
            DataError: if it was not asked for.
        """
        if not self.has(label):
            raise DataError(f"{self.source} was read without {label}, which is needed here")
        return self.arrays.label(label)

    def with_label(self, label: str) -> ReferenceData:
        """The structures whose weight for this label is not zero: where it is one."""
        weights = self.arrays.label_weights(label)
        if (weights > 0.0).all():
            return self
        if not weights.any():
            raise DataError(f"{self.source}: the weight of the {label} is 0 in all structures")
        return self.select(np.flatnonzero(weights > 0.0))

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: numbers, positions, cells and labels, in order, whatever the file.

        Each array enters as its name, its shape and its little-endian bytes (-0.0 as 0.0).
        """
        arrays = self.arrays
        atoms = [0, *np.cumsum(arrays.n_atoms).tolist()]
        of_atoms: dict[str, np.ndarray] = {
            "atomic_numbers": arrays.all_numbers,
            "positions": arrays.positions[arrays.atom_index(range(len(self)))],
        }
        of_graphs: dict[str, np.ndarray | None] = {
            "pbc": arrays.pbc[arrays.rows],
            "cell": None if arrays.cells is None else arrays.cells[arrays.rows],
            "weights": None,
        }
        for label in arrays.labels:
            target = of_atoms if label_row(label).per == "atom" else of_graphs
            target[label] = arrays.label(label)
        if arrays.weights is not None:
            weighted = dict.fromkeys((*_FIRST_LABELS, *arrays.known_labels))
            of_graphs["weights"] = np.stack([arrays.label_weights(n) for n in weighted], axis=1)
        columns = [
            (name, name in of_atoms, _little_endian(values))
            for name in (*_HASHED, *sorted(self.scalars))
            if (values := (of_atoms | of_graphs).get(name)) is not None
        ]
        digest = hashlib.sha256(_HASH_VERSION)
        for k in range(len(self)):
            for name, is_of_atoms, values in columns:
                if name == "cell" and not values[k].any():
                    continue  # a molecule has none
                start, end = (atoms[k], atoms[k + 1]) if is_of_atoms else (k, k + 1)
                digest.update(f"{name}{(end - start, *values.shape[1:])}".encode())
                digest.update(values[start:end].data)
        return digest.hexdigest()


def _little_endian(values: np.ndarray) -> np.ndarray:
    """In bytes that do not depend on the machine, -0.0 as 0.0; contiguous."""
    if values.dtype.kind == "f":
        values = values.astype("<f8") + 0.0
    elif values.dtype.kind == "i":
        values = values.astype("<i8")
    return np.ascontiguousarray(values)
