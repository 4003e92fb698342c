"""SchNets that SchNetPack trained and saved whole, as its `best_inference_model` or `best_model`.

K. T. Schuett, S. S. P. Hessmann, N. W. A. Gebauer, J. Lederer, M. Gastegger, "SchNetPack 2.0",
J. Chem. Phys. 158, 144801 (2023), doi:10.1063/5.0138367; program: atomistic-machine-learning/
schnetpack. Versions 2 (`NeuralNetworkPotential`) and 1 (`AtomisticModel`) have the same network:
Gaussians exp(-(r - mu)^2 / (2 width^2)) with width = spacing, a filter network without output
activation, filters times a cosine cutoff, messages summed, an atomwise readout of two layers.

The model states no units. The `config.yaml` that SchNetPack 2 writes beside it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import Tensor

from mlpotential.data.declared_units import energy_unit_meant, length_unit_meant
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
from mlpotential.models.importers.original_schnetpack import evaluate_with_schnetpack
from mlpotential.models.importers.pickle_description import Made, Name, Value
from mlpotential.models.importers.refusal import Refusal, shown
from mlpotential.models.outputs import Activation

CONFIG = "config.yaml"
ACTIVATIONS = {
    "None": "none",
    "torch.nn.modules.linear.Identity": "none",
    "schnetpack.nn.activations.shifted_softplus": "ssp",
    "torch.nn.functional.silu": "silu",
    "torch.nn.modules.activation.SiLU": "silu",
}
# Layers of an interaction: ours, SchNetPack 2, SchNetPack 1, activation.
INTERACTION = (
    ("filter_network.hidden", "filter_network.0", "filter_network.0", "ssp"),
    ("filter_network.output", "filter_network.1", "filter_network.1", "none"),
    ("in_to_filter", "in2f", "cfconv.in2f", "none"),
    ("filter_to_out", "f2out.0", "cfconv.f2out", "ssp"),
    ("output", "f2out.1", "dense", "none"),
)


@dataclass(frozen=True)
class _Readout:
    """What follows the representation.

    Attributes:
        energy_key: name of the energy.
        layers: of the atomwise network.
        mean, std: of the atomic energies.
        references: energy by atomic number, [n_rows].
    """

    energy_key: str
    layers: DescribedModule
    mean: float
    std: float
    references: Tensor
    notes: tuple[str, ...] = ()


def is_schnetpack(root: Value) -> bool:
    """Whether an object is of SchNetPack."""
    return isinstance(root, Made) and root.factory.module.split(".")[0] == "schnetpack"


def read_schnetpack(root: Value, path: Path) -> ForeignNetwork:
    """A SchNet from the description of a saved model.

    Args:
        root: as `read_torch_file` gives it.
        path: of the file; SchNetPack's `config.yaml` may lie beside it.

    Raises:
        Refusal: if it is of another kind, naming what is not supported.
    """
    model = DescribedModule.of("", root).check_class("NeuralNetworkPotential", "AtomisticModel")
    is_new = model.class_name == "NeuralNetworkPotential"
    representation = model.part("representation").check_class("SchNet")
    readout = _readout_of_2(model) if is_new else _readout_of_1(model)
    settings, weights = _representation(representation, 1 if is_new else 2)
    hidden, output = _two_layers(readout.layers)
    _check_activation(output, "none")
    weights |= _dense("readout.hidden", hidden) | _dense("readout.output", output)
    sizes = sizes_of(weights)
    energy_unit, length_unit = _stated_units(path.parent / CONFIG, readout.energy_key)
    activation = _check_activation(hidden, "ssp", "silu")
    return ForeignNetwork(
        program=f"SchNetPack {_version(model) if is_new else 1}",
        config=build_config(**sizes, **settings, filter_output_activation="none"),
        weights=weights,
        activation=cast(Activation, activation),
        mean_per_atom=readout.mean,
        std_per_atom=readout.std,
        atom_references=readout.references,
        elements=referenced_elements(readout.references, sizes["max_atomic_number"]),
        energy_unit=energy_unit,
        length_unit=length_unit,
        units_from=CONFIG,
        notes=readout.notes,
        original=partial(evaluate_with_schnetpack, model, activation) if is_new else None,
    )


def _representation(
    schnet: DescribedModule, column: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights; `column` of INTERACTION has the names of the layers."""
    if column == 1:
        basis = schnet.part("radial_basis").check_class("GaussianRBF")
        width, cutoff = basis.tensor("widths"), _cutoff(schnet.part("cutoff_fn"))
        extra = "electronic_embeddings"
        if schnet.has_part(extra) and schnet.part(extra).parts():
            raise Refusal(f"has {extra}, which are refused: energies depend on charge or spin")
    else:
        basis = schnet.part("distance_expansion").check_class("GaussianSmearing")
        width, cutoff = basis.tensor("width"), None
        basis.check_setting("centered", False)
        if schnet.made.state.get("charged_systems"):
            raise Refusal("has charged_systems, which is refused: energies depend on the charge")
    embedding = schnet.part("embedding").check_class("Embedding")
    weights = {"embedding.weight": embedding.tensor("weight"), CENTERS: basis.tensor("offsets")}
    blocks = schnet.part("interactions").parts()
    for k, block in enumerate(blocks):
        block.check_class("SchNetInteraction")
        if column == 2:
            cutoff = _cutoff(block.part("cutoff_network"))
            block.part("cfconv", "agg").check_setting("average", False)
        for layer in INTERACTION:
            dense = block.part(*layer[column].split(".")).check_class("Dense")
            _check_activation(dense, layer[3])
            weights |= _dense(f"interactions.{k}.{layer[0]}", dense)
    if cutoff is None or float(width.max()) > float(width.min()):
        raise Refusal("has no interactions, or Gaussians of unequal width, which is refused")
    start, stop = centers_settings(weights[CENTERS])
    settings: dict[str, Any] = {
        "n_interactions": len(blocks),
        "rbf_start": start,
        "rbf_stop": stop,
        "rbf_gamma": gamma_of(float(width.max())),
        "cutoff_function": "cosine",
        "cutoff": cutoff,
    }
    return settings, weights


