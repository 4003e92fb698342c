"""Runs tell at their end how much of them was outside the training data, or stop there."""

import copy
import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase.io import write
from spring_network import spring_cluster

from calculators import MLPotentialCalculator
from md_runs.classical.nve_segments import run_nve_segments
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.cli import main
from md_runs.model_warnings import REPORT_NAME, read_report, refuse_departure
from md_runs.pimd import run_pimd
from md_runs.pimd.settings import PimdRun
from md_runs.run_folders import TRAJECTORY_NAME
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.errors import ExtrapolationWarning, RunError
from mlpotential.graph import AtomGraph
from mlpotential.inference.guard import GuardReport
from mlpotential.models.model_file import ModelRecord, save_model

COLD = ClassicalRun(n_steps=4, stride=2, temperature_K=1.0)
TWO_BEADS = {"n_beads": 2, "temperature_K": 50.0, "stride": 1, "properties_stride": 1}
ANYTHING = {"lowest": [-1e3] * 8, "highest": [1e3] * 8}
PAIRS = ("C-C", "C-H", "C-O", "H-H", "H-O", "O-O")


@pytest.fixture
def model_of(potential, ethanol, tmp_path):
    """A model file that never saw C-O shorter than this."""

    def make(shortest_co, name="model.safetensors", weights=potential):
        record = ModelRecord(
            shortest_distances=dict.fromkeys(PAIRS, 0.01) | {"C-O": shortest_co},
            feature_ranges=dict.fromkeys("HCO", ANYTHING),
        )
        save_model(tmp_path / name, weights, AtomGraph.from_atoms(ethanol), record)
        return tmp_path / name

    return make


def shortest_co(atoms):
    (oxygen,) = np.flatnonzero(atoms.numbers == 8)
    return float(atoms.get_distances(oxygen, np.flatnonzero(atoms.numbers == 6)).min())


def test_a_run_counts_each_evaluation(model_of, ethanol, tmp_path):
    """Also one that is continued; a finished one tells the same again."""
    ethanol.calc = MLPotentialCalculator(model_of(5.0), "cpu")
    folder = tmp_path / "run"
    with pytest.warns(ExtrapolationWarning, match="less than any") as told:
        report = run_classical(ethanol, COLD, folder).extrapolation
    assert len(told) == 1
    assert (report.n_evaluated, report.n_outside) == (5, 5)
    assert read_report(folder) == report
    longer = ClassicalRun(n_steps=6, stride=2, temperature_K=1.0)
    with pytest.warns(ExtrapolationWarning):
        report = run_classical(ethanol, longer, folder).extrapolation
    assert report.n_outside == 5 + 2  # the calculator still knew where the first part ended
    assert run_classical(ethanol, longer, folder).extrapolation == report
    assert report.nearest.shortest == 5.0


def test_a_calculator_with_a_past_begins_anew(model_of, ethanol, tmp_path):
    calculator = MLPotentialCalculator(model_of(5.0), "cpu")
    with pytest.warns(ExtrapolationWarning):
        calculator.get_forces(ethanol)
    ethanol.calc = calculator
    with pytest.warns(ExtrapolationWarning):
        report = run_classical(ethanol, COLD, tmp_path / "run").extrapolation
    assert report.n_evaluated <= 5


def test_inside(model_of, ethanol, tmp_path):
    ethanol.calc = MLPotentialCalculator(model_of(0.01), "cpu")
    report = run_classical(ethanol, COLD, tmp_path / "run").extrapolation
    assert (report.n_evaluated, report.n_outside) == (5, 0)
    assert str(report) == (
        "extrapolation: none of 5 structures (distances and features checked) was outside the "
        "training data"
    )


def test_a_run_that_stays_outside_is_no_success(model_of, ethanol, tmp_path, capsys):
    """It is all there, but ends with an error; also when it is only asked for again."""
    write(tmp_path / "ethanol.xyz", ethanol)
    longer = ClassicalRun(n_steps=19, stride=5, temperature_K=1.0)
    ethanol.calc = MLPotentialCalculator(model_of(5.0), "cpu")
    words = r"left the training data of its model at step 0 and stayed outside for 20 of 20"
    folder = tmp_path / "run"
    for expected in ([ExtrapolationWarning], []):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with pytest.raises(RunError, match=words):
                run_classical(ethanol, longer, folder)
        assert [w.category for w in told] == expected
    assert read_trajectory(folder / TRAJECTORY_NAME).n_frames == 4
    ethanol.calc = MLPotentialCalculator(model_of(5.0), "cpu", guard="off")
    assert run_classical(ethanol, longer, folder).extrapolation.n_outside == 20
    options = {"model": model_of(5.0), "folder": tmp_path / "again", "n-steps": 19}
    words = [f"--{name}={value}" for name, value in options.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["classical", str(tmp_path / "ethanol.xyz"), *words]) == 2
    told = capsys.readouterr().err
    assert "md-runs classical: warning: outside the training data: " in told
    assert "stayed outside for 20 of 20 structures" in told


