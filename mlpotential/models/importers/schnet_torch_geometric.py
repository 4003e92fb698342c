"""SchNets of torch_geometric, saved whole or as a state dictionary.

M. Fey, J. E. Lenssen, "Fast Graph Representation Learning with PyTorch Geometric",
arXiv:1903.02428; class `torch_geometric.nn.models.SchNet`, which its QM9 networks are of. Gaussians
exp(-(r - mu)^2 / (2 spacing^2)) with the last centre at the cutoff, a filter network without output
activation, filters times a cosine cutoff, messages summed, an atomwise readout of two layers.

A state dictionary lacks what is no tensor: the cutoff is read off the last Gaussian centre; mean
and standard deviation have to be given where the network has them. Departures: every neighbour
within the cutoff counts, where that program drops all beyond the 32nd by default; its ln 2 is
rounded to float32 (2e-9 off), ours is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mlpotential.models.importers.described_module import DescribedModule
from mlpotential.models.importers.foreign_network import (
    CENTERS,
    ForeignNetwork,
    build_config,
    centers_settings,
    gamma_of,
    referenced_elements,
    sizes_of,
)
from mlpotential.models.importers.original_torch_geometric import evaluate_with_torch_geometric
from mlpotential.models.importers.pickle_description import Made, Value
from mlpotential.models.importers.refusal import Refusal, plain_number, shown
from mlpotential.models.importers.torch_file import StoredTensor

PROGRAM = "torch_geometric"
OFFSET = "distance_expansion.offset"
REFERENCES = "atomref.weight"
LAYERS = {"readout.hidden": "lin1", "readout.output": "lin2"}
LAYERS_OF_INTERACTION = {
    "filter_network.hidden": "mlp.0",
    "filter_network.output": "mlp.2",
    "filter_to_out": "conv.lin2",
    "output": "lin",
}
STORED_TWICE = {"conv.nn.0": "mlp.0", "conv.nn.2": "mlp.2"}  # one layer under two names
NO_MEAN = "a state dictionary holds no mean and deviation: give --mean and --std if it had them"
MANY_NEIGHBORS = "torch_geometric drops neighbours beyond {}; here all within the cutoff count"


@dataclass(frozen=True)
class _Source:
    """What the two kinds of files have in common.

    Attributes:
        tensors: by torch_geometric's names.
        cutoff: (source's unit).
        mean, std: of the atomic energies; None for none.
        scale: factor on the energy.
        notes: what its user should know.
    """

    tensors: dict[str, Tensor]
    cutoff: float
    mean: float | None
    std: float | None
    scale: float
    notes: tuple[str, ...]


def is_torch_geometric(root: Value) -> bool:
    """Whether a value is a model of torch_geometric or the state dictionary of its SchNet."""
    if isinstance(root, Made):
        return root.factory.module.split(".")[0] == "torch_geometric"
    return isinstance(root, dict) and OFFSET in root


def read_torch_geometric(
    root: Value, mean: float | None = None, std: float | None = None
) -> ForeignNetwork:
    """A SchNet from the description of a saved model or of its state dictionary.

    Args:
        root: as `read_torch_file` gives it.
        mean, std: of the atomic energies (source's unit), of a network with them whose state
            dictionary this is; a saved model says so itself.

    Raises:
        Refusal: if it is of another kind, naming what is not supported.
    """
    if isinstance(root, Made):
        if mean is not None or std is not None:
            raise Refusal("is a whole model, which has its own mean and deviation: give none")
        source = _whole_model(DescribedModule.of("", root).check_class("SchNet"))
    else:
        source = _state_dictionary(root, mean, std)
    tensors = source.tensors
    names = _source_names(_n_interactions(tensors))
    weights = {ours: tensors[theirs] for ours, theirs in names.items()}
    sizes, offset = sizes_of(weights), weights[CENTERS].float()
    start, stop = centers_settings(offset)
    references = tensors.get(REFERENCES, torch.zeros(1)).double().flatten() * source.scale
    has_scale = source.mean is not None and source.std is not None
    return ForeignNetwork(
        program=PROGRAM,
        config=build_config(
            **sizes,
            n_interactions=_n_interactions(tensors),
            rbf_start=start,
            rbf_stop=stop,
            rbf_gamma=gamma_of(float(offset[1] - offset[0])),  # rounded to float32, as there
            cutoff_function="cosine",
            cutoff=source.cutoff,
            filter_output_activation="none",
        ),
        weights=weights,
        mean_per_atom=source.scale * (source.mean or 0.0) if has_scale else 0.0,
        std_per_atom=source.scale * (source.std or 0.0) if has_scale else source.scale,
        atom_references=references,
        elements=referenced_elements(references, sizes["max_atomic_number"]),
        notes=source.notes,
        original=partial(
            evaluate_with_torch_geometric,
            tensors,
            source.cutoff,
            source.mean,
            source.std,
            source.scale,
        ),
    )


def _state_dictionary(root: Value, mean: float | None, std: float | None) -> _Source:
    if (mean is None) != (std is None):
        raise Refusal("needs both --mean and --std, or neither")
    tensors = {}
    for name, value in root.items():
        if not isinstance(name, str) or not isinstance(value, StoredTensor):
            raise Refusal(f"is no state dictionary: it holds {shown(name)}, which is no tensor")
        tensors[name] = value.read()
    if "atomic_mass" in tensors:
        raise Refusal("is of a network for dipole moments, which is refused")
    expected = {*_source_names(_n_interactions(tensors)).values()}
    missing = sorted(expected - set(tensors))
    if missing:
        raise Refusal(f"lacks the tensor {missing[0]!r}, and {len(missing) - 1} others")
    optional = {REFERENCES, "initial_atomref"}
    for name in sorted(set(tensors) - expected - optional):
        _check_second_name(name, tensors)
    cutoff = float(str(np.float32(tensors[OFFSET].flatten()[-1])))  # 5.2, not 5.199999809
    notes = () if mean is not None else (NO_MEAN,)
    return _Source(tensors, cutoff, mean, std, 1.0, (*notes, MANY_NEIGHBORS.format("the 32nd")))


def _check_second_name(name: str, tensors: dict[str, Tensor]) -> None:
    """Raises Refusal unless a surplus tensor repeats one that is used."""
    for second, first in STORED_TWICE.items():
        other = tensors.get(name.replace(f".{second}.", f".{first}."))
        if f".{second}." in name and other is not None and torch.equal(tensors[name], other):
            return
    raise Refusal(f"has the tensor {shown(name)}, which no SchNet of torch_geometric has")


def _whole_model(model: DescribedModule) -> _Source:
    model.check_setting("dipole", False)
    if model.has_part("readout"):
        model.part("readout").check_class("SumAggregation")
    else:
        model.check_setting("readout", "add")  # older releases keep the name alone
    notes: tuple[str, ...] = ()
    if model.has_part("interaction_graph"):
        graph = model.part("interaction_graph").check_class("RadiusInteractionGraph")
        notes = (MANY_NEIGHBORS.format(f"{_number(graph, 'max_num_neighbors') or 0:.0f} per atom"),)
    names = set(_source_names(len(model.part("interactions").parts())).values())
    if model.has_part("atomref"):
        names.add(REFERENCES)
    tensors = {}
    for name in sorted(names):
        *path, leaf = name.split(".")
        tensors[name] = model.part(*path).tensor(leaf)
    cutoff = _number(model, "cutoff")
    if cutoff is None:
        raise Refusal("has no cutoff")
    scale = _number(model, "scale") if "scale" in model.made.state else None
    return _Source(
        tensors,
        cutoff,
        _number(model, "mean"),
        _number(model, "std"),
        1.0 if scale is None else scale,
        notes,
    )


def _number(model: DescribedModule, name: str) -> float | None:
    value = model.setting(name)
    return None if value is None else plain_number(name, value)


def _n_interactions(tensors: dict[str, Tensor]) -> int:
    blocks = {name.split(".")[1] for name in tensors if name.startswith("interactions.")}
    return len(blocks)


def _source_names(n_interactions: int) -> dict[str, str]:
    """torch_geometric's name of every parameter and of the Gaussian centres."""
    layers = dict(LAYERS)
    for k in range(n_interactions):
        for ours, theirs in LAYERS_OF_INTERACTION.items():
            layers[f"interactions.{k}.{ours}"] = f"interactions.{k}.{theirs}"
    names = {
        f"{ours}.{kind}": f"{theirs}.{kind}"
        for ours, theirs in layers.items()
        for kind in ("weight", "bias")
    }
    for k in range(n_interactions):
        names[f"interactions.{k}.in_to_filter.weight"] = f"interactions.{k}.conv.lin1.weight"
    return names | {"embedding.weight": "embedding.weight", CENTERS: OFFSET}
