"""Folders of n2p2: every number as n2p2 has it, there and back, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from n2p2_reference import FOLDER, RANDOM, Answer, Reference, reference

from mlpotential.cli import main
from mlpotential.errors import ConfigError, ExtrapolationError
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.models.importers.n2p2.folder import (
    model_of,
    read_n2p2_folder,
    write_n2p2_folder,
)
from mlpotential.models.model_file import load_model, save_model
from mlpotential.models.outputs import Output
from mlpotential.models.terms.settings import TermSettings
from mlpotential.neighbors import connect
from mlpotential.nn.symmetry_functions.notation import of_element, parse_symmetry_functions

SPECIAL = FOLDER / "compact_symmetric"  # normalisation, atom_energy, scaling by range and mean


def assert_agrees(found: Reference, stress_tolerance: float) -> None:
    for answer in found.answers:
        assert_functions_agree(found.model, answer)
        assert_energies_agree(found, answer)
        if answer.strain_derivative is not None:
            prediction = found.model(answer.graph, ("virial",))
            ours = -prediction.virial[0].numpy() / found.ev
            scale = np.abs(answer.strain_derivative).max()
            away = np.abs(ours - answer.strain_derivative).max()
            assert away <= stress_tolerance * scale, answer.name


def assert_functions_agree(model: BehlerParrinello, answer: Answer) -> None:
    raw = model.raw_functions(answer.graph, torch.float64).numpy()
    scaled = model(answer.graph, ("features",)).features.numpy()
    for ours, theirs in ((raw, answer.raw), (scaled, answer.scaled)):
        there = np.zeros(ours.shape, bool)
        there[:, : theirs.shape[1]] = ~np.isnan(theirs)
        assert not ours[~there].any(), "what is not there is zero"
        expected = theirs[~np.isnan(theirs)]
        away = np.abs(ours[there] - expected) / np.maximum(1.0, np.abs(expected))
        assert away.max() <= 1e-11, answer.name


def assert_energies_agree(found: Reference, answer: Answer) -> None:
    prediction = found.model(answer.graph)
    energy, forces = prediction.energy.item() / found.ev, prediction.forces.numpy()
    assert energy == pytest.approx(answer.energy, rel=1e-12)
    outputs = found.model.readout(found.model.representation(answer.graph), answer.graph)
    atomic = outputs.detach().numpy() * float(found.model.scale.std_per_atom) / found.ev
    np.testing.assert_allclose(atomic, answer.atomic_energies, rtol=1e-11, atol=1e-12)
    largest = np.abs(answer.forces).max()
    away = np.abs(forces * found.angstrom / found.ev - answer.forces).max()
    assert away <= 1e-11 * max(largest, 1e-3), answer.name


@pytest.mark.parametrize("name", RANDOM)
def test_numbers_of_n2p2(name: str) -> None:
    """Strain derivatives are n2p2's finite differences, good to what tests/reference says."""
    hard, abrupt = name == "ct0", name in ("ct1", "ct1_alpha", "ct5", "compact_symmetric")
    assert_agrees(reference(FOLDER / name), np.inf if hard else 1e-6 if abrupt else 1e-8)


@pytest.mark.parametrize("name", RANDOM)
def test_order_of_functions(name: str) -> None:
    found = reference(FOLDER / name)
    for k, lines in enumerate(found.functions.values()):
        element = found.model.functions.elements[k]
        ours = of_element(found.model.config.functions, element)
        assert [f for line in lines for f in parse_line(line)] == list(ours)


def parse_line(line: str) -> list[object]:
    """A function by itself, whose neighbours have none."""
    words = line.split()
    centers = {word for word in words if word.isalpha() and word[0].isupper()}
    others = "".join(f"\n{symbol} 2 {symbol} 0 0 1" for symbol in centers)
    added = {str(f) for f in parse_symmetry_functions(others)}
    functions = parse_symmetry_functions(line + others)
    return [f for f in functions if str(f) not in added]


