"""`md-runs ir` and `md-runs raman` on harmonic water, whose intensities are known."""

import json

import numpy as np
import pytest
from harmonic_ring_polymer import KELVIN
from recorded_runs import (
    WATER_CHARGES,
    water_polarizability_derivatives,
    write_polar_water,
    write_water_segments,
)

from md_runs.analysis.spectra.quantum_corrections import response_factor
from md_runs.analysis.spectra.raman import stokes_spectrum
from md_runs.analysis.vibrations.mode_intensities import (
    infrared_intensities,
    raman_intensities,
    stokes_intensities,
)
from md_runs.commands.infrared_and_raman import (
    infrared_report,
    raman_report,
    read_lines,
    read_numbers,
)
from md_runs.commands.prepared_run import open_runs
from mlpotential.errors import ConfigError, DataError

BORN = np.einsum("i,xy->ixy", WATER_CHARGES, np.eye(3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("polar") / "polar.h5"
    return path, write_polar_water(path, n_frames=2500)


def opened(path):
    return open_runs([path], skip_ps=0.0, temperature_K=KELVIN)


def test_infrared_intensities_of_the_modes(run, tmp_path):
    path, modes = run
    exact = infrared_intensities(modes, BORN)
    exact.save_json(tmp_path / "infrared.json")
    lines = tmp_path / "infrared.json"
    found = infrared_report(opened(path), intensities=lines, resolution_per_cm=50)
    peaks = found.results["polar_peaks"]
    assert peaks.areas == pytest.approx(exact.intensities_km_per_mol, rel=0.02)
    assert found.results["harmonic"].mode_intensities == pytest.approx(peaks.areas, rel=0.02)
    assert not found.warnings
    assert "sinc^2" in str(found)


def test_flux_of_born_charges_is_not_damped(run, tmp_path):
    path, modes = run
    np.save(tmp_path / "born.npy", BORN)
    options = dict(born_charges=tmp_path / "born.npy", resolution_per_cm=50)
    found = infrared_report(opened(path), **options)
    exact = infrared_intensities(modes, BORN).intensities_km_per_mol
    assert found.results["polar_peaks"].areas == pytest.approx(exact, rel=0.02)
    assert "sinc^2" not in str(found)


def test_quantum_correction_is_named_and_applied(run):
    path, modes = run
    plain = infrared_report(opened(path), resolution_per_cm=50)
    options = dict(resolution_per_cm=50, quantum_correction="standard")
    found = infrared_report(opened(path), **options)
    ratio = found.results["polar_peaks"].areas[0] / plain.results["polar_peaks"].areas[0]
    exact = response_factor("standard", modes.wavenumbers_per_cm[:1], KELVIN)[0]
    assert ratio == pytest.approx(exact, rel=0.02)
    assert "quantum correction: standard" in str(found)
    assert "quantum correction: classical" in str(plain)


def test_stokes_spectrum_has_the_cross_sections_of_the_modes(run):
    path, modes = run
    raman = raman_intensities(modes, water_polarizability_derivatives())
    exact = stokes_intensities(raman, 532.0, KELVIN)
    found = raman_report(opened(path), laser_nm=532.0, resolution_per_cm=50)
    areas = found.results["polar_stokes_peaks"].areas
    assert areas == pytest.approx(exact.stokes_cross_sections, rel=0.03)
    assert "Stokes scattering of 532 nm at 300 K, at a right angle" in str(found)
    assert "raman_stokes" in found.figures
    warm = stokes_spectrum(found.results["polar"], 532.0, 2 * KELVIN)
    assert warm.wavenumbers_per_cm[0] >= warm.resolution_per_cm
    assert (warm.intensity > found.results["polar_stokes"].intensity)[:10].all()
    with pytest.raises(DataError, match="no points between its resolution and the laser"):
        stokes_spectrum(found.results["polar"], 5e6)


def test_raman_activities_and_depolarisation(run, tmp_path):
    path, modes = run
    exact = raman_intensities(modes, water_polarizability_derivatives())
    (tmp_path / "all.json").write_text(json.dumps({"raman": exact.to_dict()}))
    lines = tmp_path / "all.json"
    found = raman_report(opened(path), intensities=lines, resolution_per_cm=50)
    assert found.results["polar_peaks"].areas == pytest.approx(exact.activities, rel=0.02)
    ratios = [float(row[-1].split("(")[0]) for row in found.tables[0].rows]
    assert ratios == pytest.approx(exact.depolarization_ratios, abs=0.01)
    natural = [float(row[-2].split("(")[0]) for row in found.tables[0].rows]
    assert natural == pytest.approx(exact.natural_depolarization_ratios, abs=0.01)
    assert set(found.figures) == {"raman", "raman_polarised"}


def test_mistakes(run, tmp_path):
    write_water_segments(tmp_path / "nve", n_segments=1, n_frames=20)
    runs = opened(tmp_path / "nve")
    with pytest.raises(DataError, match="has no dipoles"):
        infrared_report(runs)
    with pytest.raises(DataError, match="has no polarizabilities"):
        raman_report(runs)
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="holds no activities"):
        read_lines(tmp_path / "other.json", "activities")
    with pytest.raises(DataError, match="No such file"):
        read_lines(tmp_path / "absent.json", "activities")
    np.save(tmp_path / "few.npy", np.ones(9))
    with pytest.raises(DataError, match="of 3 atoms are 27"):
        read_numbers(tmp_path / "few.npy", "Born charges", (3, 3, 3))


def test_temperature_is_measured_where_nobody_tells_it(run):
    found = infrared_report(open_runs([run[0]], skip_ps=0.0))
    assert "measured from the velocities" in str(found)
    assert found.results["polar"].temperature_K == pytest.approx(KELVIN, rel=5e-3)


@pytest.mark.parametrize("by", ["element", "atom", "mode"])
def test_parts_add_up_to_the_absorption(run, by, tmp_path):
    path, exact = run
    modes, born = tmp_path / "modes.json", tmp_path / "born.txt"
    exact.save_json(modes)
    np.savetxt(born, BORN.reshape(3, 9))
    options = {"born_charges": born, "resolution_per_cm": 50}
    whole = infrared_report(opened(path), **options).results["polar"]
    found = infrared_report(opened(path), by=by, modes=modes, **options)
    parts = found.results["polar"]
    assert len(parts.labels) == {"element": 2, "atom": 3, "mode": 3}[by]
    assert parts.intensities.sum(axis=0) == pytest.approx(
        whole.intensity, abs=1e-2 * whole.intensity.max()
    )
    corrected = infrared_report(
        opened(path), by=by, modes=modes, quantum_correction="harmonic", **options
    ).results["polar"]
    assert corrected.integrals.value == pytest.approx(parts.integrals.value, rel=0.02, abs=0.1)
    names = {file.name for file in found.save(tmp_path)}
    assert {"ir_polar.csv", f"ir_by_{by}.png"} <= names
    with pytest.raises(ConfigError, match="need --born-charges"):
        infrared_report(opened(path), by=by, modes=modes)
