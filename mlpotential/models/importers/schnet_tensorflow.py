"""Networks of the original SchNet program (TensorFlow 1), such as the published C20 networks.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Mueller, J. Chem. Phys. 148,
241722 (2018), doi:10.1063/1.5019779; program and networks: atomistic-machine-learning/SchNet.

Sizes come from the shapes of the tensors. What shapes cannot tell is constant in that program's
exported graphs: Gaussians exp(-(d - mu)^2 / 0.1) with centres mu, linspace(0, 20, n), rounded to
float32; sums over all pairs; energies in kcal/mol, lengths in A. The pickled arguments beside the
checkpoint are not read: unpickling executes what the file says.

Departure: that program takes x - ln 2 for ssp(x) from x = 14 on, a step of 8e-7; ours is exact. The
C20 networks' energies change by less than 1e-6 kcal/mol, their forces by less than 1e-5 kcal/mol/A.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mlpotential.errors import ModelFileError
from mlpotential.models.config import SchNetConfig
from mlpotential.models.importers.tensor_bundle import read_tensor_bundle
from mlpotential.models.schnet import SchNet
from mlpotential.units import EV_PER_KCAL_PER_MOL

CHECKPOINT = Path("validation") / "best_model"
RBF_STOP = 20.0  # A; the cutoff of the published networks, which no pair of atoms reaches
RBF_GAMMA = 10.0  # 1/A^2; the program divides by its gap, 0.1

DENSE_LAYERS = {  # ours: theirs
    "readout.hidden": "Dense",
    "readout.output": "Dense_1",
}
DENSE_LAYERS_OF_INTERACTION = {
    "filter_network.hidden": "SchNetFilter/Dense",
    "filter_network.output": "SchNetFilter/Dense_1",
    "filter_to_out": "CFConv/fac2out",
    "output": "Dense",
}


def load_schnet_tensorflow(folder: str | Path) -> SchNet:
    """A trained network of the original program, in float32 as stored, in evaluation mode.

    The checkpoint does not say which elements it was trained on: `elements` holds all that the
    embedding has a row for.

    Args:
        folder: holds `validation/best_model.index` and `.data-*`.

    Raises:
        ModelFileError: if the checkpoint is missing or damaged, or is of another network.
    """
    prefix = Path(folder) / CHECKPOINT
    tensors = {k.removesuffix(":0"): v for k, v in read_tensor_bundle(prefix).items()}
    model = SchNet(_config(tensors, prefix))
    names = _source_names(model)
    _check_names(tensors, names, prefix)
    state = model.state_dict()  # the Gaussian centres, rounded to float32, are already there
    for ours, theirs in names.items():
        values = _as_ours(ours, tensors[theirs])
        if values.shape != state[ours].shape or not bool(values.isfinite().all()):
            raise ModelFileError(
                f"{prefix}: {theirs}, {list(tensors[theirs].shape)}, does not fit a SchNet of "
                "this size, or holds numbers that are not finite"
            )
        state[ours] = values
    model.load_state_dict(state)
    return model.eval()


def _config(tensors: dict[str, np.ndarray], prefix: Path) -> SchNetConfig:
    """Hyperparameters from the shapes of three tensors."""
    first_filter = "interaction_0/SchNetFilter/Dense/W"
    shapes = {}
    for name in (first_filter, "atom_embedding/embeddings/W", "Dense/W"):
        if name not in tensors or tensors[name].ndim != 2:
            raise ModelFileError(f"{prefix} is no SchNet of the original program: it lacks {name}")
        shapes[name] = tensors[name].shape
    n_rows, n_features = shapes["atom_embedding/embeddings/W"]
    interactions = {name.split("/")[0] for name in tensors if name.startswith("interaction_")}
    return SchNetConfig(
        n_features=n_features,
        n_interactions=len(interactions),
        rbf_stop=RBF_STOP,
        n_rbf=shapes[first_filter][0],
        rbf_gamma=RBF_GAMMA,
        n_readout_hidden=shapes["Dense/W"][1],
        max_atomic_number=n_rows - 1,
    )


def _source_names(model: SchNet) -> dict[str, str]:
    """The checkpoint's name of every parameter and buffer but the Gaussian centres."""
    layers = dict(DENSE_LAYERS)
    for k in range(model.config.n_interactions):
        for ours, theirs in DENSE_LAYERS_OF_INTERACTION.items():
            layers[f"interactions.{k}.{ours}"] = f"interaction_{k}/{theirs}"
    names = {f"{ours}.weight": f"{theirs}/W" for ours, theirs in layers.items()}
    names |= {f"{ours}.bias": f"{theirs}/b" for ours, theirs in layers.items()}
    for k in range(model.config.n_interactions):
        names[f"interactions.{k}.in_to_filter.weight"] = f"interaction_{k}/CFConv/in2fac/W"
    return names | {
        "embedding.weight": "atom_embedding/embeddings/W",
        "scale.mean_per_atom": "mean_per_atom",
        "scale.std_per_atom": "std_per_atom",
        "scale.atom_references": "atomref/embeddings/W",
    }


def _check_names(tensors: dict[str, np.ndarray], names: dict[str, str], prefix: Path) -> None:
    """Raises ModelFileError unless the checkpoint holds exactly what the network needs."""
    expected = set(names.values())
    missing, surplus = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
    if missing or surplus:
        raise ModelFileError(
            f"{prefix} is no SchNet of the original program: it lacks {missing or 'nothing'} and "
            f"has {surplus or 'nothing'} besides"
        )


def _as_ours(name: str, values: np.ndarray) -> Tensor:
    """Dense layers are y = x W + b there and y = W x + b here; energies are in kcal/mol there."""
    if name.startswith("scale."):
        return torch.tensor(values.astype(np.float64).squeeze() * EV_PER_KCAL_PER_MOL)
    is_dense = name.endswith(".weight") and name != "embedding.weight"
    return torch.tensor(values.T if is_dense else values)
