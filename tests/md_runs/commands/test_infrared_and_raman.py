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
from md_runs.analysis.vibrations.mode_intensities import infrared_intensities, raman_intensities
from md_runs.commands.infrared_and_raman import (
    ResponseOptions,
    infrared_findings,
    raman_findings,
    read_born_charges,
    read_lines,
)
from md_runs.commands.prepared_run import ViewOptions, open_runs
from mlpotential.errors import DataError

BORN = np.einsum("i,xy->ixy", WATER_CHARGES, np.eye(3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("polar") / "polar.h5"
    return path, write_polar_water(path, n_frames=2500)


def opened(path):
    return open_runs([path], ViewOptions(skip_ps=0.0, temperature_K=KELVIN))


def test_infrared_intensities_of_the_modes(run, tmp_path):
    path, modes = run
    exact = infrared_intensities(modes, BORN)
    exact.save_json(tmp_path / "infrared.json")
    lines = read_lines(tmp_path / "infrared.json", "intensities_km_per_mol")
    found = infrared_findings(opened(path), ResponseOptions(lines=lines, resolution_per_cm=50))
    peaks = found.results["polar_peaks"]
    assert peaks.areas == pytest.approx(exact.intensities_km_per_mol, rel=0.02)
    assert found.results["harmonic"].mode_intensities == pytest.approx(peaks.areas, rel=0.02)
    assert not found.doubts
    assert "sinc^2" in str(found)


def test_flux_of_born_charges_is_not_damped(run, tmp_path):
    path, modes = run
    np.save(tmp_path / "born.npy", BORN)
    options = ResponseOptions(
        born_charges=read_born_charges(tmp_path / "born.npy", 3), resolution_per_cm=50
    )
    found = infrared_findings(opened(path), options)
    exact = infrared_intensities(modes, BORN).intensities_km_per_mol
    assert found.results["polar_peaks"].areas == pytest.approx(exact, rel=0.02)
    assert "sinc^2" not in str(found)


def test_quantum_correction_is_named_and_applied(run):
    path, modes = run
    plain = infrared_findings(opened(path), ResponseOptions(resolution_per_cm=50))
    options = ResponseOptions(resolution_per_cm=50, quantum_correction="standard")
    found = infrared_findings(opened(path), options)
    ratio = found.results["polar_peaks"].areas[0] / plain.results["polar_peaks"].areas[0]
    exact = response_factor("standard", modes.wavenumbers_per_cm[:1], KELVIN)[0]
    assert ratio == pytest.approx(exact, rel=0.02)
    assert "quantum correction: standard" in str(found)
    assert "quantum correction: classical" in str(plain)


def test_raman_activities_and_depolarisation(run, tmp_path):
    path, modes = run
    exact = raman_intensities(modes, water_polarizability_derivatives())
    (tmp_path / "all.json").write_text(json.dumps({"raman": exact.to_dict()}))
    lines = read_lines(tmp_path / "all.json", "activities")
    found = raman_findings(opened(path), ResponseOptions(lines=lines, resolution_per_cm=50))
    assert found.results["polar_peaks"].areas == pytest.approx(exact.activities, rel=0.02)
    ratios = [float(row[-1].split("(")[0]) for row in found.tables[0].rows]
    assert ratios == pytest.approx(exact.depolarization_ratios, abs=0.01)
    assert set(found.figures) == {"raman", "raman_polarised"}


def test_mistakes(run, tmp_path):
    write_water_segments(tmp_path / "nve", n_segments=1, n_frames=20)
    views = opened(tmp_path / "nve")
    with pytest.raises(DataError, match="has no dipoles"):
        infrared_findings(views)
    with pytest.raises(DataError, match="has no polarizabilities"):
        raman_findings(views)
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(DataError, match="holds no activities"):
        read_lines(tmp_path / "other.json", "activities")
    with pytest.raises(DataError, match="No such file"):
        read_lines(tmp_path / "absent.json", "activities")
    np.save(tmp_path / "few.npy", np.ones(9))
    with pytest.raises(DataError, match="are 27"):
        read_born_charges(tmp_path / "few.npy", 3)


def test_temperature_is_measured_where_nobody_tells_it(run):
    found = infrared_findings(open_runs([run[0]], ViewOptions(skip_ps=0.0)))
    assert "measured from the velocities" in str(found)
    assert found.results["polar"].temperature_K == pytest.approx(KELVIN, rel=5e-3)
