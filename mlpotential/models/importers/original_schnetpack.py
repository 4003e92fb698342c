"""A model of SchNetPack 2 evaluated by SchNetPack itself, where it is installed.

SchNetPack's classes are made anew from the settings in the description of a model and filled with
its tensors: the saved model is not unpickled.
"""

from __future__ import annotations

from importlib.metadata import version

import torch
from torch import nn

from mlpotential.graph import AtomGraph
from mlpotential.models.importers.described_module import DescribedModule
from mlpotential.models.importers.foreign_network import OriginalAnswer


def evaluate_with_schnetpack(
    model: DescribedModule, readout_activation: str, graph: AtomGraph
) -> OriginalAnswer:
    """Energies and forces in float64, in the units of the model.

    Args:
        model: a `NeuralNetworkPotential` that `read_schnetpack` accepted.
        readout_activation: `ssp` or `silu`.
        graph: connected molecules, positions in the unit of the model.

    Raises:
        ImportError: if SchNetPack 2 is not installed, or cannot be imported.
    """
    from schnetpack.atomistic import PairwiseDistances
    from schnetpack.model import NeuralNetworkPotential

    if not version("schnetpack").startswith("2."):
        raise ImportError(f"SchNetPack {version('schnetpack')} is installed, 2 is needed")
    outputs = model.part("output_modules").parts()
    atomwise = next(m for m in outputs if m.class_name == "Atomwise")
    energy_key = atomwise.setting("output_key")
    twin = NeuralNetworkPotential(
        representation=_representation(model.part("representation")),
        input_modules=[PairwiseDistances()],
        output_modules=[_readout(atomwise, readout_activation)],
        postprocessors=_postprocessors(model, energy_key),
    )
    assert graph.edge_index is not None
    i, j = graph.edge_index
    positions = graph.positions.clone().requires_grad_()
    inputs = {
        "_atomic_numbers": graph.atomic_numbers,
        "_positions": positions,
        "_idx_m": graph.graph_index,
        "_n_atoms": graph.atoms_per_graph(),
        "_idx_i": i,
        "_idx_j": j,
        "_offsets": torch.zeros(len(i), 3, dtype=torch.float64),
    }
    energy = twin(inputs)[energy_key]
    (gradient,) = torch.autograd.grad(energy.sum(), positions)
    return OriginalAnswer(f"SchNetPack {version('schnetpack')}", energy.detach(), -gradient)


def _representation(schnet: DescribedModule) -> nn.Module:
    from schnetpack.nn import CosineCutoff, GaussianRBF
    from schnetpack.representation import SchNet

    cutoff = float(schnet.part("cutoff_fn").tensor("cutoff"))
    n_rbf = len(schnet.part("radial_basis").tensor("offsets"))
    representation = SchNet(
        n_atom_basis=schnet.part("embedding").tensor("weight").shape[1],
        n_interactions=len(schnet.part("interactions").parts()),
        radial_basis=GaussianRBF(n_rbf=n_rbf, cutoff=cutoff),
        cutoff_fn=CosineCutoff(cutoff),
    )
    return _filled(representation, schnet)


def _readout(atomwise: DescribedModule, activation: str) -> nn.Module:
    from schnetpack.atomistic import Atomwise
    from schnetpack.nn.activations import shifted_softplus
    from torch.nn.functional import silu

    n_hidden, n_features = atomwise.part("outnet", "0").tensor("weight").shape
    readout = Atomwise(
        n_in=n_features,
        n_hidden=n_hidden,
        activation={"ssp": shifted_softplus, "silu": silu}[activation],
        output_key=atomwise.setting("output_key"),
    )
    return _filled(readout, atomwise)


def _postprocessors(model: DescribedModule, energy_key: str) -> list[nn.Module]:
    """What is done to the energy afterwards."""
    from schnetpack.transform import AddOffsets, ScaleProperty

    made = []
    steps = model.part("postprocessors").parts() if model.setting("do_postprocessing") else []
    for step in steps:
        if step.class_name == "AddOffsets":
            flags = {name: step.setting(name) for name in ("add_mean", "add_atomrefs")}
            made.append(_filled(AddOffsets(energy_key, **flags), step))
        elif step.class_name == "ScaleProperty" and step.setting("input_key") == energy_key:
            made.append(_filled(ScaleProperty(energy_key), step))
    return made


def _filled(module: nn.Module, described: DescribedModule) -> nn.Module:
    """The module with the tensors of its description, in float64, whatever their shapes."""
    module.double()
    for name in module.state_dict():
        *path, leaf = name.split(".")
        owner, values = module.get_submodule(".".join(path)), described.part(*path).tensor(leaf)
        if leaf in owner._buffers:
            owner._buffers[leaf] = values.double()
        else:
            owner._parameters[leaf] = nn.Parameter(values.double(), requires_grad=False)
    return module
