"""Calculators told in words."""

import pytest
from ase.calculators.emt import EMT

from mlpotential.errors import ConfigError
from mlpotential.labelling.named_calculator import NamedCalculator


def test_names_of_ase_and_of_modules_and_files_are_the_same_calculator(faulty):
    made = [
        NamedCalculator("emt").make(),
        NamedCalculator("ase.calculators.emt:EMT", {"asap_cutoff": True}).make(),
        NamedCalculator(faulty.name, directory=faulty.parent).make(),
    ]
    assert all(isinstance(calculator, EMT) for calculator in made)
    assert made[1].parameters.asap_cutoff


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("emtt", "ASE knows no calculator 'emtt'. Did you mean 'emt'"),
        ("ase.calculators.emt:MT", "has no attribute 'MT'"),
        ("no_such_module:EMT", "No module named 'no_such_module'"),
        ("ase.units:fs", "cannot be called"),
        ("builtins:dict", "is a dict, not a calculator of ASE"),
    ],
)
def test_what_cannot_be_made_is_told_in_a_line(name, words):
    with pytest.raises(ConfigError) as caught:
        NamedCalculator(name).make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_told(tmp_path, faulty):
    with pytest.raises(ConfigError, match="cannot be made: TypeError"):
        NamedCalculator("faulty.py", {"no_such": 1}, tmp_path).make()
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"empty.py has no function calculator\(\)"):
        NamedCalculator("empty.py", directory=tmp_path).make()
    (tmp_path / "broken.py").write_text("1 +\n")
    with pytest.raises(ConfigError, match="broken.py.*SyntaxError"):
        NamedCalculator("broken.py", directory=tmp_path).make()


@pytest.mark.parametrize("text", ["{a", "[1, 2]", "{1: 2}", "{a: 2020-01-01}"])
def test_arguments_that_are_no_map_of_words(text):
    with pytest.raises(ConfigError, match="arguments"):
        NamedCalculator.told("emt", text)


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match="there is no file absent.py"):
        NamedCalculator.told("absent.py", None)


def test_the_identity_knows_contents_of_files(tmp_path):
    (tmp_path / "one.py").write_text("a = 1\n")
    (tmp_path / "two.model").write_text("2")
    named = NamedCalculator("one.py", {"model": ["two.model"], "n": 1}, tmp_path)
    before = named.identity
    assert before["calculator"] == 'one.py {"model": ["two.model"], "n": 1}'
    assert {"one.py (sha256)", "two.model (sha256)"} <= before.keys()
    (tmp_path / "two.model").write_text("3")
    assert named.identity != before
