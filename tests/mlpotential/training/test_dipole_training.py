"""Training with dipoles: it learns them, says so, and refuses what does not fit together."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from ase.io import read, write

from mlpotential.cli import main
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, Prediction, collate
from mlpotential.models.model_file import load_model
from mlpotential.training.checkpoint import load_checkpoint, save_checkpoint
from mlpotential.training.config_file import read_config
from mlpotential.training.losses import loss_per_graph
from mlpotential.training.run import run_training

CHARGES = np.array([-0.8, 0.4, 0.4])  # e, on the atoms of the water molecules
UNITS = ("--energy-unit", "eV", "--length-unit", "Angstrom")


@pytest.fixture(scope="module")
def dipole_file(water_file):
    """The same molecules with the dipoles of fixed charges."""
    frames = read(water_file, ":")
    for atoms in frames:
        atoms.calc.results["dipole"] = CHARGES @ atoms.positions
    path = water_file.with_name("dipoles.extxyz")
    write(path, frames, format="extxyz")
    return path


@pytest.fixture
def dipole_config(config_file, dipole_file):
    settings = yaml.safe_load(config_file.read_text())
    settings["data"]["path"] = str(dipole_file)
    dipole = {"unit": "e*Angstrom", "weight": 10.0, "total_charge": 0.0}
    settings["outputs"] = {"energy": None, "dipole": dipole}
    settings["training"]["max_epochs"] = 15
    config_file.write_text(yaml.safe_dump(settings))
    return config_file


def run(config_file, folder, *overrides):
    config = read_config(config_file, ["--folder", str(folder), *overrides])
    return run_training(config, progress=False)


def test_it_learns_energies_forces_and_dipoles(dipole_config, dipole_file, tmp_path, capsys):
    result = run(dipole_config, tmp_path / "run")
    with open(tmp_path / "run" / "history.csv") as handle:
        rows = list(csv.DictReader(handle))
    maes = [float(row["validation_dipole_mae_e_angstrom"]) for row in rows]
    assert maes[-1] < 0.2 * maes[0]
    labels = np.stack([a.get_dipole_moment() for a in read(dipole_file, ":")])
    assert result.errors["validation"].dipole_mae < 0.1 * np.abs(labels).mean()
    json_file, plot = tmp_path / "errors.json", tmp_path / "parity.png"
    options = [str(result.model_path), str(dipole_file), *UNITS, "--device", "cpu"]
    options += ["--label-units", "dipole=e*Angstrom", "--json", str(json_file), "--plot", str(plot)]
    assert main(["evaluate", *options]) == 0
    (errors,) = json.loads(json_file.read_text()).values()
    mae, rmse = errors["dipole_mae"], errors["dipole_rmse"]
    assert 0.0 < mae <= rmse
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("  dipole"))
    assert f"{1e3 * mae:.3f} me A ({mae / 0.20819434:.4f} Debye)" in line
    assert plot.stat().st_size > 0
    assert main(["info", str(result.model_path)]) == 0
    assert "dipole " in capsys.readouterr().out


def test_an_interrupted_run_goes_on(dipole_config, tmp_path):
    options = ("--training.schedule=exponential", "--training.max_epochs=2")
    whole = run(dipole_config, tmp_path / "whole", *options)
    run(dipole_config, tmp_path / "parts", options[0], "--training.max_epochs=1")
    parts = run(dipole_config, tmp_path / "parts", *options)
    one, other = (load_model(r.model_path).potential.state_dict() for r in (whole, parts))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=0, atol=0)


def test_a_checkpoint_from_before_dipoles_goes_on(config_file, tmp_path):
    options = ("--training.schedule=exponential", "--training.max_epochs=2")
    run(config_file, tmp_path, *options)
    state = load_checkpoint(tmp_path)
    del state["fingerprint"]["outputs"], state["fingerprint"]["output_weights"]
    state["fingerprint"]["model"] |= {"readout_activation": "ssp", "n_readout_hidden": None}
    save_checkpoint(tmp_path, state)
    run(config_file, tmp_path, options[0], "--training.max_epochs=3")
    assert load_checkpoint(tmp_path)["step"] == 24


def test_the_loss_by_hand():
    graph = AtomGraph.from_arrays(
        np.ones(2), np.eye(3)[:2], energy=0.0, forces=np.zeros((2, 3)), dipole=np.array([1, 0, 0])
    )
    dipoles = torch.tensor([[1.0, 0.0, 0.5], [0.0, 2.0, 0.0]], dtype=torch.float64)
    zeros = torch.zeros(4, 3, dtype=torch.float64)
    prediction = Prediction(torch.tensor([2.0, 0.0]).double(), zeros, dipole=dipoles)
    weights = {"energy": 0.1, "forces": 1.0, "dipole": 3.0}
    losses = loss_per_graph(prediction, collate([graph, graph]), weights)
    np.testing.assert_allclose(losses, [0.1 * 4.0 + 3.0 * 0.25, 3.0 * 5.0])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--outputs.dipole.weight=0", "weight of an output must be a positive number"),
        ("--outputs.energy.total_charge=0", r"energy\.total_charge must be given for dipole and"),
        ("--outputs.dipole.unit=null", r"give outputs\.dipole\.unit, one of e\*Angstrom, Debye,"),
        ("--outputs.dipole.unit=debye", r"outputs\.dipole\.unit must be one of e\*Angstrom, Deb"),
        ("--outputs.dipole_magnitude.unit=Debye", "the same total_charge, n_hidden"),
    ],
)
def test_settings_that_do_not_fit_together(dipole_config, override, message):
    with pytest.raises(ConfigError, match=message):
        read_config(dipole_config, [override])


def test_a_model_without_dipoles_is_not_compared(config_file, dipole_file, tmp_path, capsys):
    result = run(config_file, tmp_path / "run", "--training.max_epochs=1")
    options = [str(result.model_path), str(dipole_file), *UNITS, "--label-units", "dipole=Debye"]
    assert main(["evaluate", *options, "--device", "cpu"]) == 2
    assert "the model has no dipole" in capsys.readouterr().err
