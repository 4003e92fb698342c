"""Every architecture through the same doors: one word of a configuration is another."""

import numpy as np
import pytest
import yaml
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.io import write

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.molecular_modes import molecular_modes
from md_runs.pimd import PimdRun, run_pimd
from md_runs.relax import relax
from mlpotential.inference.execution import Execution
from mlpotential.models.model_file import check_golden, load_model
from mlpotential.models.registry import ARCHITECTURES
from mlpotential.training.config_file import read_config
from mlpotential.training.run import run_training

CPU = Execution(device="cpu", dtype="float64", guard="off")


@pytest.fixture(scope="module")
def frames_file(tmp_path_factory):
    """Water, displaced at random, by ASE's effective medium theory."""
    path, rng, frames = (
        tmp_path_factory.mktemp("data") / "water.extxyz",
        np.random.default_rng(1),
        [],
    )
    for _ in range(60):
        atoms = molecule("H2O")
        atoms.positions += rng.normal(scale=0.05, size=(3, 3))
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model_file(request, frames_file, tmp_path_factory):
    """Trained for a moment, with no setting that only one architecture has."""
    settings = {
        "data": {
            "path": str(frames_file),
            "energy_unit": "eV",
            "length_unit": "Angstrom",
            "n_validation": 10,
            "atom_references": "least_squares",
        },
        "model": {"architecture": request.param},
        "training": {"batch_size": 10, "max_epochs": 4, "device": "cpu", "learning_rate": 3e-3},
        "folder": str(tmp_path_factory.mktemp(request.param) / "run"),
    }
    path = tmp_path_factory.mktemp("config") / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return run_training(read_config(path), progress=False).model_path


def test_it_is_trained_and_stored(model_file):
    loaded = load_model(model_file)
    assert check_golden(loaded).passed
    assert check_golden(loaded, dtype="float32").passed
    errors = loaded.record.errors["validation"]
    assert errors["forces_mae"] < 5.0
    assert loaded.record.feature_ranges, "the guard knows its features"


def test_it_moves_atoms_and_vibrates(model_file, tmp_path):
    atoms = molecule("H2O")
    atoms.calc = MLPotentialCalculator(model_file, device="cpu", dtype="float64", guard="off")
    settings = ClassicalRun(
        ensemble="nve", n_steps=40, stride=10, timestep_fs=0.2, temperature_K=50.0, seed=1
    )
    run_classical(atoms, settings, tmp_path / "run", progress=False)
    minimum, _ = relax(atoms, force_tolerance=1e-4)
    found = molecular_modes(minimum, model_file, CPU, displacement=0.002)
    hessian = MLPotentialCalculator(model_file, device="cpu", dtype="float64").get_hessian(minimum)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    assert len(found.modes.wavenumbers_per_cm) == 3


@pytest.mark.slow
def test_it_drives_path_integrals(model_file, tmp_path):
    settings = PimdRun(n_steps=10, stride=5, n_beads=2, timestep_fs=0.2, temperature_K=50.0, seed=1)
    run = run_pimd(molecule("H2O"), model_file, settings, tmp_path / "run", False, CPU)
    assert np.isfinite(np.array(run.trajectory.positions)).all()
