"""Bad data files end `mlpotential train` with code 2 and one line that says where and what."""

from __future__ import annotations

import numpy as np
import pytest
from ase.io import read

from mlpotential.cli import main


def npz(path, frames, **changed):
    """The frames as MD17 has them."""
    arrays = {
        "z": frames[0].numbers,
        "R": np.array([f.positions for f in frames]),
        "E": np.array([f.get_potential_energy() for f in frames]),
        "F": np.array([f.get_forces() for f in frames]),
    }
    np.savez(path, **{k: v for k, v in (arrays | changed).items() if v is not None})
    return str(path)


FAULTS = {
    "no forces (38)": ({"F": None}, "set.npz: no forces (looked for F, forces)"),
    "NaN energy (39)": ({"E": np.append(np.zeros(47), np.nan)}, "set.npz, frame 47: the energy is"),
    "shape of forces (43)": ({"F": np.zeros((48, 3, 2))}, "set.npz: forces (F) have shape"),
    "other name (47)": ({"F": None, "grad": np.zeros((48, 3, 3))}, "keys there: E, R, grad, z"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_archives(fault, config_file, water_file, tmp_path, capsys):
    changed, message = FAULTS[fault]
    path = npz(tmp_path / "set.npz", read(water_file, ":"), **changed)
    assert one_line(capsys, config_file, "--data.path", path).count(message) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\nO ", "\nO 1.0 ", "bad.extxyz, frame 0, line 3: expected 7 columns, found 8"),  # 43
        ("3\nProp", "4\nProp", "is the number of atoms right?"),  # 43
        ("\n", "", "bad.extxyz"),  # 44: the last line end
        ("energy=", "energi=", "no energy (looked for energy, REF_energy)"),  # 47
    ],
)
def test_extended_xyz(old, new, message, config_file, water_file, tmp_path, capsys):
    text = water_file.read_text()
    changed = text[:-1] if old == "\n" else text.replace(old, new, 1)
    assert changed != text
    path = tmp_path / "bad.extxyz"
    path.write_text(changed)
    assert message in one_line(capsys, config_file, "--data.path", str(path))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.n_train", "60"], "60 for train + 8 for validation"),  # 45
        (["--data.energy_unit", "ev"], "unknown energy unit 'ev'"),  # 40
        (["--data.path", "empty.extxyz"], "empty.extxyz is empty"),  # 45
        (["--data.path", "model.pth"], "model.pth is a model or checkpoint of PyTorch, not data"),
        (["--data.path", "absent.data"], "cannot read"),
    ],
)
def test_settings(words, message, config_file, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.extxyz").touch()
    (tmp_path / "model.pth").write_bytes(b"PK")
    assert message in one_line(capsys, config_file, *words)


def test_a_structure_in_two_sets(config_file, water_file, tmp_path, capsys):
    """Fault 42."""
    frames = read(water_file, ":")
    path = npz(tmp_path / "set.npz", [*frames, *frames[:8]])
    line = one_line(capsys, config_file, "--data.path", path, "--data.n_train", "40")
    assert "held-out structures are also in the training set; the first is frame" in line


def one_line(capsys, config_file, *words: str) -> str:
    """What the command says on standard error before it ends with code 2."""
    folder = config_file.with_name("run")
    assert main(["train", str(config_file), "--folder", str(folder), *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]
