"""The one seam behind ASE, i-PI and every runner: a model made ready for one list of atoms.

An `Evaluator` takes plain arrays of one or many replicas and returns fresh float64 arrays, on
whatever device and by whatever backend it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import ConfigError, StructureError, nearest_name
from mlpotential.graph import AtomGraph, Prediction, check_structure
from mlpotential.inference.backends import PreparedModel
from mlpotential.inference.execution import Backend
from mlpotential.inference.filter_table import TableError
from mlpotential.inference.native import NativeSchNet
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.replicas import Replicas
from mlpotential.models.model_file import LoadedModel
from mlpotential.models.potential import ModelTraits, Potential
from mlpotential.neighbors import connect, split

PROPERTIES = frozenset(f.name for f in fields(Prediction))
SMALLEST_DISTANCE = 1e-3  # A; chosen: closer atoms are one atom written twice


class Evaluator:
    """Energies and derivatives of one list of atoms in many geometries.

    Args:
        model: a model file, one as loaded, or a potential (copied).
        atomic_numbers: [n_atoms].
        pbc: periodic directions, [3] or one for all.
        device: auto (CUDA where there is one), cpu, cuda, cuda:N.
        dtype: float32 or float64; None for the model's own. Distances, sums over atoms and all
            results are float64 in any case.
        backend: `reference`, the model itself in torch; for SchNet also `tabulated`, with filters
            from a table and a backward pass by hand, and `native`, the same compiled, on the CPU.
            Both have an error that `table_error` states. `auto`: the fastest there is.
        threads: of the native backend: replicas are spread over them, or the atoms of one
            structure. 1 is best where cores are shared with others.

    Raises:
        ModelFileError: if the file is no usable model.
        StructureError: if there are no atoms, an element the model does not know, or periodic
            directions with a model that has no cutoff.
        ConfigError: for an unknown device, dtype or backend, one that this model, device or
            installation does not have, or a senseless number of threads.
    """

    def __init__(
        self,
        model: Potential | LoadedModel | str | Path,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool = False,
        device: str = "auto",
        dtype: str | None = None,
        backend: Backend = "auto",
        threads: int = 1,
    ) -> None:
        self._connect_to(PreparedModel(model, device, dtype, backend, threads), atomic_numbers, pbc)

    def for_atoms(
        self,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool = False,
    ) -> Evaluator:
        """An evaluator of other atoms with the same model, which is not prepared a second time."""
        return Evaluator._of(self._model, atomic_numbers, pbc)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies begin without a history; a deep copy shares the model, which never changes."""
        return Evaluator._of, (self._model, self.atomic_numbers, self.pbc)

    @classmethod
    def _of(
        cls,
        model: PreparedModel,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool,
    ) -> Evaluator:
        other = cls.__new__(cls)
        other._connect_to(model, atomic_numbers, pbc)
        return other

    def _connect_to(
        self,
        model: PreparedModel,
        atomic_numbers: np.ndarray | Sequence[int],
        pbc: np.ndarray | Sequence[bool] | bool,
    ) -> None:
        self.pbc = np.array(np.broadcast_to(np.asarray(pbc, bool), 3))
        _check_atoms(np.asarray(atomic_numbers), self.pbc, model.potential)
        self.atomic_numbers = np.array(atomic_numbers, np.int64)
        self._model = model
        self._replicas = Replicas(self.atomic_numbers, self.pbc, model.potential.cutoff)

    @property
    def n_atoms(self) -> int:
        """Of one replica."""
        return len(self.atomic_numbers)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._model.device

    @property
    def dtype(self) -> str:
        """Of the network: float32 or float64."""
        return str(self._model.potential.dtype).removeprefix("torch.")

    @property
    def extra_networks(self) -> tuple[str, ...]:
        """Names of the networks whose energies are `extra_energies`."""
        return tuple(self._model.extras)

    @property
    def traits(self) -> ModelTraits:
        """What the model promises."""
        return self._model.potential.traits

    @property
    def backend(self) -> str:
        """What evaluates: `reference`, `tabulated` or `native`."""
        return self._model.backend

    @property
    def table_error(self) -> TableError | None:
        """Of the tabulated filters, measured; None for the reference."""
        return self._model.table_error

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
            properties: any of energy, forces, virial, stress, atomic_energies, extra_energies.

        Returns:
            Fresh float64 NumPy arrays; atoms of all replicas follow each other: forces are
            [n_replicas * n_atoms, 3].

        Raises:
            StructureError: for wrong shapes, values that are not finite, a missing, singular or
                thin cell, or two atoms in one place.
            ConfigError: for an unknown property.
        """
        _check_properties(properties)
        positions, cells = self._replicas.checked(positions, cells)

        def answer(model: PreparedModel, properties: Collection[str]) -> Prediction:
            if model.native is None:
                graph = self._replicas.graph(positions, cells)
                return _evaluate_in_torch(model, graph, properties)
            pairs = self._replicas.pair_graph(positions, cells)
            return _evaluate_natively(model.native, pairs, positions, cells, properties)

        return _with_extras(self._model, answer, properties)

    @torch.inference_mode(False)
    def evaluate_graph(
        self, graph: AtomGraph, properties: Collection[str] = ("energy", "forces")
    ) -> Prediction:
        """Evaluates any structures of known elements at once, whatever atoms this evaluator is of.

        Args:
            graph: one structure or many, with or without edges (they are searched anew).
            properties, Returns, Raises: as for `evaluate`.
        """
        _check_properties(properties)
        for single in split(graph):
            cell = None if single.cell is None else single.cell[0].cpu().numpy()
            numbers, pbc = single.atomic_numbers.cpu().numpy(), single.pbc[0].cpu().numpy()
            _check_atoms(numbers, pbc, self._model.potential)
            check_structure(numbers, single.positions.cpu().numpy(), cell, pbc)
        connected = connect(graph.to("cpu"), self._model.potential.cutoff)
        positions = np.ascontiguousarray(connected.positions.detach().numpy())
        cells = None if connected.cell is None else connected.cell.numpy()

        def answer(model: PreparedModel, properties: Collection[str]) -> Prediction:
            if model.native is None:
                return _evaluate_in_torch(model, connected, properties)
            pairs = PairGraph.from_graph(connected)
            return _evaluate_natively(model.native, pairs, positions, cells, properties)

        return _with_extras(self._model, answer, properties)

    @torch.inference_mode(False)
    def hessian(self, positions: np.ndarray, cell: np.ndarray | None = None) -> np.ndarray:
        """Exact second derivatives of the energy of one structure, by the reference.

        Args:
            positions: [n_atoms, 3] (A).
            cell: [3, 3] (A), or None for a molecule.

        Returns:
            Symmetric, [3 n_atoms, 3 n_atoms] (eV/A^2). Raises as `evaluate`.
        """
        checked = self._replicas.checked(
            np.asarray(positions)[None], None if cell is None else np.asarray(cell)[None]
        )
        graph = self._replicas.graph(*checked).to(self.device)
        _check_separation(graph)
        return self._model.potential.hessian(graph).cpu().numpy().astype(np.float64)


def _with_extras(
    model: PreparedModel,
    answer: Callable[[PreparedModel, Collection[str]], Prediction],
    properties: Collection[str],
) -> Prediction:
    """The answer of the model and, where asked for, the energies of its extra networks."""
    prediction = answer(model, [name for name in properties if name != "extra_energies"])
    if "extra_energies" not in properties:
        return prediction
    energies = {name: answer(extra, ["energy"]).energy for name, extra in model.extras.items()}
    return replace(prediction, extra_energies=energies)


def _evaluate_in_torch(
    model: PreparedModel, graph: AtomGraph, properties: Collection[str]
) -> Prediction:
    graph = graph.to(model.device)
    _check_separation(graph)
    prediction = model.in_torch(graph, properties)
    return _finite(
        Prediction(**{f.name: _to_numpy(getattr(prediction, f.name)) for f in fields(Prediction)})
    )


def _evaluate_natively(
    model: NativeSchNet,
    graph: PairGraph,
    positions: np.ndarray,
    cells: np.ndarray | None,
    properties: Collection[str],
) -> Prediction:
    needed = [*properties, "virial"] if "stress" in properties else properties
    prediction, closest = model.evaluate(graph, positions, needed)
    if closest.distance < SMALLEST_DISTANCE:
        i, j = map(graph.number_in_graph, (closest.i, closest.j))
        _refuse_coincident(i, j, closest.distance)
    prediction = _finite(prediction)
    if "stress" in properties:
        prediction = replace(
            prediction,
            stress=_stress(prediction.virial, cells),
            virial=prediction.virial if "virial" in properties else None,
        )
    return prediction


def _check_properties(properties: Collection[str]) -> None:
    unknown = set(properties) - PROPERTIES
    if unknown:
        name = sorted(unknown)[0]
        known = ", ".join(sorted(PROPERTIES))
        raise ConfigError(
            f"unknown property {name!r}; known: {known}.{nearest_name(name, PROPERTIES)}"
        )


def _check_separation(graph: AtomGraph) -> None:
    distances = torch.linalg.vector_norm(graph.pair_displacements(), dim=-1)
    if len(distances) and float(distances.min()) < SMALLEST_DISTANCE:
        closest = int(distances.argmin())
        pair = graph.pair_index[:, closest]
        first_atom = int((graph.graph_index < graph.graph_index[pair[0]]).sum())
        i, j = (pair - first_atom).tolist()
        _refuse_coincident(i, j, float(distances.min()))


def _refuse_coincident(i: int, j: int, distance: float) -> None:
    raise StructureError(f"atoms {i} and {j} are in one place ({distance:.2g} A apart)")


def _stress(virial: np.ndarray, cells: np.ndarray | None) -> np.ndarray | None:
    """-virial / V, [n_graphs, 3, 3] (eV/A^3); None without any cell, NaN for a molecule."""
    if cells is None:
        return None
    volume = np.abs(np.linalg.det(cells))
    volume[volume == 0.0] = np.nan
    return -virial / volume[:, None, None]


def _finite(prediction: Prediction) -> Prediction:
    """The same, unless the model was lost: then StructureError."""
    for name in ("energy", "forces", "virial"):
        values = getattr(prediction, name)
        if values is not None and not np.isfinite(values).all():
            raise StructureError(
                f"the model gives a number in {name} that is not finite: the structure is far "
                "from all it was trained on"
            )
    return prediction


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


def _to_numpy(value: Tensor | None) -> np.ndarray | None:
    """A copy of its own in float64 on the host."""
    if value is None:
        return None
    return np.array(value.detach().cpu().numpy(), dtype=np.float64, order="C")
