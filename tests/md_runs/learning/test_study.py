"""Learning as a whole: water by a calculator that writes down what it was asked for."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import ase.io
import logged_water
import pytest
from logged_water import WATER

from md_runs.force_provider import CalculatorForces
from md_runs.learning.folders import CHOSEN, RoundFolder
from md_runs.learning.labels import counted, make_labels
from md_runs.learning.report import write_report
from md_runs.learning.settings import LearningRun
from md_runs.learning.study import BUDGET, learn
from mlpotential.errors import ConfigError, RunError, StructureError

# The networks are so small that runs break the molecule, whose labels then look odd.
pytestmark = pytest.mark.filterwarnings(
    "ignore::mlpotential.data.declared_units.SuspiciousDataWarning"
)

FILE = logged_water.__file__
SHORT = LearningRun(
    budget=30,
    members=2,
    n_features=8,
    n_interactions=1,
    training_visits=0.3,
    trusted_ps=0.2,
    md_steps=20,
    force_error_eV_A=0.05,
)
KILLED = f"""
import sys
sys.path.insert(0, {str(os.path.dirname(FILE))!r})
from pathlib import Path
from test_study import SHORT, learn, water_forces, WATER
learn(WATER, water_forces(Path(sys.argv[1])), SHORT, Path(sys.argv[1]) / "learning", progress=False)
"""


def water_forces(folder, **arguments):
    """Of the calculator that writes into `asked.txt`."""
    path = folder / "water.py"
    path.write_text(
        f"import sys\nsys.path.insert(0, {os.path.dirname(FILE)!r})\n"
        "from logged_water import LoggedWater\n\n"
        "def calculator(**arguments):\n    return LoggedWater(**arguments)\n"
    )
    return CalculatorForces(
        "water.py", {"log": str(folder / "asked.txt"), **arguments}, 60.0, 1, folder
    )


@pytest.fixture(scope="module")
def killed_and_learned(tmp_path_factory):
    """A run that was killed in its first training, and went on to the end."""
    folder = tmp_path_factory.mktemp("water")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])
    }
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], env=environment)
    deadline = time.monotonic() + 120.0
    while not (folder / "learning/round_01/training/seed_1/history.csv").exists():
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    said = []
    learned = learn(
        WATER, water_forces(folder), SHORT, folder / "learning", said.append, progress=False
    )
    return folder, learned, said


def test_goes_on_after_a_kill_without_a_label_twice(killed_and_learned):
    folder, learned, _ = killed_and_learned
    asked = Counter((folder / "asked.txt").read_text().splitlines())
    frames = ase.io.read(folder / "learning/labels.extxyz", ":")
    assert len(frames) == sum(r["n_asked"] for r in learned.rounds) <= SHORT.budget
    words = [" ".join(f"{x:.6f}" for x in atoms.positions.ravel()) for atoms in frames]
    assert len(set(words)) == len(words)
    of_dynamics = SHORT.md_steps // 10  # frames of the reference's own run may be labelled, too
    assert sum(asked[line] > 1 for line in words) <= of_dynamics


def test_rounds_say_what_was_learned(killed_and_learned):
    folder, learned, said = killed_and_learned
    assert learned.ending == BUDGET
    assert len(said) == len(learned.rounds) - 1  # round 0 was done before the kill
    table = write_report(learned, SHORT, folder / "learning")
    assert "NOT learned: the budget is spent" in table
    summary = json.loads((folder / "learning/summary.json").read_text())
    assert summary["spent"]["n_labels"] <= SHORT.budget
    assert not summary["learned"]
    assert "<table>" in (folder / "learning/report.html").read_text()
    assert all(path.exists() for path in learned.models)
    assert "too few held-out labels" in summary["error_bars"]
    first, last = learned.rounds[1], learned.rounds[-1]
    assert last["n_trained"] > first["n_trained"]
    assert first["assessment"]["measured_error"] > 0.0
    assert first["assessment"]["doubts"]


def test_other_settings_are_refused_but_a_greater_budget(killed_and_learned):
    folder, learned, _ = killed_and_learned
    forces, path = water_forces(folder), folder / "learning"
    with pytest.raises(RunError, match="temperature_K was 300.0 and is now 400.0"):
        learn(WATER, forces, replace(SHORT, temperature_K=400.0), path)
    with pytest.raises(RunError, match="can grow, but not shrink"):
        learn(WATER, forces, replace(SHORT, budget=25), path)
    more = learn(WATER, forces, replace(SHORT, budget=40), path, lambda line: None, False)
    assert len(more.rounds) > len(learned.rounds)
    assert more.rounds[1] == learned.rounds[1]
    assert len(ase.io.read(path / "labels.extxyz", ":")) <= 40


def test_failures_are_counted_and_not_tried_again(tmp_path):
    round_ = RoundFolder(tmp_path, 0)
    round_.path.mkdir()
    stretched = WATER.copy()
    stretched.positions[1] *= 2.0
    ase.io.write(round_.frames(CHOSEN), [WATER, stretched])
    forces = water_forces(tmp_path, longest=1.2)
    for _ in range(2):
        count = make_labels(round_, CHOSEN, forces, progress=False)
    assert (count.n_asked, count.failures) == (2, {"not converged": 1})
    assert len((tmp_path / "asked.txt").read_text().splitlines()) == 2
    assert counted(round_, CHOSEN) == count


def test_a_calculator_that_labels_nothing_ends_it(tmp_path):
    round_ = RoundFolder(tmp_path, 0)
    round_.path.mkdir()
    ase.io.write(round_.frames(CHOSEN), [WATER, WATER])
    with pytest.raises(RunError, match="none of 2 structures of round 0 could be labelled"):
        make_labels(round_, CHOSEN, water_forces(tmp_path, longest=0.5), progress=False)


def test_a_crystal_is_refused(tmp_path, diamond):
    with pytest.raises(StructureError, match="learning is of molecules"):
        learn(diamond, water_forces(tmp_path), SHORT, tmp_path / "learning")
    assert not (tmp_path / "learning").exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"members": 1}, "at least two are needed"),
        ({"budget": 5}, "at least 20 labels"),
        ({"n_beads": 4}, "--for pimd"),
        ({"dynamics": "quantum"}, "--for must be"),
        ({"force_error_eV_A": 0.0}, "force_error_eV_A"),
    ],
)
def test_senseless_settings_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        LearningRun(**wrong)
