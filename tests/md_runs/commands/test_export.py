"""From run folders to files of other programs, without an i-PI process or a model."""

import numpy as np
import pytest
from spring_network import spring_cluster

from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.commands.export import export_run
from md_runs.reading import read_run
from md_runs.trajectories.ase_reader import read_ase_output
from md_runs.trajectories.frames_file import read_trajectory
from md_runs.trajectories.h5md_reader import read_h5md
from mlpotential.errors import ConfigError, RunError


@pytest.fixture
def folder(tmp_path):
    run_classical(spring_cluster(5), ClassicalRun(n_steps=30, stride=3), tmp_path / "nvt")
    return tmp_path / "nvt"


@pytest.mark.parametrize("name", ["", "trajectory.frames"])
def test_a_classical_run_and_back(folder, tmp_path, name):
    original = read_trajectory(folder / "trajectory.frames")
    assert export_run(folder / name, tmp_path / "run.h5") == [tmp_path / "run.h5"]
    exact = read_h5md(tmp_path / "run.h5")
    export_run(tmp_path / "run.h5", tmp_path / "run.extxyz")
    rounded = read_ase_output(tmp_path / "run.extxyz")
    for name in ("times_fs", "positions", "velocities_angstrom_per_fs", "forces", "energies"):
        np.testing.assert_array_equal(getattr(exact, name), getattr(original, name))
        np.testing.assert_allclose(getattr(rounded, name), getattr(original, name), atol=1e-7)


def test_what_is_no_run_or_no_output_is_refused(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.h5 or \.extxyz, not 'run\.xyz'"):
        export_run(folder, tmp_path / "run.xyz")
    with pytest.raises(RunError, match="holds no run"):
        read_run(tmp_path)
    with pytest.raises(RunError, match="cannot read .* as HDF5"):
        read_run(tmp_path / "absent.h5")
    with pytest.raises(RunError, match="cannot write .*: No such file or directory"):
        export_run(folder, tmp_path / "absent" / "run.h5")
