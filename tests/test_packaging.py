"""What setup.cfg, constraints and citation say of versions agrees."""

import configparser
import re
from pathlib import Path

import pytest
import yaml

from mlpotential import __version__

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "setup.cfg").exists(), reason="these are no sources")


def lower_bounds() -> dict[str, str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    return {name.lower(): bound for name, _, bound in (line.partition(">=") for line in lines)}


def pinned(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text().splitlines()
    return {
        name.lower(): version
        for name, version in re.findall(r"^([\w-]+)==(\S+)", "\n".join(lines), re.M)
    }


def numbers(version: str) -> list[int]:
    """Without the zeros at its end."""
    return [int(part) for part in re.sub(r"(\.0)+$", "", version).split(".")]


def test_the_oldest_versions_are_those_that_are_tested():
    """But of torch, of which only the newest is at hand."""
    bounds, oldest = lower_bounds(), pinned("tests/oldest.txt")
    assert all(bounds.values()), "a dependency without a lower bound"
    assert oldest.pop("torch") == pinned("constraints.txt")["torch"]
    for name in bounds.keys() - {"torch"}:
        assert numbers(oldest[name]) == numbers(bounds[name]), name


def test_the_bounds_admit_what_integration_uses():
    used = pinned("constraints.txt")
    for name, bound in lower_bounds().items():
        assert numbers(used[name]) >= numbers(bound), name


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
