"""`md-runs path-integrals` on harmonic ring polymers against their exact values."""

import numpy as np
import pytest
from ase import Atoms, units
from harmonic_ring_polymer import KELVIN, KT, energy, heat_capacity, sample
from recorded_runs import write_frames, write_oscillator_beads, write_water_run

from md_runs.analysis.path_integrals.energies import centroid_virial_kinetic_energies
from md_runs.commands.options import parse_isotopes
from md_runs.commands.path_integrals import (
    path_integral_report,
)
from md_runs.commands.prepared_run import open_runs
from mlpotential.errors import ConfigError, DataError, RunError

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


def write_ipi_outputs(folder, n_beads=8, n_frames=600, seed=3):
    """What i-PI writes of harmonic beads without forces: positions, K and V of every frame."""
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 3.0]])
    positions, forces, potentials = sample(U, n_beads, n_frames, atoms.get_masses(), seed)
    kinetic = centroid_virial_kinetic_energies(positions, forces, atoms.get_masses(), KT).sum(1)
    folder.mkdir()
    for bead in range(n_beads):
        text = "".join(
            f"2\n# CELL(abcABC): 9 9 9 90 90 90 Step: {10 * k} Bead: {bead} positions{{angstrom}} "
            "cell{angstrom}\n"
            + "".join("H " + " ".join(f"{x:.10e}" for x in row) + "\n" for row in frame)
            for k, frame in enumerate(positions[:, bead] + atoms.positions)
        )
        (folder / f"sim.pos_{bead}.xyz").write_text(text)
    header = (
        "# column   1     --> step : \n# column   2     --> time{femtosecond} : \n"
        "# column   3     --> kinetic_cv(H) : of some atoms\n"
        "# column   4     --> kinetic_cv : \n# column   5     --> potential{electronvolt} : \n"
    )
    V = potentials.mean(axis=1)
    rows = "".join(
        f" {10 * k:e} {5.0 * k:e} 1.0e+00 {K / units.Hartree:.15e} {v:.15e}\n"
        for k, (K, v) in enumerate(zip(kinetic, V, strict=True))
    )
    (folder / "sim.out").write_text(header + rows)
    return kinetic, V


@pytest.mark.filterwarnings("ignore:the cell in .* is not used")
def test_energies_that_ipi_records_are_used_without_forces(tmp_path):
    """K, V and E are the means of the columns; C needs the positions of the beads as well."""
    kinetic, V = write_ipi_outputs(tmp_path / "run")
    found = path_integral_report(opened(tmp_path / "run", temperature_K=KELVIN))
    energies = found.results["run_energies"]
    # i-PI's own hartree differs from CODATA's by 1e-7.
    assert energies.kinetic_energy.value == pytest.approx(kinetic.mean(), rel=1e-6)
    assert energies.potential_energy.value == pytest.approx(V.mean(), rel=1e-9)
    assert energies.total_energy.value == pytest.approx((kinetic + V).mean(), rel=1e-6)
    agrees(energies.kinetic_energy, 0.5 * DEGREES * KT * energy(U, 8))
    agrees(energies.total_energy, DEGREES * KT * energy(U, 8))
    agrees(energies.heat_capacity, DEGREES * heat_capacity(U, 8))
    assert energies.kinetic_energy.standard_error == pytest.approx(
        kinetic.std() / np.sqrt(len(kinetic)), rel=0.6
    )
    rows = [row[0] for row in found.tables[1].rows]
    assert rows[0] == "kinetic energy, centroid virial (eV)"
    assert {"kinetic energy, primitive (eV)", "heat capacity (k_B)"} <= set(rows)
    late = path_integral_report(open_runs([tmp_path / "run"], skip_ps=1.5, temperature_K=KELVIN))
    assert late.results["run_energies"].kinetic_energy.value == pytest.approx(
        kinetic[300:].mean(), rel=1e-6
    )


def test_a_file_of_properties_is_enough_for_energies(tmp_path):
    kinetic, _ = write_ipi_outputs(tmp_path / "run", n_frames=60)
    for path in (tmp_path / "run").glob("*.xyz"):
        path.unlink()
    runs = open_runs([tmp_path / "run"], ["energies"], skip_ps=0, temperature_K=KELVIN)
    found = path_integral_report(runs)
    assert found.results["run_energies"].kinetic_energy.value == pytest.approx(
        kinetic.mean(), rel=1e-6
    )
    assert "no heat capacity, whose estimator takes the primitive kinetic energy" in str(found)
    assert "run: no positions, so there are energies only" in found.assumptions
    with pytest.raises(RunError, match="has no positions among its i-PI outputs"):
        open_runs([tmp_path / "run"])
    with pytest.raises(DataError, match="does not tell its temperature"):
        path_integral_report(open_runs([tmp_path / "run"], ["energies"]))


def test_a_heat_capacity_that_has_not_converged_is_not_trusted(tmp_path):
    """14.4 kT a quantum, 8 beads: the energy is right to 0.1 %, the heat capacity is not."""
    path = write_oscillator_beads(tmp_path / "stiff.frames", 8, 400, 14.4)
    found = path_integral_report(opened(path, temperature_K=KELVIN))
    perturbed = found.results["stiff_perturbed"]
    assert perturbed.are_energies_trustworthy
    assert not perturbed.is_heat_capacity_trustworthy
    assert not perturbed.is_trustworthy
    assert any("correction of the heat capacity is so large" in text for text in found.warnings)
    (row,) = (row for t in found.tables for row in t.rows if row[0].startswith("heat capacity"))
    assert row[2].endswith("not to be trusted")
