"""The compiled SchNet kernel: loads it, packs a model for it, calls it without holding the GIL.

The source is in `csrc/`, compiled once per instruction set when the package is installed, where
there is a C++ compiler. It does what `tabulated.py` does: interpolated filters and a backward pass
by hand, here with threads of its own and without any effect on the rest of the process.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mlpotential.errors import ConfigError, RunError
from mlpotential.graph import Prediction
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.schnet.filter_table import FilterTable
from mlpotential.inference.training_domain import (
    NOWHERE,
    Outliers,
    TrainingDomain,
    is_outside,
)
from mlpotential.models.readouts import AtomwiseReadout
from mlpotential.models.schnet import SchNet
from mlpotential.nn.hermite import hermite_basis

INTERFACE = 3  # of csrc/schnet.h
NO_MEMORY, NO_THREADS = 1, 2
READOUT_ACTIVATIONS = ("ssp", "ssp_linear_from_14", "silu")  # by their numbers there

InstructionSet = Literal["portable", "avx2", "avx512"]
INSTRUCTION_SETS: tuple[InstructionSet, ...] = ("portable", "avx2", "avx512")  # by their demands


def _structure(name: str, **fields: Any) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


_int64, _float64 = ctypes.c_int64, ctypes.c_double
_int32_array = _int64_array = _float64_array = ctypes.c_void_p  # see `_address`

_Model = _structure(
    "SchNetModel",
    n_interactions=_int64,
    n_features=_int64,
    n_hidden=_int64,
    n_elements=_int64,
    table_rows=_int64,
    rows_per_interval=_int64,
    spacing=_float64,
    last=_float64,
    cutoff=_float64,
    averages=_int64,
    energy_scale=_float64,
    readout_bias=_float64,
    readout_activation=_int64,
    basis=_float64_array,
    table=_float64_array,
    embedding=_float64_array,
    first_products=_float64_array,
    atom_energies=_float64_array,
    in_to_filter=_float64_array,
    filter_to_out=_float64_array,
    filter_to_out_bias=_float64_array,
    output=_float64_array,
    output_bias=_float64_array,
    readout_hidden=_float64_array,
    readout_hidden_bias=_float64_array,
    readout_output=_float64_array,
    charge_bias=_float64,
    charge_hidden=_float64_array,
    charge_hidden_bias=_float64_array,
    charge_output=_float64_array,
    shortest=_float64_array,
    feature_centers=_float64_array,
    feature_scales=_float64_array,
)
_Graph = _structure(
    "SchNetGraph",
    n_graphs=_int64,
    n_atoms=_int64,
    graph_start=_int64_array,
    elements=_int32_array,
    positions=_float64_array,
    row_start=_int64_array,
    neighbors=_int32_array,
    shift_index=_int32_array,
    translations=_float64_array,
)
_Answer = _structure(
    "SchNetAnswer",
    atomic_energies=_float64_array,
    charges=_float64_array,
    forces=_float64_array,
    virial=_float64_array,
    closest=_float64,
    closest_pair=_int64 * 2,
    shortfall=_float64,
    reach=_float64,
    findings=ctypes.c_void_p,
)
_FINDING = np.dtype([("shortfall", np.float64), ("reach", np.float64), ("partner", np.int64)])


@dataclass(frozen=True)
class Closest:
    """The pair of smallest distance (A), infinite without pairs; atoms of the whole graph."""

    distance: float
    i: int
    j: int


def available_instruction_sets() -> tuple[InstructionSet, ...]:
    """Those that were compiled and that this processor can run, best last."""
    portable = _library_path("portable")
    if portable is None:
        return ()
    level = int(_load(portable).schnet_processor())
    return tuple(s for s in INSTRUCTION_SETS[: level + 1] if _library_path(s) is not None)


@cache
def _library_path(instruction_set: InstructionSet) -> Path | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_schnet_{instruction_set}{suffix}")
        if path.is_file():
            return path
    return None


@cache
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.schnet_interface.restype = library.schnet_processor.restype = _int64
    if library.schnet_interface() != INTERFACE:
        raise RunError(
            f"the compiled kernel {path.name} is of another version than the package: "
            "install the package anew"
        )
    library.schnet_create.restype = ctypes.c_void_p
    library.schnet_create.argtypes = [ctypes.POINTER(_Model), _int64]
    library.schnet_destroy.restype = None
    library.schnet_destroy.argtypes = [ctypes.c_void_p]
    library.schnet_evaluate.restype = _int64
    library.schnet_evaluate.argtypes = [
        ctypes.c_void_p,
        ctypes.POINTER(_Graph),
        _int64,
        ctypes.POINTER(_Answer),
    ]
    return library


class NativeSchNet:
    """A SchNet packed for the compiled kernel.

    Args:
        model: in float32 or float64; its weights are copied.
        table: of its filters, in float64.
        threads: how many share an evaluation: structures first, atoms of one structure else.
        instruction_set: None for the best this processor can run.
        domain: where the model was trained, as far as it is known.

    Raises:
        ConfigError: if there is no such compiled kernel.
    """

    def __init__(
        self,
        model: SchNet,
        table: FilterTable,
        threads: int = 1,
        instruction_set: InstructionSet | None = None,
        domain: TrainingDomain = NOWHERE,
    ) -> None:
        available = available_instruction_sets()
        if not available or (instruction_set or available[-1]) not in available:
            raise ConfigError(
                f"there is no compiled kernel for {instruction_set or 'this processor'} "
                f"(there are: {', '.join(available) or 'none'}): install the package where a C++ "
                "compiler is, or use backend='tabulated'"
            )
        self.table_error, self.threads = table.error, threads
        self.instruction_set = instruction_set or available[-1]
        path = _library_path(self.instruction_set)
        assert path is not None  # it is available
        self._library = _load(path)
        description, arrays = _describe(model, table, domain)
        self.domain = domain
        n_bytes = 8 if model.dtype == torch.float64 else 4
        self._network = self._library.schnet_create(ctypes.byref(description), n_bytes)
        del arrays  # they had to live until here
        if not self._network:
            raise MemoryError("not enough memory to pack the model")

    def __del__(self) -> None:
        if getattr(self, "_network", None):
            self._library.schnet_destroy(self._network)

    def evaluate(
        self,
        graph: PairGraph,
        positions: np.ndarray,
        properties: Collection[str],
        watched: bool = False,
    ) -> tuple[Prediction, Closest, Outliers | None]:
        """Energies and derivatives of all structures of a graph.

        Args:
            graph: arrays as its docstring says, C-contiguous.
            positions: [n_atoms, 3], float64, C-contiguous (A).
            properties: any of energy, forces, virial, atomic_energies and, where the model has
                them, charges: as they come out of its network.
            watched: look for atoms outside the training domain.

        Returns:
            Float64 arrays, the pair of smallest distance, and outliers, if there are any.
        """
        n_atoms = graph.n_atoms
        atomic = np.empty(n_atoms)
        forces = np.empty((n_atoms, 3)) if "forces" in properties else None
        virial = np.empty((graph.n_graphs, 3, 3)) if "virial" in properties else None
        charges = np.empty(n_atoms) if "charges" in properties else None
        findings = np.empty(n_atoms, _FINDING) if watched else None
        structures = _Graph(
            n_graphs=graph.n_graphs,
            n_atoms=n_atoms,
            graph_start=_address(graph.graph_start, np.int64),
            elements=_address(graph.atomic_numbers, np.int32),
            positions=_address(positions, np.float64),
            row_start=_address(graph.row_start, np.int64),
            neighbors=_address(graph.neighbors, np.int32),
            shift_index=_address(graph.shift_index, np.int32),
            translations=_address(graph.translations, np.float64),
        )
        answer = _Answer(
            atomic_energies=_address(atomic, np.float64),
            charges=_address(charges, np.float64),
            forces=_address(forces, np.float64),
            virial=_address(virial, np.float64),
            findings=_address(findings, _FINDING),
        )
        status = self._library.schnet_evaluate(
            self._network, ctypes.byref(structures), self.threads, ctypes.byref(answer)
        )
        if status == NO_MEMORY:
            raise MemoryError(f"not enough memory to evaluate {n_atoms} atoms at once")
        if status == NO_THREADS:
            raise RunError(f"the system does not give {self.threads} threads: ask for fewer")
        prediction = Prediction(
            energy=np.add.reduceat(atomic, graph.graph_start[:-1]),
            forces=forces,
            virial=virial,
            atomic_energies=atomic if "atomic_energies" in properties else None,
            charges=charges,
        )
        outliers = None
        if findings is not None and is_outside(answer.shortfall, answer.reach):
            outliers = Outliers(
                domain=self.domain,
                shortfalls=findings["shortfall"],
                partners=findings["partner"],
                reaches=findings["reach"],
                atomic_numbers=graph.atomic_numbers,
                graph_start=graph.graph_start,
            )
        return prediction, Closest(answer.closest, *answer.closest_pair), outliers


def _address(array: np.ndarray | None, dtype: type | np.dtype) -> int | None:
    """Of the first number of an array of this type, without gaps; null for None."""
    if array is None:
        return None
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    return array.ctypes.data


def _describe(
    model: SchNet, table: FilterTable, domain: TrainingDomain
) -> tuple[ctypes.Structure, dict[str, np.ndarray | None]]:
    """The model as the kernel reads it, and the arrays that must outlive the description."""
    config, blocks = model.config, model.blocks
    charges = None if model.charge_readout is None else model.charge_readout.atomwise
    embedding = _float64_rows([model.embedding.weight])[0]
    in_to_filter = _float64_rows([b.in_to_filter.weight for b in blocks])
    rows = table.knots.detach().cpu().double().numpy()
    table_rows = np.ascontiguousarray(rows).reshape(-1, len(blocks), config.n_features)
    arrays = {
        "basis": hermite_basis(),
        "table": table_rows,
        "embedding": embedding,
        "first_products": embedding @ in_to_filter[0].T,
        "atom_energies": _float64_rows([model.scale.mean_per_atom + model.scale.atom_references]),
        "in_to_filter": in_to_filter,
        "filter_to_out": _float64_rows([b.filter_to_out.weight for b in blocks]),
        "filter_to_out_bias": _float64_rows([b.filter_to_out.bias for b in blocks]),
        "output": _float64_rows([b.output.weight for b in blocks]),
        "output_bias": _float64_rows([b.output.bias for b in blocks]),
        **_readout_arrays("readout", model.readout),
        **_readout_arrays("charge", charges),
        "shortest": domain.shortest,
        "feature_centers": domain.centers,
        "feature_scales": domain.scales,
    }
    description = _Model(
        n_interactions=len(blocks),
        n_features=config.n_features,
        n_hidden=model.readout.hidden.out_features,
        n_elements=len(embedding),
        table_rows=len(table_rows),
        rows_per_interval=table.knots.shape[1],
        spacing=table.spacing,
        last=table.last,
        cutoff=np.inf if model.cutoff is None else model.cutoff,
        averages=config.cutoff_function == "hard",
        energy_scale=float(model.scale.std_per_atom),
        readout_bias=float(model.readout.output.bias.detach()),
        charge_bias=0.0 if charges is None else float(charges.output.bias.detach()),
        readout_activation=READOUT_ACTIVATIONS.index(config.readout_activation),
        **{name: _address(array, np.float64) for name, array in arrays.items()},
    )
    return description, arrays


def _readout_arrays(name: str, readout: AtomwiseReadout | None) -> dict[str, np.ndarray | None]:
    """Its two layers by their names there; nulls for None."""
    names = [f"{name}_{part}" for part in ("hidden", "hidden_bias", "output")]
    if readout is None:
        return dict.fromkeys(names)
    tensors = (readout.hidden.weight, readout.hidden.bias, readout.output.weight)
    return {name: _float64_rows([x]) for name, x in zip(names, tensors, strict=True)}


def _float64_rows(tensors: list[torch.Tensor]) -> np.ndarray:
    return np.stack([t.detach().cpu().double().numpy() for t in tensors])