def test_segments_that_stay_outside_are_no_success(model_of, ethanol, tmp_path):
    ethanol.calc = MLPotentialCalculator(model_of(5.0), "cpu")
    start = [(ethanol.positions, np.zeros((9, 3)))]
    words = r"stayed outside for 25 of 25 structures"
    with pytest.warns(ExtrapolationWarning), pytest.raises(RunError, match=words):
        run_nve_segments(ethanol, start, 24, 0.1, 4, tmp_path, False)
    ethanol.calc = MLPotentialCalculator(model_of(5.0), "cpu", guard="off")
    (kept,) = run_nve_segments(ethanol, start, 24, 0.1, 4, tmp_path, False)  # nothing is run
    assert kept.n_frames == 7


def test_departures(tmp_path):
    """A few per cent of the structures in a row; of the beads of a step most have to be outside."""
    whole = GuardReport(("distances",), n_evaluated=1000, n_outside=400, longest_stretch=29)
    refuse_departure(whole, tmp_path)
    refuse_departure(None, tmp_path)
    refuse_departure(replace(whole, n_evaluated=19, longest_stretch=19), tmp_path)
    beads = replace(whole, longest_stretch=40, stretch_start=120)
    refuse_departure(replace(beads, checks=()), tmp_path)
    with pytest.raises(RunError, match="at step 30 and stayed outside for 40 of 1000 structures"):
        refuse_departure(beads, tmp_path, n_beads=4)


def test_stopped_where_it_leaves(model_of, ethanol, tmp_path):
    """The frames before are kept, and the run can go on with another guard."""
    path = model_of(shortest_co(ethanol) - 0.02)
    settings = ClassicalRun(n_steps=400, stride=1, temperature_K=300.0)
    ethanol.calc = MLPotentialCalculator(path, "cpu", guard="stop")
    with pytest.raises(RunError, match=r"stopped at step \d+: outside .* less than any"):
        run_classical(ethanol, settings, tmp_path / "run")
    frames = read_trajectory(tmp_path / "run" / TRAJECTORY_NAME).positions[:, 0]
    atoms = ethanol.copy()
    for positions in frames:
        atoms.positions = positions
        assert shortest_co(atoms) > shortest_co(ethanol) - 0.02
    assert len(frames) > 1


def test_other_calculators_are_not_watched(tmp_path):
    assert run_classical(spring_cluster(6), COLD, tmp_path / "run").extrapolation is None
    assert not (tmp_path / "run" / REPORT_NAME).exists()


@pytest.mark.slow
def test_path_integrals_of_a_committee(model_of, potential, ethanol, tmp_path):
    """Each bead counts; the folder keeps the members."""
    other = copy.deepcopy(potential)
    other.scale.mean_per_atom += 0.1
    models = [model_of(5.0, "a.safetensors"), model_of(0.01, "b.safetensors", other)]
    folder = tmp_path / "run"
    with pytest.warns(ExtrapolationWarning):
        result = run_pimd(ethanol, models, PimdRun(n_steps=2, **TWO_BEADS), folder, False)
    assert (result.extrapolation.n_evaluated, result.extrapolation.n_outside) == (6, 6)
    assert sorted(p.name for p in folder.glob("model*")) == [f"model_{k}.safetensors" for k in "01"]


@pytest.mark.slow
def test_path_integrals_go_on_counting(model_of, ethanol, tmp_path):
    for n_steps, n_outside in ((2, 6), (3, 6 + 4)):  # the last structures before are seen again
        settings = PimdRun(n_steps=n_steps, **TWO_BEADS)
        with pytest.warns(ExtrapolationWarning):
            result = run_pimd(ethanol, model_of(5.0), settings, tmp_path / "run", False)
        assert result.extrapolation.n_outside == n_outside
    with pytest.warns(ExtrapolationWarning):  # of the start; nothing is run
        again = run_pimd(ethanol, model_of(5.0), settings, tmp_path / "run", False)
    assert again.extrapolation == result.extrapolation


def test_the_command_tells(model_of, ethanol, tmp_path, capsys):
    write(tmp_path / "ethanol.xyz", ethanol)
    words = ["classical", tmp_path / "ethanol.xyz", "--model", model_of(5.0), "--n-steps", "2"]
    words += ["--folder", tmp_path / "run", "--temperature-K", "1", "--guard", "off"]
    assert main(list(map(str, words))) == 0
    assert "extrapolation: not checked (switched off" in capsys.readouterr().out
