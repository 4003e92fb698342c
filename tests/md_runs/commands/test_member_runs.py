"""Model errors from a run by each member, where what differs between the members is known."""

from dataclasses import replace

import numpy as np
import pytest
from harmonic_ring_polymer import KELVIN
from recorded_runs import write_water_run, write_water_segments

from md_runs.commands.error_bars.member_runs import spread_of_members
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure.distances import distances_report
from md_runs.commands.vdos import vdos_report
from md_runs.trajectories.frames_file import FrameRecorder, read_header, read_records
from mlpotential.errors import ConfigError

SLOWER = np.array([0.99, 1.0, 1.02])  # clocks of the members


def test_sampling_is_taken_off():
    """Of means that differ by model and sampling, within the noise of 5,000 members."""
    generator = np.random.default_rng(0)
    errors = np.full(5_000, 0.4)
    values = 0.3 * generator.standard_normal(5_000) + errors * generator.standard_normal(5_000)
    assert spread_of_members(values, errors) == pytest.approx(0.3, rel=0.05)
    assert spread_of_members(values, errors, scale=2.0) == pytest.approx(0.6, rel=0.05)
    assert spread_of_members(values[:3], np.full(3, 10.0)) == 0.0
    no_errors = np.full(3, np.nan)
    assert spread_of_members(values[:3], no_errors) == pytest.approx(values[:3].std(ddof=1))


def with_clock(source, target, factor):
    """The same frames, told to be so much further apart: all lines are lower by it."""
    header, records = read_header(source), read_records(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    slower = replace(header, timestep_fs=factor * header.timestep_fs)
    with FrameRecorder(target, slower) as recorder:
        for record in records:
            recorder.append(**{name: record[name] for name in header.fields})


def test_peaks_of_members(tmp_path):
    modes = write_water_segments(tmp_path / "committee", n_segments=4, n_frames=1200)
    names = [f"member_{k}" for k in range(len(SLOWER))]
    for name, factor in zip(names, SLOWER, strict=True):
        for segment in sorted((tmp_path / "committee").glob("*.frames")):
            with_clock(segment, tmp_path / name / segment.name, factor)
    runs = open_runs([tmp_path / name for name in ("committee", *names)], temperature_K=KELVIN)
    found = vdos_report(runs, members=True, resolution_per_cm=30)
    (table,) = [table for table in found.tables if table.title.startswith("model error")]
    assert table.rows[0][3] == "3"
    exact = (modes.wavenumbers_per_cm[0] / SLOWER).std(ddof=1)
    assert float(table.rows[0][2]) == pytest.approx(exact, rel=0.1)
    assert any("no error bar" in text for text in found.warnings)


def test_means_of_members(tmp_path):
    """The same runs as members have no model error; two runs are no committee."""
    names = ["committee", "member_0", "member_1"]
    for name in names:
        write_water_run(tmp_path / f"{name}.frames", n_frames=200)
    paths = [tmp_path / f"{name}.frames" for name in names]
    runs = open_runs(paths, skip_ps=0.0, temperature_K=KELVIN)
    found = distances_report(runs, bonds=["0-1"], members=True)
    table = found.tables[1]
    assert table.rows[-1][0] == "bond O0-H1 (A)"
    assert {float(row[3]) for row in table.rows} == {0.0}
    with pytest.raises(ConfigError, match="1 given"):
        distances_report(runs[:2], members=True)
