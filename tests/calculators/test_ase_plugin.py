"""The registration in ASE: what the entry point leads to, and what `ase info` makes of it."""

import configparser
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from ase._4.plugins import PluginCollection

from calculators import MLPotentialCalculator
from calculators.ase_plugin import __ase_plugins__

SETUP = Path(__file__).parent.parent.parent / "setup.cfg"


@pytest.fixture
def declaration():
    """The lines of setup.cfg below the entry point group of ASE."""
    settings = configparser.ConfigParser()
    settings.read(SETUP)
    return settings["options.entry_points"]["ase.plugins"].strip()


def test_the_entry_point_leads_to_the_calculator(declaration):
    name, value = declaration.split(" = ")
    module = EntryPoint(name, value, "ase.plugins").load()
    assert module.__ase_plugins__ is __ase_plugins__
    (plugin,) = PluginCollection(__ase_plugins__).calculators
    assert plugin.name == "mlpotential"
    assert plugin.implementation is MLPotentialCalculator


@pytest.mark.slow
def test_ase_lists_it(declaration, tmp_path):
    """In a process that finds the distribution as pip would leave it."""
    folder = tmp_path / "mlpotential-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mlpotential\nVersion: 0.1.0\nSummary: SchNet for ASE\n"
    )
    (folder / "entry_points.txt").write_text(f"[ase.plugins]\n{declaration}\n")
    path = os.pathsep.join([str(tmp_path), str(SETUP.parent)])
    result = subprocess.run(
        [sys.executable, "-m", "ase", "info", "--plugins"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
    own = result.stdout.split("mlpotential 0.1.0", 1)[1]
    assert own.startswith(" — SchNet for ASE\n")
    assert "CalculatorPlugin\n----------------\nmlpotential" in own
