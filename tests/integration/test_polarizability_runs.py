"""Runs of a model with polarizabilities keep them, for Raman spectra."""

import numpy as np
import pytest
from ase.build import molecule

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.analysis.vibrations.mode_intensities import raman_intensities
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.molecular_modes import molecular_modes
from md_runs.pimd import PimdRun, run_pimd
from md_runs.reading import read_run
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.models.model_file import save_model
from mlpotential.models.outputs import Output
from mlpotential.testing import tiny_schnet

CPU = Execution(device="cpu", guard="off")


@pytest.fixture
def model_file(tmp_path):
    outputs = {"energy": Output(), "dipole": Output(total_charge=0.0), "polarizability": Output()}
    potential, path = tiny_schnet(outputs=outputs), tmp_path / "model.safetensors"
    potential.scale.std_per_atom.fill_(0.01)  # nothing flies apart
    save_model(path, potential, AtomGraph.from_atoms(molecule("H2O")))
    return path


def check(trajectory, model_file):
    """Each frame against the model at its positions."""
    positions = np.array(trajectory.positions)
    evaluator = Evaluator(model_file, trajectory.atomic_numbers, device="cpu", guard="off")
    flat = positions.reshape(-1, *positions.shape[-2:])
    expected = evaluator.evaluate(flat, None, ("polarizability", "dipole"))
    found = np.array(trajectory.polarizabilities)
    assert found.shape == (*positions.shape[:2], 3, 3)
    np.testing.assert_allclose(
        found.reshape(-1, 3, 3), expected.polarizability, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        np.array(trajectory.dipoles).reshape(-1, 3), expected.dipole, rtol=1e-5, atol=1e-5
    )
    assert np.ptp(found, axis=0).max() > 1e-4, "they change along the run"


def test_classical(model_file, tmp_path):
    atoms = molecule("H2O")
    atoms.calc = MLPotentialCalculator(model_file, device="cpu", guard="off")
    settings = ClassicalRun(ensemble="nve", n_steps=40, stride=10, temperature_K=300.0, seed=1)
    result = run_classical(atoms, settings, tmp_path / "run", progress=False)
    check(read_run(result.trajectory_file), model_file)


def test_modes_scatter(model_file):
    """Derivatives along the modes against differences along the modes."""
    atoms = molecule("H2O")
    found = molecular_modes(atoms, model_file, Execution(device="cpu", guard="off"))
    derivatives = found.polarizability_derivatives
    assert derivatives.shape == (3, 3, 3, 3)
    raman = raman_intensities(found.modes, derivatives)
    assert raman.activities.max() > 0.0
    direction = np.random.default_rng(0).normal(size=(3, 3))
    evaluator = Evaluator(model_file, atoms.numbers, device="cpu", guard="off")
    ends = np.stack([atoms.positions - 1e-3 * direction, atoms.positions + 1e-3 * direction])
    low, high = evaluator.evaluate(ends, None, ("polarizability",)).polarizability
    expected = np.einsum("ix,ixyz->yz", direction, derivatives)
    np.testing.assert_allclose((high - low) / 2e-3, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("engine", ["ipi", "native"])
def test_path_integral(model_file, tmp_path, engine):
    settings = PimdRun(n_steps=20, stride=10, n_beads=2, temperature_K=300.0, seed=1, engine=engine)
    run = run_pimd(molecule("H2O"), model_file, settings, tmp_path / "run", False, CPU)
    check(run.trajectory, model_file)
