"""Runs on an emulated CUDA device: files, restarts, faults and what is refused, as on the host."""

from dataclasses import replace

import emulated
import numpy as np
import pytest
from ase import Atoms
from device_noise import SameNoise
from emulated import needs_compiler
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.checkpoint_archive import read_archive
from md_runs.pimd import PimdRun, run_pimd
from md_runs.pimd.ring_polymer import dynamics
from md_runs.pimd.ring_polymer.checkpoint import FORMAT_VERSION
from md_runs.pimd.ring_polymer.files import CHECKPOINT_NAME, PROPERTIES_NAME
from md_runs.reading import read_energy_series, read_run
from md_runs.run_folders import TRAJECTORY_NAME
from mlpotential.inference.execution import Execution

SETTINGS = PimdRun(
    n_steps=25, n_beads=3, stride=3, properties_stride=2, checkpoint_stride=10, seed=4,
    record_forces=True, engine="cuda", timestep_fs=0.5,
)  # fmt: skip
FLOAT64 = Execution("cpu", "float64", guard="off")
FILES = (TRAJECTORY_NAME, PROPERTIES_NAME, CHECKPOINT_NAME)


@pytest.fixture
def on_cpu(monkeypatch):
    emulated.install(monkeypatch)


@pytest.fixture
def water() -> Atoms:
    return Atoms("OHH", [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@needs_compiler
@pytest.mark.parametrize("n_beads", [1, 3])
def test_files_of_the_host(n_beads, model_path, water, tmp_path, on_cpu, monkeypatch):
    """Of the same steps and fields, and to rounding the same numbers, given the same noise."""
    settings = replace(SETTINGS, n_beads=n_beads)
    here = run_pimd(water, model_path, settings, tmp_path / "device", execution=FLOAT64)
    monkeypatch.setattr(dynamics, "CountedNoise", SameNoise)
    on_host = replace(settings, engine="native")
    there = run_pimd(water, model_path, on_host, tmp_path / "host", execution=FLOAT64)
    assert np.abs(there.trajectory.positions[-1] - there.trajectory.positions[0]).max() > 0.02
    for found, expected in (
        (here.trajectory, there.trajectory),
        (here.properties, there.properties),
    ):
        for name, value in vars(expected).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                size = np.abs(value).max()
                error = np.abs(getattr(found, name) - value).max()
                assert error <= 1e-9 * size, name
            elif value is not None and not isinstance(value, np.ndarray):
                assert getattr(found, name) == value, name
    assert (tmp_path / "device/pimd.json").exists()
    assert_allclose(
        read_energy_series(tmp_path / "device").primitive,
        read_energy_series(tmp_path / "host").primitive,
        rtol=1e-9,
    )
    assert_array_equal(read_run(tmp_path / "device").positions, here.trajectory.positions)
    checkpoints = [
        read_archive(tmp_path / d / CHECKPOINT_NAME, FORMAT_VERSION) for d in ("device", "host")
    ]
    assert checkpoints[0][0] == checkpoints[1][0]
    assert checkpoints[0][1].keys() == checkpoints[1][1].keys()
