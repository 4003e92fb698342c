"""Golden structures of a model file: what its networks gave when it was written, `golden/*`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from mlpotential.graph import AtomGraph, check_structure
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect, split
from mlpotential.properties import LABELS

GOLDEN_PREFIX = "golden/"
GOLDEN_LABELS = ("energy", "forces")  # chosen: what every model has; sums of charges cancel
GOLDEN_DTYPES = {
    "atomic_numbers": torch.int64,
    "positions": torch.float64,
    "graph_index": torch.int64,
    "pbc": torch.bool,
    "cell": torch.float64,
    **dict.fromkeys(GOLDEN_LABELS, torch.float64),
}


def golden_tensors(
    potential: Potential, golden: AtomGraph, extras: Mapping[str, Potential], has_labels: bool
) -> dict[str, Tensor]:
    """The tensors to store: structures, energies and forces, energies of extra networks.

    By name, of the shapes of an `AtomGraph`; energies are [n_graphs], forces [n_atoms, 3]: those
    that `golden` carries where it has labels to be kept.
    """
    twin = copy.deepcopy(potential).double().cpu().eval()
    graph = connect(golden.to("cpu"), twin.cutoff)
    values = {name: getattr(graph, name) for name in GOLDEN_DTYPES}
    if not has_labels:
        prediction = twin(graph, GOLDEN_LABELS)
        values |= {name: getattr(prediction, name) for name in GOLDEN_LABELS}
    for name, network in extras.items():
        twin = copy.deepcopy(network).double().cpu().eval()
        values[f"{name}/energy"] = twin(graph, ("energy",)).energy
    return {f"{GOLDEN_PREFIX}{k}": v for k, v in values.items() if v is not None}


def golden_extras(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Energies of extra networks by name, [n_graphs] (eV). KeyError, ValueError if they lack."""
    energies = {name: tensors[f"{GOLDEN_PREFIX}{name}/energy"] for name in names}
    wanted = tensors[f"{GOLDEN_PREFIX}energy"]
    for name, energy in energies.items():
        if (energy.dtype, energy.shape) != (wanted.dtype, wanted.shape):
            raise ValueError(f"golden/{name}/energy is {energy.dtype} {list(energy.shape)}")
    return energies


def golden_graph(tensors: Mapping[str, Tensor], potential: Potential) -> AtomGraph:
    """The structures with their labels, energy [n_graphs] (eV) and forces [n_atoms, 3] (eV/A).

    Raises KeyError or ValueError where they cannot be evaluated.
    """
    golden: dict[str, Any] = {
        name: tensors.get(GOLDEN_PREFIX + name) if name == "cell" else tensors[GOLDEN_PREFIX + name]
        for name in GOLDEN_DTYPES
    }
    n_atoms, n_graphs = golden["atomic_numbers"].numel(), golden["energy"].numel()
    shapes = {name: [*LABELS[name].array_shape(n_atoms, n_graphs)] for name in GOLDEN_LABELS}
    shapes |= {"atomic_numbers": [n_atoms], "graph_index": [n_atoms], "positions": [n_atoms, 3]}
    shapes |= {"pbc": [n_graphs, 3], "cell": [n_graphs, 3, 3]}
    for name, tensor in golden.items():
        wanted = (GOLDEN_DTYPES[name], shapes[name])
        if tensor is not None and (tensor.dtype, list(tensor.shape)) != wanted:
            raise ValueError(f"golden/{name} is {tensor.dtype} {list(tensor.shape)}, not {wanted}")
    graph = AtomGraph(n_graphs=n_graphs, **golden)
    index = graph.graph_index
    if index.unique().tolist() != list(range(n_graphs)) or bool((index.diff() < 0).any()):
        raise ValueError("golden/graph_index is not 0, 1, ... in ascending order")
    for single in split(graph):
        cell = None if single.cell is None else single.cell[0].numpy()
        numbers = single.atomic_numbers.numpy()
        check_structure(numbers, single.positions.numpy(), cell, single.pbc[0].numpy())
        if not set(numbers.tolist()) <= set(potential.elements):
            raise ValueError("the golden structures hold elements that the model does not know")
    return graph
