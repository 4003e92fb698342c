"""The command `md-runs`, typed as a user would."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ase.io import read

from md_runs import ethanol
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.cli import main
from mlpotential.inference import prepared_model

COMMAND = Path(sys.executable).with_name("md-runs")
RUN = ("--n-steps", 40, "--stride", 4, "--temperature-K", 300)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Calls the command in this process, in an empty folder; gives what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def call_installed(tmp_path):
    """Starts the installed command in an empty folder; gives what it prints."""

    def call(*arguments, code=0):
        result = subprocess.run(
            [COMMAND, *map(str, arguments)],
            capture_output=True, text=True, timeout=120, cwd=tmp_path,
        )  # fmt: skip
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        return result.stdout if code == 0 else result.stderr

    return call


def check_relax_modes_classical(call, folder, structure, model):
    n_atoms = len(read(structure))
    model = ("--model", model)
    text = call("relax", structure, *model, "--output", "relaxed.xyz")
    assert "longest force" in text
    assert len(read(folder / "relaxed.xyz")) == n_atoms
    text = call("modes", "relaxed.xyz", *model, "--json", "modes.json")
    assert "degeneracy" in text
    force = float(re.search(r"longest force (\S+) eV/A", text)[1])
    assert force < 1.1e-4  # 1e-4 asked for, 1e-8 A in the file
    modes = json.loads((folder / "modes.json").read_text())
    assert len(modes["wavenumbers_per_cm"]) == 3 * n_atoms - 6
    options = ("--folder", "nvt", "--ensemble", "bussi")
    assert "mean temperature" in call("classical", "relaxed.xyz", *model, *RUN, *options)


@pytest.mark.filterwarnings("ignore::mlpotential.errors.ExtrapolationWarning")
def test_relax_modes_classical(call, tmp_path):
    """One structure through these commands."""
    check_relax_modes_classical(call, tmp_path, ethanol.STRUCTURE, ethanol.MODEL)


@pytest.mark.slow
def test_relax_modes_classical_pimd(call_installed, tmp_path):
    """The same and path integrals, by the installed command."""
    check_relax_modes_classical(call_installed, tmp_path, STRUCTURE, MODEL)
    text = call_installed(
        "pimd", "relaxed.xyz", "--model", MODEL, *RUN, "--folder", "pimd", "--n-beads", 2
    )
    assert "11 frames of 2 beads" in text
    text = call_installed("export", "pimd", "pimd.extxyz")
    assert text.split() == ["pimd_bead_0.extxyz", "pimd_bead_1.extxyz"]
    assert len(read(tmp_path / "pimd_bead_1.extxyz", index=":")) == 11


def test_the_first_line_says_what_evaluates(call, capsys):
    """Not where results are printed."""
    prepared_model.say_once.cache_clear()
    model = ("--model", ethanol.MODEL, "--backend", "tabulated")
    assert main(["relax", str(ethanol.STRUCTURE), *map(str, model), "--output", "r.xyz"]) == 0
    output = capsys.readouterr()
    assert output.err.splitlines()[0] == "C2H6O: tabulated backend, float64"
    assert "tabulated" not in output.out


def test_the_installed_command(call_installed):
    error = call_installed("export", "absent", "run.h5", code=2)
    assert error.count("\n") == 1
    assert "cannot read the trajectory absent: No such file" in error


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
        (["relax", STRUCTURE, "--model", MODEL, "--output", "folder.xyz"],
         "the output folder.xyz is a folder: name a file"),
        (["relax", MODEL, "--model", STRUCTURE, "--output", "o.xyz"],
         "it is a model file; the structure comes first, the model after --model"),
        (["relax", STRUCTURE, "--model", STRUCTURE, "--output", "o.xyz"],
         "of another kind, or another argument in its place)"),
        (["classical", "table.trj", "--model", MODEL, "--folder", "f"],
         "ASE knows no format of files like 'table.trj', such as .xyz or .cif"),
        (["classical", "zero.xyz", "--model", MODEL, "--folder", "f"],
         "its content is not what its ending says (KeyError '0')"),
        (["classical", "empty.xyz", "--model", MODEL, "--folder", "f"],
         "empty.xyz is no structure ASE can read: it is empty"),
        (["modes", STRUCTURE, "--model", MODEL, "--json", "absent/m.json"], "the folder absent"),
        (["modes", STRUCTURE, "--model", MODEL, "--page", "folder.xyz"], "is a folder: name a"),
        (["modes", STRUCTURE, "--model", MODEL, "--figure", "m.foo"], "Format 'foo' is no picture"),
        (["modes", STRUCTURE, "--model", MODEL, "--temperature-K", "-5"],
         "--temperature-K must be a positive number, not -5.0"),
        (["classical", STRUCTURE, "--model", MODEL, "--folder", "f", "--timestep-fs", "0"],
         "timestep_fs must be a positive number"),
        (["pimd", STRUCTURE, "--model", MODEL, "--folder", "f", "--n-steps", "0"],
         "n_steps must be"),
        (["c20", "--beads", "0"], "n_beads must be a whole number of at least 1"),
        (["c20", "--model", "absent"], "No such file"),
        (["c21"], "there is no command 'c21'. Did you mean 'c20'?"),
        (["pimd", STRUCTURE, "--n_steps", "10"], "no option --n_steps. Did you mean --n-steps?"),
        (["pimd", STRUCTURE, "-n-steps", "10"], "no option -n-steps. Did you mean --n-steps?"),
        (["pimd", STRUCTURE, "--beads=4"], "no option --beads. Did you mean --n-beads?"),
        (["classical", STRUCTURE, "--temperature-k", "9"], "Did you mean --temperature-K?"),
        (["export", ".", "run.h5"], "holds no run"),
        (["export", ".", "run.xyz"], "must end in .h5 or .extxyz"),
        (["export", ".", "absent/run.h5"], "cannot write absent/run.h5: No such folder"),
        (["report", ".", "--output", "absent/page.html"], "cannot write absent/page.html: No such"),
        (["export", __file__, "run.h5"], "not a trajectory of this program"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.xyz").write_text("3\n")
    (tmp_path / "zero.xyz").write_text("1\n\n0 0.0 0.0 0.0\n")
    (tmp_path / "table.trj").write_text("1 2 3\n")
    (tmp_path / "empty.xyz").touch()
    (tmp_path / "folder.xyz").mkdir()
    try:
        code = main(list(map(str, arguments)))
    except SystemExit as end:  # of a parser, which has printed its usage before
        code = end.code
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err.strip().splitlines()[-1]


@pytest.mark.parametrize("command", ["c20", "relax", "modes", "classical", "pimd", "export"])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"examples:\n  md-runs {command}" in capsys.readouterr().out
