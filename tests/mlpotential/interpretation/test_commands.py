"""Every kind of `mlpotential interpret` with small models: what is written, what is refused."""

import csv

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write

from mlpotential.cli import main


@pytest.fixture
def interpret(tmp_path, capsys):
    """Runs a command into a folder; returns the folder and what was printed."""

    def run(*words, code=0):
        folder = tmp_path / "out"
        assert main(["interpret", *map(str, words), "--folder", str(folder)]) == code
        shown = capsys.readouterr()
        return folder, shown.out if code == 0 else shown.err

    return run


@pytest.fixture
def on_data(interpret, molecules_file):
    def run(kind, *words, code=0):
        data = ("--data", molecules_file, "--length-unit", "Angstrom", "--device", "cpu")
        return interpret(kind, *words, *data, code=code)

    return run


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def pattern(model_files):
    return str(model_files["split_0"]).replace("split_0", "split_*")


def test_atoms_of_a_set(on_data, model_files):
    folder, shown = on_data("atoms", f"two={pattern(model_files)}", model_files["bp"])
    rows = table(folder / "atoms.csv")
    energies = [row for row in rows if row["quantity"] == "energies_eV"]
    assert [(row["group"], row["element"]) for row in energies] == [
        (group, element) for group in ("two", "bp") for element in "HCO"
    ]
    assert float(energies[0]["models_std"]) > 0.0
    assert energies[3]["models_std"] == ""
    arrays = np.load(folder / "atoms_0.npz")
    assert (
        arrays["energies_eV"].shape
        == arrays["charges_e"].shape
        == (2, len(arrays["atomic_numbers"]))
    )
    assert {path.name for path in folder.glob("*.png")} == {"energies.png", "charges.png"}
    assert "less the reference energies" in shown


def test_a_choice_of_a_set(on_data, model_files):
    folder, shown = on_data("atoms", model_files["dipoles"], "--n-structures", 3)
    assert shown.startswith("3 structures")
    assert len(set(np.load(folder / "atoms.npz")["structure_of_atom"])) == 3
    assert not (folder / "energies.png").exists()


def test_atoms_of_a_molecule(interpret, model_files, tmp_path):
    path = tmp_path / "ethanol.xyz"
    write(path, molecule("CH3CH2OH"), format="xyz")
    words = (model_files["split_0"], "--data", path, "--length-unit", "Angstrom", "--device", "cpu")
    folder, _ = interpret("atoms", *words, "--fragments", "0,6-8", "1,4,5", "2,3")
    atoms, fragments = table(folder / "atoms.csv"), table(folder / "fragments.csv")
    assert len(atoms) == 9
    assert [row["elements"] for row in fragments] == ["CHHH", "CHH", "OH"]
    total = sum(float(row["split_0 energies_eV"]) for row in atoms)
    assert sum(float(row["energies_eV"]) for row in fragments) == pytest.approx(total)
    assert (folder / "molecule.png").stat().st_size > 1000
    folder, _ = interpret("atoms", *words)
    assert len(table(folder / "fragments.csv")) == 1


def test_rings(on_data, model_files):
    folder, shown = on_data("rings", f"two={pattern(model_files)}", model_files["dtnn"])
    rows = table(folder / "rings.csv")
    assert [(row["group"], row["formula"], row["frame"]) for row in rows] == [
        ("two", "C6H6", "2"), ("dtnn", "C6H6", "2"),
    ]  # fmt: skip
    assert (folder / "rings.png").exists()
    assert shown.startswith("1 rings in 1 molecules")


def test_dimers(interpret, model_files):
    words = (f"two={pattern(model_files)}", model_files["unlimited"], "--elements", "C", "O")
    folder, shown = interpret("dimers", *words, "--n-points", 21, "--device", "cpu")
    rows = table(folder / "dimers.csv")
    assert len(rows) == 42
    assert float(rows[0]["std_over_models_eV"]) > 0.0
    assert rows[-1]["std_over_models_eV"] == ""
    assert "two (2 models)" in shown
    assert (folder / "dimers.png").exists()


@pytest.mark.parametrize("color", ["element", "neighbors", "energy", "charge", "gap=eV"])
def test_map(on_data, model_files, color):
    folder, _ = on_data("map", model_files["split_0"], "--color", color, "--element", "C")
    arrays = np.load(folder / "map.npz")
    assert (arrays["atomic_numbers"] == 6).all()
    assert len(arrays[color.partition("=")[0]]) == len(arrays["coordinates"]) == 10
    if color == "gap=eV":
        assert np.array_equal(arrays["gap"], 5.0 + arrays["structure_of_atom"])
    assert (folder / "map.png").exists()