@pytest.mark.slow
@pytest.mark.public_data
@pytest.mark.parametrize("name", ["H2O_RPBE-D3", "Cu2S_PBE", "Ethylbenzene_SCAN"])
def test_published_potentials(public_data: Path, tmp_path: Path, name: str) -> None:
    folder = public_data / "reference/n2p2" / name
    found = reference(folder)
    assert_agrees(found, 1e-8)
    write_n2p2_folder(found.model, tmp_path, found.energy_unit)
    for path in tmp_path.glob("*.data"):
        assert rows(path) == rows(folder / path.name), "numbers and their places, as they were"


def rows(path: Path) -> list[list[str | float]]:
    """Words of lines that are no comments; numbers as such."""
    lines = [line.split() for line in path.read_text().splitlines() if line[0] != "#"]
    return [[word if word in "ab" else float(word) for word in words] for words in lines]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*arguments: object, code: int = 0) -> str:
        assert main([*map(str, arguments)]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return call


@pytest.mark.parametrize("name", ["compact_symmetric", "ct5"])
def test_there_and_back(command: Callable[..., str], tmp_path: Path, name: str) -> None:
    model, folder = tmp_path / "m.safetensors", tmp_path / "folder"
    told = command("convert", FOLDER / name, model)
    assert "its files state no energy unit: Hartree was assumed (--energy-unit)" in told
    assert "its files state no length unit: Bohr was assumed (--length-unit)" in told
    assert "check:    passed" in told
    told = command("export", model, folder)
    assert "written:  input.nn, scaling.data, weights.001.data, weights.006.data, weig" in told
    assert "units:    Hartree and Bohr" in told
    told = command("convert", folder, tmp_path / "again.safetensors")
    assert "a comment of input.nn states Bohr as length unit" in told
    one, two = (load_model(tmp_path / f"{n}.safetensors").potential for n in ("m", "again"))
    assert one.config == two.config
    for answer in reference(FOLDER / name).answers:
        first, second = one(answer.graph), two(answer.graph)
        assert float(first.energy) == pytest.approx(float(second.energy), rel=1e-14)
        scale = float(first.forces.abs().max())
        assert float((first.forces - second.forces).abs().max()) <= 1e-13 * scale


def test_units_that_are_declared_or_stated(command: Callable[..., str], tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "ct2", tmp_path / "ct2")
    output = tmp_path / "m.safetensors"
    units = ("--energy-unit", "eV", "--length-unit", "Angstrom")
    assert "eV and Angstrom" in command("convert", tmp_path / "ct2", output, *units)
    angstrom = load_model(output).potential
    assert angstrom.cutoff == pytest.approx(max(f.cutoff for f in angstrom.config.functions))
    settings = tmp_path / "ct2" / "input.nn"
    settings.write_text("# Length unit     : Bohr\n# Energy unit : Ha\n" + settings.read_text())
    assert "Hartree and Bohr" in command("convert", tmp_path / "ct2", output)
    told = command("convert", tmp_path / "ct2", output, *units, code=2)
    assert "--energy-unit is eV, but a comment of input.nn says Hartree: correct one" in told


def test_a_trained_model_becomes_a_folder(command: Callable[..., str], tmp_path: Path) -> None:
    """In float32, of a rule, with the scaling of its data."""
    torch.manual_seed(0)
    config = BehlerParrinelloConfig(symmetry_functions="acsf", cutoff=4.0, n_radial=3, n_angular=1)
    model = BehlerParrinello(config.for_elements((1, 8)))
    answer = reference(FOLDER / "ct2").answers[0].graph
    water = AtomGraph.from_arrays(
        np.array([8, 1, 1]), np.array([[0.0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    )
    model.fit_to_structures([water])
    model.scale.set(-1.5, 0.3, {1: -13.6, 8: -2040.0})
    path = tmp_path / "m.safetensors"
    save_model(path, model.eval(), water)
    told = command("export", path, tmp_path / "folder", "--energy-unit", "kcal/mol")
    assert "units:    kcal/mol and Angstrom" in told
    assert "the model is in float32" in told
    again = model_of(read_n2p2_folder(tmp_path / "folder"), "kcal/mol", "Angstrom")
    graph = connect(water, model.cutoff)
    one, two = model.double()(graph), again(graph)
    assert float(one.energy) == pytest.approx(float(two.energy), rel=1e-13)
    torch.testing.assert_close(one.forces, two.forces, rtol=0.0, atol=1e-11)
    assert answer.n_atoms == 9
    told = command("export", path, tmp_path / "folder", code=2)
    assert "is there and not empty: name a new folder" in told


def test_only_potentials_of_this_kind(
    command: Callable[..., str], tmp_path: Path, model_path: Path
) -> None:
    told = command("export", model_path, tmp_path / "folder", code=2)
    assert "the model is a SchNet" in told
    assert not (tmp_path / "folder").exists()


def test_ranges_come_from_scaling_data(command: Callable[..., str], tmp_path: Path) -> None:
    """An atom beyond them is named with its function, as n2p2 has them."""
    model = tmp_path / "m.safetensors"
    command("convert", FOLDER / "ct6", model)
    answer = reference(FOLDER / "ct6").answers[0]
    positions = answer.graph.positions.numpy()
    numbers = answer.graph.atomic_numbers.numpy()
    evaluator = Evaluator(model, numbers, device="cpu", guard="stop")
    columns = read_n2p2_folder(FOLDER / "ct6").scaling
    near = positions.copy()
    near[1] = near[0] + 0.5 * (near[1] - near[0])
    potential = load_model(model).potential
    with pytest.raises(ExtrapolationError, match="symmetry function [HCO] ") as error:
        evaluator.evaluate(near[None], None)
    graph = connect(AtomGraph.from_arrays(numbers, near), potential.cutoff)
    raw = potential.raw_functions(graph, torch.float64).numpy()
    places = [potential.functions.elements.index(z) for z in numbers]
    lowest, highest = columns["lowest"][places], columns["highest"][places]
    excess = np.maximum(lowest - raw, raw - highest) / (highest - lowest)
    atom, number = np.unravel_index(excess.argmax(), excess.shape)
    function = of_element(potential.config.functions, int(numbers[atom]))[number]
    assert f"symmetry function {function} of atom {atom} " in str(error.value)
    assert f"by {excess.max():.2f} of its range" in str(error.value)


def edited(name: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return edit


def appended(line: str) -> Callable[[Path], None]:
    def append(folder: Path) -> None:
        with (folder / "input.nn").open("a") as file:
            file.write(f"{line}\n")

    return append


def cut(name: str, n_bytes: int) -> Callable[[Path], None]:
    def shorten(folder: Path) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:-n_bytes])

    return shorten


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def only_first_lines(name: str, n_lines: int) -> Callable[[Path], None]:
    def shorten(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:n_lines]))

    return shorten


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (appended("nnp_type 4G-HDNNP"), "is of nnp_type '4G-HDNNP': only networks of atomic"),
        (appended("use_electrostatics"), "has 'use_electrostatics' in input.nn: charges of a"),
        (appended("use_vdw"), "has 'use_vdw' in input.nn: a dispersion correction"),
        (appended("element_nodes_short H 1 5"), "networks of different sizes is not supported"),
        (appended("symfunction_short H 4 H 1 2 3"), "types are 2, 3, 9, 12"),
        (appended("symfunction_short H 2 H 1 2"), "has 3 arguments; expected: CENTRE 2 E eta"),
        (appended("symfunction_short H 2 Xx 1 2 5"), "'Xx' is no element"),
        (appended("symfunction_short H 3 H H 1 0.5 1 5"), "lambda must be 1 or -1"),
        (appended("symfunction_short H 20 H 1 5 p5"), "the subtype must be one of e, p1"),
        (appended("symfunction_short H 22 H H 1 5 90 200 p1"), "must be symmetric about it"),
        (appended("symfunction_short N 2 N 1 2 5"), "in 'elements' of input.nn"),
        (appended("symfunction_short H 2 H 1 2 5"), "symmetry functions in scaling.data, but"),
        (appended("nn_type 4"), "is of nn_type '4': only networks of atomic energies"),
        (
            edited("input.nn", "elements 3", "elements 4"),
            "another number_of_elements than elements",
        ),
        (appended("elements H C O"), "has 'elements' in input.nn more than once"),
        (appended("scale_symmetry_functions"), "has two ways of scaling"),
        (appended("conv_energy 0"), "conv_energy in input.nn that is not positive"),
        (edited("input.nn", "global_nodes_short 4 3", "global_nodes_short 4"), "hidden layers"),
        (edited("input.nn", "t t l", "t r l"), "model.activations must be one letter"),
        (edited("input.nn", "cutoff_type 6", "cutoff_type 9"), "cutoff_type must be from 0 to 8"),
        (edited("input.nn", "elements H C O", ""), "lacks 'elements'"),
        (without("scaling.data"), "lacks scaling.data: No such file"),
        (without("weights.006.data"), "lacks weights.006.data"),
        (cut("weights.006.data", 3), "weights.006.data whose last line does not end: it is trunc"),
        (cut("scaling.data", 30), "scaling.data whose last line does not end: it is truncated"),
        (only_first_lines("weights.008.data", 40), "has 40 weights and biases in weights.008.data"),
        (only_first_lines("scaling.data", 20), "has 20 symmetry functions in scaling.data"),
        (edited("weights.001.data", ".", "x"), "in weights.001.data that is no number"),
        (edited("weights.001.data", "0", "nan #"), "weights.001.data that are not finite"),
        (edited("scaling.data", "1 1 ", "1 2 "), "is not of function 1 of element 1"),
    ],
)
def test_what_is_refused(
    command: Callable[..., str], tmp_path: Path, spoil: Callable[[Path], None], problem: str
) -> None:
    folder, output = tmp_path / "folder", tmp_path / "m.safetensors"
    shutil.copytree(FOLDER / "compact_asymmetric", folder)
    spoil(folder)
    told = command("convert", folder, output, code=2)
    assert told.count("\n") == 1
    assert told.startswith("mlpotential convert: ")
    assert problem in told
    assert not output.exists()


