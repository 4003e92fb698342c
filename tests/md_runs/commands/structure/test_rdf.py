"""`md-runs rdf`: ideal gas, fcc shells, the pair density of a molecule."""

import numpy as np
import pytest
from ase.build import bulk
from recorded_runs import write_frames, write_ideal_gas, write_water_run

from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure.rdf import first_shell, rdf_report
from mlpotential.errors import ConfigError, DataError


def opened(*paths, **options):
    return open_runs(paths, **options)


def test_ideal_gas_has_no_shells(tmp_path):
    path = write_ideal_gas(tmp_path / "gas.frames")
    found = rdf_report(opened(path), r_max=5.9)
    assert list(found.results) == ["gas_He-He", "gas_He-Ne", "gas_Ne-Ne"]
    g = found.results["gas_He-Ne"]
    far = g.distances > 2
    assert g.g[far] == pytest.approx(1, abs=0.15)
    assert abs(g.g[far].mean() - 1) < 0.01
    assert all(row[2] == "-" for row in found.tables[0].rows)
    assert "reference volume 1728 A^3 (of the cell)" in str(found)


def test_fcc_has_twelve_neighbours(tmp_path):
    crystal = bulk("Ar", "fcc", a=5.3, cubic=True) * (3, 3, 3)
    shake = 0.05 * np.random.default_rng(0).normal(size=(20, 1, len(crystal), 3))
    path = write_frames(
        tmp_path / "fcc.frames", crystal, 1.0, crystal.cell, positions=crystal.positions + shake
    )
    found = rdf_report(opened(path), r_max=6.0)
    _, pair, place, _, neighbours, within = found.tables[0].rows[0]
    assert pair == "Ar-Ar"
    assert float(place) == pytest.approx(5.3 / np.sqrt(2), abs=0.05)
    assert neighbours.startswith("12")
    assert 4.0 < float(within) < 5.3
    asked = rdf_report(opened(path), r_max=6.0, coordination_within=5.8)
    assert asked.tables[0].rows[0][4].startswith("18")


def test_what_is_no_element_is_named_before_anything_is_computed(tmp_path):
    write_water_run(tmp_path / "water.frames", n_frames=20)
    with pytest.raises(ConfigError, match="'Xx' in 'O-Xx' is no element"):
        rdf_report(opened(tmp_path / "water.frames"), pairs=["O-Xx"])


def test_molecule_has_a_pair_density_and_g_with_a_volume(tmp_path):
    write_water_run(tmp_path / "water.frames", n_frames=500)
    runs = opened(tmp_path / "water.frames")
    found = rdf_report(runs)
    h = found.results["water"]
    assert h.density.sum() * h.bin_width == pytest.approx(1)
    assert "h(r)" in found.title
    stated = rdf_report(runs, reference_volume=1000.0)
    g = stated.results["water_H-O"]
    assert g.coordination_number[-1] == pytest.approx(1)  # each hydrogen has its oxygen
    assert "reference volume 1000 A^3 (as given)" in str(stated)
    with pytest.raises(ConfigError, match="give --reference-volume"):
        rdf_report(runs, pairs=["O-H"])


def test_runs_are_laid_over_each_other(tmp_path):
    paths = [write_ideal_gas(tmp_path / name / "gas.frames", n_frames=10) for name in "ab"]
    found = rdf_report(opened(*paths), pairs=["He-Ne"], r_max=5.0)
    assert set(found.figures) == {"rdf_He-Ne"}
    legend = found.figures["rdf_He-Ne"].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["a/gas", "b/gas"]
    write_water_run(tmp_path / "water.frames", n_frames=100)
    with pytest.raises(DataError, match="has no cell"):
        rdf_report(opened(paths[0], tmp_path / "water.frames"))


def test_first_shell():
    r = np.linspace(0.05, 6, 120)
    g = np.where(r < 2.4, 0, 1) + 2 * np.exp(-(((r - 2.8) / 0.2) ** 2))
    g -= 0.3 * np.exp(-(((r - 3.6) / 0.3) ** 2))
    top, bottom = first_shell(g, np.zeros(120))
    assert r[top] == pytest.approx(2.8, abs=0.06)
    assert r[bottom] == pytest.approx(3.6, abs=0.06)
    assert first_shell(np.ones(10), np.zeros(10)) == (None, None)
    assert first_shell(g, np.full(120, 5.0)) == (None, None)
