"""`mlpotential convert`: one command from another program's files to a model file of ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from saved_models import FOREIGN, answers, spoiled, text

from mlpotential.cli import main
from mlpotential.errors import ModelFileError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.importers import convert, schnet_schnetpack, schnet_torch_geometric
from mlpotential.models.importers.convert import Declared, convert_model
from mlpotential.models.importers.foreign_network import OriginalAnswer, translate
from mlpotential.models.importers.golden_clusters import golden_clusters
from mlpotential.models.importers.refusal import Refusal
from mlpotential.models.model_file import OWN_GOLDEN, check_golden, load_model
from mlpotential.units import EV_PER_KCAL_PER_MOL

UNITS = ("--energy-unit", "eV", "--length-unit", "Angstrom")
SILU = FOREIGN / "schnetpack_2_silu.pt"


@pytest.fixture(autouse=True)
def no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where only this package is installed."""

    def missing(*_: object) -> OriginalAnswer:
        raise ImportError("No module named 'that'")

    monkeypatch.setattr(schnet_schnetpack, "evaluate_with_schnetpack", missing)
    monkeypatch.setattr(schnet_torch_geometric, "evaluate_with_torch_geometric", missing)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.safetensors"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: object, code: int = 0) -> str:
        assert main(["convert", *map(str, arguments)]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return call


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("schnetpack_2_silu", (), "SchNetPack 2.1.1, T = 2, F = 8, 9 Gaussians, cutoff 4.1 A"),
        ("schnetpack_2_shared", ("--from", "schnetpack"), "which elements it was trained on"),
        ("schnetpack_1", (), "SchNetPack 1"),
        ("torch_geometric_model", ("--from", "pyg"), "drops neighbours"),
        ("torch_geometric_state", ("--mean", -1.25, "--std", 0.75), "torch_geometric"),
    ],
)
def test_each_kind_with_one_command(
    command: Callable[..., str], output: Path, name: str, options: tuple[object, ...], words: str
) -> None:
    told = command(FOREIGN / f"{name}.pt", output, *UNITS, *options)
    assert words in told
    assert "check:    passed" in told
    assert f"golden:   {OWN_GOLDEN}" in told
    model = load_model(output)
    assert check_golden(model, dtype="float64").passed
    graph, energy, forces = answers(
        "torch_geometric" if name.startswith("torch_geometric") else name
    )
    evaluator = Evaluator(output, graph.atomic_numbers.numpy(), dtype="float64", device="cpu")
    answer = evaluator.evaluate_graph(graph)
    np.testing.assert_allclose(answer.energy, energy, rtol=1e-9)
    np.testing.assert_allclose(answer.forces, forces, rtol=0, atol=1e-7 * np.abs(forces).max())


def test_what_the_file_says_of_its_origin(output: Path) -> None:
    convert_model(SILU, output, Declared(energy_unit="kcal/mol", length_unit="Bohr"))
    record = load_model(output).record
    assert record.title == "schnetpack_2_silu.pt of SchNetPack 2.1.1"
    origin = record.training["converted_from"]
    assert (origin["program"], origin["energy_unit"]) == ("SchNetPack 2.1.1", "kcal/mol")
    assert len(origin["files"]["schnetpack_2_silu.pt"]) == 64
    assert origin["golden_structures"] == OWN_GOLDEN


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["convert", "--help"])
    assert "examples:\n  mlpotential convert" in capsys.readouterr().out


def test_why_there_was_no_comparison_is_told(command: Callable[..., str], output: Path) -> None:
    told = command(SILU, output, *UNITS)
    assert "not compared with SchNetPack 2.1.1 itself: No module named 'that'" in told


def test_elements_can_be_narrowed(command: Callable[..., str], output: Path) -> None:
    told = command(FOREIGN / "schnetpack_2_shared.pt", output, *UNITS, "--elements", "O", "H")
    assert "elements: H, O" in told
    assert load_model(output).potential.elements == (1, 8)


def test_golden_structures_of_the_original_program(
    monkeypatch: pytest.MonkeyPatch, output: Path
) -> None:
    """Where that program is installed, its numbers are stored, in our units, and it is named."""
    plain = convert_model(SILU, output, Declared(energy_unit="eV", length_unit="Angstrom"))
    ours = load_model(output).golden
    assert ours.energy is not None
    assert ours.forces is not None
    tiny = 1e-14 * ours.energy  # theirs differ in the last digits

    def original(model: object, activation: str, graph: AtomGraph) -> OriginalAnswer:
        assert activation == "silu"
        assert torch.equal(graph.positions, ours.positions)
        return OriginalAnswer("SchNetPack 9.9", ours.energy + tiny, ours.forces)

    monkeypatch.setattr(schnet_schnetpack, "evaluate_with_schnetpack", original)
    conversion = convert_model(SILU, output, Declared(energy_unit="eV", length_unit="Angstrom"))
    assert (plain.golden_origin, plain.original_check) == (OWN_GOLDEN, None)
    assert conversion.golden_origin == "SchNetPack 9.9, float64"
    assert conversion.original_check is not None
    model = load_model(output)
    assert model.golden_origin == "SchNetPack 9.9, float64"
    assert model.golden.energy is not None
    assert torch.equal(model.golden.energy, ours.energy + tiny)
    assert "original: agrees" in convert.format_conversion(conversion)


