"""Runs as the analysis sees them: equilibration, names, dynamics, faults of the user."""

import numpy as np
import pytest
from ase import Atoms
from harmonic_ring_polymer import KELVIN
from recorded_runs import write_frames, write_water_segments

from md_runs.analysis.sampling.equilibration import RULE_NAME, EquilibrationRule
from md_runs.commands.analysis_report import default_folder
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.structure.distances import distances_report
from md_runs.run_folders import segment_paths
from mlpotential.errors import ConfigError, DataError, RunError

ATOMS = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]])


def settling_run(path, n_frames=1000, n_settling=200, n_beads=1):
    """Energies that fall until `n_settling` and scatter from then on."""
    rng = np.random.default_rng(0)
    energies = 0.01 * rng.normal(size=(n_frames, n_beads))
    energies[:n_settling] += np.linspace(3.0, 0.0, n_settling)[:, None]
    positions = ATOMS.positions + 0.05 * rng.normal(size=(n_frames, n_beads, 2, 3))
    return write_frames(path, ATOMS, 2.0, positions=positions, energies=energies)


def test_equilibration_is_detected_or_as_asked(tmp_path):
    path = settling_run(tmp_path / "run.frames")
    (run,) = open_runs([path])
    assert run.trajectory.n_frames == pytest.approx(800, abs=20)
    assert "detected from the potential energy (--skip-ps sets it)" in run.assumptions[1]
    (run,) = open_runs([path], skip_ps=1.0)
    assert run.trajectory.n_frames == 500
    assert run.trajectory.times_fs[0] == 1000.0
    assert not run.warnings
    for skip_ps in (-1.0, 2.0, float("nan")):
        with pytest.raises(ConfigError, match="--skip-ps must leave some of the 1.998 ps"):
            open_runs([path], skip_ps=skip_ps)


def test_a_rule_recorded_with_the_run_is_followed(tmp_path):
    path, rule = settling_run(tmp_path / "run.frames"), tmp_path / RULE_NAME
    for longest_ps, n_frames in ((1.0, 750), (0.3, 850)):
        EquilibrationRule(0.25, longest_ps).save_json(rule)
        (run,) = open_runs([path])
        assert run.trajectory.n_frames == n_frames
        assert f"0.25 of the run, at most {longest_ps:g} ps, as recorded" in run.assumptions[1]
    (run,) = open_runs([path], skip_ps=1.0)
    assert run.trajectory.n_frames == 500
    for text in ("{", '{"share": 1.0, "longest_ps": 1}', '{"share": "a", "longest_ps": 1}', "[]"):
        rule.write_text(text)
        with pytest.raises(DataError, match="equilibration.json"):
            open_runs([path])


def test_a_run_that_never_settles_is_doubted(tmp_path):
    (run,) = open_runs([settling_run(tmp_path / "run.frames", 300, 290)])
    assert "too short to tell when it has equilibrated" in run.warnings[0]


def test_names_are_unique(tmp_path):
    paths = [settling_run(tmp_path / name / "run.frames", 70, 2) for name in ("a", "b.c")]
    assert [run.name for run in open_runs(paths)] == ["a/run", "b.c/run"]
    with pytest.raises(ConfigError, match="given twice"):
        open_runs([paths[0], paths[0]])
    with pytest.raises(RunError, match="(?i)no such file"):
        open_runs([tmp_path / "absent"])


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (("water.extxyz", "water.xyz"), ["water.extxyz", "water.xyz"]),
        (("nvt.300K.xyz", "nvt.600K.xyz"), ["nvt.300K", "nvt.600K"]),
        (("a b.xyz", "a_b.xyz"), ["1: a b.xyz", "2: a_b.xyz"]),
        (("a/b.xyz", "a_b.xyz"), ["b", "a_b"]),
        (("x/a.xyz", "y/a.xyz", "x/a.extxyz"), ["x/a.xyz", "y/a.xyz", "x/a.extxyz"]),
    ],
)
def test_no_two_runs_share_a_name_or_a_file(tmp_path, files, names):
    """After a dot, or with characters that files do not have."""
    frames = "".join(f"2\ntime_fs={k}\nH 0 0 0\nH 0 0 {0.74 + 0.001 * k}\n" for k in range(4))
    paths = [tmp_path / name for name in files]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(frames)
    found = open_runs(paths)
    assert [run.name for run in found] == names
    report = distances_report(found)
    saved = report.save(tmp_path / "out")
    assert len(report.tables[0].rows) == 3 * len(files)
    assert len(set(saved)) == len(saved) == 3 * len(files) + 2


def test_the_folder_of_results_is_that_of_one_run(tmp_path):
    for name in ("water.xyz", "ice.xyz", "water.json"):
        (tmp_path / name).touch()
    assert default_folder([tmp_path / "water.xyz"], "rdf") == tmp_path / "water_rdf"
    (tmp_path / "water.extxyz").touch()
    for name in ("water.xyz", "water.extxyz"):
        assert default_folder([tmp_path / name], "rdf") == tmp_path / f"{name}_rdf"
    (tmp_path / "run.300").mkdir()
    assert default_folder([tmp_path / "run.300"], "rdf") == tmp_path / "run.300_rdf"


def test_beads_sample_unless_the_user_says_otherwise(tmp_path):
    path = settling_run(tmp_path / "beads.frames", n_beads=4)
    assert open_runs([path])[0].is_pimd_sampling
    (run,) = open_runs([path], dynamics="RPMD")
    assert not run.is_pimd_sampling
    assert str(run.dynamics) == "RPMD"


def test_segments_in_order_and_their_temperature(tmp_path):
    write_water_segments(tmp_path / "nve", n_segments=11, n_frames=60)
    names = [path.name for path in segment_paths(tmp_path / "nve")]
    assert names == [f"segment_{k}.frames" for k in range(11)]
    (run,) = open_runs([tmp_path / "nve"])
    assert len(run.segments) == 11
    assert str(run.dynamics) == "NVE"
    temperature_K, source = run.known_temperature_K()
    assert temperature_K == pytest.approx(KELVIN, rel=0.03)
    assert "measured" in source


def test_correlation_longer_than_blocks_is_doubted(tmp_path):
    slow = np.sin(np.arange(2000) / 150.0)[:, None]
    positions = np.tile(ATOMS.positions, (2000, 1, 1, 1))
    path = write_frames(tmp_path / "slow.frames", ATOMS, 1.0, positions=positions, energies=slow)
    (run,) = open_runs([path], blocks=100)
    assert any("error bars of distributions may be too small" in text for text in run.warnings)


def test_few_frames_go_without_error_bars(tmp_path):
    (run,) = open_runs([settling_run(tmp_path / "few.frames", 12, 2)])
    assert run.n_blocks == 1
    assert "too few to detect equilibration" in run.assumptions[1]
