"""What the disagreement of a committee is worth."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from md_runs.learning.assessment import force_error
from md_runs.learning.committee import answers_of, calibrate_files, calibrated
from md_runs.learning.folders import write_frames
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.testing import tiny_schnet


@pytest.fixture
def models(tmp_path, ethanol):
    paths = [tmp_path / f"model_{seed}.safetensors" for seed in range(2)]
    golden = AtomGraph.from_atoms(ethanol)
    for seed, path in enumerate(paths):
        save_model(path, tiny_schnet(seed), golden, ModelRecord())
    return paths


@pytest.fixture
def labelled(models, ethanol):
    """Twenty structures whose labels are three times the disagreement away from the mean."""
    random = np.random.default_rng(0)
    positions = ethanol.positions + 0.03 * random.normal(size=(20, *ethanol.positions.shape))
    first, second = (
        Evaluator(path, ethanol.numbers, guard="off").evaluate(positions) for path in models
    )
    frames = []
    away = 3.0 / np.sqrt(2.0)  # of the difference, whose spread is 1 / sqrt(2) of it
    energies = (first.energy + second.energy) / 2 + away * (first.energy - second.energy)
    forces = (first.forces + second.forces) / 2 + away * (first.forces - second.forces)
    labels = zip(positions, energies, forces.reshape(positions.shape), strict=True)
    for geometry, energy, force in labels:
        atoms = ethanol.copy()
        atoms.positions = geometry
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=force)
        frames.append(atoms)
    return frames


def test_scale_is_the_ratio_of_errors_and_disagreement(models, labelled):
    frames, numbers = labelled, labelled[0].numbers
    found = answers_of(models, numbers, np.array([atoms.positions for atoms in frames]))
    calibration = calibrated(models, frames)
    assert calibration.scale == pytest.approx(3.0, rel=1e-6)
    assert calibration.error == pytest.approx(3.0 * np.sqrt((found.spreads**2).mean()), rel=1e-6)
    assert force_error(models, frames) == pytest.approx(calibration.error, rel=1e-9)
    assert force_error(models, []) is None
    assert (found.worst >= found.of_structures).all()


def test_files_are_calibrated_where_there_are_labels_enough(models, labelled, tmp_path):
    """Every error is three times the spread: so is the standard error."""
    path = tmp_path / "held_out.extxyz"
    write_frames(path, labelled[:19])
    assert calibrate_files(models, path) is None
    write_frames(path, labelled)
    found = calibrate_files(models, path)
    assert found is not None
    assert found.forces.scale == pytest.approx(3.0, rel=0.01)
