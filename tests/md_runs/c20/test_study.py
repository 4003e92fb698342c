"""The C20 study on the shipped model, short: all stages, stopped and continued.

One study serves all tests of this file, which one worker runs.
"""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import numpy as np
import pytest

from md_runs.c20 import MODEL
from md_runs.c20 import study as study_module
from md_runs.c20.report import write_report
from md_runs.c20.settings import C20Study, FolderDefaults, folder_defaults
from md_runs.c20.study import EQUILIBRATION, estimated_hours, run_study
from md_runs.cli import main
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure.distances import distances_report
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.schnet.kernel import available_instruction_sets
from mlpotential.models.model_file import check_golden, load_model

# Which rare frames lie outside the training data by a hair differs from one processor to another.
pytestmark = pytest.mark.filterwarnings("ignore::mlpotential.errors.ExtrapolationWarning")

SHORT = {
    "classical_ps": 0.4,
    "path_integral_ps": 0.1,
    "n_beads": 4,
    "stride": 5,
    "segment_ps": 0.1,
}
THROUGH_IPI = SHORT | {"engine": "ipi"}
WITH_SERIES = SHORT | {"bead_series": (2,)}
PROGRAM = """
import sys
from pathlib import Path
from md_runs.c20.report import write_report
from md_runs.c20.settings import C20Study
from md_runs.c20.study import run_study
study = C20Study(folder=Path(sys.argv[1]), **{settings})
print(write_report(study, run_study(study, print)))
"""


@pytest.fixture(scope="module")
def one_hessian():
    """The Hessian of the one minimum of these studies is computed once."""
    compute, known = Evaluator.hessian, {}

    def hessian(self, positions):
        key = positions.tobytes()
        if key not in known:
            known[key] = compute(self, positions)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Evaluator, "hessian", hessian)
        yield


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory, one_hessian):
    """A study stopped where its path-integral run begins, then started again."""
    folder = tmp_path_factory.mktemp("c20") / "study"
    study = C20Study(folder=folder, **THROUGH_IPI)

    def stopped(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_module, "run_pimd", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, lambda line: None, progress=False)
    classical = (folder / "classical/trajectory.frames").read_bytes()
    results = run_study(study, lambda line: None, progress=False)
    assert (folder / "classical/trajectory.frames").read_bytes() == classical
    return folder, write_report(study, results)


