"""Dynamics with a hard cutoff warns, once per run, whoever runs it."""

from types import SimpleNamespace

import numpy as np
import pytest
from spring_network import spring_cluster

from calculators import MLPotentialCalculator
from md_runs.classical.nve_segments import run_nve_segments
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.pimd import run_pimd
from md_runs.pimd.settings import PimdRun
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig

HARD = SimpleNamespace(smooth_at_cutoff=False)
SMOOTH = SimpleNamespace(smooth_at_cutoff=True)
SETTINGS = ClassicalRun(n_steps=20)


@pytest.fixture
def hard_potential():
    config = SchNetConfig(
        n_features=4, n_interactions=1, rbf_stop=5.0, rbf_spacing=1.0, rbf_gamma=None,
        cutoff_function="hard", cutoff=5.0,
    )  # fmt: skip
    potential = SchNet(config).double().eval()
    potential.elements = (1, 6, 8)
    return potential


def test_classical_run_warns_once(tmp_path):
    atoms = spring_cluster(6)
    atoms.calc.traits = HARD
    with pytest.warns(UserWarning, match="hard cutoff") as warned:
        run_classical(atoms, SETTINGS, tmp_path)
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_segments_warn_once(tmp_path):
    atoms = spring_cluster(6)
    atoms.calc.traits = HARD
    start = (atoms.positions, np.full((6, 3), 1e-3))
    with pytest.warns(UserWarning, match="hard cutoff") as warned:
        run_nve_segments(atoms, [start, start], 4, 0.5, 2, tmp_path)
    assert len(warned) == 1


@pytest.mark.parametrize("traits", [SMOOTH, None])
def test_others_do_not_warn(traits, tmp_path):
    """Warnings are errors in these tests."""
    atoms = spring_cluster(6)
    atoms.calc.traits = traits
    run_classical(atoms, SETTINGS, tmp_path)


def test_the_calculator_tells_the_traits_of_its_model(tmp_path, hard_potential, ethanol):
    ethanol.calc = MLPotentialCalculator(hard_potential)
    with pytest.warns(UserWarning, match="hard cutoff"):
        run_classical(ethanol, ClassicalRun(n_steps=1, temperature_K=1.0), tmp_path)


@pytest.mark.slow
def test_path_integral_run_warns_once(tmp_path, hard_potential, ethanol):
    model = tmp_path / "hard.safetensors"
    save_model(model, hard_potential, AtomGraph.from_atoms(ethanol), ModelRecord(title="hard"))
    with pytest.warns(UserWarning, match="hard cutoff") as warned:
        run_pimd(ethanol, model, PimdRun(n_steps=2, n_beads=1), tmp_path / "run")
    assert len(warned) == 1
    assert warned[0].filename == __file__
