"""`md-runs vdos` on harmonic water, whose lines and integrals are known."""

from dataclasses import replace

import numpy as np
import pytest
from ase import units
from harmonic_molecules import water
from harmonic_ring_polymer import KELVIN
from recorded_runs import read_json, water_modes, write_frames, write_water_segments

from md_runs.analysis.vibrations.normal_modes import normal_modes
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.vdos import vdos_report
from md_runs.trajectories.frames_file import read_trajectory
from md_runs.trajectories.h5md_writer import write_h5md
from mlpotential.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vdos") / "nve"
    modes = write_water_segments(folder, n_segments=8, n_frames=800)
    modes.save_json(folder.with_name("modes.json"))
    return folder, modes


def opened(folder, **options):
    return open_runs([folder], **options)


def test_lines_integral_and_temperature(segments):
    folder, modes = segments
    found = vdos_report(opened(folder, temperature_K=KELVIN), modes=folder.with_name("modes.json"))
    peaks = found.results["nve_peaks"]
    total = found.results["nve"]
    assert peaks.wavenumbers_per_cm == pytest.approx(
        modes.wavenumbers_per_cm, abs=total.spacing_per_cm / 2
    )
    assert peaks.areas == pytest.approx(np.ones(3), rel=0.02)
    assert total.integral.value == pytest.approx(3, rel=1e-9)
    assert total.kinetic_temperature_K.value == pytest.approx(KELVIN, rel=5e-3)
    assert not found.warnings
    assert sum("passed" in remark for remark in found.remarks) == 5
    assert "physical resolution 83.4 1/cm" in str(found)  # 1 / (c 400 fs)


def test_parts_are_saved_in_columns(segments, tmp_path):
    folder, modes = segments
    found = vdos_report(opened(folder), by="mode", modes=folder.with_name("modes.json"))
    assert found.results["nve"].integrals.value == pytest.approx(np.ones(3), rel=0.02)
    paths = found.save(tmp_path / "out", with_svg=True)
    assert {path.suffix for path in paths} == {".json", ".csv", ".png", ".svg"}
    header, first, *_ = (tmp_path / "out" / "vdos_nve.csv").read_text().splitlines()
    assert header.split(",")[3:5] == ["mode 1 (cm)", "standard_error of mode 1 (cm)"]
    assert len(first.split(",")) == 9
    content = read_json(tmp_path / "out" / "vdos.json")
    assert content["results"]["nve"]["expected_modes"] == [1, 1, 1]
    assert content["results"]["harmonic"]["mode_wavenumbers_per_cm"] == pytest.approx(
        list(modes.wavenumbers_per_cm)
    )


def test_hydrogens_hold_most_of_water(segments):
    found = vdos_report(opened(segments[0]), by="element")
    parts = found.results["nve"]
    assert parts.labels == ("O", "H")
    assert parts.integrals.value == pytest.approx(parts.expected_modes, rel=0.05)


def test_failed_checks_cannot_be_overlooked(segments):
    found = vdos_report(opened(segments[0], temperature_K=2 * KELVIN))
    assert any("integral (modes) FAILED: 1.49" in text for text in found.warnings)
    assert "ATTENTION: nve: integral" in str(found)
    title = found.figures["vdos"].axes[0].get_title(loc="left")
    assert "FAILED" in title


def test_langevin_is_named(segments):
    found = vdos_report(opened(segments[0], dynamics="Langevin", friction_per_fs=0.1))
    assert any("Langevin, friction 0.1/fs broadens every line" in text for text in found.warnings)


def test_verlet_correction_moves_lines_to_the_red(segments):
    folder, modes = segments
    options = {"verlet_correction": True, "integration_timestep_fs": 1.0}
    peaks = vdos_report(opened(folder), **options).results["nve_peaks"].wavenumbers_per_cm
    half_phase = np.pi * modes.wavenumbers_per_cm * 2.99792458e-5
    assert peaks == pytest.approx(np.sin(half_phase) / np.pi / 2.99792458e-5, rel=3e-3)
    run = opened(folder)[0]
    assert vdos_report([run], verlet_correction=True).results
    unknown = tuple(replace(segment, integration_timestep_fs=None) for segment in run.segments)
    with pytest.raises(ConfigError, match="give --integration-timestep-fs"):
        vdos_report([replace(run, segments=unknown)], verlet_correction=True)


