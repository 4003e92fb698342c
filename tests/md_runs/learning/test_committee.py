"""What the disagreement of a committee is worth."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from md_runs.learning.assessment import force_error
from md_runs.learning.committee import answers_of, calibrated
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.testing import tiny_schnet


@pytest.fixture
def models(tmp_path, ethanol):
    paths = [tmp_path / f"model_{seed}.safetensors" for seed in range(2)]
    golden = AtomGraph.from_atoms(ethanol)
    for seed, path in enumerate(paths):
        save_model(path, tiny_schnet(seed), golden, ModelRecord())
    return paths


def test_scale_is_the_ratio_of_errors_and_disagreement(models, ethanol):
    """Labels three times the disagreement away from the mean."""
    random = np.random.default_rng(0)
    positions = ethanol.positions + 0.05 * random.normal(size=(5, *ethanol.positions.shape))
    found = answers_of(models, ethanol.numbers, positions)
    frames = []
    for geometry, forces, spreads in zip(positions, found.forces, found.spreads, strict=True):
        atoms = ethanol.copy()
        atoms.positions = geometry
        label = forces + 3.0 * spreads
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=label)
        frames.append(atoms)
    calibration = calibrated(models, frames)
    assert calibration.scale == pytest.approx(3.0, rel=1e-6)
    assert calibration.error == pytest.approx(3.0 * np.sqrt((found.spreads**2).mean()), rel=1e-6)
    assert force_error(models, frames) == pytest.approx(calibration.error, rel=1e-9)
    assert force_error(models, []) is None
    assert (found.worst >= found.of_structures).all()
