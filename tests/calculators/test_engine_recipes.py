"""The programs of docs/engines.md run, each where its engine is installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
PROGRAMS = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
ENGINES = ("openmmml", "openmm", "torch_sim", "lammps")  # what needs another comes first


def engine_of(program: str) -> str:
    return next(name for name in ENGINES if re.search(rf"^(from|import) {name}\b", program, re.M))


def test_every_engine_has_a_program():
    assert sorted(map(engine_of, PROGRAMS)) == sorted(ENGINES)


@pytest.mark.parametrize("program", PROGRAMS, ids=engine_of)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the engines
def test_programs_run(program, tmp_path, monkeypatch, capsys):
    engine = importlib.util.find_spec(engine_of(program))
    if engine is None or engine.origin is None:  # none but a folder of that name among the tests
        pytest.skip(f"{engine_of(program)} is not installed")
    monkeypatch.chdir(tmp_path)
    exec(compile(program, PAGE.name, "exec"), {"__name__": "engines"})
    assert capsys.readouterr().out
