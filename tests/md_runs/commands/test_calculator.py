"""Runs, relaxations and modes by any calculator, as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.io import read, write
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.cli import main
from md_runs.commands.options import duration_text
from md_runs.pimd.stored_runs import read_pimd_trajectory
from md_runs.trajectories.frames_file import read_trajectory

FAILING = """
import os, time
from ase.calculators.emt import EMT

class Failing(EMT):
    def calculate(self, *arguments, **options):
        super().calculate(*arguments, **options)
        with open("count", "a") as file:
            file.write("x")
        if os.path.exists("fail") and os.path.getsize("count") > int(open("fail").read()):
            {fault}

def calculator():
    return Failing()
"""
RAISES, HANGS = "raise RuntimeError('no licence')", "time.sleep(600)"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a molecule near its minimum and a calculator that can fail."""
    monkeypatch.chdir(tmp_path)
    atoms = molecule("CH3OH")
    write("start.xyz", atoms)

    def with_fault(fault=RAISES):
        (tmp_path / "failing.py").write_text(FAILING.format(fault=fault))

    with_fault()
    return with_fault


def fail_after(n_evaluations):
    Path("fail").write_text(str(n_evaluations))
    Path("count").write_text("")


def mended(tmp_path):
    (tmp_path / "fail").unlink()
    (tmp_path / "count").write_text("")


CLASSICAL = ["classical", "start.xyz", "--folder", "run", "--n-steps", "6", "--stride", "1"]
FAILING_CALCULATOR = ["--calculator", "failing.py"]


def test_a_classical_run_is_that_of_the_calculator_itself(place, capsys):
    assert main([*CLASSICAL, "--calculator", "emt"]) == 0
    shown = capsys.readouterr()
    assert "mean temperature" in shown.out
    assert "has no guard and no uncertainty" in shown.err
    frames = read_trajectory(Path("run/trajectory.frames"))
    last = Atoms("COH4", calculator=EMT())
    last.numbers, last.positions = frames.atomic_numbers, frames.positions[6, 0]
    assert_array_equal(np.asarray(frames.forces[6, 0]), last.get_forces())
    assert main([*CLASSICAL, "--calculator", "ase.calculators.emt:EMT"]) == 2
    assert "calculator was 'emt' and is now" in capsys.readouterr().err


