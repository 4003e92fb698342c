"""Stresses of crystals: units, signs and orders of components, and a network that learns them."""

import json

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.units import GPa

from mlpotential.cli import main
from mlpotential.data.read import read_reference_data
from mlpotential.errors import ConfigError, DataError
from mlpotential.training.config_file import read_config
from mlpotential.training.run import run_training

UNITS = {"energy_unit": "eV", "length_unit": "Angstrom"}
WITH_STRESS = {"properties": ("energy", "forces", "stress")}


def crystals(n: int, seed: int = 0):
    """Copper, strained and displaced at random, by effective medium theory."""
    rng, frames = np.random.default_rng(seed), []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True)
        strain = np.eye(3) + rng.normal(scale=0.02, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += rng.normal(scale=0.05, size=(4, 3))
        atoms.calc = EMT()
        atoms.get_stress()
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def copper_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "copper.extxyz"
    write(path, crystals(48), format="extxyz")
    return path


@pytest.mark.parametrize("ending", ["extxyz", "db"])
def test_they_are_read_in_ase_order_and_sign(ending, tmp_path):
    frames = crystals(3)
    path = tmp_path / f"copper.{ending}"
    write(path, frames)
    data = read_reference_data(path, stress_unit="eV/Angstrom^3", **UNITS, **WITH_STRESS)
    for graph, atoms in zip(data, frames, strict=True):
        np.testing.assert_allclose(graph.stress[0], atoms.get_stress(voigt=False), atol=1e-7)


@pytest.mark.parametrize(("unit", "factor"), [("GPa", GPa), ("-kbar", -0.1 * GPa)])
def test_units_and_signs(unit, factor, tmp_path):
    (atoms,) = crystals(1)
    expected = atoms.get_stress(voigt=False)
    atoms.calc = SinglePointCalculator(
        atoms, energy=0.0, forces=np.zeros((4, 3)), stress=expected / factor
    )
    write(tmp_path / "one.extxyz", atoms, format="extxyz")
    data = read_reference_data(tmp_path / "one.extxyz", stress_unit=unit, **UNITS, **WITH_STRESS)
    np.testing.assert_allclose(data[0].stress[0], expected, atol=1e-7)


def test_molecules_have_none(tmp_path):
    path = tmp_path / "molecule.xyz"
    path.write_text(
        '1\nenergy=0.0 stress="1 0 0 0 1 0 0 0 1" Properties=species:S:1:pos:R:3\nC 0 0 0\n'
    )
    with pytest.raises(DataError, match="a molecule has no stress"):
        read_reference_data(path, stress_unit="GPa", properties=("energy", "stress"), **UNITS)


@pytest.fixture
def config_path(copper_file, tmp_path):
    settings = {
        "data": {
            "path": str(copper_file),
            "energy_unit": "eV",
            "length_unit": "Angstrom",
            "stress_unit": "eV/Angstrom^3",
            "n_train": 36,
            "n_validation": 12,
        },
        "model": {
            "n_features": 16,
            "n_interactions": 2,
            "rbf_stop": 4.5,
            "rbf_spacing": 0.3,
            "rbf_gamma": None,
            "cutoff_function": "cosine",
            "cutoff": 4.5,
        },
        "training": {
            "stress_weight": 100.0,
            "batch_size": 6,
            "max_epochs": 40,
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "dtype": "float64",
            "device": "cpu",
        },
        "folder": str(tmp_path / "run"),
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def test_a_network_learns_them(config_path, copper_file, tmp_path, capsys):
    result = run_training(read_config(config_path), progress=False)
    others = result.errors["validation"].others
    stresses = np.stack([atoms.get_stress(voigt=False) for atoms in crystals(48)])
    assert others["stress_mae"] < 0.3 * np.abs(stresses).mean()
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert "validation_stress_mae_eV_per_angstrom3" in history[0]
    json_file = tmp_path / "errors.json"
    options = ["--energy-unit", "eV", "--length-unit", "Angstrom", "--json", str(json_file)]
    options += ["--label-units", "stress=eV/Angstrom^3", "--device", "cpu"]
    assert main(["evaluate", str(result.model_path), str(copper_file), *options]) == 0
    (errors,) = json.loads(json_file.read_text()).values()
    mae = errors["others"]["stress_mae"]
    assert f"{1e3 * mae:.3f} meV/A^3 ({mae / GPa:.4f} GPa)" in capsys.readouterr().out


def test_a_unit_is_needed(config_path):
    with pytest.raises(ConfigError, match=r"give data\.stress_unit, one of eV/Angstrom\^3, GPa"):
        read_config(config_path, ["--data.stress_unit=null"])
