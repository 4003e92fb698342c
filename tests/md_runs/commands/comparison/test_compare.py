"""Two structures, files of modes, and runs beside each other."""

import json
import math

import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.io import write

from md_runs.analysis.vibrations.normal_modes import normal_modes
from md_runs.classical import ClassicalRun, run_classical
from md_runs.cli import main
from md_runs.commands.comparison.bonds import angle_triples, bonded
from md_runs.commands.comparison.quantities import Quantity
from md_runs.hessian import hessian_by_finite_differences
from md_runs.relax import relax


def test_bonds_and_angles_of_ethanol_and_of_a_crystal():
    atoms = molecule("CH3CH2OH")
    pairs = bonded(atoms.numbers, atoms.positions)
    assert len(pairs) == 8
    assert len(angle_triples(pairs)) == 13  # 6 + 6 at the carbon atoms, 1 at the oxygen
    metal = bulk("Cu", cubic=True) * (2, 2, 2)
    neighbors = bonded(metal.numbers, metal.positions, metal.cell.array, metal.pbc)
    assert len(neighbors) == len(metal) * 12 / 2


@pytest.mark.parametrize(
    ("values", "errors", "verdict"),
    [
        ((1.0, 1.0005), (math.nan, math.nan), "same within 0.001 A"),
        ((1.0, 1.002), (math.nan, math.nan), "differs by 0.002 A"),
        ((1.0, 1.09), (0.03, 0.04), "same within errors"),
        ((1.0, 1.11), (0.03, 0.04), "differs by 0.11 +- 0.05 A"),
    ],
)
def test_verdicts(values, errors, verdict):
    found = Quantity("bonds", "a", "A", values, errors, tolerance=0.001)
    assert found.verdict == verdict
    assert found.is_same is verdict.startswith("same")


def test_structures_that_differ_in_one_bond(tmp_path, capsys):
    first = molecule("CH3CH2OH")
    second = first.copy()
    second.set_distance(2, 3, second.get_distance(2, 3) + 0.02, fix=0)  # O-H
    write(tmp_path / "a.xyz", first)
    write(tmp_path / "b.xyz", second)
    out = tmp_path / "compared.json"
    words = ["compare", str(tmp_path / "a.xyz"), str(tmp_path / "b.xyz"), "--json", str(out)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "bonds: 7 of 8 the same" in shown
    assert "angles: 13 of 13 the same" in shown
    content = json.loads(out.read_text())
    (other,) = [q for q in content["quantities"] if not q["same"]]
    assert other["name"] == "O2-H3"
    assert other["difference"] == pytest.approx(0.02, abs=1e-6)


def modes_of(atoms, path, scale=1.0):
    relaxed, _ = relax(atoms, 1e-3)
    hessian = scale * hessian_by_finite_differences(relaxed).hessian
    normal_modes(hessian, relaxed.get_masses(), relaxed.positions).save_json(path)


def test_modes_are_matched_by_overlap(tmp_path, capsys):
    """Of a Hessian that is larger by 2 %: all wavenumbers by 1 %, all overlaps 1."""
    atoms = molecule("H2O")
    atoms.calc = EMT()
    modes_of(atoms, tmp_path / "a.json")
    modes_of(atoms, tmp_path / "b.json", 1.0201)
    words = ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    assert main([*words, "--json", str(tmp_path / "c.json")]) == 0
    assert "overlap 1.00" in capsys.readouterr().out
    found = json.loads((tmp_path / "c.json").read_text())["quantities"]
    modes = [q for q in found if q["kind"] == "modes"]
    assert len(modes) == 3
    for q in modes:
        assert q["B"] == pytest.approx(1.01 * q["A"], rel=1e-6)


@pytest.mark.slow
def test_runs_of_one_potential_are_the_same_and_a_hotter_one_is_not(tmp_path, capsys):
    atoms = molecule("H2O")
    atoms.calc = EMT()
    atoms, _ = relax(atoms, 1e-3)
    for name, kelvin, seed in (("a", 300.0, 1), ("b", 300.0, 2), ("hot", 1500.0, 3)):
        settings = ClassicalRun(
            n_steps=3000, stride=3, temperature_K=kelvin, seed=seed, friction_per_fs=0.05
        )
        run_classical(atoms, settings, tmp_path / name, progress=False)
    same = {}
    for other in ("b", "hot"):
        out = tmp_path / f"{other}.json"
        words = ["compare", str(tmp_path / "a"), str(tmp_path / other), "--json", str(out)]
        assert main([*words, "--skip-ps", "0.1"]) == 0
        found = json.loads(out.read_text())["quantities"]
        same[other] = [q["same"] for q in found if q["kind"] in ("widths of bonds", "h(r)")]
        assert {"mean bonds", "mean angles", "h(r)", "peaks"} <= {q["kind"] for q in found}
    assert all(same["b"])
    assert not any(same["hot"])
    assert "the temperatures are 300.0, 1500.0 K" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a.xyz", "absent"), "there is no"),
        (("a.xyz", "."), "give two of a kind"),
        (("a.xyz", "c.xyz"), "other atoms"),
    ],
)
def test_what_cannot_be_compared(tmp_path, monkeypatch, capsys, names, told):
    monkeypatch.chdir(tmp_path)
    write("a.xyz", molecule("CH3OH"))
    write("c.xyz", molecule("CH4"))
    assert main(["compare", *names]) == 2
    assert told in capsys.readouterr().err
