"""`md-runs distances`: harmonic water and oscillators of many beads, whose widths are known."""

import numpy as np
import pytest
from ase import units
from harmonic_ring_polymer import KELVIN, mode_curvatures
from recorded_runs import write_oscillator_beads, write_water_run

from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure.distances import (
    distances_report,
    parse_atoms,
)
from mlpotential.errors import ConfigError, DataError

BOND = dict(bonds=["0-1"], bin_width=0.02)


def opened(*paths):
    return open_runs(paths, skip_ps=0.0, temperature_K=KELVIN)


def width_along_the_bond(n_beads, u=3.0, mass=1.008):
    """Of the difference of two oscillators along z (A)."""
    kT = KELVIN * units.kB
    return np.sqrt(2 * kT * np.sum(1 / mode_curvatures(u, n_beads, mass)))


def test_water(tmp_path):
    write_water_run(tmp_path / "water.frames", n_frames=800)
    options = dict(bonds=["0-1", "0-2"], angles=["1-0-2"])
    found = distances_report(opened(tmp_path / "water.frames"), **options)
    labels = [name.removeprefix("water_") for name in found.results]
    assert labels == [
        "nearest neighbour",
        "largest distance",
        "radius of gyration",
        "bond O0-H1",
        "bond O0-H2",
        "angle H1-O0-H2",
    ]
    angle = found.results["water_angle H1-O0-H2"].mean
    assert angle.value == pytest.approx(104, abs=1)
    assert found.figures["distances"].axes[5].get_xlabel() == "angle H1-O0-H2 (°)"


def test_quantum_effects_and_their_width(tmp_path):
    paths = [
        write_oscillator_beads(tmp_path / f"h{p}.frames", p, n) for p, n in ((1, 1500), (8, 600))
    ]
    found = distances_report(opened(*paths), **BOND)
    for n_beads in (1, 8):
        spread = found.results[f"h{n_beads}_bond H0-H1"].standard_deviation
        exact = width_along_the_bond(n_beads)
        assert spread.value == pytest.approx(exact, abs=4 * spread.standard_error + 0.01 * exact)
    difference = found.results["difference_bond H0-H1"]
    assert difference.difference.sum() * difference.bin_width == pytest.approx(0, abs=1e-9)
    assert "distances_difference_bond_H0-H1" in found.figures
    ratio = found.tables[1].rows[-1][2]
    assert float(ratio.split("(")[0]) == pytest.approx(
        width_along_the_bond(8) / width_along_the_bond(1), abs=0.1
    )


def test_bead_convergence(tmp_path):
    paths = [write_oscillator_beads(tmp_path / f"h{p}.frames", p, 400) for p in (2, 4, 8)]
    found = distances_report(opened(*paths), bonds=["0-1"], tolerance=0.5)
    convergence = found.results["bead_convergence"]
    assert list(convergence.n_beads) == [2, 4, 8]
    assert convergence.n_beads_needed == 2
    assert "2 beads are enough for mean bond H0-H1 within 0.5 A" in str(found)
    twice = distances_report(
        opened(*paths, write_oscillator_beads(tmp_path / "again.frames", 8, 60))
    )
    assert any("same number of beads" in text for text in twice.warnings)


def test_mistakes(tmp_path):
    assert parse_atoms(["0-1-2"], 3) == ((0, 1, 2),)
    for text in ("0", "0-x", "0-1-2"):
        with pytest.raises(ConfigError, match="does not name 2 atoms: write them as 0-1"):
            parse_atoms([text], 2)
    path = write_oscillator_beads(tmp_path / "h.frames", 2, 60)
    with pytest.raises(DataError, match="atoms 0 to 7"):
        distances_report(opened(path), bonds=["0-7"])