@pytest.mark.slow
def test_our_own_model_as_a_calculator_is_the_model(place, model_path):
    own = ["--calculator", "calculators.ase_calculator:MLPotentialCalculator"]
    own += ["--calculator-arguments", f"{{model: {model_path}, dtype: float64}}"]
    assert main([*CLASSICAL, *own]) == 0
    words = [*CLASSICAL, "--model", str(model_path), "--dtype", "float64"]
    words[words.index("run")] = "by_model"
    assert main(words) == 0
    both = [read_trajectory(Path(name) / "trajectory.frames") for name in ("run", "by_model")]
    assert_allclose(both[0].positions[6], both[1].positions[6], rtol=0, atol=1e-12)
    assert main(["modes", "start.xyz", *own, "--json", "a.json"]) == 0
    of_model = ["--model", str(model_path), "--json", "b.json"]
    assert main(["modes", "start.xyz", *of_model]) == 0
    wavenumbers = [
        json.loads(Path(name).read_text())["wavenumbers_per_cm"] for name in ("a.json", "b.json")
    ]
    assert_allclose(*wavenumbers, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fault", [RAISES, pytest.param(HANGS, marks=pytest.mark.slow)])
def test_a_classical_run_goes_on_after_a_fault(place, tmp_path, capsys, fault, monkeypatch):
    """Saved every step here, as a slow calculator's; the result is that of the whole run."""
    place(fault)
    monkeypatch.setattr("md_runs.checkpoint_archive.CheckpointClock.is_due", True)
    words = [*CLASSICAL, *FAILING_CALCULATOR, "--calculator-timeout-s", "2"]
    fail_after(5)
    assert main(words) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    expected = "no licence" if fault == RAISES else "no answer within 2 s"
    assert expected in shown
    mended(tmp_path)
    assert main(words) == 0
    assert (tmp_path / "count").stat().st_size < 8, "steps before the fault are not made again"
    whole = [*CLASSICAL, "--calculator", "emt"]
    whole[whole.index("run")] = "whole"
    assert main(whole) == 0
    both = [read_trajectory(Path(name) / "trajectory.frames") for name in ("run", "whole")]
    assert_array_equal(np.asarray(both[0].positions), np.asarray(both[1].positions))


def test_a_relaxation_goes_on_after_a_fault(place, tmp_path, capsys):
    words = ["relax", "start.xyz", "--output", "relaxed.xyz", *FAILING_CALCULATOR]
    fail_after(8)
    assert main(words) == 2
    assert "no licence" in capsys.readouterr().err
    newest = json.loads((tmp_path / "relaxed.xyz.unfinished").read_text())
    assert newest["step"] >= 4
    mended(tmp_path)
    assert main(words) == 0
    relaxed = read("relaxed.xyz")
    relaxed.calc = EMT()
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() < 2e-4
    assert not (tmp_path / "relaxed.xyz.unfinished").exists()


def test_modes_go_on_after_a_fault_and_are_those_of_the_calculator(place, tmp_path, capsys):
    assert main(["relax", "start.xyz", "--output", "relaxed.xyz", "--calculator", "emt"]) == 0
    words = ["modes", "relaxed.xyz", "--json", "modes.json", *FAILING_CALCULATOR]
    fail_after(20)
    assert main(words) == 2
    assert "no licence" in capsys.readouterr().err
    mended(tmp_path)
    assert main(words) == 0
    assert (tmp_path / "count").stat().st_size < 36 - 15
    assert "by central differences of forces, 0.01 A, 36 evaluations" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.unfinished"))
    assert main([*words[:2], "--json", "whole.json", "--calculator", "emt", "--drivers", "2"]) == 0
    found = [
        json.loads(Path(name).read_text())["wavenumbers_per_cm"]
        for name in ("modes.json", "whole.json")
    ]
    assert_allclose(*found, rtol=1e-9)


@pytest.mark.parametrize("engine", ["native", pytest.param("ipi", marks=pytest.mark.slow)])
def test_beads_over_two_processes(place, tmp_path, capsys, engine):
    words = ["pimd", "start.xyz", "--n-beads", "4", "--n-steps", "4", "--stride", "2"]
    words += ["--properties-stride", "1", "--record-forces", "--engine", engine]
    assert main([*words, "--folder", "two", "--calculator", "emt", "--drivers", "2"]) == 0
    frames = read_pimd_trajectory(tmp_path / "two")
    last = Atoms(frames.atomic_numbers, frames.positions[2, 3], calculator=EMT())
    assert_allclose(frames.forces[2, 3], last.get_forces(), rtol=1e-4, atol=1e-4)
    assert main([*words, "--folder", "two", "--calculator", "lj"]) == 2
    assert "calculator was 'emt' and is now 'lj'" in capsys.readouterr().err


@pytest.mark.slow
def test_ipi_saves_the_step_that_its_calculator_fails_in(place, tmp_path, capsys):
    words = ["pimd", "start.xyz", "--n-beads", "2", "--n-steps", "8", "--stride", "2"]
    words += ["--properties-stride", "1", "--checkpoint-stride", "500", "--folder", "run"]
    words += FAILING_CALCULATOR
    fail_after(13)
    assert main(words) == 2
    assert "no licence" in capsys.readouterr().err
    mended(tmp_path)
    assert main(words) == 0
    assert (tmp_path / "count").stat().st_size < 18, "steps before the fault are not made again"
    frames = read_pimd_trajectory(tmp_path / "run")
    assert frames.n_frames == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--model FILE or --calculator NAME: one of them is needed"),
        (["--calculator", "emt", "--model", "m.safetensors"], "not both"),
        (["--calculator", "emt", "--dtype", "float64"], "--dtype of a model"),
        (["--model", "m", "--drivers", "2"], "--drivers is of a calculator"),
        (["--calculator", "emtt"], "Did you mean 'emt'"),
        (["--calculator", "no_module:x"], "No module named"),
        (["--calculator", "absent.py"], "there is no file absent.py"),
        (["--calculator", "ase.calculators.singlepoint:SinglePointDFTCalculator"], "cannot be"),
    ],
)
def test_mistakes_are_told_in_a_line(place, capsys, words, told):
    assert main([*CLASSICAL, *words]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.3, "12 s"), (100.0, "1.7 min"), (7200.0, "2 h"), (2e5, "2.3 days")]
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.slow
def test_the_time_that_a_slow_calculator_takes_is_told(place, tmp_path, capsys):
    (tmp_path / "slow.py").write_text(
        "import time\nfrom ase.calculators.emt import EMT\n"
        "class Slow(EMT):\n"
        "    def calculate(self, *a, **b):\n"
        "        time.sleep(0.1)\n"
        "        super().calculate(*a, **b)\n"
        "def calculator(): return Slow()\n"
    )
    words = ["modes", "start.xyz", "--calculator", "slow.py", "--drivers", "4"]
    assert main(words) == 0
    assert "a Hessian by 36 displacements will take about" in capsys.readouterr().err


def test_a_calculator_without_forces(place, capsys, tmp_path):
    (tmp_path / "no_forces.py").write_text(
        "from ase.calculators.emt import EMT\n"
        "class Energy(EMT):\n"
        "    implemented_properties = ['energy']\n"
        "def calculator(): return Energy()\n"
    )
    assert main([*CLASSICAL, "--calculator", "no_forces.py"]) == 2
    assert "the calculator has no forces" in capsys.readouterr().err
