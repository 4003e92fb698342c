"""What the README and the pages of docs show works: programs run, commands parse, links lead."""

import importlib.util
import json
import re
import shlex
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from calculators.ipi_driver import PARAMETERS
from mlpotential import cli as mlpotential_cli
from mlpotential.training.config_file import read_config

ROOT = Path(__file__).parent.parent
GENERATED = ROOT / "docs/generated"  # made from other files when the manual is built
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in ROOT.glob("docs/**/*.md") if not p.is_relative_to(GENERATED)),
]


def blocks(language: str, of_tutorials: bool = True) -> list[str]:
    """Of all pages, each once; those of tutorials build on each other: docs/run_tutorials.py."""
    fenced = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    pages = [page for page in PAGES if of_tutorials or page.parent.name != "tutorials"]
    found = [block for page in pages for block in fenced.findall(page.read_text())]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("program", blocks("python", of_tutorials=False))
def test_programs_run(program, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out


def commands() -> list[list[str]]:
    """Of all blocks, each once."""
    lines = "".join(blocks("sh")).replace(".venv/bin/", "").replace("&&", "\n").splitlines()
    lines = [re.sub(r"\$\([^)]*\)\S*", "FILE", line) for line in lines]
    ours = [line for line in dict.fromkeys(lines) if line.startswith(("mlpotential ", "md-runs "))]
    return [shlex.split(re.split(r" (?:>|2>&1|\|\|?) ", line)[0]) for line in ours]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_parse(words):
    from md_runs import cli as md_runs_cli

    parser = (mlpotential_cli if words[0] == "mlpotential" else md_runs_cli).build_parser()
    options, overrides = parser.parse_known_args(words[1:])
    assert options.command == words[1]
    if options.command not in ("train", "learning-curve", "sweep"):  # which take settings
        assert not overrides


def test_there_are_commands_of_each_kind():
    assert {words[1] for words in commands()} >= {
        "train", "evaluate", "info", "c20", "relax", "modes", "classical", "pimd",
    }  # fmt: skip


def test_settings_are_known(tmp_path):
    settings, *sections = blocks("yaml", of_tutorials=False)
    for whole in set(blocks("yaml")) - {settings, *sections}:
        (tmp_path / "run.yaml").write_text(whole)
        assert read_config(tmp_path / "run.yaml").folder
    for section in ("{}", *sections):
        whole = yaml.safe_load(settings) | (yaml.safe_load(section) or {})
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(whole))
        assert read_config(tmp_path / "run.yaml").training.batch_size in (8, 32)


def test_input_of_ipi():
    (text,) = blocks("xml")  # README and its page show the same
    parameters = ElementTree.fromstring(text).findtext("parameters")
    names = [pair.split(":")[0].strip() for pair in parameters.strip("{}").split(",")]
    assert set(names) <= set(PARAMETERS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        place = page.parent / target
        made = place.resolve().is_relative_to(GENERATED)  # whose links Sphinx checks
        assert target.startswith("https://") or made or place.exists(), target


def test_the_readme_is_short():
    """Which pages there are, the manual tells: tests/test_manual.py."""
    assert PAGES[0].read_text().count("\n") < 160


def test_the_install_command_leaves_a_kernel_in_the_clone_and_shows_its_progress():
    executed = re.findall(r"<!-- executed -->\n```sh\n(.*?)```", PAGES[0].read_text(), re.DOTALL)
    assert len(executed) == 2
    for command in executed:
        (install,) = re.findall(r"pip install ([^&]*)", command)
        assert "-e" in install.split()
        assert not {"-q", "--quiet"} & set(install.split())


def test_tables_of_the_benchmark_are_those_measured():
    """The tables of times are made from the stored results, not by hand."""
    folder = Path(__file__).parent / "benchmarks"
    specification = importlib.util.spec_from_file_location(
        "benchmark_report", folder / "benchmark_report.py"
    )
    report = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(report)
    tables = report.markdown(json.loads((folder / "results/cpu.json").read_text())).split("\n\n")
    assert len(tables) == 2
    page = (ROOT / "docs/performance.md").read_text()
    for table in tables:
        assert table.strip() in page