def test_a_label_that_some_structures_lack(interpret, model_files, frames, tmp_path):
    path, atom = tmp_path / "with_atom.extxyz", molecule("O")
    atom.info |= {"gap": 0.0, "config_type": "IsolatedAtom"}
    write(path, [*frames, atom], format="extxyz")
    words = ("--data", path, "--length-unit", "Angstrom", "--device", "cpu", "--color", "gap=eV")
    _, shown = interpret("map", model_files["split_0"], *words, code=2)
    assert "gap is not known of every structure" in shown


def test_embeddings(interpret, model_files):
    folder, shown = interpret("embeddings", model_files["dtnn"])
    rows = table(folder / "embeddings.csv")
    assert [row["element"] for row in rows] == ["H", "C", "O"]
    assert [row["main_group"] for row in rows] == ["1", "4", "6"]
    assert shown.startswith("3 elements; the components hold ")
    assert np.load(folder / "embeddings.npz")["cosine_similarities"].shape == (3, 3)
    assert (folder / "embeddings.png").exists()


def test_filters(interpret, model_files, diamond_file):
    folder, _ = interpret("filters", model_files["split_0"], "--structure", diamond_file)
    cuts = np.load(folder / "cuts.npz")
    assert cuts["with_cutoff"].shape == cuts["without_cutoff"].shape == (4, 101, 101)
    assert np.load(folder / "filters.npz")["filters"].shape == (2, 401, 8)
    assert {path.name for path in folder.glob("*.png")} == {"filters.png", "cuts.png"}


def test_factors(interpret, model_files):
    folder, _ = interpret("filters", model_files["dtnn"], "--features", 0, 3)
    assert np.load(folder / "filters.npz")["factors"].shape == (1, 401, 10)


@pytest.mark.parametrize("kind", ["activations", "basis"])
def test_functions(interpret, kind):
    folder, _ = interpret(kind)
    assert len(table(folder / f"{kind}.csv")) > 300
    assert (folder / f"{kind}.png").exists()


def test_what_is_refused_of_models(interpret, model_files, diamond_file):
    committee, gaps, bp = pattern(model_files), model_files["gaps"], model_files["bp"]
    for words, reason in (
        (("embeddings", committee), "are 2 models, but parameters and features are those of one"),
        (("filters", committee), "give one model file"),
        (("embeddings", bp), "BehlerParrinello has no embeddings of elements"),
        (("filters", bp), "BehlerParrinello has no filters of distance"),
        (("filters", model_files["dtnn"], "--structure", diamond_file), "DTNN has none"),
        (("filters", model_files["unlimited"], "--structure", diamond_file), "has no end"),
        (("filters", model_files["dtnn"], "--features", 10), "there is no feature 10"),
        (("filters", model_files["dtnn"], "--interaction", 1), "there is no interaction 1"),
        (("dimers", gaps, "--elements", "C", "C"), "this one gives none"),
        (("dimers", bp, "--elements", "C", "N"), "was not trained on N"),
        (("dimers", bp, "--elements", "C"), "--elements takes two, not 1"),
        (("dimers", bp, "--elements", "C", "Qq"), "there is no element 'Qq'"),
        (("dimers", bp, "--elements", "C", "C", "--from-A", 9), "from_A must be positive"),
    ):
        _, shown = interpret(*words, code=2)
        assert reason in shown
        assert shown.count("\n") == 1


def test_what_is_refused_of_structures(on_data, interpret, model_files, diamond_file, tmp_path):
    split = model_files["split_0"]
    assert "fragments are of one structure" in on_data("atoms", split, "--fragments", 0, code=2)[1]
    assert "neither energies" in on_data("atoms", model_files["gaps"], code=2)[1]
    assert "by models with energies" in on_data("rings", model_files["dipoles"], code=2)[1]
    assert "gives no charges" in on_data("map", model_files["bp"], "--color", "charge", code=2)[1]
    assert "--color takes" in on_data("map", split, "--color", "colour", code=2)[1]
    assert "are 2 models" in on_data("map", pattern(model_files), code=2)[1]
    of_diamond = ("rings", split, "--data", diamond_file)
    assert "is periodic" in interpret(*of_diamond, code=2)[1]
    absent = ("atoms", split, "--data", tmp_path / "absent.xyz")
    assert "cannot read" in interpret(*absent, code=2)[1]
