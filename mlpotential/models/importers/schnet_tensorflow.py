"""Networks of the original SchNet program (TensorFlow 1), such as the published C20 networks.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Mueller, J. Chem. Phys. 148,
241722 (2018), doi:10.1063/1.5019779; program and networks: atomistic-machine-learning/SchNet.

Sizes come from the shapes of the tensors, the last Gaussian centre and what is summed from the
arguments of the training (`args.npy`), where they lie beside the checkpoint; nothing in them is
executed. The rest is constant in that program: Gaussians exp(-(d - mu)^2 / 0.1) with n centres mu,
linspace(0, 20, n), rounded to float32; sums over all pairs; kcal/mol and A.

That program takes x - ln 2 for ssp(x) from x = 14 on, a step of 8e-7. Departure: here the readout
alone has it (`activation: ssp_linear_from_14`). In the published networks nothing else gets
so far: the filter networks stay below 14 beyond 0.94 A, the atomwise layers below 10.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlpotential.models.importers.foreign_network import (
    CENTERS,
    ForeignNetwork,
    build_config,
    sizes_of,
)
from mlpotential.models.importers.numpy_arguments import read_arguments
from mlpotential.models.importers.refusal import Refusal, plain_number, shown
from mlpotential.models.importers.tensor_bundle import read_tensor_bundle

PROGRAM = "the original SchNet program"
ENERGY_UNIT, LENGTH_UNIT = "kcal/mol", "Angstrom"  # of the published networks
CHECKPOINT = Path("validation") / "best_model"
ARGUMENTS = "args.npy"
RBF_STOP = 20.0  # A; the cutoff of the published networks, which no pair of atoms reaches
RBF_GAMMA = 10.0  # 1/A^2; the program divides by its gap, 0.1
SUPPORTED = {  # what the arguments must say, where they say anything
    "intensive": False,
    "filter_pool_mode": "sum",
    "normalized_filters": False,
    "shared_interactions": False,
}

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
FIRST_FILTER = "interaction_0/SchNetFilter/Dense/W"
SCALE = ("mean_per_atom", "std_per_atom", "atomref/embeddings/W")


def read_schnet_tensorflow(folder: str | Path) -> ForeignNetwork:
    """A trained network of the original program.

    The checkpoint does not say which elements it was trained on: `elements` holds all that the
    embedding has a row for.

    Args:
        folder: holds `validation/best_model.index` and `.data-*`, and perhaps `args.npy`.

    Raises:
        ModelFileError: if a file cannot be read or is damaged.
        Refusal: if it is of another network.
    """
    folder = Path(folder)
    tensors = {
        name.removesuffix(":0"): torch.from_numpy(values)
        for name, values in read_tensor_bundle(folder / CHECKPOINT).items()
    }
    rbf_stop = _checked_cutoff(folder)
    blocks = {name.split("/")[0] for name in tensors if name.startswith("interaction_")}
    names = _source_names(len(blocks))
    _check_names(set(tensors), {*names.values(), *SCALE})
    weights = {ours: _as_ours(ours, tensors[theirs]) for ours, theirs in names.items()}
    n_rbf = tensors[FIRST_FILTER].shape[0]
    weights[CENTERS] = torch.linspace(0.0, rbf_stop, n_rbf, dtype=torch.float64).float()
    sizes = sizes_of(weights)
    for name in SCALE[:2]:
        if tensors[name].numel() != 1:
            raise Refusal(f"has {name!r} of shape {list(tensors[name].shape)}, not one number")
    mean, std, references = (tensors[name].double().flatten() for name in SCALE)
    return ForeignNetwork(
        program=PROGRAM,
        config=build_config(
            rbf_stop=rbf_stop,
            rbf_gamma=RBF_GAMMA,
            n_interactions=len(blocks),
            **sizes,
        ),
        weights=weights,
        activation="ssp_linear_from_14",
        mean_per_atom=float(mean),
        std_per_atom=float(std),
        atom_references=references,
        elements=tuple(range(1, sizes["max_atomic_number"] + 1)),
        energy_unit=ENERGY_UNIT,
        length_unit=LENGTH_UNIT,
    )


def _checked_cutoff(folder: Path) -> float:
    """The last Gaussian centre (A), if the arguments of the training say nothing unsupported."""
    if not (folder / ARGUMENTS).exists():
        return RBF_STOP
    arguments: dict[str, Any] = read_arguments(folder / ARGUMENTS)
    for name, value in SUPPORTED.items():
        if arguments.get(name, value) != value:
            raise Refusal(
                f"was trained with {name} = {shown(arguments[name])}, which is refused: only "
                f"{value!r} can be converted"
            )
    return plain_number("cutoff", arguments.get("cutoff", RBF_STOP))


def _source_names(n_interactions: int) -> dict[str, str]:
    """The checkpoint's name of every parameter."""
    layers = dict(DENSE_LAYERS)
    for k in range(n_interactions):
        for ours, theirs in DENSE_LAYERS_OF_INTERACTION.items():
            layers[f"interactions.{k}.{ours}"] = f"interaction_{k}/{theirs}"
    names = {f"{ours}.weight": f"{theirs}/W" for ours, theirs in layers.items()}
    names |= {f"{ours}.bias": f"{theirs}/b" for ours, theirs in layers.items()}
    for k in range(n_interactions):
        names[f"interactions.{k}.in_to_filter.weight"] = f"interaction_{k}/CFConv/in2fac/W"
    return names | {"embedding.weight": "atom_embedding/embeddings/W"}


def _check_names(present: set[str], expected: set[str]) -> None:
    """Raises Refusal unless the checkpoint holds exactly what the network needs."""
    missing, surplus = sorted(expected - present), sorted(present - expected)
    if missing or surplus or FIRST_FILTER not in expected:
        raise Refusal(
            f"is no SchNet of the original program: it lacks {missing[:3] or 'nothing'} and has "
            f"{surplus[:3] or 'nothing'} besides"
        )


def _as_ours(name: str, values: Tensor) -> Tensor:
    """Dense layers are y = x W + b there and y = W x + b here."""
    is_dense = name.endswith(".weight") and name != "embedding.weight"
    return values.T if is_dense and values.ndim == 2 else values
