"""Runs keep the energies of the members of a committee, and analyses show what they tell."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.analysis.vibrations.normal_modes import read_normal_modes
from md_runs.classical import ClassicalRun, run_classical
from md_runs.cli import main
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.spectrum_tables import Lines
from md_runs.commands.structure.distances import distances_report
from md_runs.force_provider import ModelForces
from md_runs.molecular_modes import molecular_modes
from md_runs.pimd import PimdRun, run_pimd
from md_runs.reading import read_run
from md_runs.run_folders import TRAJECTORY_NAME
from md_runs.trajectories.frames_file import FrameRecorder, read_header, read_records
from mlpotential.graph import AtomGraph
from mlpotential.inference.calibration import Calibration, SpreadCalibration, weights_sha256
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Execution
from mlpotential.models.model_file import ModelRecord, save_model
from mlpotential.testing import tiny_schnet

EXECUTION = Execution(guard="off")
SCALE = 2.5
CLASSICAL = ClassicalRun(temperature_K=200.0, timestep_fs=0.5, n_steps=200, stride=2, seed=1)
PIMD = PimdRun(
    temperature_K=200.0, timestep_fs=0.25, n_steps=60, n_beads=3, stride=2, engine="native", seed=2
)


@pytest.fixture
def water():
    return molecule("H2O")


def write_committee(folder, water, calibrated):
    """Members that differ a little, as trained ones do."""
    members = [tiny_schnet(0) for _ in range(3)]
    for k, member in enumerate(members):
        for parameter in list(member.parameters())[-2:]:
            parameter.data.mul_(1.0 + 0.002 * k)
    fingerprints = tuple(sorted(weights_sha256(member) for member in members))
    spread = SpreadCalibration(SCALE, 10.0, 100, (0.3, 0.5), (0.68, 0.95))
    calibration = Calibration(fingerprints, "", 100, spread, spread, None)
    record = ModelRecord(calibration=calibration.record if calibrated else {})
    paths = [folder / f"member_{k}.safetensors" for k in range(len(members))]
    for path, member in zip(paths, members, strict=True):
        save_model(path, member, AtomGraph.from_atoms(water), record)
    return paths


@pytest.mark.parametrize("calibrated", [True, False])
def test_classical_run(water, tmp_path, calibrated):
    paths = write_committee(tmp_path, water, calibrated)
    water.calc = ModelForces(paths, EXECUTION).calculator()
    run_classical(water, CLASSICAL, tmp_path / "run", progress=False)
    trajectory = read_run(tmp_path / "run")
    energies = np.asarray(trajectory.member_energies)
    assert energies.shape == (101, 1, 3)
    assert_allclose(energies.mean(axis=-1), trajectory.energies, rtol=1e-12)
    evaluator = Evaluator(paths[1], water.numbers, guard="off")
    alone = evaluator.evaluate(np.asarray(trajectory.positions[:, 0])).energy
    assert_allclose(energies[:, 0, 1], alone, rtol=1e-12)
    assert trajectory.member_energy_scale == (SCALE if calibrated else None)
    found = distances_report(open_runs([tmp_path / "run"], skip_ps=0.0), bonds=["0-1"])
    table = found.tables[1]
    assert "model error" in table.title
    assert [row[0] for row in table.rows] == [
        "nearest neighbour (A)",
        "largest distance (A)",
        "radius of gyration (A)",
        "bond O0-H1 (A)",
    ]
    error = found.results["run_bond O0-H1_model_error"]
    assert error.mean.value == pytest.approx(found.results["run_bond O0-H1"].mean.value, rel=1e-9)
    assert error.error.value > 0
    assert error.scale == (SCALE if calibrated else 1.0)
    known = [text for text in found.assumptions if "of 3 calibrated on 100 structures" in text]
    assert len(known) == (1 if calibrated else 0)
    said = [text for text in found.warnings if "before mlpotential calibrate" in text]
    assert len(said) == (0 if calibrated else 1)


def test_ring_polymer(water, tmp_path):
    paths = write_committee(tmp_path, water, calibrated=True)
    settings = replace(PIMD, record_forces=True)
    result = run_pimd(water, paths, settings, tmp_path / "run", False, EXECUTION)
    energies = np.asarray(result.trajectory.member_energies)
    assert energies.shape == (31, 3, 3)
    assert_allclose(energies.mean(axis=-1), result.trajectory.energies, rtol=1e-12)
    assert result.trajectory.member_energy_scale == SCALE
    assert main(["report", str(tmp_path / "run"), "--skip-ps", "0"]) == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "model error: standard deviation over the members" in page
    assert "of 3 calibrated on 100 structures" in page
    found = distances_report(open_runs([tmp_path / "run"], skip_ps=0.0))
    assert "run_nearest neighbour_model_error" in found.results


def test_run_that_was_begun_without_them_goes_on(water, tmp_path):
    """As earlier versions recorded it; what they did not record stays out."""
    paths = write_committee(tmp_path, water, calibrated=True)
    water.calc = ModelForces(paths, EXECUTION).calculator()
    run_classical(water, CLASSICAL, tmp_path / "new", progress=False)
    run_classical(water, replace(CLASSICAL, n_steps=100), tmp_path / "old", progress=False)
    _forget_members(tmp_path / "old" / TRAJECTORY_NAME)
    run_classical(water, CLASSICAL, tmp_path / "old", progress=False)
    old, new = (read_run(tmp_path / name) for name in ("old", "new"))
    assert old.member_energies is None
    assert_array_equal(old.positions, new.positions)


def _forget_members(path):
    header, records = read_header(path), np.array(read_records(path))
    fields = {k: v for k, v in header.fields.items() if k != "member_energies"}
    with FrameRecorder(path, replace(header, fields=fields)) as recorder:
        for record in records:
            recorder.append(**{name: record[name] for name in fields})


def test_modes_and_the_spectra_beside_them(water, tmp_path, capsys):
    """By the Hessian of each member, in the tables of modes, peaks and the report."""
    paths = write_committee(tmp_path, water, calibrated=True)
    write(tmp_path / "water.xyz", water)
    pattern = str(tmp_path / "member_*.safetensors")
    modes = tmp_path / "modes.json"
    arguments = [tmp_path / "water.xyz", "--model", pattern, "--json", modes, "--guard", "off"]
    assert main(["modes", *map(str, arguments)]) == 0
    output = capsys.readouterr().out
    assert "standard deviation over the members of the committee, calibrated" in output
    assert "(model error" in output
    errors = read_normal_modes(modes).model_errors_per_cm
    assert errors.shape == (3,)
    assert (errors > 0).all()
    (alone,) = [
        molecular_modes(water, path, Execution(dtype="float64", guard="off")) for path in paths[:1]
    ]
    assert alone.modes.model_errors_per_cm is None
    assert alone.zero_point_error is None


def test_peaks_near_lines():
    """The errors of the lines within a resolution of a peak; a dash where there is none."""
    lines = Lines(np.array([1000.0, 1004.0, 2000.0]), np.ones(3), np.array([3.0, 4.0, 7.0]))
    peaks = SimpleNamespace(wavenumbers_per_cm=[1001.0, 1995.0, 3000.0], resolution_per_cm=10.0)
    root = f"{np.sqrt(12.5):.2g}"
    assert lines.columns(peaks) == {"model error (1/cm)": [root, "7", "-"]}
    assert Lines(np.ones(1), np.ones(1)).columns(peaks) == {}