def test_what_is_not_used_is_named(command: Callable[..., str], tmp_path: Path) -> None:
    folder, output = tmp_path / "folder", tmp_path / "m.safetensors"
    shutil.copytree(SPECIAL, folder)
    assert "not used" not in command("convert", folder, output)
    for line in ("epochs 25", "kalman_type 0", "! scale_symmetry_functions_sigma", "new_thing 1.0"):
        appended(line)(folder)
    assert "note:     not used of input.nn: 'new_thing'\n" in command("convert", folder, output)


def test_functions_that_the_data_did_not_vary(command: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(SPECIAL, folder)
    lines = (folder / "scaling.data").read_text().splitlines()
    words = lines[0].split()
    words[3] = words[2]
    (folder / "scaling.data").write_text("\n".join([" ".join(words), *lines[1:]]) + "\n")
    told = command("convert", folder, tmp_path / "m.safetensors", code=2)
    assert "scales function 1 of element 1 in scaling.data by a range that is not positive" in told


def test_old_scaling_files(command: Callable[..., str], tmp_path: Path) -> None:
    """Without sigma, and with the range of energies at their end."""
    folder = tmp_path / "folder"
    shutil.copytree(SPECIAL, folder)
    lines = (folder / "scaling.data").read_text().splitlines()
    rows = [" ".join(line.split()[:5]) for line in lines]
    (folder / "scaling.data").write_text("\n".join([*rows, "-10.0 -2.0"]) + "\n")
    output = tmp_path / "m.safetensors"
    command("convert", folder, output)
    command("convert", SPECIAL, tmp_path / "new.safetensors")
    one, two = (load_model(p).potential for p in (output, tmp_path / "new.safetensors"))
    answer = reference(SPECIAL).answers[0]
    assert torch.equal(one(answer.graph).energy, two(answer.graph).energy)


@pytest.mark.parametrize(
    ("outputs", "terms", "message"),
    [
        ({"energy": Output(), "dipole": Output()}, {}, "n2p2 has no dipole:"),
        ({"energy": Output(), "gap": Output("mean", "eV")}, {}, "n2p2 has no gap:"),
        ({"energy": Output()}, {"zbl": TermSettings()}, "n2p2 has no zbl:"),
        ({"gap": Output("mean", "eV")}, {}, "energies, which the model does not give"),
    ],
)
def test_what_n2p2_has_not_is_not_left_out(outputs, terms, message, tmp_path):
    model = BehlerParrinello(BehlerParrinelloConfig().for_elements((1, 8)), outputs)
    model.terms = terms
    with pytest.raises(ConfigError, match=message):
        write_n2p2_folder(model, tmp_path / "folder", "eV")
    assert not (tmp_path / "folder").exists()
