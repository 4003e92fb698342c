"""Spectra as JCAMP-DX, read back by the package jcamp."""

import numpy as np
import pytest
from recorded_runs import write_water_run

from md_runs.analysis.exports.jcamp import jcamp_text
from md_runs.analysis.spectra.spectrum_corrections import without_verlet_shift
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.vdos import COMMAND, vdos_report
from mlpotential.errors import ConfigError, DataError

jcamp = pytest.importorskip("jcamp", reason="the reader is not installed: pip install jcamp")
RELATIVE = 1e-7  # eight digits are written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("jcamp") / "water.extxyz"
    write_water_run(path, n_frames=1000)
    return path


@pytest.fixture(scope="module")
def spectrum(run):
    return vdos_report(open_runs([run])).results["water"]


def read(text, tmp_path):
    path = tmp_path / "spectrum.jdx"
    path.write_text(text)
    return jcamp.readfile(str(path))


def check_points(found, spectrum):
    assert found["x"] == pytest.approx(spectrum.wavenumbers_per_cm, rel=RELATIVE, abs=1e-4)
    size = np.abs(spectrum.intensity).max()
    assert found["y"] == pytest.approx(spectrum.intensity, rel=RELATIVE, abs=RELATIVE * size)


def test_points_at_equal_distances(spectrum, tmp_path):
    text = jcamp_text({"water": spectrum})
    assert "##XYDATA=(X++(Y..Y))" in text
    table = text.partition("(X++(Y..Y))\n")[2].partition("##END")[0]
    assert set(table) <= set("0123456789.- \n")  # no exponents
    assert max(map(len, table.splitlines())) <= 80
    found = read(text, tmp_path)
    check_points(found, spectrum)
    assert found["npoints"] == len(spectrum.wavenumbers_per_cm)
    assert found["xunits"] == "1/CM"
    assert found["data type"] == "VIBRATIONAL DENSITY OF STATES"
    assert found["resolution"] == pytest.approx(spectrum.resolution_per_cm, rel=1e-5)


def test_points_at_other_distances(spectrum, tmp_path):
    shifted = without_verlet_shift(spectrum, 1.0)
    text = jcamp_text({"water": shifted})
    assert "##XYPOINTS=(XY..XY)" in text
    check_points(read(text, tmp_path), shifted)


def test_several_runs_are_blocks(spectrum, tmp_path):
    found = read(jcamp_text({"first": spectrum, "second": spectrum}), tmp_path)
    assert found["data type"] == "LINK"
    assert [block["title"].split(":")[0] for block in found["children"]] == ["first", "second"]
    for block in found["children"]:
        check_points(block, spectrum)


def test_names_cannot_steer_a_reader(spectrum, tmp_path):
    found = read(jcamp_text({"##END=\n$$ ä": spectrum}), tmp_path)
    check_points(found, spectrum)
    with pytest.raises(DataError, match="no spectrum"):
        jcamp_text({})


def test_the_option(run, tmp_path, monkeypatch, capsys):
    """The file lies where it was asked for, not in the folder of the report."""
    monkeypatch.chdir(tmp_path)
    from md_runs.cli import main

    assert main(["vdos", str(run), "--output", "out", "--jcamp", "vdos.jdx"]) == 0
    assert "vdos.jdx" in capsys.readouterr().out
    found = jcamp.readfile("vdos.jdx")
    assert len(found["y"]) == found["npoints"]
    with pytest.raises(ConfigError, match="nowhere of the output does not exist"):
        COMMAND.run([run], jcamp=tmp_path / "nowhere" / "vdos.jdx")
