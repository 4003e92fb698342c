"""`md-runs modes`: what it writes, and modes of other sources matched to its own."""

from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from harmonic_ring_polymer import KELVIN
from recorded_runs import (
    WATER_CHARGES,
    read_json,
    water_modes,
    water_polarizability_derivatives,
    write_oscillator_beads,
    write_water_run,
)

import md_runs.molecular_modes
from md_runs.analysis.vibrations.irreps import mode_symmetries
from md_runs.analysis.vibrations.mode_intensities import infrared_intensities
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.cli import main
from md_runs.molecular_modes import MolecularModes


@pytest.fixture
def water(tmp_path, monkeypatch):
    """The command on water whose modes are known, with charges on the atoms."""
    monkeypatch.chdir(tmp_path)
    atoms, modes = water_modes()
    write("water.xyz", atoms)
    group = point_group(atoms.numbers, modes.positions, modes.masses)
    born = np.einsum("i,xy->ixy", WATER_CHARGES, np.eye(3))
    infrared = infrared_intensities(modes, born)
    symmetries = mode_symmetries(modes, group)
    found = MolecularModes(-1.0, 0.0, modes, group, symmetries, born, infrared)
    Path("model.safetensors").touch()  # not read
    monkeypatch.setattr(md_runs.molecular_modes, "molecular_modes", lambda *_: found)
    return ["modes", "water.xyz", "--model", "model.safetensors"], modes


def test_what_is_written(water):
    command, modes = water
    np.save("alpha.npy", water_polarizability_derivatives())
    files = ["--json", "m.json", "--intensities", "i.json", "--born-charges", "z.npy"]
    raman = ["--activities", "a.json", "--polarizability-derivatives", "alpha.npy"]
    assert (
        main([*command, *files, *raman, "--xyz", "motion", "--page", "p.html", "--figure", "f.png"])
        == 0
    )
    assert Path("f.png").read_bytes().startswith(b"\x89PNG")
    assert np.load("z.npy")[:, 0, 0] == pytest.approx(WATER_CHARGES)
    frames = read("motion/mode_003.extxyz", index=":")
    assert frames[0].info["wavenumber_per_cm"] == pytest.approx(modes.wavenumbers_per_cm[2])
    for name, field in (("i.json", "intensities_km_per_mol"), ("a.json", "activities")):
        assert len(read_json(Path(name))[field]) == 3


def test_modes_of_a_file_are_matched(water, capsys):
    command, modes = water
    modes.save_json(Path("other.json"))
    assert main([*command, "--compare", "other.json", "--figure", "match.png"]) == 0
    rows = capsys.readouterr().out.split("modes of other.json")[1].splitlines()[2:5]
    assert [row.split()[4:] for row in rows] == [["0.00", "1.000"]] * 3
    assert Path("match.png").read_bytes().startswith(b"\x89PNG")


def test_fluctuations_of_a_harmonic_run_have_the_harmonic_modes(water, capsys):
    command, modes = water
    write_water_run(Path("water.frames"), n_frames=1500)
    run = ["--quasi-harmonic", "water.frames", "--temperature-K", str(KELVIN)]
    assert main([*command, *run]) == 0
    rows = capsys.readouterr().out.split("modes of water.frames")[1].splitlines()[2:5]
    found = [float(row.split()[1].split("(")[0]) for row in rows]
    assert found == pytest.approx(modes.wavenumbers_per_cm, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "absent/m.json"], "the folder absent of the output does not exist"),
        (["--xyz", "water.xyz"], "--xyz water.xyz is a file"),
        (["--activities", "a.json"], "go together"),
        (["--temperature-K", "-1"], "--temperature-K must be a positive number"),
        (["--compare", "absent.json"], "cannot read the modes absent.json"),
        (["--quasi-harmonic", "beads.frames"], "beads.frames has beads"),
    ],
)
def test_mistakes(options, message, water, capsys):
    write_oscillator_beads(Path("beads.frames"), 2, 60)
    assert main([*water[0], *options]) == 2
    assert message in capsys.readouterr().err
