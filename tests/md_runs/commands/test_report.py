"""`md-runs report`: one page that needs nothing else, with every failure on it."""

import re

import numpy as np
import pytest
from ase import Atoms
from recorded_runs import (
    write_frames,
    write_ideal_gas,
    write_oscillator_beads,
    write_polar_water,
    write_water_run,
    write_water_segments,
)

from md_runs.commands import report as report_module
from md_runs.commands.analysis_report import AnalysisReport, Table
from md_runs.commands.report import report_page, write_report_page
from md_runs.run_folders import run_paths
from mlpotential.errors import RunError


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Runs as a study leaves them: classical, beads, segments, modes."""
    folder = tmp_path_factory.mktemp("study")
    write_water_segments(folder / "nve", n_segments=4, n_frames=300).save_json(
        folder / "modes.json"
    )
    write_water_run(folder / "classical.frames", n_frames=200)
    write_polar_water(folder / "polar.h5", n_frames=600)
    write_oscillator_beads(folder / "beads.frames", 4, 100)
    (folder / "figure_7.png").write_bytes(b"\x89PNG")
    return folder


def test_page_holds_everything(study, tmp_path):
    sections = write_report_page(study, tmp_path / "page.html", temperature_K=300.0)
    names = [section.name for section in sections]
    assert names == ["vdos", "distances", "rdf", "path-integrals", "modes"]
    page = (tmp_path / "page.html").read_text()
    assert "://" not in page
    assert "<script" not in page
    assert set(re.findall(r'src="(.{22})', page)) == {"data:image/png;base64,"}
    n_figures = sum(len(section.figures) for section in sections)
    assert page.count("<img ") == n_figures + 1  # and the one that lay there
    assert "4 beads lack" in page
    assert "1321.69" in page


def test_the_first_screen_is_the_figures(study, tmp_path):
    """Modes come last and folded, with their symmetry, and lead to the page where they move."""
    write_report_page(study, tmp_path / "page.html", temperature_K=300.0)
    page = (tmp_path / "page.html").read_text()
    gallery, rest = page.split("</div>", 1)
    assert gallery.count("<img ") == 4  # one of each analysis
    assert "<table" not in gallery
    modes = rest[rest.index('id="modes"') :]
    assert re.search(r"<details><summary>3 normal modes</summary>\s*<h3>", modes)
    assert "<th>symmetry (C2v)</th>" in modes
    assert len(re.findall("<td>(?:A1|B1|B2)</td>", modes)) == 3
    (link,) = re.findall(r'<a href="([^#"]+)">moving modes</a>', page)
    assert "<canvas" in (tmp_path / link).read_text()


def test_a_page_of_modes_that_is_there_is_linked(study, tmp_path):
    """By its address relative to the report, whatever its name has in it."""
    folder = tmp_path / "a & b"
    folder.mkdir()
    (folder / "modes.json").write_bytes((study / "modes.json").read_bytes())
    (folder / "modes.html").write_text("own")
    write_water_run(folder / "classical.frames", n_frames=200)
    write_report_page(folder, tmp_path / "page.html")
    (link,) = re.findall(r'href="([^"#]+)"', (tmp_path / "page.html").read_text())
    assert link == "a%20%26%20b/modes.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a & b", "page.html"]


def test_passed_checks_are_folded():
    page = report_page(
        "h", [], [AnalysisReport("a", "t", ("one",), remarks=("x passed: 1", "two"))]
    )
    shown, folded = page.split("<details>")
    assert "two" in shown
    assert "passed" not in shown
    assert "<li>one</li>\n<li>x passed: 1</li>" in folded


def test_what_needs_attention_is_told_above_the_figures():
    section = AnalysisReport("vdos", "t", (), ("one", "two"))
    page = report_page("h", [], [section, AnalysisReport("rdf", "t", ())])
    (told,) = re.findall(r"<p><strong>To be looked at \(2\):</strong> (.*)</p>", page)
    assert told == '<a href="#vdos">vdos</a>'
    assert page.index("To be looked at") < page.index('<div class="gallery">')


def test_spectra_of_a_single_run(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "figure_bytes", lambda figure, kind: b"")
    write_polar_water(tmp_path / "polar.h5", n_frames=600)
    sections = write_report_page(tmp_path, tmp_path / "page.html")
    assert [section.name for section in sections] == ["vdos", "ir", "raman", "distances", "rdf"]


def test_what_cannot_be_done_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "figure_bytes", lambda figure, kind: b"")
    write_oscillator_beads(tmp_path / "beads.frames", 4, 100)
    write_ideal_gas(tmp_path / "gas.frames", n_frames=5, n_atoms=20)
    sections = write_report_page(tmp_path, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "left out: " in page
    assert "give --temperature-K" in page
    failed = [s.name for s in sections if any("left out" in text for text in s.warnings)]
    assert failed == ["rdf", "path-integrals"]


def test_folders_without_runs(tmp_path):
    with pytest.raises(RunError, match="there is no folder"):
        write_report_page(tmp_path / "absent", tmp_path / "page.html")
    with pytest.raises(RunError, match="holds no run"):
        write_report_page(tmp_path, tmp_path / "page.html")
    write_water_segments(tmp_path / "trpmd", n_segments=1, n_frames=10)
    pimd = tmp_path / "trpmd" / "pimd"
    write_frames(pimd / "trajectory.frames", Atoms("H"), 1.0, positions=np.zeros((1, 1, 1, 3)))
    assert run_paths(tmp_path / "trpmd") == [tmp_path / "trpmd", pimd]


def test_texts_are_never_markup():
    table = Table("<b>", ("<i>",), (("<u>",),))
    section = AnalysisReport("a b", "<t>", ("<x>",), ("<y>",), (table,))
    page = report_page("<h1>", ["<p>"], [section])
    for tag in ("<b>", "<i>", "<u>", "<t>", "<x>", "<y>"):
        assert tag not in page
    assert 'id="a-b"' in page
