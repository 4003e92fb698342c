"""SchNets of SchNetPack and torch_geometric against what those programs say of two molecules.

The models are tiny and random; origin of models and numbers: tests/reference/README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from saved_models import FOREIGN, answers, spoiled, text

from mlpotential.models.importers.described_module import DescribedModule
from mlpotential.models.importers.foreign_network import ForeignNetwork, translate
from mlpotential.models.importers.pickle_description import Made, Name
from mlpotential.models.importers.refusal import Refusal
from mlpotential.models.importers.schnet_schnetpack import read_schnetpack
from mlpotential.models.importers.schnet_torch_geometric import read_torch_geometric
from mlpotential.models.importers.torch_file import read_torch_file
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect
from mlpotential.units import ANGSTROM_PER_BOHR, EV_PER_KCAL_PER_MOL

AGREEMENT = 1e-13  # relative to the largest value, float64; measured: tests/reference/README.md
OPTIONS = {"torch_geometric_state": {"mean": -1.25, "std": 0.75}}  # of the model it was saved from


def read(path: Path, **options: Any) -> ForeignNetwork:
    return interpret(read_torch_file(path), path, **options)


def interpret(root: Any, path: Path, **options: Any) -> ForeignNetwork:
    if path.stem.startswith("torch_geometric"):
        return read_torch_geometric(root, **(options or OPTIONS.get(path.stem, {})))
    return read_schnetpack(root, path)


def deviation(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


NAMES = (
    *("schnetpack_2_silu", "schnetpack_2_shared", "schnetpack_1"),
    *("torch_geometric_model", "torch_geometric_state"),
)


@pytest.mark.parametrize("name", NAMES)
def test_energies_and_forces(name: str) -> None:
    model = translate(read(FOREIGN / f"{name}.pt"), "eV", "Angstrom")
    assert model.dtype == torch.float32
    graph, energy, forces = answers(
        "torch_geometric" if name.startswith("torch_geometric") else name
    )
    answer = model.double()(connect(graph, model.cutoff))
    assert deviation(answer.energy, energy) < AGREEMENT
    assert deviation(answer.forces, forces) < AGREEMENT


@pytest.mark.parametrize("name", ["schnetpack_2_silu", "torch_geometric_state"])
def test_units(name: str) -> None:
    """The same network if its numbers were kcal/mol and Bohr: other lengths, other energies."""
    model = translate(read(FOREIGN / f"{name}.pt"), "kcal/mol", "Bohr")
    assert model.dtype == torch.float64
    graph, energy, forces = answers(name.removesuffix("_state"))
    graph.positions.mul_(ANGSTROM_PER_BOHR)
    answer = model(connect(graph, model.cutoff))
    assert deviation(answer.energy, energy * EV_PER_KCAL_PER_MOL) < AGREEMENT
    assert deviation(answer.forces, forces * EV_PER_KCAL_PER_MOL / ANGSTROM_PER_BOHR) < AGREEMENT


def test_the_comparison_sees_a_difference() -> None:
    """Another activation of the readout, which most models of SchNetPack 2 have, is noticed."""
    network = read(FOREIGN / "schnetpack_2_silu.pt")
    assert network.activation == "silu"
    model = translate(network, "eV", "Angstrom").double()
    model.readout.activation = SchNet(type(model.config)()).readout.activation
    graph, _, forces = answers("schnetpack_2_silu")
    assert deviation(model(connect(graph, model.cutoff)).forces, forces) > 0.1


@pytest.mark.parametrize(
    ("name", "elements"),
    [("schnetpack_2_silu", (1, 6, 7, 8)), ("schnetpack_2_shared", tuple(range(1, 100)))],
)
def test_elements_are_those_with_a_reference(name: str, elements: tuple[int, ...]) -> None:
    assert translate(read(FOREIGN / f"{name}.pt"), "eV", "Angstrom").elements == elements


def test_mean_and_deviation_of_a_state_dictionary() -> None:
    """Without them the energies are those of the bare network, and a note says so."""
    graph, energy, _ = answers("torch_geometric")
    bare = read(FOREIGN / "torch_geometric_state.pt", mean=None, std=None)
    assert any("give --mean and --std" in note for note in bare.notes)
    model = translate(bare, "eV", "Angstrom").double()
    references = model.scale.atom_references[graph.atomic_numbers]
    offsets = torch.zeros(2, dtype=torch.float64).index_add(0, graph.graph_index, references)
    network_alone = model(connect(graph, model.cutoff)).energy - offsets
    expected = 0.75 * network_alone - 1.25 * graph.atoms_per_graph() + offsets
    assert deviation(expected, energy) < AGREEMENT


def test_neighbours_that_the_source_drops_are_mentioned() -> None:
    (note,) = read(FOREIGN / "torch_geometric_model.pt").notes
    assert "beyond 32 per atom" in note


def test_units_beside_a_model_of_schnetpack(tmp_path: Path) -> None:
    path = spoiled(FOREIGN / "schnetpack_2_silu.pt", tmp_path / "best_inference_model")
    (tmp_path / "config.yaml").write_text(
        "data:\n  distance_unit: Ang\n  property_units:\n    energy: kcal/mol\n    dipole: D\n"
    )
    network = read(path)
    assert (network.energy_unit, network.length_unit) == ("kcal/mol", "Angstrom")
    (tmp_path / "config.yaml").write_text("data:\n  distance_unit: ${units.length}\n")
    assert (read(path).energy_unit, read(path).length_unit) == (None, None)
    (tmp_path / "config.yaml").write_text("data: [\n")
    with pytest.raises(Refusal, match=r"lies beside a config\.yaml that cannot be read"):
        read(path)


SSP = b"cschnetpack.nn.activations\nshifted_softplus\n"
SILU = b"ctorch.nn.functional\nsilu\n"
RELU = b"ctorch.nn.functional\nrelu\n"


def replace_class(old: str, new: str) -> tuple[bytes, bytes]:
    """Of `package.module Class` in a pickle."""
    return tuple(b"c" + name.replace(" ", "\n").encode() + b"\n" for name in (old, new))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("representation.schnet SchNet", "representation.painn PaiNN", "representation"),
        ("representation.schnet SchNet", "representation.so3net SO3net", "representation"),
        (
            "representation.schnet SchNet",
            "representation.field_schnet FieldSchNet",
            "representation",
        ),
        ("atomistic.atomwise Atomwise", "atomistic.atomwise DipoleMoment", "output_modules.0"),
        ("atomistic.response Forces", "atomistic.response Response", "output_modules.1"),
        ("nn.radial GaussianRBF", "nn.radial BesselRBF", "representation.radial_basis"),
        ("nn.cutoff CosineCutoff", "nn.cutoff MollifierCutoff", "representation.cutoff_fn"),
        ("transform.casting CastTo64", "transform.atomistic RemoveOffsets", "postprocessors.0"),
        (
            "atomistic.distances PairwiseDistances",
            "atomistic.distances FilterShortRange",
            "input_modules.0",
        ),
        ("model.base NeuralNetworkPotential", "task AtomisticTask", "its top"),
    ],
)
def test_other_classes_are_refused_by_name(tmp_path: Path, old: str, new: str, where: str) -> None:
    change = replace_class(f"schnetpack.{old}", f"schnetpack.{new}")
    path = spoiled(FOREIGN / "schnetpack_2_silu.pt", tmp_path / "m.pt", change)
    name = f"schnetpack.{new}".replace(" ", r"\.")
    with pytest.raises(Refusal, match=f"has '{name}' at '{where}', which is refused"):
        read(path)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("schnetpack_2_silu", (SSP, RELU), "'torch.nn.functional.relu' at '.*filter_network.0'"),
        ("schnetpack_2_silu", (SILU, RELU), "'torch.nn.functional.relu' at '.*outnet.0'"),
        ("schnetpack_2_silu", (text("weight"), text("weigth")), "lacks the tensor '.*weight'"),
        ("schnetpack_2_silu", (text("in2f"), text("in2g")), "lacks the module '.*0.in2f'"),
        (
            "schnetpack_1",
            replace_class("schnetpack.nn.cutoff CosineCutoff", "schnetpack.nn.cutoff HardCutoff"),
            "has 'schnetpack.nn.cutoff.HardCutoff' at '.*cutoff_network'",
        ),
        ("torch_geometric_state", (text("lin1.bias"), text("lin3.bias")), "lacks .*'lin1.bias'"),
        ("torch_geometric_state", (text("atomref.weight"), text("atomic_mass")), "dipole"),
        ("torch_geometric_state", (text("atomref.weight"), text("atom")), "tensor 'atom', which"),
    ],
)
def test_missing_and_other_parts_are_named(
    tmp_path: Path, name: str, change: tuple[bytes, bytes], problem: str
) -> None:
    path = spoiled(FOREIGN / f"{name}.pt", tmp_path / f"{name}.pt", change)
    with pytest.raises(Refusal, match=problem):
        read(path)


@pytest.mark.parametrize(
    ("name", "where", "setting", "value", "problem"),
    [
        ("schnetpack_2_silu", "output_modules.0", "aggregation_mode", "avg", "'avg' at 'output_m"),
        ("schnetpack_2_silu", "output_modules.0", "output_key", 3, "output_key .* is no text"),
        ("schnetpack_2_silu", "output_modules.1", "energy_key", "E", "energy_key = 'E'"),
        (
            "schnetpack_2_silu",
            "output_modules.1",
            "force_key",
            "F",
            "scales energy and forces diff",
        ),
        ("schnetpack_2_silu", "postprocessors.3", "is_extensive", False, "is_extensive = False"),
        ("schnetpack_2_silu", "postprocessors.3", "_property", "dipole", "_property = 'dipole'"),
        ("schnetpack_2_silu", "postprocessors.1", "output_key", "E", "output_key = 'E'"),
        ("schnetpack_1", "representation", "charged_systems", True, "has charged_systems"),
        ("schnetpack_1", "representation.distance_expansion", "centered", True, "centered = True"),
        ("schnetpack_1", "output_modules.0.atom_pool", "average", True, "average = True"),
        ("schnetpack_1", "representation.interactions.1.cfconv.agg", "average", 1, "average = 1"),
        ("torch_geometric_model", "", "dipole", True, "dipole = True"),
        ("torch_geometric_model", "", "cutoff", None, "has no cutoff"),
        ("torch_geometric_model", "", "mean", "much", "mean that is no number: 'much'"),
    ],
)
def test_other_settings_are_refused_by_name(
    name: str, where: str, setting: str, value: Any, problem: str
) -> None:
    root = read_torch_file(FOREIGN / f"{name}.pt")
    module = DescribedModule.of("", root).part(*filter(None, where.split(".")))
    module.made.state[setting] = value
    with pytest.raises(Refusal, match=problem) as caught:
        interpret(root, FOREIGN / f"{name}.pt")
    assert "\n" not in str(caught.value)


def test_activation_in_a_partial() -> None:
    """As hydra makes it of `_partial_: true`; with arguments it would be another function."""
    root = read_torch_file(FOREIGN / "schnetpack_2_silu.pt")
    state = DescribedModule.of("", root).part("output_modules", 0, "outnet", 0).made.state
    partial, silu = Name("functools", "partial"), state["activation"]
    state["activation"] = Made(partial, (silu,), (silu, (), {}, None))
    assert interpret(root, FOREIGN / "m.pt").activation == "silu"
    state["activation"] = Made(partial, (silu,), (silu, (), {"inplace": True}, None))
    with pytest.raises(Refusal, match="has the activation 'functools.partial' at"):
        interpret(root, FOREIGN / "m.pt")


def test_readout_of_three_layers(tmp_path: Path) -> None:
    root = read_torch_file(FOREIGN / "schnetpack_2_silu.pt")
    layers = DescribedModule.of("", root).part("output_modules", 0, "outnet").made.state["_modules"]
    layers["2"] = layers["1"]
    with pytest.raises(Refusal, match=r"readout of 3 layers at 'output_modules\.0\.outnet'"):
        read_schnetpack(root, tmp_path / "m.pt")


def test_no_postprocessing_is_mentioned(tmp_path: Path) -> None:
    root = read_torch_file(FOREIGN / "schnetpack_2_silu.pt")
    root.state["do_postprocessing"] = False
    network = read_schnetpack(root, tmp_path / "m.pt")
    assert (network.mean_per_atom, network.std_per_atom) == (0.0, 1.0)
    assert not network.atom_references.any()
    assert "no postprocessing" in network.notes[0]


@pytest.mark.parametrize(
    ("tensor", "values", "problem"),
    [
        ("lin1.weight", torch.zeros(4, 7), r"'readout.hidden.weight' would be .*\[4, 7\]"),
        ("lin1.weight", torch.zeros(4), r"'readout.hidden.weight' would be .* \[4\]"),
        ("lin2.bias", torch.full((1,), torch.nan), "not finite.*'readout.output.bias'"),
        ("lin2.bias", torch.zeros(1, dtype=torch.int64), r"'readout.output.bias' would be .*int64"),
        ("atomref.weight", torch.full((100, 1), torch.inf), "references that are not finite"),
        ("distance_expansion.offset", torch.tensor([0.0, 1.0, 3.0]), "not equidistant"),
        ("distance_expansion.offset", torch.zeros(9), "Gaussians of width 0"),
        (
            "distance_expansion.offset",
            torch.full((9,), torch.nan),
            "Gaussians of width nan",
        ),
        ("embedding.weight", torch.zeros(200, 8), "model.max_atomic_number must be from 1 to 118"),
        ("embedding.weight", torch.tensor(1.0), r"'embedding.weight' would be .* \[\]"),
        ("embedding.weight", torch.zeros(9, 8, dtype=torch.int32), "would be torch.int32"),
        ("distance_expansion.offset", torch.tensor([0.0]), r"Gaussian centres of shape \[1\]"),
    ],
)
def test_tensors_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, tensor: str, values: torch.Tensor, problem: str
) -> None:
    root = read_torch_file(FOREIGN / "torch_geometric_state.pt")
    stored = root[tensor]
    original = type(stored).read
    monkeypatch.setattr(
        type(stored), "read", lambda self: values if self is stored else original(self)
    )
    with pytest.raises(Refusal, match=problem):
        translate(read_torch_geometric(root), "eV", "Angstrom")
