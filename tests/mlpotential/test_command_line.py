"""Sub-commands of other packages, found through entry points, in both commands."""

import argparse
import contextlib
import io
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

import md_runs.cli
import mlpotential.cli
from mlpotential.command_line import add_arguments

HEAVY = {"torch", "numpy", "scipy", "ase", "matplotlib"}

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


def test_help_imports_nothing_heavy():
    """A fifth of a second of processor time for both, where numpy alone takes half of that."""
    program = (
        "import sys, time, mlpotential.cli as a, md_runs.cli as b\n"
        "a.build_parser().format_help(), b.build_parser().format_help()\n"
        "print(time.process_time(), *sys.modules)"
    )
    text = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    seconds, *modules = text.stdout.split()
    assert not HEAVY & set(modules)
    assert float(seconds) < 1.0  # the bound of a slow machine


def test_help_of_all_commands_imports_nothing_slow():
    """What takes half a second and more, in a process of its own for all of them."""
    program = (
        "import importlib, sys, mlpotential.cli as a, md_runs.cli as b\n"
        "places = [*a.COMMANDS.values(), *b.COMMANDS.values()]\n"
        "[importlib.import_module(place.partition(':')[0]) for place, _ in places]\n"
        "print(*sys.modules)"
    )
    text = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    modules = set(text.stdout.split())
    assert "md_runs.commands.report" in modules
    assert not modules & {
        "torch", "matplotlib", "scipy.signal", "scipy.stats", "scipy.integrate", "scipy.spatial",
        "ase.io", "ase.thermochemistry", "h5py", "ipi",
    }  # fmt: skip


def measure(
    path: Path,
    *,
    length_ps: float = 2.0,
    kind: Literal["a", "b"] | None = None,
    atoms: Sequence[int] = (),
    svg: bool = False,
    name: str,
    **others: int,
) -> int:
    """Measures.

    Args:
        path: of a run.
        length_ps: of it, in 50 %
            of all cases.
        kind, atoms: which `ones`.
        svg: too.
        name: any.

    Raises:
        DataError: never.
    """
    return 0


@dataclass
class Other:
    """Settings.

    Attributes:
        seed: of all.
        is_fixed: or not.
    """

    seed: int = 0
    is_fixed: bool = True


def test_a_signature_becomes_options():
    parser = argparse.ArgumentParser()
    add_arguments(parser, measure, {"length_ps": "--duration"})
    add_arguments(parser, Other)
    words = ["run", "--name", "x", "--duration", "3", "--kind", "b", "--atoms", "1", "2", "--svg"]
    assert vars(parser.parse_args([*words, "--no-is-fixed"])) == {
        "path": Path("run"), "length_ps": 3.0, "kind": "b", "atoms": [1, 2], "svg": True,
        "name": "x", "seed": 0, "is_fixed": False,
    }  # fmt: skip
    text = " ".join(parser.format_help().split())
    for shown in (
        "--length-ps X",
        "of it, in 50 % of all cases (default: 2)",
        "which ones",
        "of all (default: 0)",
        "or not (default: yes)",
        "any (required)",
    ):
        assert shown in text
    assert "never" not in text


def sub_commands(cli):
    """Their parsers and those of their kinds, by name, with the options of each."""
    return {name: parser for name, parser in parsers_below(cli.build_parser())}


def parsers_below(parser):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        parser.parse_known_args(["--help"])
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield name, below
                yield from ((f"{name} {kind}", kin) for kind, kin in parsers_below(below))


FAMILY = """
from mlpotential.command_line import Command

def large(structure: str, *, size: int = 3) -> int:
    '''Prints.

    Args:
        structure: to look at.
        size: of it.
    '''
    print(structure * size)
    return 0

LARGE = Command.of(large, "  look large it")
TABLE = {"large": ("greeting_plug_in:LARGE", "prints it large")}
COMMAND = Command.family(TABLE, "  look large it", "looks at things")
"""


@CLIS
def test_a_family_of_commands(cli, install, capsys):
    install(FAMILY, "look = greeting_plug_in:COMMAND")
    assert cli.main(["look", "large", "it", "--size", "2"]) == 0
    assert capsys.readouterr().out == "itit\n"
    for words, told in (
        ([], "the following arguments are required: KIND"),
        (["lage"], "there is no command 'lage'. Did you mean 'large'? There are: large"),
        (["large", "it", "--sise", "2"], "there is no option --sise. Did you mean --size?"),
        (["large"], "the following arguments are required: structure"),
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["look", *words])
        assert stopped.value.code == 2
        assert told in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit):
        cli.main(["look", "--help"])
    shown = capsys.readouterr().out
    assert "prints it large" in shown
    assert shown.endswith("examples:\n  look large it\n")


UNIT_OF_ENDING = {
    "temperature_K": "(K)", "_GPa": "(GPa)", "_fs": "(fs)", "_ps": "(ps)", "per_fs": "(1/fs)",
    "n_steps": "time steps", "stride": "time steps", "n_beads": "replicas",
    "seed": "random numbers", "threads": "number of threads", "timeout_s": "(s)",
    "drivers": "processes of the calculator", "at_most": "time steps",
}  # fmt: skip


@CLIS
def test_every_option_of_every_command_says_what_it_means(cli):
    for name, parser in sub_commands(cli).items():
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):  # whose kinds are parsers, too
                assert len((action.help or "").split()) >= 2, f"{name}: {action.dest}"


def test_what_a_function_is_called_keeps_its_case():
    """G(r) is another function than g(r)."""
    descriptions = {name: parser.description for name, parser in sub_commands(md_runs.cli).items()}
    assert descriptions["rdf"].startswith("g(r) and coordination numbers")
    assert descriptions["vdos"].startswith("Vibrational density")


@pytest.mark.parametrize("name", ["classical", "pimd"])
def test_every_number_of_a_run_has_its_unit_and_default(name):
    numbers = [a for a in sub_commands(md_runs.cli)[name]._actions if a.type in (int, float)]
    assert len(numbers) >= 8
    for action in numbers:
        endings = [end for end in UNIT_OF_ENDING if action.dest.endswith(end)]
        assert UNIT_OF_ENDING[max(endings, key=len)] in action.help, action.dest
        if action.default is not None:
            assert action.help.endswith(f"(default: {action.default:g})"), action.dest
