"""Structures as tensors (one or many) and what a potential says of them.

Conventions, for every function that touches an edge:

- `edge_index[0]` is the centre i, `edge_index[1]` the neighbour j; the list is full, i->j and j->i.
- Its second half reverses the first, in order: edge `n_pairs + k` is edge `k` with i and j
  exchanged and the cell shift negated. What depends on the distance alone is computed for the
  first half.
- displacement = r_j + shift . cell - r_i; rows of `cell` are lattice vectors.
- stress = (1/V) dE/dstrain, positive under tension (ASE); virial = -dE/dstrain.
- A molecule has no cell, and none is ever invented.
- Positions, cells and displacements are float64 whatever the dtype of the model: an atom at 1e6 A
  keeps its distances, and sums over atoms keep their digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import StructureError
from mlpotential.properties import LABELS, PROPERTIES, SCALARS

if TYPE_CHECKING:
    from ase import Atoms

SMALLEST_CELL_HEIGHT = 0.5  # A; chosen: below it a cutoff of 5 A meets thousands of images per atom


@dataclass(frozen=True)
class AtomGraph:
    """One structure or many, with their edges and, where known, their reference labels.

    Attributes:
        atomic_numbers: [n_atoms], int64.
        positions: Cartesian coordinates, [n_atoms, 3], float64 (A).
        graph_index: the structure each atom belongs to, ascending, [n_atoms], int64.
        n_graphs: number of structures.
        pbc: periodic directions, [n_graphs, 3], bool.
        cell: lattice vectors as rows, [n_graphs, 3, 3], float64 (A); None where no structure has
            one, zeros for a structure without a cell beside others with one.
        edge_index: centre and neighbour, [2, n_edges], int64; None before `neighbors.connect`.
        edge_shift: lattice translations of the neighbour, [n_edges, 3], float64; None without cell.
        energy: reference energies, [n_graphs], float64 (eV).
        forces: reference forces, [n_atoms, 3], float64 (eV/A).
        stress: reference stresses, positive under tension, [n_graphs, 3, 3], float64 (eV/A^3).
        dipole: reference dipole moments, [n_graphs, 3], float64 (e A).
        dipole_magnitude: their lengths, [n_graphs], float64 (e A).
        polarizability: reference polarizability volumes, [n_graphs, 3, 3], float64 (A^3).
        spatial_extent: reference electronic spatial extents <R^2>, [n_graphs], float64 (A^2).
        scalars: reference values of named scalars, each [n_graphs], float64.
        weights: of the structures in a loss, by label, [n_graphs, n_labels + 1], float64, columns
            in the order of `properties.LABELS`, the last for all scalars; None where all are 1. A
            label of weight 0 is none.
    """

    atomic_numbers: Tensor
    positions: Tensor
    graph_index: Tensor
    n_graphs: int
    pbc: Tensor
    cell: Tensor | None = None
    edge_index: Tensor | None = None
    edge_shift: Tensor | None = None
    energy: Tensor | None = None
    forces: Tensor | None = None
    stress: Tensor | None = None
    dipole: Tensor | None = None
    dipole_magnitude: Tensor | None = None
    polarizability: Tensor | None = None
    spatial_extent: Tensor | None = None
    scalars: Mapping[str, Tensor] = field(default_factory=dict)
    weights: Tensor | None = None

    @classmethod
    def from_arrays(
        cls,
        atomic_numbers: np.ndarray,
        positions: np.ndarray,
        cell: np.ndarray | None = None,
        pbc: np.ndarray | Sequence[bool] | bool = False,
        scalars: Mapping[str, float] | None = None,
        **labels: np.ndarray | float | None,
    ) -> AtomGraph:
        """One structure, checked; a cell without any periodic direction is ignored.

        Args:
            atomic_numbers: [n_atoms].
            positions: [n_atoms, 3] (A).
            cell: lattice vectors as rows, [3, 3] (A); None for a molecule.
            pbc: periodic directions, [3] or one for all.
            scalars: reference values of named scalars.
            labels: reference values by names of `properties.LABELS`: energy (eV), forces,
                [n_atoms, 3] (eV/A), dipole, [3] (e A), ...; None for none.

        Raises:
            StructureError: if `check_structure` finds fault with it.
        """
        numbers, pbc = np.asarray(atomic_numbers), np.broadcast_to(np.asarray(pbc, bool), 3)
        positions = np.asarray(positions, np.float64)
        cell = None if cell is None or not pbc.any() else np.asarray(cell, np.float64)
        check_structure(numbers, positions, cell, pbc)
        return cls(
            atomic_numbers=torch.tensor(numbers, dtype=torch.int64, device="cpu"),
            positions=torch.tensor(positions, device="cpu"),
            graph_index=torch.zeros(len(numbers), dtype=torch.int64, device="cpu"),
            n_graphs=1,
            pbc=torch.tensor(pbc[None].copy(), device="cpu"),
            cell=None if cell is None else torch.tensor(cell[None], device="cpu"),
            scalars={
                name: torch.tensor([float(x)], dtype=torch.float64, device="cpu")
                for name, x in (scalars or {}).items()
            },
            **{name: _label(name, value, len(numbers)) for name, value in labels.items()},
        )

    def with_weights(self, weights: Mapping[str, float]) -> AtomGraph:
        """One structure with weights of its labels in a loss; 1 for labels that are absent."""
        row = [float(weights.get(label, 1.0)) for label in (*LABELS, SCALARS)]
        return replace(self, weights=self.positions.new_tensor([row]))

    @classmethod
    def from_atoms(cls, atoms: Atoms) -> AtomGraph:
        """One structure from ASE, without labels. Raises StructureError as `from_arrays`."""
        cell = complete_cell(np.asarray(atoms.cell), atoms.pbc)
        return cls.from_arrays(atoms.numbers, atoms.positions, cell, atoms.pbc)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures together."""
        return len(self.atomic_numbers)

    @property
    def n_pairs(self) -> int:
        """Number of unordered pairs: half the number of edges."""
        return self._edges().shape[1] // 2

    @property
    def pair_index(self) -> Tensor:
        """The first half of `edge_index`, [2, n_pairs]: each unordered pair once."""
        return self._edges()[:, : self.n_pairs]

    def _edges(self) -> Tensor:
        if self.edge_index is None:
            raise RuntimeError("the graph has no edges yet: call neighbors.connect(graph, cutoff)")
        return self.edge_index

    def label_weights(self, label: str) -> Tensor:
        """The weight of this label of each structure in a loss, [n_graphs], float64."""
        if self.weights is None:
            return self.positions.new_ones(self.n_graphs)
        column = list(LABELS).index(label) if label in LABELS else len(LABELS)
        return self.weights[:, column]

    def label(self, name: str) -> Tensor | None:
        """Reference values of a label or named scalar; None where they are not known."""
        return getattr(self, name) if name in LABELS else self.scalars.get(name)

    @property
    def labels(self) -> dict[str, Tensor]:
        """All reference values that are known, by name."""
        known = {name: getattr(self, name) for name in LABELS}
        return {k: v for k, v in known.items() if v is not None} | dict(self.scalars)

    def pair_displacements(self) -> Tensor:
        """r_j + shift . cell - r_i of each unordered pair, [n_pairs, 3] (A)."""
        i, j = self.pair_index
        displacements = self.positions[j] - self.positions[i]
        if self.cell is not None and self.edge_shift is not None:
            shifts = self.edge_shift[: self.n_pairs, None, :]
            displacements = displacements + (shifts @ self.cell[self.graph_index[i]]).squeeze(1)
        return displacements

    def atoms_per_graph(self) -> Tensor:
        """[n_graphs], int64."""
        return torch.bincount(self.graph_index, minlength=self.n_graphs)

    def to(self, device: torch.device | str) -> AtomGraph:
        """The same graph on another device."""
        moved: dict[str, Any] = {
            f.name: value.to(device)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        scalars = {name: values.to(device) for name, values in self.scalars.items()}
        return replace(self, scalars=scalars, **moved)


@dataclass(frozen=True)
class Prediction:
    """What a potential says; a quantity that was not asked for is None.

    A `Potential` fills it with torch tensors, an `Evaluator` with fresh NumPy float64 arrays.

    Attributes:
        energy: [n_graphs], always float64 (eV); None of a model without.
        forces: [n_atoms, 3] (eV/A).
        virial: -dE/dstrain, [n_graphs, 3, 3], symmetric (eV).
        stress: -virial / volume, [n_graphs, 3, 3] (eV/A^3); only where there is a cell.
        atomic_energies: [n_atoms] (eV).
        dipole: [n_graphs, 3] (e A); of molecules alone, about the centre of mass, which matters
            only where the charges do not add up to zero.
        charges: latent, [n_atoms] (e): those whose dipole is `dipole`, no others.
        born_charges: derivatives of the dipole, [n_atoms, 3, 3] (e); element [i, a, b] is
            d mu_a / d r_ib, as ASE and VASP have it.
        dipole_magnitude: |dipole|, [n_graphs] (e A).
        polarizability: polarizability volume, symmetric, [n_graphs, 3, 3] (A^3).
        spatial_extent: <R^2> of the electrons about the centre of nuclear charge, [n_graphs] (A^2).
        scalars: named scalars, each [n_graphs] in the unit that the model states; None or empty
            where none was asked for.
        extra_energies: of the extra networks of a model file, by name, each [n_graphs] (eV); empty
            where it has none. Never consistent with the forces. An `Evaluator` alone gives them.
        energy_std, forces_std: of the members of a committee, an `Evaluator` of several models,
            [n_graphs] (eV) and [n_atoms, 3] (eV/A); of a calibrated one standard errors.
        member_energies: of each of these, [n_graphs, n_members] (eV), as they are.
        members: what each of these says, a tuple of predictions.
        features: of the last layer, [n_atoms, n_features]. A `Potential` alone gives them.
    """

    energy: Any = None
    forces: Any = None
    virial: Any = None
    stress: Any = None
    atomic_energies: Any = None
    dipole: Any = None
    charges: Any = None
    born_charges: Any = None
    dipole_magnitude: Any = None
    polarizability: Any = None
    spatial_extent: Any = None
    scalars: Any = None
    extra_energies: Any = None
    energy_std: Any = None
    forces_std: Any = None
    member_energies: Any = None
    members: Any = None
    features: Any = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Prediction:
        """With these properties and named scalars, by name."""
        scalars = {name: value for name, value in values.items() if name not in PROPERTIES}
        known = {name: value for name, value in values.items() if name in PROPERTIES}
        return cls(scalars=scalars or None, **known)

    def value(self, name: str) -> Any:
        """Of a property or named scalar; None where it was not asked for."""
        return getattr(self, name) if name in PROPERTIES else (self.scalars or {}).get(name)


def stress_of(virial: Any, cell: Any) -> Any:
    """-virial / V of tensors or of NumPy arrays.

    Args:
        virial: [n_graphs, 3, 3] (eV), or None.
        cell: [n_graphs, 3, 3] (A), zeros for a molecule; None where no structure has one.

    Returns:
        [n_graphs, 3, 3] (eV/A^3), NaN for a molecule; None without a virial or any cell.
    """
    if virial is None or cell is None:
        return None
    det = torch.linalg.det if isinstance(cell, Tensor) else np.linalg.det
    volume = abs(det(cell))
    volume[volume == 0.0] = torch.nan
    return -virial / volume[:, None, None]


def collate(graphs: Sequence[AtomGraph]) -> AtomGraph:
    """Many graphs as one; edges keep the order of the module's convention.

    Raises:
        ValueError: if `graphs` is empty, or a label or the edges are present in some only.
    """
    if not graphs:
        raise ValueError("there is nothing to collate: the list of structures is empty")
    atom_offsets = np.cumsum([0] + [g.n_atoms for g in graphs])
    graph_offsets = np.cumsum([0] + [g.n_graphs for g in graphs])

    def all_have(name: str) -> bool:
        n_present = sum(getattr(g, name) is not None for g in graphs)
        if n_present not in (0, len(graphs)):
            raise ValueError(f"{name!r} is present in {n_present} of {len(graphs)} structures")
        return n_present > 0

    def joined(name: str) -> Tensor | None:
        return torch.cat([getattr(g, name) for g in graphs]) if all_have(name) else None

    def halves(tensors: list[Tensor], dim: int) -> Tensor:
        """First halves of all graphs, then second halves of all graphs."""
        first, second = zip(*(t.tensor_split(2, dim) for t in tensors), strict=True)
        return torch.cat([*first, *second], dim)

    edge_index = None
    if all_have("edge_index"):
        edge_index = halves(
            [g._edges() + int(a) for g, a in zip(graphs, atom_offsets, strict=False)], dim=1
        )
    has_cell = any(g.cell is not None for g in graphs)
    edge_shift = None
    if has_cell and edge_index is not None:
        edge_shift = halves([_shift_or_zeros(g) for g in graphs], dim=0)
    return AtomGraph(
        atomic_numbers=torch.cat([g.atomic_numbers for g in graphs]),
        positions=torch.cat([g.positions for g in graphs]),
        graph_index=torch.cat(
            [g.graph_index + int(k) for g, k in zip(graphs, graph_offsets, strict=False)]
        ),
        n_graphs=int(graph_offsets[-1]),
        pbc=torch.cat([g.pbc for g in graphs]),
        cell=torch.cat([_cell_or_zeros(g) for g in graphs]) if has_cell else None,
        edge_index=edge_index,
        edge_shift=edge_shift,
        scalars=_joined_scalars(graphs),
        weights=joined("weights"),
        **{name: joined(name) for name in LABELS},
    )


def _joined_scalars(graphs: Sequence[AtomGraph]) -> dict[str, Tensor]:
    """Named scalars, each [n_graphs]. Raises ValueError for one that is present in some only."""
    names = {name: None for g in graphs for name in g.scalars}
    for name in names:
        n_present = sum(name in g.scalars for g in graphs)
        if n_present < len(graphs):
            raise ValueError(f"{name!r} is present in {n_present} of {len(graphs)} structures")
    return {name: torch.cat([g.scalars[name] for g in graphs]) for name in names}


def _label(name: str, value: np.ndarray | float | None, n_atoms: int) -> Tensor | None:
    """A label of one structure as a tensor, [1 or n_atoms, ...], float64."""
    if name not in LABELS:
        raise TypeError(f"there is no label {name!r}; known: {', '.join(LABELS)}")
    if value is None:
        return None
    row = LABELS[name]
    values = np.array([value] if row.per == "graph" else value, np.float64)
    if values.shape != row.array_shape(n_atoms, n_graphs=1):
        raise ValueError(f"{name} of {n_atoms} atoms cannot have the shape {np.shape(value)}")
    return torch.tensor(values, device="cpu")


def _cell_or_zeros(graph: AtomGraph) -> Tensor:
    return graph.positions.new_zeros(graph.n_graphs, 3, 3) if graph.cell is None else graph.cell


def _shift_or_zeros(graph: AtomGraph) -> Tensor:
    if graph.edge_shift is None:
        return graph.positions.new_zeros(graph._edges().shape[1], 3)
    return graph.edge_shift


def complete_cell(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """A slab's or wire's cell with its missing (zero) non-periodic vectors made unit normals.

    Only the volume depends on their length; energies and forces do not. [3, 3] -> [3, 3] (A).
    """
    if np.any(pbc) and not np.all(cell.any(axis=1)) and np.all(cell[np.asarray(pbc)].any(axis=1)):
        from ase.geometry.cell import complete_cell as complete

        return np.asarray(complete(cell))
    return cell


def cell_heights(cell: np.ndarray) -> np.ndarray:
    """Distance between opposite faces along each lattice vector, [3, 3] -> [3] (A)."""
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)


def reduction(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    """Whole numbers M such that M @ cell spans the same lattice with short vectors, [3, 3].

    The identity unless the cell is so skewed that it is thin; else Minkowski's reduction.
    """
    if np.all(cell_heights(cell) > 0.25 * np.linalg.norm(cell, axis=1)):
        return np.eye(3)
    from ase.geometry.minkowski_reduction import minkowski_reduce

    return np.asarray(minkowski_reduce(cell, pbc)[1], np.float64)


def check_structure(
    atomic_numbers: np.ndarray, positions: np.ndarray, cell: np.ndarray | None, pbc: np.ndarray
) -> None:
    """Refuses what no energy can be computed for, naming the place.

    Args:
        atomic_numbers: [n_atoms].
        positions: [n_atoms, 3] (A).
        cell: [3, 3] (A) or None.
        pbc: [3], bool.

    Raises:
        StructureError: no atoms; wrong shapes; a position or cell that is not finite; an atomic
            number outside 1...118; periodic without cell; a singular, thin or incomplete cell.
    """
    numbers = np.asarray(atomic_numbers)
    if len(numbers) == 0:
        raise StructureError("the structure has no atoms: at least one is needed")
    if not np.array_equal(numbers, np.trunc(numbers)):
        raise StructureError(f"atomic numbers must be whole: {numbers.tolist()}")
    if positions.shape != (len(numbers), 3):
        raise StructureError(
            f"positions have shape {positions.shape}, but {len(numbers)} atoms need "
            f"({len(numbers)}, 3)"
        )
    outside = (numbers < 1) | (numbers > 118)
    if outside.any():
        atom = int(np.argmax(outside))
        raise StructureError(f"atom {atom} has atomic number {numbers[atom]}, outside 1...118")
    check_finite_positions(positions)
    if cell is not None or np.any(pbc):
        check_cell(cell, pbc)


def check_finite_positions(positions: np.ndarray) -> None:
    """Raises StructureError naming the first atom with a position, [..., 3], not finite."""
    if not np.isfinite(positions).all():
        atom = int(np.argmax(~np.isfinite(positions).all(axis=-1).reshape(-1)))
        row = positions.reshape(-1, 3)[atom]
        raise StructureError(
            f"the position of atom {atom % positions.shape[-2]} is not finite: {row.tolist()}"
        )


def check_cell(cell: np.ndarray | None, pbc: np.ndarray) -> None:
    """Raises StructureError unless a periodic structure has a cell, [3, 3] (A), of some volume.

    Its planes along periodic directions, [3] of bool, must not be too thin.
    """
    if cell is None or not np.any(cell):
        raise StructureError("the structure is periodic but has no cell: set one or set pbc=False")
    if cell.shape != (3, 3) or not np.isfinite(cell).all():
        raise StructureError(f"the cell must be 3 x 3 finite numbers, not {cell.tolist()}")
    volume = abs(np.linalg.det(cell))
    if volume < 1e-6 * np.prod(np.linalg.norm(cell, axis=1)) or volume == 0.0:
        raise StructureError(f"the cell is singular (volume {volume:.3g} A^3): {cell.tolist()}")
    heights = cell_heights(reduction(cell, pbc) @ cell)
    thin = (heights < SMALLEST_CELL_HEIGHT) & np.asarray(pbc)
    if thin.any():
        axis = int(np.argmax(thin))
        raise StructureError(
            f"the cell is only {heights[axis]:.3g} A high along periodic axis {axis} "
            f"(at least {SMALLEST_CELL_HEIGHT} A is needed)"
        )