def test_a_network_that_the_original_program_does_not_confirm(
    monkeypatch: pytest.MonkeyPatch, output: Path
) -> None:
    def original(model: object, activation: str, graph: AtomGraph) -> OriginalAnswer:
        return OriginalAnswer("SchNetPack 9.9", torch.zeros(3), torch.ones(graph.n_atoms, 3))

    monkeypatch.setattr(schnet_schnetpack, "evaluate_with_schnetpack", original)
    with pytest.raises(ModelFileError, match=r"is not reproduced: SchNetPack 9\.9 gives"):
        convert_model(SILU, output, Declared(energy_unit="eV", length_unit="Angstrom"))
    assert not output.exists()


def test_a_file_that_does_not_pass_its_check_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, output: Path
) -> None:
    monkeypatch.setattr(convert, "check_golden", lambda model: convert.GoldenCheck(1.0, {}, 0.1))
    with pytest.raises(ModelFileError, match="cannot be used in torch.float32"):
        convert_model(SILU, output, Declared(energy_unit="eV", length_unit="Angstrom"))
    assert not output.exists()


def test_units_have_to_be_known(command: Callable[..., str], output: Path, tmp_path: Path) -> None:
    told = command(SILU, output, "--length-unit", "Angstrom", code=2)
    assert told.endswith("does not say its energy unit: give --energy-unit\n")
    told = command(SILU, output, "--energy-unit", "ev", "--length-unit", "Angstrom", code=2)
    assert "Did you mean 'eV'" in told
    shutil.copy(SILU, tmp_path / "best_model")
    (tmp_path / "config.yaml").write_text(
        "data: {distance_unit: Ang, property_units: {energy: kcal/mol}}\n"
    )
    assert "kcal/mol and Angstrom" in command(tmp_path / "best_model", output)
    told = command(tmp_path / "best_model", output, "--energy-unit", "eV", code=2)
    assert "--energy-unit is eV, but config.yaml says kcal/mol" in told


class Bomb:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


def make_bomb(folder: Path) -> Path:
    torch.save({"model": Bomb(f"touch {folder / 'crater'}")}, folder / "bomb.pt")
    return folder / "bomb.pt"


def flipped(folder: Path) -> Path:
    """One bit of a weight."""
    source = FOREIGN / "torch_geometric_state.pt"
    weights = torch.load(source, weights_only=True)["lin1.weight"].numpy().tobytes()
    content = bytearray(source.read_bytes())
    content[content.index(weights) + 5] ^= 1
    (folder / "m.pt").write_bytes(content)
    return folder / "m.pt"


def truncated(folder: Path) -> Path:
    (folder / "m.pt").write_bytes(SILU.read_bytes()[:-500])
    return folder / "m.pt"


