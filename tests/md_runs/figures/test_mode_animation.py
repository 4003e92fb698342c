"""Moving modes: the frames, their file, and the page, which needs nothing from outside."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from harmonic_molecules import water

from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    cartesian_displacements,
    normal_modes,
)
from md_runs.figures.mode_animation import mode_frames, write_mode_page, write_mode_xyz
from mlpotential.errors import ConfigError, DataError, RunError

EVIL = '</script><script>alert(1)</script> & "Σ\'"'


@pytest.fixture(scope="module")
def modes() -> NormalModes:
    atoms, hessian = water()
    return normal_modes(hessian, atoms.get_masses(), atoms.positions)


NUMBERS = np.array([8, 1, 1])


def test_one_period_from_rest(modes: NormalModes) -> None:
    frames = mode_frames(modes, 1, n_frames=8, amplitude=0.2)
    assert np.array_equal(frames[0], modes.positions)
    assert np.allclose(frames.mean(axis=0), modes.positions)
    shift = frames[2] - modes.positions  # a quarter of the period
    assert np.linalg.norm(shift, axis=1).max() == pytest.approx(0.2)
    along = cartesian_displacements(modes)[1]
    assert abs(np.vdot(shift, along)) == pytest.approx(np.linalg.norm(shift))


def test_extended_xyz_is_read_by_ase(modes: NormalModes, tmp_path: Path) -> None:
    write_mode_xyz(tmp_path / "mode.extxyz", modes, NUMBERS, 2, n_frames=5)
    frames = read(tmp_path / "mode.extxyz", ":")
    assert len(frames) == 5
    assert frames[1].info["mode"] == 3
    assert frames[1].info["wavenumber_per_cm"] == pytest.approx(modes.wavenumbers_per_cm[2])
    assert frames[1].info["phase"] == pytest.approx(0.2)
    assert np.allclose([frame.positions for frame in frames], mode_frames(modes, 2, 5), atol=1e-7)


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text inside each."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.elements[-1][0] if self.elements else "", data))


def test_the_page_refers_to_nothing_outside(modes: NormalModes, tmp_path: Path) -> None:
    path = tmp_path / "modes.html"
    write_mode_page(path, modes, NUMBERS)
    page = Page(path.read_text(encoding="utf-8"))
    names = {name for _, attributes in page.elements for name in attributes}
    assert not names & {"src", "href", "action", "data", "srcset", "poster", "style"}
    assert not any(name.startswith("on") for name in names)
    assert {tag for tag, _ in page.elements}.isdisjoint({"link", "iframe", "img", "object", "base"})
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w|url\(|@import|import\s*\(|fetch|XMLHttp|WebSocket", text)
    policy = next(a for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none';")


def test_the_page_holds_the_modes(modes: NormalModes, tmp_path: Path) -> None:
    columns = {"symmetry": ("A1", "B2", "A1"), "IR (km/mol)": np.array([70.123456, 50.0, 3.0])}
    write_mode_page(tmp_path / "modes.html", modes, NUMBERS, columns=columns)
    page = Page((tmp_path / "modes.html").read_text(encoding="utf-8"))
    content = json.loads(next(text for tag, text in page.texts if tag == "script"))
    assert content["headings"] == ["mode", "1/cm", "symmetry", "IR (km/mol)"]
    wavenumber = f"{modes.wavenumbers_per_cm[0]:.1f}"
    assert content["modes"][0]["cells"] == ["1", wavenumber, "A1", "70.12"]
    assert content["bonds"] == [[0, 1], [0, 2]]
    assert content["colors"][0] == "#ff0d0d"  # oxygen, as Jmol draws it
    motion = np.array(content["modes"][1]["displacements"])
    assert np.linalg.norm(motion, axis=1).max() == pytest.approx(1, abs=1e-3)
    distances = np.linalg.norm(np.diff(content["positions"], axis=0), axis=1)
    assert np.allclose(
        distances, np.linalg.norm(np.diff(modes.positions, axis=0), axis=1), atol=1e-3
    )


def test_texts_stay_texts(modes: NormalModes, tmp_path: Path) -> None:
    write_mode_page(tmp_path / "modes.html", modes, NUMBERS, EVIL, {EVIL: [EVIL] * 3})
    page = Page((tmp_path / "modes.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert ("h1", EVIL) in page.texts
    content = json.loads(next(text for tag, text in page.texts if tag == "script"))
    assert content["headings"][2] == content["modes"][0]["cells"][2] == EVIL


def test_imaginary_modes_are_written_so(modes: NormalModes, tmp_path: Path) -> None:
    atoms, hessian = water()
    saddle = normal_modes(-hessian, atoms.get_masses(), atoms.positions)
    write_mode_page(tmp_path / "modes.html", saddle, NUMBERS)
    page = Page((tmp_path / "modes.html").read_text(encoding="utf-8"))
    content = json.loads(next(text for tag, text in page.texts if tag == "script"))
    assert content["modes"][0]["cells"][1] == f"{modes.wavenumbers_per_cm[2]:.1f}i"


# What a browser gives the page, as little as it takes to run it.
BROWSER = """
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
let drawn = [], waiting = [];
const element = (id) => ({ children: [], on: {}, value: "0.3", textContent: texts[id] || "",
  clientWidth: 400, clientHeight: 300, appendChild(c) { this.children.push(c); },
  addEventListener(name, f) { this.on[name] = f; }, setAttribute(k, v) { this[k] = v; },
  scrollIntoView() {}, getContext: () => new Proxy({}, {
    set: () => true, get: (_, name) => (...a) => { drawn.push([name, ...a]);
      return { addColorStop() {} }; } }) });
