"""Sub-commands of other packages, found through entry points, in both commands."""

import sys

import pytest

import md_runs.cli
import mlpotential.cli

PLUG_IN = """
from mlpotential.command_line import Command

def add_options(parser):
    parser.add_argument("--times", type=int, default=1)

def run(times):
    print("hello " * times)
    return 0

COMMAND = Command(add_options, run, "  greet --times 2", "say 100 % hello")
"""
CLIS = pytest.mark.parametrize("cli", [mlpotential.cli, md_runs.cli])


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Makes an installed package of a module and its entry points."""

    def make(module, points):
        (tmp_path / "greeting_plug_in.py").write_text(module)
        folder = tmp_path / "greetings-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: greetings\nVersion: 1.0\n")
        groups = (mlpotential.cli.PLUG_INS, md_runs.cli.PLUG_INS)
        text = "\n".join([f"[{group}]\n{points}" for group in groups])
        (folder / "entry_points.txt").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "greeting_plug_in", raising=False)

    yield make
    sys.modules.pop("greeting_plug_in", None)


@CLIS
def test_a_plug_in_is_listed_and_runs(cli, install, capsys):
    install(PLUG_IN, "greet = greeting_plug_in:COMMAND\n")
    assert "say 100 % hello" in " ".join(cli.build_parser().format_help().split())
    assert cli.main(["greet", "--times", "2"]) == 0
    assert capsys.readouterr().out == "hello hello \n"
    with pytest.raises(SystemExit):
        cli.main(["greet", "--help"])
    assert "examples:\n  greet --times 2" in capsys.readouterr().out


@CLIS
@pytest.mark.parametrize(
    ("module", "reason"),
    [("import absent_package", "ModuleNotFoundError"), ("COMMAND = 3", "is no mlpotential")],
)
def test_a_broken_plug_in_troubles_nobody_else(cli, module, reason, install, capsys):
    install(module, "broken = greeting_plug_in:COMMAND\n")
    with pytest.raises(SystemExit) as end:
        cli.main(["broken"])
    assert end.value.code == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the plug-in 'broken' of greetings cannot be loaded" in error
    assert reason in error
    own = ["info", "absent"] if cli is mlpotential.cli else ["export", "absent", "run.h5"]
    assert cli.main(own) == 2
    assert "No such file" in capsys.readouterr().err


@CLIS
def test_a_plug_in_replaces_no_command(cli, install, capsys):
    name = "info" if cli is mlpotential.cli else "vdos"
    install(PLUG_IN, f"{name} = greeting_plug_in:COMMAND\n")
    assert "say 100" not in cli.build_parser().format_help()
    assert f"the plug-in '{name}' of greetings is left out" in capsys.readouterr().err
