"""`mlpotential models`: what comes with the package is found, loads, and says how good it is."""

import pytest

from mlpotential.cli import main
from mlpotential.errors import ConfigError
from mlpotential.models.model_file import check_golden, load_model
from mlpotential.papers.shipped_models import FOLDER, shipped_models


@pytest.mark.parametrize("name", shipped_models())
def test_each_loads_and_is_what_its_readme_says(name):
    path = shipped_models(name)[name]
    model = load_model(path)
    assert check_golden(model).passed
    assert path.stat().st_size < 2e6
    assert model.record.errors["test"]["n_structures"] > 100_000
    assert f"`{name}`" in (FOLDER / "README.md").read_text()


def test_they_are_small_together():
    assert sum(path.stat().st_size for path in shipped_models().values()) < 15e6


def test_the_command_lists_them_and_tells_where_they_are(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(shipped_models())
    (line,) = (line for line in lines if line.startswith("qm9_SchNet_U0_split_0 "))
    assert "energy MAE 0.0349 eV" in line
    assert main(["models", "qm9_*_split_0"]) == 0
    assert capsys.readouterr().out.split() == [
        str(p) for p in shipped_models("qm9_*_split_0").values()
    ]
    assert main(["models", "qm9_SchNet_U0_split_9"]) == 2
    assert "Did you mean 'qm9_SchNet_U0_split_0'?" in capsys.readouterr().err


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ConfigError, match="There are: qm9_"):
        shipped_models("c60")
