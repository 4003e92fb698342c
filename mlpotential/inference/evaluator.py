"""The one seam behind ASE, i-PI and every runner: a model made ready for one list of atoms.

An `Evaluator` takes plain arrays of one or many replicas and returns fresh float64 arrays, on
whatever device and by whatever backend it runs.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import ConfigError, StructureError, nearest_name
from mlpotential.graph import (
    AtomGraph,
    Prediction,
    check_cell,
    check_finite_positions,
    check_structure,
    collate,
)
from mlpotential.inference.device import resolve_device
from mlpotential.inference.filter_table import TableError, tabulate_filters
from mlpotential.inference.tabulated import TabulatedSchNet
from mlpotential.models.model_file import load_model
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import all_pairs, connect, neighbor_pairs, split, with_pairs

PROPERTIES = frozenset(f.name for f in fields(Prediction))
SMALLEST_DISTANCE = 1e-3  # A; chosen: closer atoms are one atom written twice

TABLE_TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-8}  # chosen: forces to 1e-5 and 1e-7

Backend = Literal["auto", "reference", "tabulated"]


class Evaluator:
    """Energies and derivatives of one list of atoms in many geometries.

    Args:
        model: a model file, or a potential.
        atomic_numbers: [n_atoms].
        pbc: periodic directions, [3] or one for all.
        device: auto (CUDA where there is one), cpu, cuda, cuda:N.
        dtype: float32 or float64; None for the model's own. Distances, sums over atoms and all
            results are float64 in any case.
        backend: `reference`, or `auto` for the same: the model itself in torch. `tabulated` (SchNet
            only): filters from a table and a backward pass by hand, faster for large networks, with
            an error that `table_error` states.

    Raises:
        ModelFileError: if the file is no usable model.
        StructureError: if there are no atoms, an element the model does not know, or periodic
            directions with a model that has no cutoff.
        ConfigError: for an unknown device, dtype or backend.
    """

    def __init__(
        self,
        model: Potential | str | Path,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool = False,
        device: str = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
    ) -> None:
        if backend not in ("auto", "reference", "tabulated"):
            raise ConfigError(f"backend must be auto, reference or tabulated, not {backend!r}")
        potential = (
            copy.deepcopy(model) if isinstance(model, Potential) else load_model(model).potential
        )
        self.device = resolve_device(device)
        self.pbc = np.array(np.broadcast_to(np.asarray(pbc, bool), 3))
        _check_atoms(np.asarray(atomic_numbers), self.pbc, potential)
        self.atomic_numbers = np.array(atomic_numbers, np.int64)
        self._potential = potential.to(
            device=self.device, dtype=potential.dtype if dtype is None else _torch_dtype(dtype)
        )
        self._potential.eval().requires_grad_(False)
        self._fast = self._tabulated() if backend == "tabulated" else None
        self._template = self._make_template()
        self._pairs = all_pairs(self.n_atoms) if potential.cutoff is None else None

    @property
    def n_atoms(self) -> int:
        """Of one replica."""
        return len(self.atomic_numbers)

    @property
    def dtype(self) -> str:
        """Of the network: float32 or float64."""
        return str(self._potential.dtype).removeprefix("torch.")

    @property
    def traits(self) -> ModelTraits:
        """What the model promises."""
        return self._potential.traits

    @property
    def backend(self) -> str:
        """What evaluates: `reference` or `tabulated`."""
        return "reference" if self._fast is None else "tabulated"

    @property
    def table_error(self) -> TableError | None:
        """Of the tabulated filters, measured; None for the reference."""
        return None if self._fast is None else self._fast.table.error

    @torch.inference_mode(False)
    def evaluate(
        self,
        positions: np.ndarray,
        cells: np.ndarray | None = None,
        properties: Collection[str] = ("energy", "forces"),
    ) -> Prediction:
        """Evaluates all replicas at once.

        Args:
            positions: [n_replicas, n_atoms, 3] (A).
            cells: lattice vectors as rows, [n_replicas, 3, 3] (A); None for molecules.
            properties: any of energy, forces, virial, stress, atomic_energies.

        Returns:
            Fresh float64 NumPy arrays; atoms of all replicas follow each other: forces are
            [n_replicas * n_atoms, 3].

        Raises:
            StructureError: for wrong shapes, values that are not finite, a missing, singular or
                thin cell, or two atoms in one place.
            ConfigError: for an unknown property.
        """
        return self._evaluate_connected(self._graph(positions, cells), properties)

    @torch.inference_mode(False)
    def evaluate_graph(
        self, graph: AtomGraph, properties: Collection[str] = ("energy", "forces")
    ) -> Prediction:
        """Evaluates any structures of known elements at once, whatever atoms this evaluator is of.

        Args:
            graph: one structure or many, with or without edges (they are searched anew).
            properties, Returns, Raises: as for `evaluate`.
        """
        for single in split(graph):
            cell = None if single.cell is None else single.cell[0].cpu().numpy()
            numbers, pbc = single.atomic_numbers.cpu().numpy(), single.pbc[0].cpu().numpy()
            _check_atoms(numbers, pbc, self._potential)
            check_structure(numbers, single.positions.cpu().numpy(), cell, pbc)
        connected = connect(graph.to("cpu"), self._potential.cutoff).to(self.device)
        return self._evaluate_connected(connected, properties)

    def _evaluate_connected(self, graph: AtomGraph, properties: Collection[str]) -> Prediction:
        unknown = set(properties) - PROPERTIES
        if unknown:
            name = sorted(unknown)[0]
            known = ", ".join(sorted(PROPERTIES))
            raise ConfigError(
                f"unknown property {name!r}; known: {known}.{nearest_name(name, PROPERTIES)}"
            )
        self._check_separation(graph)
        prediction = (self._fast or self._potential)(graph, properties)
        answer = Prediction(
            **{f.name: _to_numpy(getattr(prediction, f.name)) for f in fields(Prediction)}
        )
        for name in ("energy", "forces", "virial"):
            values = getattr(answer, name)
            if values is not None and not np.isfinite(values).all():
                raise StructureError(
                    f"the model gives a number in {name} that is not finite: the structure is far "
                    "from all it was trained on"
                )
        return answer

    @torch.inference_mode(False)
    def hessian(self, positions: np.ndarray, cell: np.ndarray | None = None) -> np.ndarray:
        """Exact second derivatives of the energy of one structure.

        Args:
            positions: [n_atoms, 3] (A).
            cell: [3, 3] (A), or None for a molecule.

        Returns:
            Symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2). Raises as `evaluate`.
        """
        graph = self._graph(np.asarray(positions)[None], None if cell is None else cell[None])
        self._check_separation(graph)
        return self._potential.hessian(graph).cpu().numpy().astype(np.float64)

    def _tabulated(self) -> TabulatedSchNet:
        if not isinstance(self._potential, SchNet):
            raise ConfigError(
                f"only SchNet has filters to tabulate, not {type(self._potential).__name__}: "
                "use backend='reference'"
            )
        tolerance = TABLE_TOLERANCE[self._potential.dtype]
        return TabulatedSchNet(self._potential, tabulate_filters(self._potential, tolerance))

    def _make_template(self) -> AtomGraph:
        """One replica without positions."""
        return AtomGraph(
            atomic_numbers=torch.from_numpy(self.atomic_numbers),
            positions=torch.zeros(self.n_atoms, 3, dtype=torch.float64),
            graph_index=torch.zeros(self.n_atoms, dtype=torch.int64),
            n_graphs=1,
            pbc=torch.from_numpy(self.pbc)[None],
        )

    def _graph(self, positions: np.ndarray, cells: np.ndarray | None) -> AtomGraph:
        """All replicas, checked and connected, on the device."""
        positions = np.asarray(positions, np.float64)
        if positions.ndim != 3 or positions.shape[1:] != (self.n_atoms, 3):
            raise StructureError(
                f"positions must be [n_replicas, {self.n_atoms}, 3], not {list(positions.shape)}"
            )
        if len(positions) == 0:
            raise StructureError("there are no replicas: at least one is needed")
        check_finite_positions(positions)
        cells = self._checked_cells(cells, len(positions))
        replicas = [
            self._replica(p, None if cells is None else cells[k]) for k, p in enumerate(positions)
        ]
        return (collate(replicas) if len(replicas) > 1 else replicas[0]).to(self.device)

    def _checked_cells(self, cells: np.ndarray | None, n_replicas: int) -> np.ndarray | None:
        if not self.pbc.any():
            return None
        if cells is None:
            check_cell(None, self.pbc)
        cells = np.asarray(cells, np.float64)
        if cells.shape != (n_replicas, 3, 3):
            raise StructureError(f"cells must be [{n_replicas}, 3, 3], not {list(cells.shape)}")
        for cell in cells:
            check_cell(cell, self.pbc)
        return cells

    def _replica(self, positions: np.ndarray, cell: np.ndarray | None) -> AtomGraph:
        graph = replace(
            self._template,
            positions=torch.tensor(positions),
            cell=None if cell is None else torch.tensor(cell[None]),
        )
        if self._pairs is not None:
            return with_pairs(graph, self._pairs, None)
        assert self._potential.cutoff is not None
        pairs, shifts = neighbor_pairs(positions, self._potential.cutoff, cell, self.pbc)
        return with_pairs(graph, pairs, None if cell is None else shifts)

    def _check_separation(self, graph: AtomGraph) -> None:
        distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1)
        if len(distances) and float(distances.min()) < SMALLEST_DISTANCE:
            closest = int(distances.argmin())
            pair = graph.pair_index[:, closest]
            first_atom = int((graph.graph_index < graph.graph_index[pair[0]]).sum())
            i, j = (pair - first_atom).tolist()
            raise StructureError(
                f"atoms {i} and {j} are in one place ({float(distances.min()):.2g} A apart)"
            )


def _check_atoms(atomic_numbers: np.ndarray, pbc: np.ndarray, potential: Potential) -> None:
    """Elements and periodicity against what the model knows. Raises StructureError."""
    from ase.data import chemical_symbols

    if atomic_numbers.ndim != 1 or atomic_numbers.dtype.kind not in "iuf":
        raise StructureError(
            f"atomic_numbers must be a list of whole numbers, not {atomic_numbers.tolist()!r}"
        )
    check_structure(atomic_numbers, np.zeros((len(atomic_numbers), 3)), None, np.zeros(3, bool))
    unknown = sorted({int(z) for z in atomic_numbers} - set(potential.elements))
    if unknown:
        known = ", ".join(chemical_symbols[z] for z in potential.elements)
        raise StructureError(
            f"the model does not know {', '.join(chemical_symbols[z] for z in unknown)}: "
            f"it was trained on {known}"
        )
    if pbc.any() and not potential.traits.periodic:
        raise StructureError(
            "the model has no cutoff, so it cannot be used with periodic boundaries: "
            "set pbc=False, or use a model with a cutoff"
        )


def _torch_dtype(dtype: str) -> torch.dtype:
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"dtype must be float32 or float64, not {dtype!r}")
    return torch.float32 if dtype == "float32" else torch.float64


def _to_numpy(value: Tensor | None) -> np.ndarray | None:
    """A copy of its own in float64 on the host."""
    if value is None:
        return None
    return np.array(value.detach().cpu().numpy(), dtype=np.float64, order="C")