def saved(value: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.save(value, folder / "m.pt")
        return folder / "m.pt"

    return make


def spoil(old: bytes, new: bytes) -> Callable[[Path], Path]:
    return lambda folder: spoiled(SILU, folder / "m.pt", (old, new))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (make_bomb, "refers to 'posix.system', which is refused: nothing was executed"),
        (
            spoil(b"cschnetpack.nn.cutoff\nCosineCutoff\n", b"cmy.own\nCutoff\n"),
            "refers to 'my.own.Cutoff', which is refused",
        ),
        (spoil(text("weight"), text("wait")), "lacks the tensor 'representation.embedding.weight'"),
        (flipped, "is damaged: Bad CRC-32"),
        (truncated, "is a damaged archive"),
        (
            lambda folder: folder,
            "is no folder of the original SchNet program: no validation/best_model.index",
        ),
        (lambda folder: folder / "absent", "absent: No such file"),
        (saved(torch.nn.Linear(1, 1)), "holds 'torch.nn.modules.linear.Linear', which is refused"),
        (saved({"state_dict": {}, "epoch": 3}), "is a dictionary with 'state_dict', 'epoch', ...:"),
        (saved([1]), "holds a list: a whole model"),
    ],
)
def test_other_sources_get_one_line(
    command: Callable[..., str],
    tmp_path: Path,
    output: Path,
    make: Callable[[Path], Path],
    problem: str,
) -> None:
    told = command(make(tmp_path), output, *UNITS, code=2)
    assert told.count("\n") == 1
    assert told.startswith("mlpotential convert: ")
    assert problem in told
    assert not output.exists()
    assert not (tmp_path / "crater").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--from", "schnetpak"), "Did you mean 'schnetpack'"),
        (("--from", "pyg"), "'schnetpack.model.base.NeuralNetworkPotential', which is refused"),
        (("--from", "schnetpack", "--mean", "1", "--std", "1"), "--mean and --std are for"),
        (("--mean", "1", "--std", "1"), "--mean and --std are for"),
        (("--elements", "Xx"), "'Xx' is no element"),
        (("--elements", "Og"), "has no parameters for all of ['Og']"),
        (("--energy-network", FOREIGN / "torch_geometric_model.pt"), "must have the cutoff"),
    ],
)
def test_mistakes_get_one_line(
    command: Callable[..., str], output: Path, options: tuple[object, ...], problem: str
) -> None:
    told = command(SILU, output, *UNITS, *options, code=2)
    assert told.count("\n") == 1
    assert problem in told
    assert not output.exists()


@pytest.mark.parametrize("std", ["0", "-0.0", "-1", "nan", "inf"])
def test_a_deviation_that_scales_no_forces(
    command: Callable[..., str], output: Path, std: str
) -> None:
    source = FOREIGN / "torch_geometric_state.pt"
    told = command(source, output, *UNITS, "--mean", "1", f"--std={std}", code=2)
    assert f"--std must be a positive number, not {float(std)!r}" in told
    assert not output.exists()


def test_a_file_that_scales_its_energies_by_zero() -> None:
    declared = Declared(energy_unit="eV", length_unit="Angstrom")
    network, model, units = convert._translated(SILU, declared)
    assert model.scale.std_per_atom > 0.0
    with pytest.raises(Refusal, match="scales its energies by 0: all forces would be zero"):
        translate(replace(network, std_per_atom=0.0), *units)


def test_an_output_that_cannot_be_written(command: Callable[..., str], tmp_path: Path) -> None:
    told = command(SILU, tmp_path / "absent" / "m.safetensors", *UNITS, code=2)
    assert "cannot write" in told


@pytest.mark.parametrize("elements", [(6,), (1, 6, 7, 8), tuple(range(1, 100)), (92, 1)])
def test_golden_clusters(elements: tuple[int, ...]) -> None:
    graph = golden_clusters(elements)
    assert (graph.n_graphs, graph.n_atoms) == (3, 24)
    used = set(graph.atomic_numbers.tolist())
    assert used <= set(elements)
    assert len(used) == min(len(elements), 4)
    for k in range(3):
        distances = torch.pdist(graph.positions[graph.graph_index == k])
        assert distances.min() > 0.5
        assert len(distances.unique()) == 28


@pytest.mark.slow
@pytest.mark.public_data
def test_published_networks_together(
    public_data: Path, command: Callable[..., str], output: Path
) -> None:
    """Energy and forces of the force network; the energy network's energy is one more result."""
    folder = public_data / "c20_paper_models"
    told = command(
        *(folder / "force_model", output, "--energy-network", folder / "energy_model"),
        *("--elements", "C"),
    )
    assert "kcal/mol and Angstrom" in told
    model = load_model(output)
    assert check_golden(model).passed
    assert list(model.extra_networks) == ["energy_network"]
    assert model.potential.elements == (6,)
    with np.load(folder / "reference_outputs.npz", allow_pickle=False) as reference:
        numbers, positions = reference["numbers"], reference["positions"]
        expected = {k: reference[f"{k}_energy_rel"] for k in ("force_model", "energy_model")}
        means = {k: float(reference[f"{k}_mean_per_atom"]) for k in expected}
        forces = reference["force_model_forces"]
    networks = {
        "force_model": model.potential,
        "energy_model": model.extra_networks["energy_network"],
    }
    for name, network in networks.items():
        evaluator = Evaluator(network, numbers, device="cpu", dtype="float64", backend="reference")
        answer = evaluator.evaluate(positions)
        relative = answer.energy / EV_PER_KCAL_PER_MOL - len(numbers) * means[name]
        np.testing.assert_allclose(relative, expected[name], rtol=0, atol=1e-6)
        if name == "force_model":
            ours = answer.forces.reshape(forces.shape) / EV_PER_KCAL_PER_MOL
            np.testing.assert_allclose(ours, forces, rtol=0, atol=1e-6)
