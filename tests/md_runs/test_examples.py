"""The example programs, run as they are; those of many steps are slow."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "md_runs" / "examples"
LEFT_BEHIND = {
    "01_relax_and_modes": "modes.json",
    "02_train": "example_training/model.safetensors",
    "03_vibrational_spectrum": "vdos.png",
    "04_path_integral": "bonds.png",
    "05_cutoff_in_a_spectrum": "spectra.png",
}


def test_all_are_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(LEFT_BEHIND)


@pytest.mark.filterwarnings("ignore::mlpotential.errors.ExtrapolationWarning")  # 0.001 A, at times
@pytest.mark.parametrize(
    "name",
    [
        "01_relax_and_modes",
        *(pytest.param(name, marks=pytest.mark.slow) for name in list(LEFT_BEHIND)[1:]),
    ],
)
def test_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [name])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert capsys.readouterr().out
    assert (tmp_path / LEFT_BEHIND[name]).stat().st_size > 0
