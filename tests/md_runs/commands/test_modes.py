"""`md-runs modes`: what it writes and says, and modes of other sources matched to its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.units import kB
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
from md_runs.commands.infrared_and_raman import read_lines
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


def test_raman_and_stokes_lines(water, capsys):
    command, _ = water
    np.save("alpha.npy", water_polarizability_derivatives())
    raman = ["--polarizability-derivatives", "alpha.npy", "--activities", "a.json"]
    assert main([*command, *raman, "--laser-nm", "532", "--temperature-K", "400"]) == 0
    rows = capsys.readouterr().out.split("Stokes lines of 532 nm at 400 K")[1].splitlines()[2:5]
    saved = read_json(Path("a.json"))
    printed = np.array([[float(cell) for cell in row.split()[1:]] for row in rows])
    names = ("wavenumbers_per_cm", "activities", "depolarization_ratios")
    names += ("natural_depolarization_ratios", "stokes_cross_sections")
    for column, name in zip(printed.T, names, strict=True):
        assert column == pytest.approx(saved[name], rel=1e-4), name
    assert (saved["laser_nm"], saved["temperature_K"]) == (532, 400)
    assert read_lines(Path("a.json"), "activities").intensities.shape == (3,)


def test_thermochemistry_at_temperatures_and_pressures(water, capsys):
    command, _ = water
    options = ["--temperature-K", "300", "400", "--pressure-Pa", "1e5", "1e6"]
    assert main([*command, *options, "--thermochemistry", "t.json"]) == 0
    rows = capsys.readouterr().out.split("thermochemistry, ")[1].splitlines()[2:6]
    saved = read_json(Path("t.json"))["conditions"]
    assert [(c["temperature_K"], c["pressure_Pa"]) for c in saved] == [
        (300, 1e5), (300, 1e6), (400, 1e5), (400, 1e6)
    ]  # fmt: skip
    assert [float(row.split()[-1]) for row in rows] == pytest.approx(
        [c["gibbs_energy"] for c in saved], abs=1e-4
    )
    kT_ln_10 = kB * 300 * np.log(10)
    assert saved[1]["gibbs_energy"] - saved[0]["gibbs_energy"] == pytest.approx(kT_ln_10)


def test_what_has_no_thermochemistry_is_said(water, capsys, monkeypatch):
    command, modes = water
    found = md_runs.molecular_modes.molecular_modes()
    summit = replace(modes, wavenumbers_per_cm=np.array([-300.0, -200.0, 3000.0]))
    monkeypatch.setattr(
        md_runs.molecular_modes, "molecular_modes", lambda *_: replace(found, modes=summit)
    )
    assert main(command) == 0
    assert "no thermochemistry: 2 modes are imaginary" in capsys.readouterr().out
    assert main([*command, "--thermochemistry", "t.json"]) == 2
    assert not Path("t.json").exists()


def test_near_misses_are_printed(water, capsys, monkeypatch):
    found = md_runs.molecular_modes.molecular_modes()
    nearly = replace(found, near_misses={"C3v": 0.0123, "Td": 0.0234})
    monkeypatch.setattr(md_runs.molecular_modes, "molecular_modes", lambda *_: nearly)
    assert main(water[0]) == 0
    assert "C2v; C3v within 0.012 A, Td within 0.023 A" in capsys.readouterr().out


def test_a_crystal_and_its_fixed_atoms(model_path, diamond, tmp_path, capsys):
    write(tmp_path / "diamond.extxyz", diamond)
    command = ["modes", str(tmp_path / "diamond.extxyz"), "--model", str(model_path)]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "modes of the cell at Gamma, 3 acoustic ones removed, LO-TO splitting not" in text
    diamond.set_constraint(FixAtoms([0, 1]))
    write(tmp_path / "diamond.extxyz", diamond)
    assert main([*command, "--json", str(tmp_path / "m.json")]) == 0
    text = capsys.readouterr().out
    assert "2 of 8 atoms are fixed: partial Hessian of the others, no rigid motions" in text
    assert len(read_json(tmp_path / "m.json")["wavenumbers_per_cm"]) == 18


def test_isotopes(model_path, ethanol, tmp_path, capsys):
    """All hydrogens, one atom, and one that is named twice; the modes keep their masses."""
    write(tmp_path / "ethanol.xyz", ethanol)
    command = ["modes", str(tmp_path / "ethanol.xyz"), "--model", str(model_path)]
    command += ["--json", str(tmp_path / "m.json"), "--isotope"]
    hydrogens = np.flatnonzero(ethanol.numbers == 1)
    for words, expected in (
        (["D"], 2.014101778),
        (["H=2.014"], 2.014),
        (["H=T", "0=13.003"], 3.016049281),
    ):
        assert main([*command, *words]) == 0
        masses = np.array(read_json(tmp_path / "m.json")["masses"])
        assert masses[hydrogens] == pytest.approx(expected)
        assert masses[0] == (13.003 if len(words) > 1 else 12.011)
    assert "isotopes: H = 3.01605 amu, 0 = 13.003 amu" in capsys.readouterr().out
    assert main([*command, f"{hydrogens[1]}=D", "H=1.0"]) == 0
    masses = np.array(read_json(tmp_path / "m.json")["masses"])
    assert masses[hydrogens].tolist() == [1.0, 2.014101778, *[1.0] * (len(hydrogens) - 2)]
    assert main([*command, "N=15"]) == 2
    assert "has no atom 'N' to give the mass 15 amu" in capsys.readouterr().err


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
        (["--activities", "a.json"], "needs a model with polarizabilities"),
        (["--laser-nm", "532"], "--laser-nm needs a model with polarizabilities"),
        (["--temperature-K", "-1"], "--temperature-K must be a positive number"),
        (["--temperature-K", "300", "0"], "--temperature-K must be a positive number"),
        (["--pressure-Pa", "nan"], "--pressure-Pa must be a positive number"),
        (["--spin", "0.3"], "spin must be 0, 0.5, 1"),
        (["--symmetry-tolerance", "0"], "--symmetry-tolerance must be a positive number"),
        (["--isotope", "H"], "'H' is no isotope: write element or number"),
        (["--compare", "absent.json"], "cannot read the modes absent.json"),
        (["--quasi-harmonic", "beads.frames"], "beads.frames has beads"),
    ],
)
def test_mistakes(options, message, water, capsys):
    write_oscillator_beads(Path("beads.frames"), 2, 60)
    assert main([*water[0], *options]) == 2
    assert message in capsys.readouterr().err
