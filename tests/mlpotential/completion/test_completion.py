"""Completion in shells: what a real bash offers at the tabulator, and what is needed for it."""

import shutil
import subprocess
import sys

import pytest

import md_runs.cli
import mlpotential.cli
from mlpotential.completion.script import every_parser

CLIS = {"mlpotential": mlpotential.cli, "md-runs": md_runs.cli}
BASH = shutil.which("bash")
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
${FUNCTION} "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
echo "${COMPREPLY[*]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Of both programs, for bash."""
    pytest.importorskip("shtab", reason="shtab is not installed: pip install shtab")
    folder = tmp_path_factory.mktemp("completion")
    for name, cli in CLIS.items():
        program = f"from {cli.__name__} import main; main(['--print-completion', 'bash'])"
        with (folder / name).open("w") as file:
            subprocess.run([sys.executable, "-c", program], stdout=file, check=True, timeout=60)
    return folder


@pytest.mark.skipif(BASH is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("md-runs phon", "phonons"),
        ("md-runs phonons --superc", "--supercell"),
        ("md-runs relax s.xyz --optimizer ''", "bfgs fire"),
        ("md-runs phonons crys", "crystal.xyz"),
        ("md-runs phonons s.xyz --model crys", "crystal.xyz"),
        ("md-runs phonons s.xyz --displacement crys", ""),
        ("mlpotential interpret chemical-p", "chemical-potential"),
        ("mlpotential interpret chemical-potential --pla", "--plane"),
        ("mlpotential info crys", "crystal.xyz"),
        ("mlpotential --print-completion ''", "bash zsh"),
    ],
)
def test_what_bash_offers(scripts, tmp_path, words, offered):
    (tmp_path / "crystal.xyz").touch()
    typed = [word.strip("'") for word in words.split()]
    function = f"_shtab_{typed[0].replace('-', '_')}"
    result = subprocess.run(
        [BASH, "-c", ASK, "bash", scripts / typed[0], *typed],
        capture_output=True,
        text=True,
        timeout=20,
        cwd=tmp_path,
        env={"FUNCTION": function, "PATH": "/usr/bin:/bin"},
    )
    assert result.stdout.strip() == offered, result.stderr


@pytest.mark.parametrize("name", CLIS)
def test_for_zsh(name, capsys):
    pytest.importorskip("shtab", reason="shtab is not installed: pip install shtab")
    with pytest.raises(SystemExit) as ended:
        CLIS[name].main(["--print-completion", "zsh"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"#compdef {name}\n")


def test_without_shtab(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as ended:
        mlpotential.cli.main(["--print-completion", "bash"])
    assert ended.value.code == 2
    assert "pip install 'mlpotential[completion]'" in capsys.readouterr().err


def test_nothing_is_imported_for_it_before_it_is_asked_for():
    program = "import sys, md_runs.cli as c; c.build_parser(); assert 'shtab' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)


def test_parsers_of_kinds_are_found():
    parser = mlpotential.cli.build_parser()
    names = [found.prog.removeprefix("mlpotential").strip() for found in every_parser(parser)]
    assert names[0] == ""
    assert len(set(names)) == len(names)
    assert set(names) > set(mlpotential.cli.COMMANDS)  # and those that other packages add
