"""Golden structures of a model file: what its networks gave when it was written, `golden/*`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from mlpotential.graph import AtomGraph, check_structure
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect, split
from mlpotential.properties import label_row

GOLDEN_PREFIX = "golden/"
GRAPH_FIELDS = {f.name for f in fields(AtomGraph)}
OF_STRUCTURES = {
    "atomic_numbers": torch.int64,
    "positions": torch.float64,
    "graph_index": torch.int64,
    "pbc": torch.bool,
    "cell": torch.float64,
}


def golden_labels(potential: Potential) -> tuple[str, ...]:
    """What a model gives of them: energies and forces, and all other outputs."""
    labels = ("energy", "forces") if potential.has_energy else ()
    return (*labels, *(name for name in potential.outputs if name != "energy"))


def golden_tensors(
    potential: Potential, golden: AtomGraph, extras: Mapping[str, Potential], has_labels: bool
) -> dict[str, Tensor]:
    """The tensors to store: structures, what the model gives of them, energies of extra networks.

    By name, of the shapes of an `AtomGraph`; energies are [n_graphs], forces [n_atoms, 3]: those
    that `golden` carries where it has labels to be kept. Outputs that periodic structures do not
    have are left out where there are such.
    """
    twin = copy.deepcopy(potential).double().cpu().eval()
    graph = connect(golden.to("cpu"), twin.cutoff)
    values = {name: getattr(graph, name) for name in OF_STRUCTURES}
    periodic = bool(graph.pbc.any())
    names = [n for n in golden_labels(twin) if not (periodic and twin.rows[n].of_molecules)]
    if has_labels:
        values |= graph.labels
    elif names:
        prediction = twin(graph, names)
        values |= {name: prediction.value(name) for name in names}
    for name, network in extras.items():
        twin = copy.deepcopy(network).double().cpu().eval()
        values[f"{name}/energy"] = twin(graph, ("energy",)).energy
    return {f"{GOLDEN_PREFIX}{k}": v for k, v in values.items() if v is not None}


def golden_extras(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Energies of extra networks by name, [n_graphs] (eV). KeyError, ValueError if they lack."""
    energies = {name: tensors[f"{GOLDEN_PREFIX}{name}/energy"] for name in names}
    if not energies:
        return {}
    wanted = tensors[f"{GOLDEN_PREFIX}energy"]
    for name, energy in energies.items():
        if (energy.dtype, energy.shape) != (wanted.dtype, wanted.shape):
            raise ValueError(f"golden/{name}/energy is {energy.dtype} {list(energy.shape)}")
    return energies


def golden_graph(tensors: Mapping[str, Tensor], potential: Potential) -> AtomGraph:
    """The structures with their labels, energy [n_graphs] (eV) and forces [n_atoms, 3] (eV/A).

    Raises KeyError or ValueError where they cannot be evaluated.
    """
    labels = golden_labels(potential)
    required = {*OF_STRUCTURES, "energy", "forces"} - {"cell"}
    golden: dict[str, Any] = {
        name: tensors[GOLDEN_PREFIX + name]
        for name in (*OF_STRUCTURES, *labels)
        if name in required or GOLDEN_PREFIX + name in tensors
    }
    n_atoms, n_graphs = golden["atomic_numbers"].numel(), len(golden["pbc"])
    shapes = {name: [*label_row(name).array_shape(n_atoms, n_graphs)] for name in labels}
    shapes |= {"atomic_numbers": [n_atoms], "graph_index": [n_atoms], "positions": [n_atoms, 3]}
    shapes |= {"pbc": [n_graphs, 3], "cell": [n_graphs, 3, 3]}
    for name, tensor in golden.items():
        wanted = (OF_STRUCTURES.get(name, torch.float64), shapes[name])
        if (tensor.dtype, list(tensor.shape)) != wanted:
            raise ValueError(f"golden/{name} is {tensor.dtype} {list(tensor.shape)}, not {wanted}")
    scalars = {name: golden.pop(name) for name in list(golden) if name not in GRAPH_FIELDS}
    graph = AtomGraph(n_graphs=n_graphs, scalars=scalars, **golden)
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