def _cutoff(module: DescribedModule) -> float:
    """Its radius, as the source has it: rounded to float32."""
    return _number(module.check_class("CosineCutoff"), "cutoff")


def _dense(ours: str, dense: DescribedModule) -> dict[str, Tensor]:
    """Weight and, where there is one, bias of a layer, by our names."""
    weights = {f"{ours}.weight": dense.tensor("weight")}
    if dense.has_tensor("bias"):
        weights[f"{ours}.bias"] = dense.tensor("bias")
    return weights


def _check_activation(dense: DescribedModule, *allowed: str) -> str:
    """The activation of a layer, by our name. Raises Refusal, naming it, if it is another."""
    if dense.has_part("activation"):
        value: Value = dense.part("activation").made.factory
    else:
        value = dense.setting("activation")
    name = _name_of(_without_partial(value))
    if ACTIVATIONS.get(name) not in allowed:
        raise Refusal(
            f"has the activation {shown(name)} at {shown(dense.path)}, which is refused: only "
            f"{' or '.join(allowed)} can be converted"
        )
    return ACTIVATIONS[name]


def _name_of(value: Value) -> str:
    if isinstance(value, Made):
        return str(value.factory)
    return str(value) if isinstance(value, Name | None) else type(value).__name__


def _without_partial(value: Value) -> Value:
    """The function that a `functools.partial` without arguments stands for; hydra makes those."""
    if isinstance(value, Made) and str(value.factory) == "functools.partial":
        state = value.state if isinstance(value.state, tuple) else ()
        if len(state) == 4 and isinstance(state[0], Name) and state[1:] == ((), {}, None):
            return state[0]
    return value


def _two_layers(network: DescribedModule) -> list[DescribedModule]:
    layers = [layer.check_class("Dense") for layer in network.check_class("Sequential").parts()]
    if len(layers) != 2:
        raise Refusal(
            f"has a readout of {len(layers)} layers at {shown(network.path)}, which is refused: "
            "only 2 can be converted"
        )
    return layers


