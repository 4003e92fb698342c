"""What is small is read, and mistakes in it are found, before anything imports torch."""

import sys

import pytest

from md_runs.c20 import MODEL, STRUCTURE

OURS = ("md_runs", "mlpotential", "calculators", "torch")


class NoTorch:
    """A finder of modules that stops whoever looks for torch."""

    def find_spec(self, name, path=None, target=None):
        assert name != "torch", "torch is imported"


@pytest.fixture
def command(monkeypatch, tmp_path):
    """`main` of a package that is imported anew, in which nobody can import torch."""
    monkeypatch.chdir(tmp_path)
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [NoTorch(), *sys.meta_path])
    from md_runs.cli import main

    yield main
    for name in list(sys.modules):
        if name.split(".")[0] in OURS:
            del sys.modules[name]


def test_mistakes_are_found_without_torch(command, tmp_path, capsys):
    (tmp_path / "file").touch()
    model, run = ("--model", str(MODEL)), ("--folder", "run")
    structure = str(STRUCTURE)
    for arguments, message in (
        (("relax", "absent.xyz", *model, "--output", "o.xyz"), "No such file"),
        (("relax", structure, *model, "--output", "o.foo"), "ASE writes no structures"),
        (("relax", structure, *model, "--output", "no/o.xyz"), "the folder no of the output"),
        (("relax", structure, *model, "--output", "o.xyz", "--max-steps", "0"), "max_steps"),
        (("modes", "absent.xyz", *model), "No such file"),
        (("modes", structure, *model, "--compare", "absent.json"), "cannot read the modes"),
        (("classical", "absent.xyz", *model, *run), "No such file"),
        (("classical", structure, *model, *run, "--timestep-fs", "0"), "timestep_fs"),
        (("classical", structure, *model, "--folder", "file"), "--folder file is a file"),
        (("pimd", "absent.xyz", *model, *run, "--n-steps", "1"), "No such file"),
        (("pimd", structure, *model, *run, "--n-steps", "0"), "n_steps"),
        (("pimd", structure, *model, "--folder", "file", "--n-steps", "1"), "is a file"),
        (("c20", "--beads", "0"), "n_beads"),
        (("modes", structure, *model, "--dtype", "float23"), "dtype must be float32 or float64"),
    ):
        assert command(list(arguments)) == 2, arguments
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
