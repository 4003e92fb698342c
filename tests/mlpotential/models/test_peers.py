"""Our SchNet with the weights of two others; origin of the numbers: tests/reference/README.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mlpotential.graph import AtomGraph, collate
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.neighbors import connect

REFERENCE = Path(__file__).parents[2] / "reference"
AGREEMENT = 1e-13  # relative to the largest value; measured: see tests/reference/README.md

CONFIG = SchNetConfig(
    n_features=16,
    n_interactions=2,
    rbf_stop=5.0,
    n_rbf=21,
    rbf_gamma=None,
    cutoff_function="cosine",
    cutoff=5.0,
    filter_output_activation="none",
    max_atomic_number=99,
)

SCHNETPACK = {
    "embedding": "representation.embedding",
    "readout.hidden": "output_modules.0.outnet.0",
    "readout.output": "output_modules.0.outnet.1",
}
SCHNETPACK_INTERACTION = {
    "filter_network.hidden": "filter_network.0",
    "filter_network.output": "filter_network.1",
    "in_to_filter": "in2f",
    "filter_to_out": "f2out.0",
    "output": "f2out.1",
}
TORCH_GEOMETRIC = {
    "embedding": "embedding",
    "readout.hidden": "lin1",
    "readout.output": "lin2",
}
TORCH_GEOMETRIC_INTERACTION = {
    "filter_network.hidden": "mlp.0",
    "filter_network.output": "mlp.2",
    "in_to_filter": "conv.lin1",
    "filter_to_out": "conv.lin2",
    "output": "lin",
}


def read(name: str) -> dict[str, np.ndarray]:
    with np.load(REFERENCE / name, allow_pickle=False) as archive:
        return dict(archive)


def with_weights_of(
    reference: dict[str, np.ndarray], layers: dict[str, str], interaction: dict[str, str], path: str
) -> SchNet:
    """Our network with every parameter of the other; `path` leads to its interactions."""
    model = SchNet(CONFIG).double()
    names = dict(layers)
    for k in range(CONFIG.n_interactions):
        names |= {
            f"interactions.{k}.{a}": f"{path}interactions.{k}.{b}" for a, b in interaction.items()
        }
    with torch.no_grad():
        for ours, parameter in model.named_parameters():
            layer, _, kind = ours.rpartition(".")
            values = torch.from_numpy(reference[f"weights.{names[layer]}.{kind}"])
            assert parameter.shape == values.shape, ours
            parameter.copy_(values)
    return model.eval()


def deviation(actual: torch.Tensor, expected: np.ndarray) -> float:
    """Largest, relative to the largest expected value."""
    assert tuple(actual.shape) == expected.shape
    return float(np.abs(actual.numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", ["molecule", "skewed_cell", "slab"])
def test_schnetpack(name: str) -> None:
    reference = read("schnetpack_schnet.npz")
    model = with_weights_of(reference, SCHNETPACK, SCHNETPACK_INTERACTION, "representation.")
    np.testing.assert_array_equal(
        model.radial_basis.centers, reference["weights.representation.radial_basis.offsets"]
    )
    graph = AtomGraph.from_arrays(
        *(reference[f"{name}.{key}"] for key in ("numbers", "positions", "cell", "pbc"))
    )
    answer = model(connect(graph, model.cutoff), ("energy", "forces", "stress"))
    assert deviation(answer.energy, reference[f"{name}.energy"]) < AGREEMENT
    assert deviation(answer.forces, reference[f"{name}.forces"]) < AGREEMENT
    if name == "molecule":
        assert answer.stress is None
    else:
        assert deviation(answer.stress[0], reference[f"{name}.stress"]) < AGREEMENT


@pytest.mark.parametrize(("suffix", "agreement"), [("", AGREEMENT), ("_as_is", 1e-7)])
def test_torch_geometric(suffix: str, agreement: float) -> None:
    """Four molecules together; `_as_is` is torch_geometric with its ln 2 rounded to float32."""
    reference = read("torch_geometric_schnet.npz")
    model = with_weights_of(reference, TORCH_GEOMETRIC, TORCH_GEOMETRIC_INTERACTION, "")
    atom_references = dict(enumerate(reference["weights.atomref.weight"][:, 0].tolist()))
    model.scale.set(float(reference["mean"]), float(reference["std"]), atom_references)
    graphs = [
        AtomGraph.from_arrays(reference["numbers"][atoms], reference["positions"][atoms])
        for atoms in (reference["batch"] == k for k in range(4))
    ]
    graph = connect(collate(graphs), model.cutoff)
    assert graph.n_pairs < sum(g.n_atoms * (g.n_atoms - 1) // 2 for g in graphs)
    answer = model(graph)
    assert deviation(answer.energy, reference[f"energy{suffix}"]) < agreement
    assert deviation(answer.forces, reference[f"forces{suffix}"]) < agreement


def test_the_comparison_sees_a_difference() -> None:
    """The published filter network, with its second activation, is another function."""
    reference = read("schnetpack_schnet.npz")
    model = with_weights_of(reference, SCHNETPACK, SCHNETPACK_INTERACTION, "representation.")
    for interaction in model.interactions:
        interaction.filter_network.has_output_activation = True
    graph = AtomGraph.from_arrays(reference["molecule.numbers"], reference["molecule.positions"])
    answer = model(connect(graph, model.cutoff))
    assert deviation(answer.forces, reference["molecule.forces"]) > 1e-2
