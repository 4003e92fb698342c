"""`md-runs structure-factor`: an ideal gas, a crystal, a molecule; what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from recorded_runs import read_json, write_frames, write_ideal_gas, write_water_run

from md_runs.cli import main
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure import structure_factor
from md_runs.commands.structure.structure_factor import structure_factor_report
from mlpotential.errors import DataError


def test_an_ideal_gas(tmp_path, capsys):
    path = write_ideal_gas(tmp_path / "gas.frames", n_frames=20, n_atoms=60)
    command = ["structure-factor", str(path), "--q-max", "4", "--output", str(tmp_path / "out")]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "shells of 0.1 1/A with at most 50 of them" in text
    assert "no form factors" in text
    results = read_json(tmp_path / "out" / "structure-factor.json")["results"]
    assert list(results) == ["gas_all", "gas_He-He", "gas_He-Ne", "gas_Ne-Ne"]
    assert np.mean(results["gas_all"]["ashcroft_langreth"]) == pytest.approx(1, abs=0.05)
    assert np.mean(results["gas_He-Ne"]["ashcroft_langreth"]) == pytest.approx(0, abs=0.05)
    assert np.mean(results["gas_He-Ne"]["faber_ziman"]) == pytest.approx(1, abs=0.1)
    header = (tmp_path / "out" / "structure-factor_gas_He-Ne.csv").read_text().splitlines()[0]
    assert header.startswith("wavevectors (1/A),ashcroft_langreth (1),standard_error (1)")
    assert (tmp_path / "out" / "structure_factor.png").read_bytes().startswith(b"\x89PNG")


def test_a_crystal_has_its_first_peak_in_the_table(tmp_path):
    crystal = bulk("Ar", "fcc", a=5.26, cubic=True) * (2, 2, 2)
    r = np.tile(crystal.positions, (20, 1, 1, 1))
    path = write_frames(tmp_path / "fcc.frames", crystal, 1.0, crystal.cell, positions=r)
    found = structure_factor_report(open_runs([path]), q_max=2.2, bin_width=0.02)
    _, label, _, _, top, height = found.tables[0].rows[0]
    assert (label, height) == ("all", "32")
    assert float(top) == pytest.approx(2 * np.pi * np.sqrt(3) / 5.26, abs=1e-3)
    assert len(found.figures["structure_factor"].axes) == 1


def test_a_molecule_scatters_by_debyes_formula(tmp_path):
    write_water_run(tmp_path / "water.frames", n_frames=100)
    found = structure_factor_report(open_runs([tmp_path / "water.frames"]), q_max=5.0)
    assert "a molecule that turns freely: Debye's formula" in str(found)
    whole = found.results["water_all"]
    assert whole.wavevectors[-1] == 5.0
    r = molecule("H2O").get_all_distances()
    rigid = np.sinc(whole.wavevectors[:, None, None] * r / np.pi).sum(axis=(1, 2)) / 3
    np.testing.assert_allclose(whole.ashcroft_langreth, rigid, atol=0.02)


def test_pairs_and_runs_are_chosen(tmp_path):
    paths = [write_ideal_gas(tmp_path / name / "gas.frames", 10, 40) for name in "ab"]
    runs = open_runs(paths, blocks=1)
    found = structure_factor_report(runs, pairs=["He-Ne"], q_max=3.0)
    assert [row[1] for row in found.tables[0].rows] == ["all", "He-Ne"] * 2
    titles = [ax.get_title(loc="right") for ax in found.figures["structure_factor"].axes]
    assert titles == ["all", "He-Ne"]


def test_long_runs_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(structure_factor, "MOST_WAVES", 40 * 30 * 50 * 25)
    path = write_ideal_gas(tmp_path / "gas.frames", 60, 40)
    found = structure_factor_report(open_runs([path], skip_ps=0.0), q_max=3.0)
    assert "over 25 of 60 frames" in str(found)
    assert found.results["gas_all"].n_frames == 25


def test_what_has_no_structure_factor_is_refused(tmp_path, capsys):
    path = write_ideal_gas(tmp_path / "gas.frames", 10, 40)
    (run,) = open_runs([path])
    slab = replace(run, segments=(replace(run.trajectory, pbc=(True, True, False)),))
    with pytest.raises(DataError, match="periodic in some directions only"):
        structure_factor_report([slab])
    for words, message in (
        (["--pairs", "O-H"], "there is no element 'O' among He, Ne"),
        (["--q-max", "0"], "--q-max must be a positive number"),
        (["--vectors", "0"], "--vectors must be a whole number"),
        (["--q-max", "0.1"], "allows no wave vector up to 0.1 1/A"),
    ):
        assert main(["structure-factor", str(path), *words]) == 2
        assert message in capsys.readouterr().err
