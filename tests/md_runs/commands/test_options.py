"""The analyses of the installed command `md-runs`, typed as a user would."""

import subprocess
import sys
from pathlib import Path

import pytest
from harmonic_ring_polymer import KT, energy
from recorded_runs import (
    read_json,
    write_ideal_gas,
    write_oscillator_beads,
    write_polar_water,
    write_water_run,
    write_water_segments,
)

from md_runs.cli import main

COMMAND = Path(sys.executable).with_name("md-runs")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a run for every analysis."""
    folder = tmp_path_factory.mktemp("runs")
    write_water_segments(folder / "nve", n_segments=4, n_frames=300).save_json(
        folder / "modes.json"
    )
    write_polar_water(folder / "polar.h5", n_frames=600)
    write_water_run(folder / "water.frames", n_frames=100)
    write_ideal_gas(folder / "gas.frames", n_frames=10)
    write_oscillator_beads(folder / "beads.frames", 4, 200)
    return folder


def call(*arguments, cwd, code=0):
    result = subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=cwd
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout if code == 0 else result.stderr


@pytest.mark.slow
def test_vdos(runs):
    text = call("vdos", "nve", "--modes", "modes.json", "--temperature-K", 300, cwd=runs)
    assert "5 checks" not in text
    assert "written to nve_vdos: vdos.json, vdos.png and 3 tables (.csv)" in text
    peaks = read_json(runs / "nve_vdos" / "vdos.json")["results"]["nve_peaks"]
    assert peaks["wavenumbers_per_cm"] == pytest.approx([1321.7, 3813.7, 4216.8], abs=15)
    assert (runs / "nve_vdos" / "vdos.png").read_bytes().startswith(b"\x89PNG")


ANALYSES = [
    (["ir", "polar.h5", "--output", "out"], "peaks of the infrared absorption"),
    (["raman", "polar.h5", "--output", "out"], "depolarisation ratio"),
    (["rdf", "gas.frames", "--pairs", "He-Ne", "--r-max", "5", "--svg", "--output", "out"],
     "reference volume 1728 A^3 (of the cell)"),
    (["distances", "water.frames", "--bonds", "0-1", "--angles", "1-0-2", "--output", "out",
      "--neighbors", "1"],
     "angle H1-O0-H2 (degree)"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), ANALYSES)
def test_analyses(arguments, expected, runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert main(arguments) == 0
    assert expected in capsys.readouterr().out
    content = read_json(runs / "out" / f"{arguments[0]}.json")
    assert content["command"] == arguments[0]
    assert content["assumptions"]
    assert (runs / "out" / "rdf.svg").exists() or arguments[0] != "rdf"


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "expected"), ANALYSES)
def test_analyses_by_the_installed_command(arguments, expected, runs):
    assert expected in call(*arguments, cwd=runs)


@pytest.mark.slow
def test_path_integrals_and_report(runs):
    text = call("path-integrals", "beads.frames", "--temperature-K", 300, cwd=runs)
    assert "4 beads lack" in text
    found = read_json(runs / "beads_path-integrals" / "path-integrals.json")["results"]
    kinetic = found["beads_energies"]["kinetic_energy"]
    assert abs(kinetic["value"] - 3 * KT * energy(3.0, 4)) < 4 * kinetic["standard_error"]
    text = call("report", ".", "--output", "page.html", "--temperature-K", 300, cwd=runs)
    assert "report: page.html" in text
    assert (runs / "page.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vdos", "absent"], "absent"),
        (["vdos", "nve", "--modes", "absent.json"], "cannot read the modes absent.json"),
        (["vdos", "nve", "--by", "mode"], "parts by mode need the modes"),
        (["vdos", "nve", "--resolution-per-cm", "1"], "run longer, or ask for a coarser one"),
        (["vdos", "nve", "--max-per-cm", "-1"], "--max-per-cm must be a positive number"),
        (["vdos", "nve", "--output", "modes.json"], "--output modes.json is a file"),
        (["ir", "nve"], "has no dipoles"),
        (["ir", "polar.h5", "--quantum-correction", "Kubo"], "Kubo is for path integrals"),
        (["raman", "nve"], "has no polarizabilities"),
        (["rdf", "gas.frames", "--pairs", "OH"], "is no pair of elements: write it as O-H"),
        (["rdf", "gas.frames", "--pairs", "O-H"], "there is no element 'O' among He, Ne"),
        (["rdf", "gas.frames", "--blocks", "11"], "10 frames cannot be divided into 11 blocks"),
        (["distances", "water.frames", "--bonds", "0"], "does not name 2 atoms"),
        (["distances", "water.frames", "--neighbours", "3"], "neighbours"),
        (["path-integrals", "water.frames"], "has one bead"),
        (["path-integrals", "beads.frames", "--isotope", "H"], "is no isotope"),
        (["path-integrals", "beads.frames"], "give --temperature-K"),
        (["report", "nve", "--output", "page.pdf"], "must end in .html"),
        (["vdos", "nve", "--extras-units", "dipole"], "write it as dipole=debye"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(arguments, message, runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "command",
    [
        "modes",
        "vdos",
        "ir",
        "raman",
        "rdf",
        "structure-factor",
        "msd",
        "distances",
        "path-integrals",
        "report",
    ],
)
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"examples:\n  md-runs {command}" in capsys.readouterr().out