@pytest.mark.slow
def test_killed_and_started_again(tmp_path):
    """With -9, in the first path-integral run of two."""
    folder = tmp_path / "study"
    command = [sys.executable, "-P", "-u", "-c", PROGRAM.format(settings=WITH_SERIES), folder]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while not (folder / "pimd/ring_polymer.checkpoint").exists():
            assert process.poll() is None, "the study ended before its path-integral run"
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    classical = (folder / "classical/trajectory.frames").read_bytes()
    second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert second.returncode == 0, second.stderr
    assert (folder / "classical/trajectory.frames").read_bytes() == classical
    assert (folder / "figure_11_beads.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["bead_series"]) == ["2", "4"]
    assert summary["bead_convergence"]["mean_bond"]["verdict"] in second.stdout


def test_figures_and_summary(finished_study):
    folder, text = finished_study
    figures = ("figure_7_modes", "figure_8_distributions", "vdos")
    for name in (f"{figure}.png" for figure in figures):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    summary = json.loads((folder / "summary.json").read_text())
    assert len(summary["modes"]["wavenumbers_per_cm"]) == 54
    assert summary["modes"]["n_imaginary"] == 0
    assert "too short for conclusions" in summary["remark"]
    assert "too short for conclusions" in text
    energies = summary["quantum_energies"]
    table = np.loadtxt(folder / "pimd/simulation.out")
    late = table[table[:, 1] > 24.9]  # fs; a quarter of the run is left out
    kinetic = energies["kinetic_energy_eV"]
    np.testing.assert_allclose(kinetic["value"], late[:, 5].mean(), rtol=1e-6)
    above = late[:, 4].mean() - summary["minimum"]["energy_eV"]
    np.testing.assert_allclose(energies["potential_energy_eV"]["value"], above, atol=1e-5)
    total = kinetic["value"] + energies["potential_energy_eV"]["value"]
    np.testing.assert_allclose(energies["total_energy_eV"]["value"], total, rtol=1e-6)
    assert energies["heat_capacity_k_B"]["standard_error"] > 0
    assert "quantum energies above the minimum with 4 beads [harmonic" in text
    assert re.search(r"heat capacity .* k_B \[4\d\.\d+, 20\.\d+\]", text)
    assert summary["harmonic_vibrations"]["with_beads"]["n_beads"] == 4
    np.testing.assert_allclose(summary["minimum"]["bonds_A"][0], 1.411, atol=0.01)
    frames = read_trajectory(folder / "classical/trajectory.frames")
    assert frames.n_frames == 161
    assert (folder / "modes.csv").read_text().count("\n") == 55


def test_the_fast_path_agrees_with_the_reference(finished_study):
    """The study ran on the fastest backend; its frames have the forces of the model itself."""
    frames = read_trajectory(finished_study[0] / "classical/trajectory.frames")
    numbers, positions = frames.atomic_numbers, frames.positions[::10, 0]
    reference = Evaluator(MODEL, numbers, dtype="float64", backend="reference")
    exact = reference.evaluate(positions).forces
    fast = Evaluator(MODEL, numbers, **asdict(C20Study().execution))
    assert fast.backend == ("native" if available_instruction_sets() else "tabulated")
    forces = fast.evaluate(positions).forces
    assert abs(forces - exact).max() < 2e-5 * abs(exact).max()


def test_same_folder_other_study_is_refused(finished_study):
    folder, _ = finished_study
    with pytest.raises(RunError, match="n_beads was 4 and is now 8"):
        run_study(C20Study(folder=folder, **THROUGH_IPI | {"n_beads": 8}), progress=False)


@pytest.mark.slow
def test_finished_study_is_only_analysed_again(finished_study):
    folder, _ = finished_study
    study = C20Study(folder=folder, **THROUGH_IPI)
    before = json.loads((folder / "summary.json").read_text())
    write_report(study, run_study(study, lambda line: None, progress=False))
    after = json.loads((folder / "summary.json").read_text())
    for summary in (before, after):
        del summary["pimd_steps_per_second"], summary["projected_hours_for_1250_ps"]
    assert after == before


def test_equilibration_is_a_quarter_and_at_most_a_picosecond():
    times_fs = np.arange(0.0, 2001.0, 5.0)
    assert times_fs[EQUILIBRATION.n_frames(times_fs)] == 500.0
    times_fs = np.arange(0.0, 20001.0, 5.0)
    assert times_fs[EQUILIBRATION.n_frames(times_fs)] == 1000.0


def test_other_commands_find_the_numbers_of_the_study(finished_study):
    """They leave out what the study leaves out, of every run."""
    folder, _ = finished_study
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("classical", "pimd", "classical/trajectory.frames"):
        (run,) = open_runs([folder / name])
        assert "0.25 of the run, at most 1 ps, as recorded with the run" in run.assumptions[1]
        found = {d.label: d.mean for d in distances_report([run]).results.values()}
        stage = summary["classical" if "classical" in name else "path_integral"]
        for label, quantity in (
            ("nearest neighbour", "closest_neighbour"),
            ("largest distance", "largest_distance"),
        ):
            expected = stage["geometry_A"][quantity]
            np.testing.assert_allclose(found[label].value, expected["value"], rtol=1e-12)
            np.testing.assert_allclose(
                found[label].standard_error, expected["standard_error"], rtol=1e-9
            )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classical_ps": 0.0}, "classical_ps must be a positive number"),
        ({"path_integral_ps": 0.01}, "at least 0.2 ps are needed"),
        ({"classical_ps": 0.3}, "at least 0.4 ps are needed for error bars and the start of an"),
        ({"temperature_K": float("nan")}, "temperature_K"),
        ({"n_beads": 0}, "n_beads"),
        ({"stride": 0}, "stride"),
        ({"seed": -1}, "seed"),
        ({"stride": 200}, "at least 4 ps are needed"),
    ],
)
def test_mistakes(settings, message):
    with pytest.raises(ConfigError, match=message):
        C20Study(**settings)


def test_long_runs_record_less_often_and_a_folder_keeps_its_settings(tmp_path):
    assert folder_defaults(tmp_path, 2.0).stride == folder_defaults(tmp_path, 100.0).stride == 10
    assert folder_defaults(tmp_path, 1250.0) == FolderDefaults(100, "native", 1)
    frame_bytes = 8 * 22 * 54 + 20 * 9 * 8  # 8 beads of 20 atoms in text, one in binary
    study = C20Study(classical_ps=1250.0, path_integral_ps=1250.0, stride=100)
    assert study.n_steps(1250.0) / study.stride * frame_bytes < 0.3e9
    for kept, found in (
        ('{"stride": 10, "seed": 0}', (10, "ipi", 0)),  # of version 0.1.0, which had no engine
        ('{"stride": 100, "seed": 7, "engine": "native"}', (100, "native", 7)),
    ):
        (tmp_path / "study.json").write_text(kept)
        assert folder_defaults(tmp_path, 1250.0) == FolderDefaults(*found)
    for damaged in ("", "7", "{"):
        (tmp_path / "study.json").write_text(damaged)
        with pytest.raises(RunError, match=r"study\.json"):
            folder_defaults(tmp_path, 1250.0)
        with pytest.raises(RunError, match=r"study\.json"):
            run_study(C20Study(folder=tmp_path, **SHORT), progress=False)


def test_shipped_model():
    """It fits this program, and is as good as its README says."""
    model = load_model(MODEL)
    assert check_golden(model).passed
    assert check_golden(model, dtype="float64").passed
    assert model.record.errors["test"]["forces_mae"] < 1.5 * 0.0433641


def test_estimate_counts_both_runs():
    short, longer = C20Study(**SHORT), C20Study(**SHORT | {"classical_ps": 400.0})
    assert estimated_hours(longer) > 10 * estimated_hours(short) > 0.0


def test_full_needs_yes(tmp_path, capsys):
    assert main(["c20", "--full", "--folder", str(tmp_path / "x")]) == 1
    text = capsys.readouterr().out
    assert "1.25 ns" in text
    assert "--yes" in text
    assert not (tmp_path / "x").exists()
