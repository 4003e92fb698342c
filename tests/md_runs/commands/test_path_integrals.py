"""`md-runs path-integrals` on harmonic ring polymers against their exact values."""

import numpy as np
import pytest
from harmonic_ring_polymer import KELVIN, KT, energy, heat_capacity
from recorded_runs import write_frames, write_oscillator_beads, write_water_run

from md_runs.commands.options import parse_isotopes
from md_runs.commands.path_integrals import (
    path_integral_report,
)
from md_runs.commands.prepared_run import open_runs
from mlpotential.errors import ConfigError, DataError

U, DEGREES = 3.0, 6


def opened(*paths, **options):
    return open_runs(paths, skip_ps=0.0, **options)


def agrees(estimate, exact, sigmas=4):
    assert abs(estimate.value - exact) < sigmas * estimate.standard_error


@pytest.fixture(scope="module")
def beads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beads")
    return [write_oscillator_beads(folder / f"h{p}.frames", p, 1200, U) for p in (4, 8)]


def test_energies_heat_capacity_and_enough_beads(beads):
    found = path_integral_report(opened(*beads, temperature_K=KELVIN))
    for n_beads in (4, 8):
        plain = found.results[f"h{n_beads}_energies"]
        agrees(plain.kinetic_energy, 0.5 * DEGREES * KT * energy(U, n_beads))
        agrees(plain.kinetic_energy_primitive, 0.5 * DEGREES * KT * energy(U, n_beads))
        agrees(plain.heat_capacity, DEGREES * heat_capacity(U, n_beads))
    exact = 0.5 * DEGREES * KT * energy(U, None)
    corrected = found.results["h8_perturbed"].kinetic_energy
    agrees(corrected, exact)
    lacking = found.results["h4_perturbed"].bead_error
    share = 1 - energy(U, 4) / energy(U, None)
    assert lacking.value == pytest.approx(share, rel=0.15)
    assert any("h4: 4 beads lack" in r and "NOT enough for 1 %" in r for r in found.remarks)
    limit = found.results["bead_convergence"].limit
    agrees(limit, exact)
    assert {"imaginary_time", "bead_convergence"} <= set(found.figures)


def test_isotope_effect_and_spread(beads):
    options = dict(isotope=["H=1.05"])
    found = path_integral_report(opened(beads[0], temperature_K=KELVIN), **options)
    effect = found.results["h4_isotopes"]
    a = 1.05 / 1.008

    def log_partition(u):  # of 4 beads
        return -np.log(2 * np.sinh(4 * np.arcsinh(u / 8)))

    exact = DEGREES * (log_partition(U / np.sqrt(a)) - log_partition(U))
    agrees(effect.log_partition_ratio, exact)
    assert "isotopes H = 1.05 amu (2 atoms)" in str(found)


def test_positions_alone_give_the_primitive_energy(tmp_path):
    path = write_oscillator_beads(tmp_path / "h.frames", 4, 800, U, with_forces=False)
    found = path_integral_report(opened(path, temperature_K=KELVIN))
    text = found.tables[1].rows[0][1]
    assert float(text.split("(")[0]) == pytest.approx(0.5 * DEGREES * KT * energy(U, 4), rel=0.1)
    assert "forces and energies of the beads were not recorded" in str(found)


def test_mistakes(beads, tmp_path):
    with pytest.raises(DataError, match="give --temperature-K"):
        path_integral_report(opened(beads[0]))
    write_water_run(tmp_path / "classical.frames", n_frames=60)
    with pytest.raises(DataError, match="has one bead"):
        path_integral_report(opened(tmp_path / "classical.frames", temperature_K=KELVIN))
    assert parse_isotopes(["C=13.003", "4=2.014"]) == {"C": 13.003, "4": 2.014}
    for text in ("C", "C=", "C=-1", "=3"):
        with pytest.raises(ConfigError, match="is no isotope"):
            parse_isotopes([text])
    for who in ("C", "2"):
        options = dict(isotope=[f"{who}=13.003"])
        with pytest.raises(ConfigError, match="has no atom"):
            path_integral_report(opened(beads[0], temperature_K=KELVIN), **options)


def test_wrapped_beads_are_refused(tmp_path):
    from ase import Atoms

    positions = np.zeros((60, 2, 1, 3))
    positions[:, 1] = 10.0
    path = write_frames(tmp_path / "wrapped.frames", Atoms("H"), 1.0, positions=positions)
    with pytest.raises(DataError, match="wrapped into a cell"):
        path_integral_report(opened(path, temperature_K=KELVIN))
