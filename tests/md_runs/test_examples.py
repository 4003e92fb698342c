"""The example programs, run as they are."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "md_runs" / "examples"
LEFT_BEHIND = {
    "01_relax_and_modes": "modes.json",
    "02_train": "example_training/model.safetensors",
    "03_vibrational_spectrum": "vdos.png",
    "04_path_integral": "bonds.png",
}


def test_all_are_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(LEFT_BEHIND)


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_runs(name, tmp_path):
    command = [sys.executable, "-P", EXAMPLES / f"{name}.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert result.stdout
    assert (tmp_path / LEFT_BEHIND[name]).stat().st_size > 0