const elements = {};
global.document = { createElement: element,
  getElementById: (id) => elements[id] = elements[id] || element(id) };
global.window = global;
global.matchMedia = () => ({ matches: false });
global.requestAnimationFrame = (f) => waiting.push(f);
(0, eval)(texts.program);
const frame = (ms) => { drawn = []; waiting.shift()(ms); return JSON.stringify(drawn); };
const seen = [frame(0), frame(300)];
elements.play.on.click(); seen.push(frame(700));
elements.view.on.pointermove({ buttons: 1, movementX: 40, movementY: 10 }); seen.push(frame(800));
elements.list.on.keydown({ key: "ArrowDown", preventDefault() {} }); seen.push(frame(900));
const rows = elements.rows.children;
console.log(JSON.stringify({ same: seen.map((s, k) => k > 0 && s === seen[k - 1]),
  arcs: drawn.filter((d) => d[0] === "arc").length,
  lines: drawn.filter((d) => d[0] === "lineTo").length,
  selected: rows.map((r) => r["aria-selected"]), cells: rows[0].children.map((c) => c.textContent),
  finite: drawn.flat().every((x) => typeof x === "string" || Number.isFinite(x)) }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node runs the page's program")
def test_the_program_moves_stops_turns_and_changes_the_mode(
    modes: NormalModes, tmp_path: Path
) -> None:
    write_mode_page(
        tmp_path / "modes.html", modes, NUMBERS, columns={"symmetry": ["A1", "B2", "A1"]}
    )
    page = Page((tmp_path / "modes.html").read_text(encoding="utf-8"))
    molecule, program = (text for tag, text in page.texts if tag == "script" and text.strip())
    texts = json.dumps({"molecule": molecule, "program": program})
    result = subprocess.run(
        ["node", "-e", BROWSER], input=texts, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen["same"] == [False, False, True, False, False]  # moved, paused, turned, next mode
    assert (seen["arcs"], seen["lines"]) == (3, 2)
    assert seen["selected"] == ["false", "true", "false"]
    assert seen["cells"][2] == "A1"
    assert seen["finite"]


def test_impossible_input_is_refused(modes: NormalModes, tmp_path: Path) -> None:
    path = tmp_path / "modes.html"
    with pytest.raises(ConfigError, match="mode_index must be 0 to 2, not 3"):
        mode_frames(modes, 3)
    with pytest.raises(ConfigError, match="amplitude"):
        mode_frames(modes, 0, amplitude=0.0)
    with pytest.raises(ConfigError, match="n_frames"):
        mode_frames(modes, 0, n_frames=0)
    with pytest.raises(DataError, match="modes of 3 atoms need as many atomic numbers"):
        write_mode_page(path, modes, NUMBERS[:2])
    with pytest.raises(DataError, match="those of elements"):
        write_mode_xyz(path, modes, np.array([8, 1, 0]), 0)
    with pytest.raises(DataError, match="column 'symmetry' has 2 entries for 3 modes"):
        write_mode_page(path, modes, NUMBERS, columns={"symmetry": ["A1", "B2"]})
    with pytest.raises(RunError, match="cannot write"):
        write_mode_page(tmp_path / "nowhere" / "modes.html", modes, NUMBERS)
