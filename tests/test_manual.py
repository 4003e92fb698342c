"""The manual is whole: pages can be reached, tutorials were run, what is public is described."""

import argparse
import fnmatch
import importlib.util
import json
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from safetensors import safe_open

from calculators import ipi_client
from md_runs import cli as md_runs_cli
from md_runs.analysis.sampling.equilibration import RULE_NAME
from md_runs.c20 import MODEL
from md_runs.run_folders import CHECKPOINT_NAME, RECORD_NAME, STRUCTURE_NAME, TRAJECTORY_NAME
from md_runs.trajectories.frames_file import FIELDS, FrameHeader
from md_runs.trajectories.trajectory import FRAME_FIELDS
from mlpotential import __version__
from mlpotential import cli as mlpotential_cli
from mlpotential.training.config_schema import json_schema

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
# Made when the manual is built, from files and parsers that are there.
GENERATED = "generated/"


def loaded(path: Path):
    """A module of docs/, which is no package."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


public_names = loaded(DOCS / "extensions/public_names.py")
run_tutorials = loaded(DOCS / "run_tutorials.py")
check_site = loaded(DOCS / "check_site.py")

PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix()
    for path in DOCS.rglob("*.md")
    if not path.relative_to(DOCS).as_posix().startswith(GENERATED)
}


def pages_in_toctrees(page: str) -> list[str]:
    """What the toctrees of a page list, patterns replaced by what they match and is not listed."""
    found: list[str] = []
    for block in re.findall(
        r"^```\{toctree\}\n(.*?)^```", (DOCS / f"{page}.md").read_text(), re.M | re.S
    ):
        entries = [line for line in block.split("\n") if line and not line.startswith(":")]
        listed = [entry for entry in entries if not set(entry) & set("*?[")]
        taken = {resolved(page, entry) for entry in listed}
        for entry in entries:
            if entry in listed:
                found.append(resolved(page, entry))
                continue
            pattern = resolved(page, entry)
            matches = [
                name
                for name in sorted(PAGES - taken)
                if name.count("/") == pattern.count("/") and fnmatch.fnmatch(name, pattern)
            ]
            assert matches, f"{page}: nothing matches {entry}"
            taken |= set(matches)
            found += matches
    return found


def resolved(page: str, entry: str) -> str:
    """The page that an entry means, from the top of the manual."""
    if entry.startswith("/"):
        return entry[1:]
    parts = [*page.split("/")[:-1]]
    for part in entry.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_every_page_is_reached_once_from_the_index():
    seen, waiting = [], ["index"]
    while waiting:
        page = waiting.pop()
        seen.append(page)
        if not page.startswith(GENERATED):
            waiting += pages_in_toctrees(page)
    written = [page for page in seen if not page.startswith(GENERATED)]
    assert sorted(written) == sorted(PAGES)
    assert len(seen) == len(set(seen))


def test_an_entry_is_resolved_as_sphinx_does():
    assert resolved("reference/index", "../generated/a") == "generated/a"
    assert resolved("start/index", "install") == "start/install"
    assert resolved("start/index", "/ipi") == "ipi"


TUTORIALS = sorted(path for path in (DOCS / "tutorials").glob("*.md") if path.stem != "index")


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_outputs_are_those_of_the_commands_shown(path):
    """Run `python docs/run_tutorials.py PAGE` after a change."""
    record = json.loads((DOCS / "tutorials/outputs.json").read_text())[path.stem]
    blocks = list(run_tutorials.blocks(path.read_text()))
    assert [block.fingerprint for block in blocks] == record["commands"]
    assert [run_tutorials.fingerprint(block.printed) for block in blocks] == record["outputs"]
    assert f"Outputs of mlpotential {record['version']}, {record['date']}" in path.read_text()
    assert record["version"] == __version__


def test_a_changed_command_is_noticed():
    page = "<!-- stored -->\n```sh\nls{}\n```\n\n```text\na\n```\n"
    (one,), (other,) = (list(run_tutorials.blocks(page.format(s))) for s in ("", " -l"))
    assert one.printed == "a\n"
    assert one.fingerprint != other.fingerprint


@pytest.fixture(scope="module")
def public():
    """By dotted name; imports torch, which collecting the tests should not."""
    return {name: value for names in public_names.names().values() for name, value in names.items()}


def test_public_names_have_docstrings(public):
    assert len(public) > 100
    assert not [name for name, value in public.items() if public_names.lacks_docstring(value)]


def test_parameters_of_public_functions_are_described(public):
    lacking = {
        name: undescribed
        for name, value in public.items()
        if (undescribed := public_names.undescribed_parameters(value))
    }
    assert not lacking


def parsers(parser):
    """The parser and those of its sub-commands, complete."""
    with pytest.raises(SystemExit):
        parser.parse_known_args(["--help"])
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


@pytest.fixture(scope="module")
def all_parsers():
    programs = (mlpotential_cli, md_runs_cli, ipi_client)
    return [parser for program in programs for parser in parsers(program.build_parser())]


def test_every_option_has_help_and_every_command_examples(all_parsers, capsys):
    assert len(all_parsers) > 30
    without_help, without_example = [], []
    for parser in all_parsers:
        if not parser.epilog or parser.prog not in parser.epilog:
            without_example.append(parser.prog)
        without_help += [
            f"{parser.prog} {action.option_strings or action.dest}"
            for action in parser._actions
            if not action.help and not isinstance(action, argparse._SubParsersAction)
        ]
    assert not without_help
    assert not without_example


HAS_UNIT = re.compile(
    r"-(ps|fs|K|per-cm|GPa|Pa|A|nm|eV)\b|\((A|eV|1/A|s|eV/A|1/A\^2)\b|\b(1/cm|1/fs|K|fs|ps|GPa|Pa|nm|A|eV|"
    r"eV/A|degree|seconds|energy_unit)\b|share|times|factor|spin|number of",
    re.IGNORECASE,
)


def shown(default):
    """A default as help would have it: one value, or several with blanks between."""
    values = default if isinstance(default, tuple | list) else (default,)
    return " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def test_options_tell_unit_and_default(all_parsers, capsys):
    without_unit, without_default = [], []
    for parser in all_parsers:
        for action in parser._actions:
            if not action.help or not action.option_strings or action.help == argparse.SUPPRESS:
                continue
            name = f"{parser.prog} {action.option_strings[0]}"
            text = f"{name} {action.metavar} {parser._get_formatter()._expand_help(action)}"
            if action.type is float and action.nargs is None and not HAS_UNIT.search(text):
                without_unit.append(text)
            default = action.default
            is_told = default in (None, (), [], argparse.SUPPRESS) or isinstance(
                default, bool | Path
            )
            if not is_told and shown(default) not in text:
                without_default.append(text)
    assert not without_unit
    assert not without_default


def test_every_setting_is_explained():
    def unexplained(name, section):
        for key, setting in section.get("properties", {}).items():
            if "properties" in setting or "anyOf" in setting or "additionalProperties" in setting:
                yield from unexplained(f"{name}.{key}", setting)
            elif "description" not in setting and "const" not in setting:
                yield f"{name}.{key}"
        for alternative in section.get("anyOf", ()):
            yield from unexplained(name, alternative)

    assert not list(unexplained("", json_schema()))


def test_file_formats_are_described():
    """Every key, field and file name that this program writes stands on the page of its format."""
    page = (DOCS / "reference/model_file.md").read_text()
    with safe_open(MODEL, "numpy") as file:
        assert not [
            key for key in json.loads(file.metadata()["mlpotential"]) if f"`{key}`" not in page
        ]
    page = (DOCS / "reference/run_folders.md").read_text()
    quantities = {*FRAME_FIELDS, "cells", "temperature_K", "pressure_GPa", *FIELDS.values()}
    keys = {field.name for field in fields(FrameHeader)} | {"format_version"}
    names = {TRAJECTORY_NAME, CHECKPOINT_NAME, RECORD_NAME, STRUCTURE_NAME, RULE_NAME}
    assert not [name for name in sorted(quantities | keys | names) if f"`{name}`" not in page]


def test_what_is_loaded_from_elsewhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="https://x.org">x</a><link rel="canonical" href="https://x.org">'
        '<script src="search.js"></script><img src="//x.org/a.png">'
    )
    (tmp_path / "a.css").write_text("@import url(https://fonts.x.org/a); b { src: url(b.woff2) }")
    assert check_site.foreign_resources(tmp_path) == [
        "a.html: //x.org/a.png",
        "a.css: https://fonts.x.org/a",
    ]