def test_velocities_from_positions(segments, tmp_path):
    """Central differences, their damping taken back: the same lines, the same integral."""
    atoms, _ = water_modes()
    run = opened(segments[0])[0].segments[0]
    path = write_frames(tmp_path / "bare.frames", atoms, 1.0, positions=np.asarray(run.positions))
    found = vdos_report(opened(path, skip_ps=0.0))
    assert found.results["bare_peaks"].areas == pytest.approx(np.ones(3), rel=0.03)
    assert found.results["bare"].integral.value == pytest.approx(3, rel=1e-6)
    assert any("central differences" in text for text in found.warnings)


def test_mistakes(segments, tmp_path):
    folder, modes = segments
    with pytest.raises(ConfigError, match="parts by mode need the modes"):
        vdos_report(opened(folder), by="mode")
    with pytest.raises(ConfigError, match="needs a window of 3336 frames"):
        vdos_report(opened(folder), resolution_per_cm=10)
    heavy = normal_modes(np.eye(9), np.array([16.0, 2.0, 2.0]), modes.positions)
    heavy.save_json(tmp_path / "heavy.json")
    with pytest.raises(DataError, match="modes are of another molecule"):
        vdos_report(opened(folder), modes=tmp_path / "heavy.json")
    beads = np.random.default_rng(0).normal(size=(50, 4, 3, 3))
    path = write_frames(tmp_path / "beads.frames", water_modes()[0], 1.0, positions=beads)
    with pytest.raises(DataError, match="samples: its time has no meaning"):
        vdos_report(opened(path))
    path = write_frames(tmp_path / "one.frames", water_modes()[0], 1.0, positions=beads[:1, :1])
    with pytest.raises(DataError, match="frames"):
        vdos_report(opened(path))


def test_the_correlation_function_is_kept_on_request(segments):
    """It begins with twice the kinetic energy, 3 N kT less the six rigid motions."""
    folder, _ = segments
    found = vdos_report(opened(folder, temperature_K=KELVIN), correlation=True)
    correlation = found.results["nve_correlation"]
    assert correlation.times_fs[1] == found.results["nve"].timestep_fs
    twice_kinetic = 3 * units.kB * KELVIN * units.fs**2
    assert correlation.values[0] == pytest.approx(twice_kinetic, rel=0.02)


def test_modes_and_run_must_hold_the_same_atoms(segments, tmp_path):
    folder, _ = segments
    atoms, hessian = water()
    fixed = np.array([True, False, False])
    held = normal_modes(hessian + np.eye(9), atoms.get_masses(), atoms.positions, fixed=fixed)
    held.save_json(tmp_path / "held.json")
    with pytest.raises(DataError, match="1 atoms are fixed in the modes, 0 in"):
        vdos_report(opened(folder), modes=tmp_path / "held.json")


def test_frames_too_far_apart_are_told(tmp_path):
    """Water every 16 fs: all lines are folded back below 1042 1/cm, whatever was recorded."""
    modes = write_water_segments(tmp_path / "nve", n_segments=4, n_frames=300, interval_fs=16.0)
    assert modes.wavenumbers_per_cm.max() > 3000
    found = vdos_report(opened(tmp_path / "nve"))
    text = "\n".join(found.warnings)
    assert "tell wavenumbers up to 1042 1/cm, but O-H bonds vibrate at" in text
    assert "sampling (velocities against positions) FAILED" in text
    for k in range(4):
        frames = read_trajectory(tmp_path / f"nve/segment_{k}.frames")
        write_h5md(replace(frames, velocities_angstrom_per_fs=None), tmp_path / f"still_{k}.h5")
    still = vdos_report(opened(tmp_path / "still_0.h5"))
    assert any("their lines are folded back" in warning for warning in still.warnings)