def _readout_of_2(model: DescribedModule) -> _Readout:
    """One Atomwise, perhaps Forces, and the postprocessors."""
    for module in model.part("input_modules").parts():
        module.check_class("PairwiseDistances", "Strain")
    modules = model.part("output_modules").parts()
    atomwise = [m for m in modules if m.check_class("Atomwise", "Forces").class_name == "Atomwise"]
    if len(atomwise) != 1:
        raise Refusal(f"has {len(atomwise)} atomwise outputs, which is refused: one is needed")
    (energy,) = atomwise
    energy.check_setting("aggregation_mode", "sum")
    energy_key = energy.text("output_key")
    scales = {energy_key: 1.0}
    for forces in modules:
        if forces.class_name == "Forces":
            forces.check_setting("energy_key", energy_key)
            scales[forces.text("force_key")] = 1.0
    mean, references = 0.0, torch.zeros(1, dtype=torch.float64)
    applied = model.setting("do_postprocessing")
    for step in model.part("postprocessors").parts() if applied else []:
        step.check_class("AddOffsets", "ScaleProperty", "CastTo64", "CastTo32", "CastMap")
        if step.class_name == "AddOffsets":
            step.check_setting("_property", energy_key)
            step.check_setting("is_extensive", True)
            mean += _number(step, "mean") if step.setting("add_mean") else 0.0
            if step.setting("add_atomrefs"):
                references = _sum(references, step.tensor("atomref").double().flatten())
        elif step.class_name == "ScaleProperty":
            key, factor = step.text("input_key"), _number(step, "scale")
            step.check_setting("output_key", key)
            if key == energy_key:
                mean, references = mean * factor, references * factor
            scales[key] = scales.get(key, 1.0) * factor
    if len(set(scales.values())) != 1:
        raise Refusal("scales energy and forces differently: they would be no derivatives")
    notes = () if applied else ("its file says: no postprocessing, so no mean, no references",)
    return _Readout(energy_key, energy.part("outnet"), mean, scales[energy_key], references, notes)


def _readout_of_1(model: DescribedModule) -> _Readout:
    """One Atomwise with its standardization and atom references."""
    modules = model.part("output_modules").parts()
    if len(modules) != 1:
        raise Refusal(f"has {len(modules)} outputs, which is refused: one energy is needed")
    energy = modules[0].check_class("Atomwise", "Energy")
    energy.part("atom_pool").check_class("Aggregate").check_setting("average", False)
    energy.part("out_net", "0").check_class("GetItem")
    scale = energy.part("standardize").check_class("ScaleShift")
    references = torch.zeros(1, dtype=torch.float64)
    if energy.has_part("atomref"):
        references = energy.part("atomref").tensor("weight").double().flatten()
    layers = energy.part("out_net", "1").check_class("MLP").part("out_net")
    mean, std = _number(scale, "mean"), _number(scale, "stddev")
    return _Readout(str(energy.setting("property")), layers, mean, std, references)


def _sum(first: Tensor, second: Tensor) -> Tensor:
    """Of two rows, the shorter one filled up with zeros."""
    longer, shorter = (first, second) if len(first) > len(second) else (second, first)
    return longer.index_add(0, torch.arange(len(shorter)), shorter)


def _number(module: DescribedModule, name: str) -> float:
    values = module.tensor(name)
    if values.numel() != 1:
        raise Refusal(f"has {values.numel()} numbers as {name} of {shown(module.path)}, not one")
    return float(values)


def _version(model: DescribedModule) -> str:
    """As the model says; the first releases of version 2 do not."""
    version = model.made.state.get("spk_version")
    return version if isinstance(version, str) and version.isprintable() else "2"


def _stated_units(path: Path, energy_key: str) -> tuple[str | None, str | None]:
    """Units of energy and length in the configuration of the training, where it has them."""
    try:
        config = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"lies beside a {path.name} that cannot be read: {reason}") from None
    data = config.get("data") if isinstance(config, Mapping) else None
    units = data.get("property_units") if isinstance(data, Mapping) else None
    energy = units.get(energy_key) if isinstance(units, Mapping) else None
    length = data.get("distance_unit") if isinstance(data, Mapping) else None
    return energy_unit_meant(energy), length_unit_meant(length)
