"""Several outputs learned together, and models without energies, from configuration to errors."""

import json

import numpy as np
import pytest
import yaml
from ase.io import read, write

from mlpotential.cli import main
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import load_model
from mlpotential.neighbors import connect
from mlpotential.training.config_file import read_config, write_config
from mlpotential.training.run import run_training
from mlpotential.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

UNITS = ["--energy-unit", "eV", "--length-unit", "Angstrom"]
OUTPUTS = {
    "energy": None,
    "gap": {"pooling": "mean", "unit": "Hartree", "key": "GAP", "weight": 50.0},
    "polarizability": {"unit": "Bohr^3"},
}


def bond_lengths(atoms):
    return np.linalg.norm(atoms.positions[1:] - atoms.positions[0], axis=1)


@pytest.fixture(scope="module")
def labelled_file(water_file):
    """The same molecules with a gap (hartree) and a polarizability (bohr^3) of their bonds."""
    frames = read(water_file, ":")
    for atoms in frames:
        bonds = (atoms.positions[1:] - atoms.positions[0]) / ANGSTROM_PER_BOHR
        atoms.info["GAP"] = (7.0 + bond_lengths(atoms).sum()) / EV_PER_HARTREE
        atoms.info["polarizability"] = 5.0 * np.eye(3) + bonds.T @ bonds
    path = water_file.with_name("labelled.extxyz")
    write(path, frames, format="extxyz")
    return path


@pytest.fixture
def settings(config_file, labelled_file):
    settings = yaml.safe_load(config_file.read_text())
    settings["data"]["path"] = str(labelled_file)
    settings["outputs"] = OUTPUTS
    settings["training"] |= {"max_epochs": 25}
    return settings


def run(settings, tmp_path, *overrides):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    config = read_config(path, ["--folder", str(tmp_path / "run"), *overrides])
    return run_training(config, progress=False)


def test_it_learns_them_together(settings, labelled_file, tmp_path, capsys):
    result = run(settings, tmp_path)
    frames = read(labelled_file, ":")
    gaps = np.array([atoms.info["GAP"] for atoms in frames]) * EV_PER_HARTREE
    others = result.errors["validation"].others
    assert others["gap_mae"] < 0.4 * np.abs(gaps - gaps.mean()).mean()
    assert (others["gap_unit"], others["polarizability_unit"]) == ("eV", "A^3")
    potential = load_model(result.model_path).potential
    assert potential.outputs["gap"].unit == "eV", "that of the program"
    json_file, plot = tmp_path / "errors.json", tmp_path / "parity.png"
    options = [str(result.model_path), str(labelled_file), *UNITS, "--device", "cpu"]
    options += ["--label-units", "gap=Hartree", "polarizability=Bohr^3", "--label-keys", "gap=GAP"]
    assert main(["evaluate", *options, "--json", str(json_file), "--plot", str(plot)]) == 0
    (errors,) = json.loads(json_file.read_text()).values()
    shown = capsys.readouterr().out
    assert f"{1e3 * errors['others']['gap_mae']:.3f} meV" in shown
    mae = errors["others"]["polarizability_mae"]
    assert f"{mae:.3f} A^3 ({mae / ANGSTROM_PER_BOHR**3:.4f} Bohr^3)" in shown
    assert plot.stat().st_size > 0
    assert main(["info", str(result.model_path), "--check"]) == 0
    assert "energy (eV); gap (eV, mean); polarizability (A^3)" in capsys.readouterr().out
    evaluator = Evaluator(result.model_path, frames[0].numbers, device="cpu", guard="off")
    found = evaluator.evaluate(frames[0].positions[None], None, ("forces", "gap"))
    assert found.scalars["gap"][0] == pytest.approx(gaps[0], abs=10 * others["gap_mae"])


def test_a_model_without_energies(settings, tmp_path, capsys):
    settings["outputs"] = {"gap": OUTPUTS["gap"]}
    with pytest.raises(ConfigError, match="atom_references must be left out of a model without"):
        run(settings, tmp_path)
    del settings["data"]["atom_references"]
    result = run(settings, tmp_path)
    assert result.errors["validation"].energy_mae is None
    header = (tmp_path / "run" / "history.csv").read_text().splitlines()[0]
    assert "validation_gap_mae_eV" in header
    assert "energy" not in header
    assert main(["info", str(result.model_path), "--check"]) == 0
    assert "outputs:      gap (eV, mean)" in capsys.readouterr().out
    assert main(["evaluate", str(result.model_path), settings["data"]["path"], *UNITS]) == 2
    assert "no energies: say what to compare" in capsys.readouterr().err


def test_the_configuration_is_written_as_it_was(settings, tmp_path):
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    config = read_config(tmp_path / "run.yaml", ["--outputs.gap.weight=2"])
    assert config.outputs["gap"].weight == 2.0
    write_config(tmp_path / "written.yaml", config)
    assert read_config(tmp_path / "written.yaml") == config


def test_settings_of_earlier_versions_are_understood(settings, tmp_path):
    del settings["outputs"]
    settings["data"] |= {"dipole_unit": "Debye", "dipole_key": "mu"}
    settings["model"] |= {"dipole": True, "total_charge": 0.0, "n_readout_hidden": 3}
    settings["training"] |= {"dipole_weight": 2.0}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    outputs = read_config(tmp_path / "run.yaml").outputs
    assert (outputs["energy"].n_hidden, outputs["dipole"].n_hidden) == (3, 3)
    dipole = outputs["dipole"]
    assert (dipole.unit, dipole.key, dipole.weight) == ("Debye", "mu", 2.0)
    assert dipole.total_charge == 0.0
    settings["outputs"] = OUTPUTS
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="settings of earlier versions, .* do not go together"):
        read_config(tmp_path / "run.yaml")


def test_a_network_learns_what_terms_leave(settings, labelled_file, tmp_path, capsys):
    """Together they meet the labels as well as the network meets what is left: eV/A, so early."""
    settings["outputs"], settings["terms"] = {"energy": None}, {"zbl": None}
    result = run(settings, tmp_path)
    options = [str(result.model_path), str(labelled_file), *UNITS, "--device", "cpu"]
    json_file = tmp_path / "errors.json"
    assert main(["evaluate", *options, "--json", str(json_file)]) == 0
    (errors,) = json.loads(json_file.read_text()).values()
    stored = result.errors["validation"].forces_mae
    assert errors["forces_mae"] == pytest.approx(stored, rel=0.5), "of other structures"
    assert main(["info", str(result.model_path), "--check"]) == 0
    assert "terms:        zbl added to the network" in capsys.readouterr().out
    loaded = load_model(result.model_path).potential
    graphs = [AtomGraph.from_atoms(atoms) for atoms in read(labelled_file, ":")]
    graph = collate([connect(graph, loaded.cutoff) for graph in graphs])
    whole = loaded(graph)
    loaded.terms = {}
    assert float((loaded(graph).forces - whole.forces).abs().max()) > 3 * stored
    settings["terms"] = {}
    settings["training"]["start_from"] = str(result.model_path)
    settings["data"]["atom_references"] = "none"
    with pytest.raises(ConfigError, match="write below terms: zbl"):
        run(settings, tmp_path, "--folder", str(tmp_path / "other"))
