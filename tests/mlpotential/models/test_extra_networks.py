"""Model files with more than one network: the others give one more energy each."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ase import Atoms
from safetensors.torch import load, save
from torch import Tensor

from mlpotential.errors import ConfigError, ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.models import model_file
from mlpotential.models.model_file import OWN_GOLDEN, check_golden, load_model, save_model
from mlpotential.models.schnet import SchNet
from mlpotential.neighbors import connect


def shifted(potential: SchNet, by: float) -> SchNet:
    other = copy.deepcopy(potential)
    with torch.no_grad():
        other.readout.output.bias += by
    return other


@pytest.fixture
def path(potential: SchNet, ethanol: Atoms, tmp_path: Path) -> Path:
    graph = AtomGraph.from_atoms(ethanol)
    extras = {"energy_network": shifted(potential, 0.5).float(), "third": shifted(potential, -1.0)}
    save_model(tmp_path / "m", potential, graph, extra_networks=extras)
    return tmp_path / "m"


def test_save_load_equal(path: Path, potential: SchNet, ethanol: Atoms) -> None:
    model = load_model(path)
    assert list(model.extra_networks) == ["energy_network", "third"]
    assert model.golden_origin == OWN_GOLDEN
    first, third = model.extra_networks.values()
    assert (first.dtype, third.dtype) == (torch.float32, torch.float64)
    graph = connect(AtomGraph.from_atoms(ethanol), potential.cutoff)
    energy = float(potential(graph).energy)
    shift = float(potential.scale.std_per_atom) * len(ethanol)
    assert float(third(graph).energy) == pytest.approx(energy - shift, rel=1e-13)
    assert float(first(graph).energy) == pytest.approx(energy + 0.5 * shift, rel=1e-8)
    assert float(model.golden_extra_energies["third"]) == float(third(graph).energy)


def test_check_covers_every_network(path: Path) -> None:
    model = load_model(path)
    assert check_golden(model, dtype="float64").passed
    with torch.no_grad():
        model.extra_networks["third"].readout.output.bias += 1e-4
    assert not check_golden(model, dtype="float64").passed


def test_without_extras_nothing_changes(potential: SchNet, ethanol: Atoms, tmp_path: Path) -> None:
    graph = AtomGraph.from_atoms(ethanol)
    save_model(tmp_path / "a", potential, graph)
    save_model(tmp_path / "b", potential, graph, extra_networks={})
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    assert b"extra_networks" not in content
    assert load_model(tmp_path / "a").extra_networks == {}


def test_golden_values_of_another_program(
    potential: SchNet, ethanol: Atoms, tmp_path: Path
) -> None:
    graph = AtomGraph.from_arrays(
        ethanol.numbers, ethanol.positions, energy=-1.0, forces=ethanol.positions
    )
    save_model(tmp_path / "m", potential, graph, golden_origin="another program")
    model = load_model(tmp_path / "m")
    assert model.golden_origin == "another program"
    assert float(model.golden.energy) == -1.0  # type: ignore[arg-type]
    assert not check_golden(model).passed


@pytest.mark.parametrize("name", ["main", "", "Energy", "a/b", "1st"])
def test_names(potential: SchNet, ethanol: Atoms, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="an extra network cannot be named"):
        save_model(
            tmp_path / "m",
            potential,
            AtomGraph.from_atoms(ethanol),
            extra_networks={name: potential},
        )


def test_an_extra_network_fits_the_main_one(
    potential: SchNet, ethanol: Atoms, tmp_path: Path
) -> None:
    other = copy.deepcopy(potential)
    other.elements = (1, 6)
    with pytest.raises(ConfigError, match="must have the cutoff of the main one, 5.0 A, and know"):
        save_model(
            tmp_path / "m", potential, AtomGraph.from_atoms(ethanol), extra_networks={"b": other}
        )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda m, t: m.update(extra_networks=["third"]), "extra_networks is no table"),
        (lambda m, t: m["extra_networks"].update(third=[1]), "describes no network"),
        (lambda m, t: m["extra_networks"]["third"].update(elements=[1, 6]), "know all of its"),
        (lambda m, t: m["extra_networks"].update({"": m["extra_networks"]["third"]}), "missing"),
        (lambda m, t: t.pop("network/third/embedding.weight"), "tensors missing: .'embedding"),
        (lambda m, t: t.pop("golden/third/energy"), "lacks 'golden/third/energy'"),
        (
            lambda m, t: t.update({"golden/third/energy": torch.zeros(7, dtype=torch.float64)}),
            "golden/third/energy is torch.float64 .7.",
        ),
    ],
)
def test_hostile_files(
    path: Path, change: Callable[[dict[str, Any], dict[str, Tensor]], object], problem: str
) -> None:
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["mlpotential"])
    tensors = load(content)
    change(metadata, tensors)
    metadata.pop("sha256")
    metadata["sha256"] = model_file._content_hash(tensors, metadata)
    path.write_bytes(save(tensors, {"mlpotential": json.dumps(metadata)}))
    with pytest.raises(ModelFileError, match=problem) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
