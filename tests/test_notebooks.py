"""The notebooks of docs, cell by cell as Jupyter runs them, without Jupyter."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

NOTEBOOKS = sorted(Path(__file__).parent.parent.glob("docs/notebooks/*.py"))
FIGURES = {"c20": 2, "other_trajectory": 1, "own_data": 2}


def cells(path: Path) -> list[str]:
    """Code between `# %%` lines; what is marked as text is comments only."""
    return re.split(r"^# %%.*\n", path.read_text(), flags=re.MULTILINE)[1:]


def shown(cell: str, names: dict[str, Any]) -> Any:
    """Runs a cell; the value of its last line, if that is an expression, as Jupyter shows it."""
    tree = ast.parse(cell)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    return None


def test_all_are_tested():
    assert {path.stem for path in NOTEBOOKS} == set(FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_a_notebook(path):
    text = path.read_text()
    assert text.startswith("# ---\n# jupyter:\n")
    assert "\n# %% [markdown]\n# # " in text
    assert "\n# %matplotlib inline\n" in text, "without it Jupyter shows figures as words"


@pytest.mark.filterwarnings("ignore::mlpotential.errors.ExtrapolationWarning")  # 0.001 A, at times
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "notebook"}
    values = [shown(cell, names) for cell in cells(path)]
    assert sum(isinstance(value, Figure) for value in values) == FIGURES[path.stem]
    assert capsys.readouterr().out
