"""The installed command `md-runs`, typed as a user would."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ase.io import read

from md_runs.c20 import MODEL, STRUCTURE

COMMAND = Path(sys.executable).with_name("md-runs")


def call(*arguments, cwd, code=0):
    result = subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=cwd
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout if code == 0 else result.stderr


def test_relax_modes_classical_pimd(tmp_path):
    """One structure through all commands."""
    model = ("--model", MODEL)
    text = call("relax", STRUCTURE, *model, "--output", "relaxed.xyz", cwd=tmp_path)
    assert "longest force" in text
    assert len(read(tmp_path / "relaxed.xyz")) == 20
    text = call("modes", "relaxed.xyz", *model, "--json", "modes.json", cwd=tmp_path)
    assert "degeneracy" in text
    assert re.search(r"longest force \d\.\d\de-05 eV/A", text)
    modes = json.loads((tmp_path / "modes.json").read_text())
    assert len(modes["wavenumbers_per_cm"]) == 54
    run = ("--n-steps", 40, "--stride", 4, "--temperature-K", 300)
    text = call(
        "classical",
        "relaxed.xyz",
        *model,
        *run,
        "--folder",
        "nvt",
        "--ensemble",
        "bussi",
        cwd=tmp_path,
    )
    assert "mean temperature" in text
    text = call(
        "pimd", "relaxed.xyz", *model, *run, "--folder", "pimd", "--n-beads", 2, cwd=tmp_path
    )
    assert "11 frames of 2 beads" in text
    text = call("export", "pimd", "pimd.extxyz", cwd=tmp_path)
    assert text.split() == ["pimd_bead_0.extxyz", "pimd_bead_1.extxyz"]
    assert len(read(tmp_path / "pimd_bead_1.extxyz", index=":")) == 11


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relax", "absent.xyz", "--model", MODEL, "--output", "o.xyz"], "No such file"),
        (["relax", STRUCTURE, "--model", "absent", "--output", "o.xyz"], "No such file"),
        (["modes", __file__, "--model", MODEL], "no structure ASE can read"),
        (["modes", "cut.xyz", "--model", MODEL], "no structure ASE can read"),
        (["relax", STRUCTURE, "--model", MODEL, "--output", "relaxed.foo"],
         "ASE writes no structures to files like 'relaxed.foo'"),
        (["relax", STRUCTURE, "--model", MODEL, "--output", "absent/relaxed.xyz"],
         "the folder absent of the output does not exist"),
        (["classical", STRUCTURE, "--model", MODEL, "--folder", "f", "--timestep-fs", "0"],
         "timestep_fs must be a positive number"),
        (["pimd", STRUCTURE, "--model", MODEL, "--folder", "f", "--n-steps", "0"],
         "n_steps must be"),
        (["c20", "--beads", "0"], "n_beads must be a whole number of at least 1"),
        (["c20", "--model", "absent"], "No such file"),
        (["c21"], "invalid choice"),
        (["export", "absent", "run.h5"], "cannot read the trajectory absent: No such file"),
        (["export", ".", "run.h5"], "holds no run"),
        (["export", ".", "run.xyz"], "must end in .h5 or .extxyz"),
        (["export", __file__, "run.h5"], "not a trajectory of this program"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, message, tmp_path):
    (tmp_path / "cut.xyz").write_text("3\n")
    error = call(*arguments, cwd=tmp_path, code=2)
    assert message in error.strip().splitlines()[-1]


@pytest.mark.parametrize("command", ["c20", "relax", "modes", "classical", "pimd", "export"])
def test_help_has_examples(command, tmp_path):
    assert f"examples:\n  md-runs {command}" in call(command, "--help", cwd=tmp_path)
